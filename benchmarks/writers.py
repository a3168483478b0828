"""How many trials a second sixteen processes get into one store: SQLite and PostgreSQL, beside bare transactions."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measuring import Result, Sizes, main

import trialist
from trialist.testing.postgresql import PostgresServer

ABOUT = """
Trials a second that sixteen processes get into one store at the same time, each into a study of its own, all in all: from the
moment when all are ready until the last has ended. By `ask` and `tell` a trial is two durable transactions, acknowledged one
after the other, and the floor is the same number of transactions of one inserted row each, with the bare driver, from as many
processes. By `run` an engine commits as it always does, several trials at once where they are short. SQLite at synchronous
FULL with a write-ahead log; PostgreSQL with its defaults (fsync on), through a socket on the same machine. Any error in any
process ends the benchmark.
"""
SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "depth": {"type": "randint", "low": 1, "high": 8},
    "kind": ["a", "b", "c"],
}
WAIT_S = 600.0


# --- one writer ---


def ready() -> None:
    """Say so, and wait until all are."""
    print("ready", flush=True)
    sys.stdin.readline()


def ask_and_tell(url: str, number: int, trials: int) -> None:
    study = trialist.create_study(f"writer {number}", SPACE, metric="loss", mode="min", searcher="random", store=url)
    ready()
    for _ in range(trials):
        study.tell(study.ask(), 1.0)


def run(url: str, number: int, trials: int) -> None:
    study = trialist.create_study(f"writer {number}", SPACE, metric="loss", mode="min", searcher="random", store=url)
    ready()
    study.run(lambda lr, depth, kind: lr, num_trials=trials, progress=False)


def bare(url: str, number: int, trials: int) -> None:
    """Two transactions a trial."""
    row = (number, json.dumps({"lr": 1e-3, "depth": 3, "kind": "a"}))
    if url.startswith("sqlite:///"):
        lite = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=WAIT_S)
        lite.execute("PRAGMA synchronous = FULL")
        ready()
        for _ in range(2 * trials):
            lite.execute("BEGIN IMMEDIATE")
            lite.execute("INSERT INTO bare (writer, params) VALUES (?, ?)", row)
            lite.execute("COMMIT")
        return
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        ready()
        for _ in range(2 * trials):
            with connection.transaction():
                connection.execute("INSERT INTO bare (writer, params) VALUES (%s, %s)", row)


# --- all of them ---


def together(how: str, url: str, writers: int, trials: int) -> float:
    """Trials a second of all writers."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path[1:]])}
    children = []
    for number in range(writers):
        code = f"import writers; writers.{how}({url!r}, {number}, {trials})"
        argv = [sys.executable, "-c", code]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        children.append(subprocess.Popen(argv, env=environment, text=True, **pipes))
    try:
        return writers * trials / _seconds(children)
    finally:
        for child in children:
            child.kill()
            child.wait()


def _seconds(children: list[subprocess.Popen[str]]) -> float:
    """From the moment when all are ready until the last has ended."""
    for child in children:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            raise RuntimeError(child.communicate()[1][-2000:])
    began = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        said = child.communicate(timeout=WAIT_S)[1]
        if child.returncode != 0:
            raise RuntimeError(said[-2000:])
    return time.perf_counter() - began


def new_sqlite(folder: Path, count: list[int]) -> str:
    count[0] += 1
    path = folder / f"{count[0]}.db"
    trialist.list_studies(store=f"sqlite:///{path}")  # makes the schema
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, writer INTEGER, params TEXT)")
    connection.close()
    return f"sqlite:///{path}"


def new_postgres(server: PostgresServer) -> str:
    url = server.new_database()
    trialist.list_studies(store=url)
    server.execute("CREATE TABLE bare (id bigserial PRIMARY KEY, writer int, params text)", url=url)
    return url


def ask(result: Result, sizes: Sizes) -> None:
    writers, trials = sizes.of(16, 2), sizes.of(240, 2)  # enough that a start and an end do not count
    with tempfile.TemporaryDirectory() as folder, PostgresServer({"max_connections": "100"}) as server:
        stores: dict[str, Callable[[], str]] = {
            "SQLite": partial(new_sqlite, Path(folder), [0]),
            "PostgreSQL": partial(new_postgres, server),
        }

        def once(new: Callable[[], str], how: str) -> float:
            return together(how, new(), writers, trials * (2 if how == "run" else 1))

        ways = {"bare transactions": "bare", "ask and tell": "ask_and_tell", "run": "run"}
        cases = {
            f"{store}: {way}": partial(once, new, how) for store, new in stores.items() for way, how in ways.items()
        }
        took = sizes.take_turns(cases, 3)
        result.versions["postgresql"] = server.execute("SHOW server_version")[0][0].split()[0]
    for name, values in took.items():
        result.add(name, "trials a second", values)
    for store in stores:
        floor, told = took[f"{store}: bare transactions"], took[f"{store}: ask and tell"]
        for way in ("ask and tell", "run"):
            speed = took[f"{store}: {way}"]
            result.compare(f"times 300 trials a second: {store}, {way}", speed, [300.0] * len(speed), at_least=1)
        result.compare(f"of the bare transactions' speed: {store}, ask and tell", told, floor)


if __name__ == "__main__":
    sys.exit(main(ask, question="writers", about=ABOUT, packages=["sqlalchemy", "psycopg"]))
