"""What the suites of the ``Store`` port share: how a store is made, a study that is told, threads that are checked."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trialist.core.ports import Store, TrialOrder
from trialist.core.records import (
    Command,
    CommandKind,
    Holder,
    StudySpec,
    Trial,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.core.wire import to_json
from trialist.store.holders import holder
from trialist.testing.event_script import EventScript, study_spec
from trialist.testing.libraries import pytest

LONG = 3600.0
HARD_PARAMS = {
    "none": None,
    "bool": True,
    "big": 2**200,
    "float": 0.1 + 0.2,
    "tiny": 5e-324,
    "text": "naïve \N{SNOWMAN} \x00 \ud800 'quoted' \"twice\" \\ %s ?",
    "": [1, [2.5, {"deep": []}], {}],
}


def dead_holder() -> Holder:
    """A process of this machine that is no more."""
    code = "from trialist.store.holders import holder; h = holder(); print(h.pid, h.pid_started, sep='|')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid, started = done.stdout.strip().split("|")
    return replace(holder(), pid=int(pid), pid_started=started)


class StoreSuite:
    """How a suite gets its store."""

    def make_store(self, tmp_path: Path) -> Store:
        """A new, empty store."""
        raise NotImplementedError

    def open_again(self, store: Store) -> Store:
        """Another handle on what ``store`` points at, as another process would open it; itself where there is none."""
        return store

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        made = self.make_store(tmp_path)
        yield made
        made.close()


class Told:
    """A study in a store, and the script that goes on with it."""

    def __init__(self, store: Store, script: EventScript) -> None:
        self.store = store
        self.script = script
        self.id = script.study.id

    def start(self, **fields: Any) -> int:
        """A new trial that runs."""
        number = self.script.suggest()
        self.script.start(number, **fields)
        return number

    def status(self, status: StudyStatus) -> Told:
        self.script.status(status)
        return self

    def commit(self) -> None:
        """Commit without a lease."""
        self.store.commit(None, self.script.commit())


def tell(store: Store, name: str = "study", spec: StudySpec | None = None) -> Told:
    """A study to tell on; created if it is not there."""
    found = store.find_study(name)
    return Told(store, EventScript(found or store.create_study(spec or study_spec(name))))


def command(key: str, **fields: Any) -> Command:
    """A command with this key."""
    return Command(key=key, **{"kind": CommandKind.PAUSE, **fields})


def names_of(store: Store, **how: Any) -> list[str]:
    """Names of listed studies."""
    return [study.name for study in store.list_studies(**how).studies]


def numbers(
    store: Store,
    study_id: str,
    limit: int,
    order: TrialOrder | None = None,
    status: Sequence[TrialStatus] = (),
) -> list[int]:
    """Numbers of all trials in an order, page by page."""
    found: list[int] = []
    cursor = None
    while True:
        page = store.trials(study_id, status=status, order=order or TrialOrder(), limit=limit, cursor=cursor)
        assert len(page.trials) == limit or page.cursor is None
        found += [trial.number for trial in page.trials]
        cursor = page.cursor
        if cursor is None:
            return found


def plain(trial: Trial) -> dict[str, Any]:
    """A trial that can be compared although it holds NaN."""
    return to_json(trial)


class Checked:
    """A thread whose exception is raised where its result is wanted."""

    def __init__(self, work: Any) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  handed on by result()
            self._error = error

    def result(self) -> None:
        """Wait for the end, and raise what the work raised."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "a thread hangs"
        if self._error is not None:
            raise self._error


def in_threads(work: Sequence[Any]) -> None:
    """Do everything at once."""
    for thread in [Checked(one) for one in work]:
        thread.result()
