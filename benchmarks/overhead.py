"""What a trial costs beside itself: no-op trials with 3 params in Trialist and in Optuna, random search, SQLite and memory.

Both are durable in SQLite in their default way (Trialist: write-ahead log, fsync at each commit). Medians of several
interleaved rounds in one run; a table for people, JSON with ``--json``.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import optuna

import trialist

ROUNDS = 5
SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "depth": {"type": "randint", "low": 1, "high": 8},
    "kind": ["a", "b", "c"],
}


def noop(lr: float, depth: int, kind: str) -> float:
    return lr


def optuna_noop(trial: optuna.Trial) -> float:
    trial.suggest_int("depth", 1, 8)
    trial.suggest_categorical("kind", ["a", "b", "c"])
    return trial.suggest_float("lr", 1e-5, 1e-1, log=True)


def trialist_run(store: str, trials: int) -> float:
    study = trialist.create_study("noop", SPACE, metric="loss", mode="min", store=store)
    began = time.perf_counter()
    study.run(noop, num_trials=trials, progress=False)
    return (time.perf_counter() - began) / trials


def trialist_ask(store: str, trials: int) -> float:
    study = trialist.create_study("noop", SPACE, metric="loss", mode="min", store=store)
    began = time.perf_counter()
    for _ in range(trials):
        study.tell(study.ask(), 1.0)
    return (time.perf_counter() - began) / trials


def optuna_run(store: str, trials: int) -> float:
    storage = None if store == "memory" else store
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    began = time.perf_counter()
    study.optimize(optuna_noop, n_trials=trials)
    return (time.perf_counter() - began) / trials


CASES: dict[str, tuple[Callable[[str, int], float], str, int]] = {
    "trialist run, SQLite": (trialist_run, "sqlite", 1000),
    "trialist ask and tell, SQLite": (trialist_ask, "sqlite", 100),
    "optuna, SQLite": (optuna_run, "sqlite", 30),
    "trialist run, memory": (trialist_run, "memory", 1000),
    "optuna, memory": (optuna_run, "memory", 300),
}


def main() -> int:
    optuna.logging.set_verbosity(logging.ERROR)
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            for name, (run, kind, trials) in CASES.items():
                path = Path(folder) / f"{number}-{name.replace(' ', '-')}.db"
                seconds[name].append(run(f"sqlite:///{path}" if kind == "sqlite" else "memory", trials))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {
        "run, SQLite": medians["optuna, SQLite"] / medians["trialist run, SQLite"],
        "ask and tell, SQLite": medians["optuna, SQLite"] / medians["trialist ask and tell, SQLite"],
        "run, memory": medians["optuna, memory"] / medians["trialist run, memory"],
    }
    if "--json" in sys.argv:
        print(json.dumps({"question": "overhead", "seconds_a_trial": medians, "times_faster_than_optuna": ratios}))
    else:
        for name, value in medians.items():
            print(f"{name:<32} {1e3 * value:8.3f} ms a trial")
        for name, ratio in ratios.items():
            print(f"{name:<32} {ratio:8.1f} times faster than Optuna")
    return 0


if __name__ == "__main__":
    sys.exit(main())
