"""What ``trialist doctor`` looks at: the interpreter, the platform, the store, the disk, devices, optional libraries.

Each check is a function that yields rows; none changes anything but for one small file beside the store, written to
measure a commit and removed again.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from trialist._version import __version__
from trialist.cli.output import plural, size
from trialist.core.errors import TrialistError, UserError
from trialist.store.files import network_filesystem
from trialist.store.locate import open_store, public_url, store_url

_FILE = "sqlite:///"
_LITTLE_ROOM = 1 << 30
_NO_ROOM = 64 << 20
_SLOW_COMMIT_S = 0.02
_EXTRAS = {
    "sklearn": "sklearn",
    "torch": "torch",
    "rl": "stable_baselines3",
    "llm": "transformers",
    "ray": "ray",
    "service": "fastapi",
    "postgres": "psycopg",
    "plots": "matplotlib",
    "optuna": "optuna",
    "research": "openai",
    "http": "httpx",
    "basilica": "basilica",
}
"""Extra to the module that tells whether it is installed."""


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Check(NamedTuple):
    """A row."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
    """What to do; empty where nothing is to be done."""


def all_checks(store: str | None) -> Iterator[Check]:
    """Every check, in the order of the report.

    Args:
        store: The store to look at; ``None``: the user's own.
    """
    yield Check("trialist", Verdict.OK, __version__)
    yield _python()
    yield _platform()
    yield from _store(store)
    yield _children()
    yield _gpus()
    yield from _libraries()


def _python() -> Check:
    found = f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"
    return Check("python", Verdict.OK, found)


def _platform() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{platform.system()} {platform.release()}, {platform.machine()}, {cores} cores"
    if platform.system() in ("Linux", "Darwin"):
        return Check("platform", Verdict.OK, found)
    return Check("platform", Verdict.WARN, found, "Linux and macOS are supported; on Windows use WSL.")


# --- the store -------------------------------------------------------------------------------------------------------


def _store(where: str | None) -> Iterator[Check]:
    try:
        url = store_url(where)
    except UserError as error:
        yield Check("store", Verdict.BAD, str(error))
        return
    if not url.startswith(_FILE):
        yield _opens(url, public_url(url))
        return
    path = Path(url.removeprefix(_FILE)).absolute()
    folder = next(parent for parent in path.parents if parent.exists())
    yield _file_system(folder)
    if path.exists():
        yield _opens(url, str(path))
        yield from _inside(path)
    else:
        yield Check("store", Verdict.OK, f"{path}: not there yet; the first study makes it")
    yield _room(folder)
    yield _commit_time(folder)


def _opens(url: str, name: str) -> Check:
    try:
        store = open_store(url, create=False)
        count = len(store.list_studies(limit=1000).studies)
        store.close()
    except TrialistError as error:
        return Check("store", Verdict.BAD, str(error))
    studies = plural(count, "study", "studies") if count < 1000 else "1,000 studies or more"
    return Check("store", Verdict.OK, f"{name}: {studies}")


def _inside(path: Path) -> Iterator[Check]:
    """Schema, journal mode and integrity, as SQLite tells them."""
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
            schema = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        yield Check("integrity", Verdict.BAD, str(error), "Restore a backup, or export what can still be read.")
        return
    yield Check("schema", Verdict.OK, schema[0] if schema else "none")
    if mode == "wal":
        yield Check("journal", Verdict.OK, "write-ahead log")
    else:
        yield Check("journal", Verdict.WARN, mode, "Another program changed it; the next study changes it back to WAL.")
    if sound == "ok":
        yield Check("integrity", Verdict.OK, f"sound, {size(path.stat().st_size)}")
    else:
        yield Check("integrity", Verdict.BAD, sound, "Restore a backup, or export what can still be read.")


def _file_system(folder: Path) -> Check:
    kind = network_filesystem(folder)
    if kind is None:
        return Check("file system", Verdict.OK, f"{folder} is local")
    advice = "SQLite is not safe there: put the store on a local disk (--store /local/trialist.db)."
    return Check("file system", Verdict.BAD, f"{folder} is a network file system ({kind})", advice)


def _room(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{size(free)} free at {folder}"
    if free < _NO_ROOM:
        return Check("disk", Verdict.BAD, found, "Make room; 'trialist gc' removes files that no study needs.")
    if free < _LITTLE_ROOM:
        return Check("disk", Verdict.WARN, found, "Checkpoints may fill it; 'trialist gc' removes what no study needs.")
    return Check("disk", Verdict.OK, found)


def _commit_time(folder: Path) -> Check:
    """How long one durable commit takes: a small SQLite file beside the store, written ten times."""
    try:
        with tempfile.TemporaryDirectory(prefix=".trialist-doctor-", dir=folder) as scratch:
            seconds = _measured(Path(scratch, "commit.db"))
    except (OSError, sqlite3.Error) as error:
        return Check("commits", Verdict.BAD, f"cannot write to {folder}: {error}", "Make it writable, or use --store.")
    found = f"{seconds * 1000:.1f} ms each (fsync included)"
    if seconds > _SLOW_COMMIT_S:
        return Check(
            "commits", Verdict.WARN, found, "A slow disk: thousands of quick trials are better kept elsewhere."
        )
    return Check("commits", Verdict.OK, found)


def _measured(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (x TEXT)")
        times = []
        for _ in range(10):
            start = time.perf_counter()
            connection.execute("INSERT INTO t VALUES (?)", ("x" * 500,))
            times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2]
    finally:
        connection.close()


# --- the machine -----------------------------------------------------------------------------------------------------


def _children() -> Check:
    """Whether the kernel can promise that no trial outlives its study."""
    if not sys.platform.startswith("linux"):
        return Check(
            "children", Verdict.WARN, "no subreaper here", "A trial that detaches itself may outlive its study."
        )
    reaper = ctypes.c_int()
    # PR_GET_CHILD_SUBREAPER = 37, PR_GET_PDEATHSIG = 2: both only read.
    libc = ctypes.CDLL(None)
    works = libc.prctl(37, ctypes.byref(reaper), 0, 0, 0) == 0 and libc.prctl(2, ctypes.byref(reaper), 0, 0, 0) == 0
    if works and Path("/proc/self/stat").exists():
        return Check("children", Verdict.OK, "subreaper and PDEATHSIG work: no trial outlives its study")
    advice = "A trial that detaches itself may outlive its study; a container that mounts /proc cures it."
    return Check("children", Verdict.WARN, "no subreaper or no /proc here", advice)


def _gpus() -> Check:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("gpus", Verdict.OK, "none (no nvidia-smi)")
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("gpus", Verdict.WARN, f"nvidia-smi does not answer: {error}", "Check the driver.")
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:200]
        return Check("gpus", Verdict.WARN, f"nvidia-smi fails: {said}", "Check the driver.")
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return Check("gpus", Verdict.OK, f"{len(lines)}: {'; '.join(' '.join(line.split()) for line in lines[:8])} MiB")


def _libraries() -> Iterator[Check]:
    """The extras that are there, the others, and the line that brings them."""
    there = {extra: importlib.util.find_spec(module) is not None for extra, module in _EXTRAS.items()}
    missing = [extra for extra in there if not there[extra]]
    yield Check("extras", Verdict.OK, ", ".join(extra for extra in there if there[extra]) or "none")
    if missing:
        yield Check("not installed", Verdict.OK, f"{', '.join(missing)}: none is needed; pip install 'trialist[NAME]'")
