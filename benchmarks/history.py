"""What a long history costs: a trial and a page of trials in SQLite, at 100 trials and at 100,000."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measuring import Result, Sizes, main

import trialist
from trialist.core.ports import TrialOrder
from trialist.store.paging import ValueCursor, value_cursor

ABOUT = """
Milliseconds for the same work in a study with a short history and in one with a long one; nothing should grow with it. A
trial of `run` is one of 200 that do nothing, random search, SQLite, the engine's start included; one of `ask` and `tell` is
acknowledged twice; a page is 50 trials by value. The floor of every acknowledgement is one row in a bare `sqlite3` table, as
durable (write-ahead log, synchronous FULL).
"""
FURTHER = 200


def noop(lr: float) -> float:
    return lr


class History:
    """A study with many trials in a file of its own."""

    def __init__(self, folder: Path, trials: int) -> None:
        space = {"lr": {"type": "uniform", "low": 0.0, "high": 1.0}}
        store = f"sqlite:///{folder}/{trials}.db"
        self.study = trialist.create_study("long", space, metric="loss", mode="min", searcher="random", store=store)
        self.trials = trials
        self.rng = random.Random(trials)
        self._run(trials)

    def _run(self, trials: int) -> None:
        self.study.run(noop, num_trials=trials, progress=False)

    def run(self) -> float:
        self.trials += FURTHER
        began = time.perf_counter()
        self._run(self.trials)
        return 1e3 * (time.perf_counter() - began) / FURTHER

    def tell(self) -> float:
        self.trials += 1
        began = time.perf_counter()
        self.study.tell(self.study.ask(), 0.5)
        return 1e3 * (time.perf_counter() - began)

    def first_page(self) -> float:
        return self._page(None)

    def middle_page(self) -> float:
        return self._page(value_cursor(ValueCursor(self.rng.random(), 0)))

    def _page(self, cursor: str | None) -> float:
        began = time.perf_counter()
        page = self.study.store.trials(self.study.id, order=TrialOrder("value"), limit=50, cursor=cursor)
        assert page.trials
        return 1e3 * (time.perf_counter() - began)


def bare(folder: Path) -> Callable[[], float]:
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE trials (number INTEGER PRIMARY KEY, params TEXT)")

    def commit() -> float:
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO trials (params) VALUES (?)", (json.dumps({"x": 0.5}),))
        connection.execute("COMMIT")
        return 1e3 * (time.perf_counter() - began)

    return commit


WORK = {
    "a trial of run": "run",
    "a trial of ask and tell": "tell",
    "the first page": "first_page",
    "a page in the middle": "middle_page",
}


def ask(result: Result, sizes: Sizes) -> None:
    lengths = (sizes.of(100, 10), sizes.of(100_000, 20))
    with tempfile.TemporaryDirectory() as folder:
        short, long = (History(Path(folder), length) for length in lengths)
        cases: dict[str, Callable[[], float]] = {"a row in bare sqlite3": bare(Path(folder))}
        for name, work in WORK.items():
            for history, length in ((short, lengths[0]), (long, lengths[1])):
                cases[f"{name}, {length:,} trials"] = getattr(history, work)
        took = sizes.take_turns(cases, 21)
        short.study.store.close()
        long.study.store.close()
    for name, values in took.items():
        result.add(name, "ms", values)
    for name in WORK:
        at_short, at_long = (took[f"{name}, {length:,} trials"] for length in lengths)
        result.compare(f"times as long with the long history: {name}", at_long, at_short, at_most=1.5)


if __name__ == "__main__":
    sys.exit(main(ask, question="history", about=ABOUT))
