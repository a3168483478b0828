"""Runs (or goes on with) a study of quick trials until it ends or is killed: the program of the tests that kill.

python killable.py STORE_URL NAME SEARCHER EXECUTOR NUM_TRIALS JOBS SCHEDULER

Prints ``leading``, then ``ended NUMBER VALUE`` for each trial whose end is committed, then ``done``; an error is one line on
standard error and the error's exit code. Where ``KILLABLE_GATE`` names a pipe, each report takes a byte from it and waits
until there is one: who fills the pipe says how far the study can come. ``KILLABLE_CHECKPOINTS`` makes trials save
checkpoints and go on from them; ``KILLABLE_EVENTS`` names a file for the events. The executor ``pool:spawn`` is a pool's
worker processes.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import trialist
from trialist.core.errors import TrialistError
from trialist.core.events import TrialEnded
from trialist.telemetry import EventsJsonl

SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "depth": {"type": "randint", "low": 1, "high": 6},
    "kind": ["a", "b", "c"],
}
GRID = {"depth": list(range(1, 61)), "kind": ["a", "b", "c"], "wide": [False, True]}
LAST_STEP = 9
SCHEDULERS = {
    "asha": {"min_steps": 1, "max_steps": LAST_STEP},
    "hyperband": {"max_steps": LAST_STEP},
    "pbt": {"max_steps": LAST_STEP, "interval": 4},
    "forecast": {"max_steps": LAST_STEP, "keep": 0.9},
}


def objective(trial):
    gate = os.environ.get("KILLABLE_GATE")
    with Path(gate).open("rb", buffering=0) if gate else nullcontext() as pipe:
        return train(trial, pipe)


def train(trial, pipe):
    text = repr(sorted(trial.params.items()))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    saves = "KILLABLE_CHECKPOINTS" in os.environ
    for step in range((trial.resume_step or 0) + 1, LAST_STEP + 1):
        digest = b""
        for _ in range(150):  # some work, so that there is something to interrupt
            digest = hashlib.sha256(digest).digest()
        if pipe is not None:
            assert pipe.read(1)
        trial.report(step=step, loss=number + 1 / step)
        if saves and step % 3 == 0:
            trial.save_checkpoint(lambda folder, weights=digest: (folder / "weights").write_bytes(weights))
    return number


class Told:
    """A sink that says which results are acknowledged."""

    def write(self, events, trials):
        for event in events:
            if isinstance(event.body, TrialEnded):
                print("ended", event.body.trial, event.body.value, flush=True)

    def close(self):
        """Nothing to release."""


def main(store, name, searcher, executor, num_trials, jobs, scheduler):
    study = trialist.create_study(
        name,
        GRID if searcher == "grid" else SPACE,
        metric="loss",
        mode="min",
        searcher=searcher,
        scheduler=None if scheduler == "none" else {"name": scheduler, **SCHEDULERS[scheduler]},
        seed=7,
        store=store,
        resume=True,
    )
    events = os.environ.get("KILLABLE_EVENTS")
    kind, _, start = executor.partition(":")
    print("leading", flush=True)
    study.run(
        objective,
        num_trials=int(num_trials),
        jobs=int(jobs),
        executor={"name": kind, "start": start} if start else kind,
        sinks=[Told(), *([EventsJsonl(events)] if events else [])],
        callbacks=[lambda study, trial: None] if events else [],
        progress=False,
    )
    print("done", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TrialistError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
