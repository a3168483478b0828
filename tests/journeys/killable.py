"""Runs (or goes on with) a study of 30 quick trials until it ends or is killed: the program of test_kill.py.

python killable.py STORE_URL SEARCHER EXECUTOR NUM_TRIALS JOBS SCHEDULER

Where ``KILLABLE_GATE`` names a pipe, each report takes a byte from it and waits until there is one: who fills the pipe says
how far the study can come.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import trialist

SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "depth": {"type": "randint", "low": 1, "high": 6},
    "kind": ["a", "b", "c"],
}
GRID = {"depth": [1, 2, 3, 4, 5, 6], "kind": ["a", "b", "c"], "wide": [False, True]}


def objective(trial):
    gate = os.environ.get("KILLABLE_GATE")
    with Path(gate).open("rb", buffering=0) if gate else nullcontext() as pipe:
        return train(trial, pipe)


def train(trial, pipe):
    text = repr(sorted(trial.params.items()))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    for step in range(1, 10):
        digest = b""
        for _ in range(150):  # some work, so that there is something to interrupt
            digest = hashlib.sha256(digest).digest()
        if pipe is not None:
            assert pipe.read(1)
        trial.report(step=step, loss=number + 1 / step)
    return number


if __name__ == "__main__":
    store, searcher, executor, num_trials, jobs, scheduler = sys.argv[1:]
    study = trialist.create_study(
        "killed",
        GRID if searcher == "grid" else SPACE,
        metric="loss",
        mode="min",
        searcher=searcher,
        scheduler=None if scheduler == "none" else {"name": scheduler, "min_steps": 1, "max_steps": 9},
        seed=7,
        store=store,
        resume=True,
    )
    print("leading", flush=True)
    study.run(objective, num_trials=int(num_trials), jobs=int(jobs), executor=executor)
    print("done", flush=True)
