"""What a long history costs: a trial's commit to SQLite and a page of trials, at 100 trials and at 100,000.

Nothing should become slower with the history: the ratio of the two sizes is the result. Floor of the commit: one row into a
bare ``sqlite3`` table, as durable (write-ahead log, fsync at each commit). Medians of interleaved rounds in one run; a table
for people, JSON with ``--json``.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from trialist.core.ports import TrialOrder
from trialist.core.records import Lease
from trialist.store.holders import holder
from trialist.store.sql import SqlStore
from trialist.testing.event_script import EventScript, study_spec

SIZES = (100, 100_000)
ROUNDS = 50
CHUNK = 1000
"""Trials a commit while the history is made."""
TIMES_THE_SHORT = 3.0


class History:
    """A study with many trials in a file of its own."""

    def __init__(self, folder: Path, trials: int) -> None:
        self.store = SqlStore(f"sqlite:///{folder}/{trials}.db")
        spec = study_spec()
        self.lease: Lease = self.store.take_lease(self.store.create_study(spec).id, holder(), 3600.0)
        self.script = EventScript(spec)
        self.rng = random.Random(trials)
        for begun in range(0, trials, CHUNK):
            for _ in range(min(CHUNK, trials - begun)):
                self.run()
            self.store.commit(self.lease, self.script.commit())

    def run(self) -> None:
        number = self.script.suggest({"x": self.rng.random()})
        self.script.start(number)
        self.script.report(number, 1, loss=self.rng.random())
        self.script.end(number)

    def commit(self) -> float:
        self.run()
        commit = self.script.commit()
        began = time.perf_counter()
        self.store.commit(self.lease, commit)
        return time.perf_counter() - began

    def first_page(self) -> float:
        return self._page(None)

    def middle_page(self) -> float:
        found = self.store.trials(self.lease.study_id, order=TrialOrder("value"), limit=self.rng.randint(1, 50))
        return self._page(found.cursor)

    def _page(self, cursor: str | None) -> float:
        began = time.perf_counter()
        self.store.trials(self.lease.study_id, order=TrialOrder("value"), limit=50, cursor=cursor)
        return time.perf_counter() - began


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
        return time.perf_counter() - began

    return commit


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        short, long = (History(Path(folder), size) for size in SIZES)
        cases: dict[str, Callable[[], float]] = {"a row in bare sqlite3": bare(Path(folder))}
        for name in ("commit", "first_page", "middle_page"):
            for history, size in zip((short, long), SIZES, strict=True):
                cases[f"{name.replace('_', ' ')} at {size:,} trials"] = getattr(history, name)
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, run in cases.items():
                seconds[name].append(run())
        short.store.close()
        long.store.close()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {
        name: medians[f"{name} at {SIZES[1]:,} trials"] / medians[f"{name} at {SIZES[0]:,} trials"]
        for name in ("commit", "first page", "middle page")
    }
    if "--json" in sys.argv:
        told = {name: round(value, 7) for name, value in medians.items()}
        print(json.dumps({"question": "history", "seconds": told, "long_to_short": ratios}))
    else:
        for name, value in medians.items():
            print(f"{name:<32} {1e3 * value:8.3f} ms")
        for name, ratio in ratios.items():
            print(f"{name:<32} {ratio:8.2f} times as long at {SIZES[1]:,} trials as at {SIZES[0]}")
    return int(max(ratios.values()) > TIMES_THE_SHORT)


if __name__ == "__main__":
    sys.exit(main())
