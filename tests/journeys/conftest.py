"""What the tests that kill share: a study that runs as a program, and everything that must hold after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from trialist import load_study
from trialist.api import Severity, Study, fsck
from trialist.core.faults import ENVIRONMENT, MARKS
from trialist.core.ports import Store
from trialist.store.locate import open_store
from trialist.testing.processes import marked_processes

PROGRAM = Path(__file__).with_name("killable.py")
GONE_WITHIN_S = 20.0
"""Far more than the warden's last grace: on a busy machine."""
ENDS_WITHIN_S = 240.0


class Killable:
    """A study of quick trials that runs as ``killable.py``, as often as it takes.

    Every process that comes of it carries ``mark`` in its environment.
    """

    def __init__(
        self,
        store: str,
        name: str,
        *,
        searcher: str = "random",
        executor: str = "inline",
        trials: int = 30,
        jobs: int = 1,
        scheduler: str = "none",
        **environment: str,
    ) -> None:
        self.store = store
        self.name = name
        self.mark = f"KILLABLE_MARK={uuid.uuid4().hex}"
        self.acknowledged: dict[int, float | None] = {}
        self.said = ""
        self._opened: Store | None = None
        self._argv = [sys.executable, str(PROGRAM), store, name, searcher, executor, str(trials), str(jobs), scheduler]
        name, _, value = self.mark.partition("=")
        self._environment = {**os.environ, name: value, **environment}

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Begin to lead; the caller waits for it."""
        return subprocess.Popen(
            self._argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self._environment, **environment},
        )

    def run(self, **environment: str) -> int:
        """Lead to the end, whatever that is; the exit code."""
        with self.start(**environment) as process:
            out, self.said = process.communicate(timeout=ENDS_WITHIN_S)
        self.heard(out)
        return process.returncode

    def finish(self) -> None:
        """Lead to the end of the study."""
        assert self.run() == 0, self.said

    def struck(self, faults: str, marks: Path, **environment: str) -> int:
        """Lead while faults strike; the exit code."""
        marks.mkdir(exist_ok=True)
        return self.run(**{ENVIRONMENT: faults, MARKS: str(marks)}, **environment)

    def heard(self, out: str) -> None:
        """Keep what a run has acknowledged; its last line may be torn."""
        for line in out.splitlines(keepends=True):
            if line.startswith("ended ") and line.endswith("\n"):
                _, number, value = line.split()
                self.acknowledged[int(number)] = None if value == "None" else float(value)

    @property
    def study(self) -> Study:
        if self._opened is None:
            self._opened = open_store(self.store)
        return load_study(self.name, store=self._opened)

    def has_started(self) -> bool:
        """Whether the study is there."""
        with closing(open_store(self.store)) as store:
            return store.find_study(self.name) is not None

    def close(self) -> None:
        """Release the store that ``study`` opened."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def rows(self) -> list[tuple[object, ...]]:
        """All that must be the same after any number of kills."""
        return [
            (t.number, t.params, t.status, t.value, t.source, t.seed, t.step, [(r.step, r.metrics) for r in t.reports])
            for t in self.study.trials()
        ]

    def wait_until_gone(self) -> None:
        """No process of it is left; they are no children of ours, so there is no event to wait for."""
        deadline = time.monotonic() + GONE_WITHIN_S
        while left := marked_processes(self.mark):
            assert time.monotonic() < deadline, left
            time.sleep(0.01)

    def check(self, *, replay: bool = False) -> None:
        """What must hold at any time: the store adds up, and what was acknowledged is there, as it was told."""
        with closing(open_store(self.store)) as store:
            if store.find_study(self.name) is None:
                assert not self.acknowledged
                return
            found = fsck(self.name, store=store, replay=replay)
            assert [f.problem for f in found.findings if f.severity is Severity.WRONG] == []
            study = load_study(self.name, store=store)
            assert {number: study.trial(number).record.value for number in self.acknowledged} == self.acknowledged


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Callable[..., Killable]]:
    """Makes a study that can be killed, in a store of its own unless one is given."""
    made: list[Killable] = []

    def make(name: str = "killed", *, store: str | None = None, **options: object) -> Killable:
        made.append(Killable(store or f"sqlite:///{tmp_path}/{name}.db", name, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


class Gate:
    """A pipe that lets reports through, one for each byte."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDWR)  # held open, so that nobody waits for a reader or meets the end

    def let(self, reports: int) -> None:
        """Let so many more through; at most some 60,000 can wait."""
        os.write(self._pipe, b"." * reports)

    def close(self) -> None:
        os.close(self._pipe)
        self.path.unlink()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Callable[[], Gate]]:
    """Makes gates, each in the place of the one before."""
    made: list[Gate] = []

    def make() -> Gate:
        while made:
            made.pop().close()
        made.append(Gate(tmp_path / "gate"))
        return made[-1]

    yield make
    while made:
        made.pop().close()
