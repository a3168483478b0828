"""What a trial costs beside itself: no-op trials with three params in Trialist and in Optuna, in SQLite and in memory."""

from __future__ import annotations

import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import optuna
from measuring import Result, Sizes, main

import trialist

ABOUT = """
Milliseconds for a trial that does nothing: three params (a log-uniform, an integer, a choice) by random search, one trial at
a time in this process, no reports. In SQLite everything is acknowledged after it is on the disk (Trialist: write-ahead log,
synchronous FULL; Optuna: its defaults). Trialist's `run` may commit several such trials at once; through `ask` and `tell`
each trial is acknowledged twice, one after the other. Making the study and opening the store are left out on both sides.
"""
SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "depth": {"type": "randint", "low": 1, "high": 8},
    "kind": ["a", "b", "c"],
}
_count = itertools.count()


def noop(lr: float, depth: int, kind: str) -> float:
    return lr


def optuna_noop(trial: optuna.Trial) -> float:
    trial.suggest_int("depth", 1, 8)
    trial.suggest_categorical("kind", ["a", "b", "c"])
    return trial.suggest_float("lr", 1e-5, 1e-1, log=True)


def trialist_run(store: str, trials: int) -> float:
    study = trialist.create_study("noop", SPACE, metric="loss", mode="min", searcher="random", store=store)
    began = time.perf_counter()
    study.run(noop, num_trials=trials, progress=False)
    return 1e3 * (time.perf_counter() - began) / trials


def trialist_ask(store: str, trials: int) -> float:
    study = trialist.create_study("noop", SPACE, metric="loss", mode="min", searcher="random", store=store)
    began = time.perf_counter()
    for _ in range(trials):
        study.tell(study.ask(), 1.0)
    return 1e3 * (time.perf_counter() - began) / trials


def optuna_run(store: str, trials: int) -> float:
    storage = None if store == "memory" else store
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    began = time.perf_counter()
    study.optimize(optuna_noop, n_trials=trials)
    return 1e3 * (time.perf_counter() - began) / trials


def ask(result: Result, sizes: Sizes) -> None:
    optuna.logging.set_verbosity(logging.ERROR)
    cases: dict[str, tuple[Callable[[str, int], float], bool, int]] = {
        "Trialist, run, SQLite": (trialist_run, True, sizes.of(1000, 20)),
        "Trialist, ask and tell, SQLite": (trialist_ask, True, sizes.of(200, 5)),
        "Optuna, SQLite": (optuna_run, True, sizes.of(60, 2)),
        "Trialist, run, memory": (trialist_run, False, sizes.of(1000, 20)),
        "Optuna, memory": (optuna_run, False, sizes.of(1000, 20)),
    }
    with tempfile.TemporaryDirectory() as folder:

        def once(run: Callable[[str, int], float], durable: bool, trials: int) -> float:
            return run(f"sqlite:///{Path(folder) / f'{next(_count)}.db'}" if durable else "memory", trials)

        took = sizes.take_turns({name: partial(once, *case) for name, case in cases.items()}, 7)
    for name, values in took.items():
        result.add(name, "ms a trial", values)
    durable, ram = took["Optuna, SQLite"], took["Optuna, memory"]
    result.compare("times faster than Optuna: run, SQLite", durable, took["Trialist, run, SQLite"], at_least=30)
    name = "times faster than Optuna: ask and tell, SQLite"
    result.compare(name, durable, took["Trialist, ask and tell, SQLite"], at_least=12)
    result.compare("times faster than Optuna: run, memory", ram, took["Trialist, run, memory"], at_least=1)


if __name__ == "__main__":
    sys.exit(main(ask, question="overhead", about=ABOUT, packages=["optuna"]))
