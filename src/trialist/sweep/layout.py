"""Where a sweep keeps its files: ``runs/``, one directory a run, one leaderboard.

    runs/<stem>.csv                                      the leaderboard
    runs/<stem>_<param>_<value>_…/config.yaml            only this run's values
                                  stdout.log
                                  metrics.jsonl
                                  result.json

Owns every file name of a sweep. Knows nothing of what is in the files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trialist.core import faults
from trialist.core.errors import ConfigError
from trialist.sweep.names import prefix_problem

DEFAULT_PREFIX = "run"
_TRIES = 24 * 60 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFiles:
    """The files of one run."""

    directory: Path

    @property
    def config(self) -> Path:
        return self.directory / "config.yaml"

    @property
    def stdout(self) -> Path:
        return self.directory / "stdout.log"

    @property
    def reports(self) -> Path:
        return self.directory / "metrics.jsonl"

    @property
    def metrics(self) -> Path:
        """What the run itself may leave behind."""
        return self.directory / "metrics.json"

    @property
    def result(self) -> Path:
        return self.directory / "result.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepFiles:
    """The files of one sweep."""

    runs: Path
    """The directory ``runs/``."""
    stem: str
    """Prefix and start time; also the name of the sweep's study."""

    @property
    def leaderboard(self) -> Path:
        return self.runs / f"{self.stem}.csv"

    def run(self, name: str) -> RunFiles:
        return RunFiles(directory=self.runs / name)


@contextmanager
def claimed_stem(
    runs: Path, prefix: str | None, *, varies: bool, now: float, is_taken: Callable[[str], bool] = lambda _: False
) -> Iterator[str]:
    """A stem that nothing in ``runs`` begins with, and that no other process is given meanwhile.

    Of sweeps with one prefix that start within one second, each later one gets the next free second. The claim is a
    hidden file, gone when the block ends; by then the sweep's own files must hold the stem.

    Args:
        runs: The directory ``runs/``; made where it is missing.
        prefix: What the user gave, if anything.
        varies: Whether anything varies; a single run without a prefix is called by date and time.
        now: Seconds since the epoch.
        is_taken: Whether a stem is in use elsewhere: as the name of a study.

    Raises:
        ConfigError: The prefix cannot begin a directory's name, or ``runs`` cannot be written.
    """
    check_prefix(prefix)
    try:
        runs.mkdir(parents=True, exist_ok=True)
        stem, claim = _claim(runs, prefix, varies, now, is_taken)
    except OSError as error:
        raise ConfigError(
            f"cannot write to '{runs}': {error.strerror or error}. Make it writable, or start from another directory."
        ) from error
    try:
        yield stem
    finally:
        claim.unlink(missing_ok=True)


def check_prefix(prefix: str | None) -> None:
    """Raise ConfigError unless a prefix can begin a directory's name."""
    problem = None if prefix is None else prefix_problem(prefix)
    if problem is not None:
        raise ConfigError(
            f"--run-prefix '{prefix}' {problem}; directories are named after it. "
            "Use letters, digits, '.', '_', '+' and '-', at most 100 bytes."
        )


def _claim(
    runs: Path, prefix: str | None, varies: bool, now: float, is_taken: Callable[[str], bool]
) -> tuple[str, Path]:
    for second in range(_TRIES):
        moment = time.localtime(now + second)
        if prefix is None and not varies:
            stem = time.strftime("%Y-%m-%d_%H%M%S", moment)
        else:
            stem = f"{prefix or DEFAULT_PREFIX}_{time.strftime('%H%M%S', moment)}"
        claim = runs / f".{stem}.starting"
        try:
            claim.touch(exist_ok=False)
        except FileExistsError:
            continue
        if not _in_use(runs, stem) and not is_taken(stem):
            return stem, claim
        claim.unlink(missing_ok=True)
    raise ConfigError(
        f"'{runs}' holds a sweep with this prefix for every second of the day; give another --run-prefix."
    )


def _in_use(runs: Path, stem: str) -> bool:
    folded = stem.casefold()
    taken = (folded, f"{folded}.csv")
    with os.scandir(runs) as entries:
        return any((name := entry.name.casefold()) in taken or name.startswith(f"{folded}_") for entry in entries)


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[str]]:
    """A file that takes the place of ``path`` in one step when the block ends: readers see the old one or the new one.

    What was written is on the disk before it is seen. Where the block raises, the old file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open(mode, encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        faults.point("export.written")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
