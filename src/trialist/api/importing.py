"""Whole studies from a file of ``api.moving`` into a store, folded again from their events.

A study that is being read in is seen by nobody before it is whole and its checksum is right. Knows the order of lines, and
stores by their port; how an SQL store hides what is half there is ``store.staging``'s.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from trialist._version import __version__
from trialist.api.moving import FORMAT, VERSION, event_line
from trialist.api.naming import check_name
from trialist.core.errors import ConfigError, IllegalTransition, StudyExists, UserError
from trialist.core.events import EVENT_KINDS, Event, LeaseTaken, StudyCreated, TrialSuggested
from trialist.core.fold import StudyFold, fold_trial
from trialist.core.ports import Commit, Store
from trialist.core.records import Command, Study, StudySpec, Trial
from trialist.core.wire import event_from_json, from_json
from trialist.store.locate import open_store
from trialist.store.sql import SqlStore

_PIECE = 2000
"""Events that are in memory, and in one transaction."""
_TOLD_EVERY = 5000
Progress = Callable[[str, int], None]
"""Takes a study's name, and how many bytes were read."""


class Moved(NamedTuple):
    """What became of one study of a file."""

    name: str
    id: str
    trials: int
    events: int
    was_there: bool
    """It was in the store already, exactly as in the file: nothing was done."""


def import_studies(
    source: str | os.PathLike[str] | IO[bytes],
    *,
    store: str | Store | None = None,
    rename: str | None = None,
    progress: Progress | None = None,
) -> list[Moved]:
    """Bring the studies of a file into a store; each is seen whole or not at all.

    A study that is in the store exactly as in the file is left alone, so an import that was interrupted is made again.
    Nobody leads what was imported; what ran waits for its next leader. Checkpoints and logs are not in the file: they stay
    where they are, and are found there on the same machine.

    Args:
        source: A file made by ``trialist export --format study``, or an open one.
        store: As in ``create_study``.
        rename: Another name, for a file of one study; it becomes a study of its own, with an id of its own.
        progress: Called now and then.

    Raises:
        ConfigError: The file is damaged, cut off, or a newer Trialist's; says which line. Studies before it are there.
        StudyExists: A name is taken by another study.
    """
    there = open_store(store) if store is None or isinstance(store, str) else store
    try:
        if not isinstance(source, str | os.PathLike):
            return _Reader(source, str(getattr(source, "name", "input")), there, rename, progress).run()
        path = Path(source)
        try:
            file = path.open("rb")
        except OSError as error:
            raise UserError(f"cannot read '{path}': {(error.strerror or str(error)).lower()}.") from error
        with file:
            return _Reader(file, str(path), there, rename, progress).run()
    finally:
        if there is not store:
            there.close()


class _Line(NamedTuple):
    data: dict[str, Any]
    raw: bytes


class _Reader:
    """A file that is being read into a store."""

    def __init__(self, file: IO[bytes], name: str, store: Store, rename: str | None, progress: Progress | None) -> None:
        self._file = file
        self._name = name
        self._store = store
        self._rename = None if rename is None else check_name(rename)
        self._progress = progress or (lambda _name, _bytes: None)
        self._line = 0
        self._bytes = 0
        self._done: list[str] = []

    def run(self) -> list[Moved]:
        head = self._read()
        if head is None or head.data.get("format") != FORMAT:
            raise self._wrong("this is no file of whole studies: make one with 'trialist export NAME --format study'")
        version = head.data.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise self._newer(f"format {version}")
        moved: list[Moved] = []
        while (line := self._read()) is not None:
            if self._rename is not None and moved:
                raise self._wrong("the file holds more than one study, and --rename gives one name")
            moved.append(self._study(line))
            self._done.append(moved[-1].name)
        if not moved:
            raise self._wrong("the file holds no study")
        return moved

    def _study(self, line: _Line) -> Moved:
        expected, number = line.data.get("study"), line.data.get("events")
        if not isinstance(expected, str) or not isinstance(number, int) or number < 1:
            raise self._wrong("a study should begin here")
        digest = hashlib.sha256(line.raw)
        commands, first = self._opening(digest)
        spec = first.body.spec if isinstance(first.body, StudyCreated) else None
        if spec is None or spec.id != expected:
            raise self._wrong("the making of this study should stand here")
        there = self._store.find_study(spec.id)
        if self._rename is None and there is not None and (there.id, there.seq) == (spec.id, number):
            return self._compare(there, first, digest)
        if self._rename is not None:
            spec = replace(spec, id=uuid.uuid4().hex, name=self._rename)
            first = first._replace(body=StudyCreated(spec=spec))
        elif there is not None:
            raise self._taken(spec)
        if self._store.find_study(spec.name) is not None:
            raise self._taken(spec)
        target = _target(self._store, spec)
        try:
            target.add_commands(commands)
            folder = _Folder(target, first, self._wrong)
            for event in self._events(2, number, digest):
                folder.add(event)
                if event.seq % _TOLD_EVERY == 0:
                    self._progress(spec.name, self._bytes)
            study = folder.finish()
            self._end(expected, digest)
            target.publish(study, folder.epoch)
        except BaseException:
            target.discard()
            raise
        self._progress(spec.name, self._bytes)
        return Moved(study.name, study.id, study.num_trials, study.seq, was_there=False)

    def _taken(self, spec: StudySpec) -> StudyExists:
        error = StudyExists(spec.name, self._store.url)
        error.args = (
            f"{self._name}:{self._line}: a study '{spec.name}' exists in {self._store.url}, and is not what the file "
            f"holds. Give the imported one another name (--rename NAME), or delete the other one (trialist delete "
            f"{spec.name}).",
        )
        return error

    def _compare(self, there: Study, first: Event, digest: Any) -> Moved:
        """Read on through a study that should be there already."""
        events = itertools.chain([first], self._events(2, there.seq, digest))
        for event, stored in zip(events, _stored(self._store, there.id), strict=False):
            if event_line(event) != event_line(stored):
                raise self._taken(there.spec)
        self._end(there.id, digest)
        return Moved(there.name, there.id, there.num_trials, there.seq, was_there=True)

    def _opening(self, digest: Any) -> tuple[list[Command], Event]:
        """Everything up to a study's first event."""
        commands: list[Command] = []
        while "command" in (line := self._wanted(digest)).data:
            with self._reading("command"):
                commands.append(from_json(Command, line.data["command"]))
            if commands[-1].id != len(commands):
                raise self._wrong(f"command {len(commands)} should stand here")
        return commands, self._event(line, 1)

    def _events(self, first: int, last: int, digest: Any) -> Iterator[Event]:
        for seq in range(first, last + 1):
            yield self._event(self._wanted(digest), seq)

    def _event(self, line: _Line, seq: int) -> Event:
        kind = line.data.get("kind")
        if line.data.get("seq") != seq:
            raise self._wrong(f"event {seq} should stand here")
        if kind not in EVENT_KINDS:
            raise self._newer(f"an event of the kind '{kind}'")
        with self._reading("event"):
            return event_from_json(line.data)

    def _end(self, study_id: str, digest: Any) -> None:
        line = self._read()
        if line is None:
            raise self._cut_off()
        if line.data.get("end") != study_id:
            raise self._wrong("the end of the study should stand here")
        if line.data.get("sha256") != digest.hexdigest():
            raise self._wrong("the study's lines are not those that were written (their checksum differs)")

    def _wanted(self, digest: Any) -> _Line:
        """The next line of a study."""
        line = self._read()
        if line is None:
            raise self._cut_off()
        digest.update(line.raw)
        return line

    def _read(self) -> _Line | None:
        """The next line; ``None`` at the end of the file."""
        raw = self._file.readline()
        if not raw:
            return None
        self._line += 1
        self._bytes += len(raw)
        if not raw.endswith(b"\n"):
            raise self._cut_off()
        try:
            data = json.loads(raw)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise self._wrong("this is no JSON object" if self._line > 1 else "this is no file of whole studies")
        return _Line(data, raw)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise self._wrong(f"this {what} cannot be read ({error})") from error

    def _wrong(self, problem: str) -> ConfigError:
        kept = "" if self._line < 2 else " Nothing of this study was kept."
        done = "" if not self._done else f" Studies before it are in the store: {', '.join(self._done)}."
        return ConfigError(f"{problem}.{kept}{done}", file=self._name, line=self._line)

    def _cut_off(self) -> ConfigError:
        return self._wrong("the file ends in the middle of a study: it was cut off, export it again")

    def _newer(self, what: str) -> ConfigError:
        return self._wrong(
            f"a newer Trialist than this one ({__version__}) wrote this ({what}): pip install --upgrade trialist"
        )


class _Target(Protocol):
    """A study on its way into a store; see ``store.staging.StagedStudy``."""

    def add_commands(self, commands: Sequence[Command]) -> None: ...

    def add(self, commit: Commit) -> None: ...

    def publish(self, study: Study, epoch: int) -> None: ...

    def discard(self) -> None: ...


class _Plain:
    """In a store without a hidden place: made like any study, and deleted again where something goes wrong."""

    def __init__(self, store: Store, spec: StudySpec) -> None:
        self._store = store
        self._study: Study | None = store.create_study(spec)

    def add_commands(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self._store.send_command(self._id, command)

    def add(self, commit: Commit) -> None:
        # The store has made the first event itself.
        events = [event for event in commit.events if event.seq > 1]
        if events:
            self._store.commit(None, replace(commit, events=events))

    def publish(self, study: Study, epoch: int) -> None:
        self._study = None

    def discard(self) -> None:
        if self._study is not None:
            self._store.delete_study(self._id)
            self._study = None

    @property
    def _id(self) -> str:
        assert self._study is not None
        return self._study.id


def _target(store: Store, spec: StudySpec) -> _Target:
    return store.stage_study(spec) if isinstance(store, SqlStore) else _Plain(store, spec)


class _Folder:
    """Adds events up to rows, and hands them on piece by piece; keeps trials that have not ended, and no others."""

    def __init__(self, target: _Target, first: Event, wrong: Callable[[str], ConfigError]) -> None:
        assert isinstance(first.body, StudyCreated)
        spec = first.body.spec
        self._target = target
        self._wrong = wrong
        self._fold = StudyFold(Study(spec=spec))
        self._names = tuple(metric.name for metric in spec.metrics)
        self._live: dict[int, Trial] = {}
        self._events: list[Event] = []
        self._new: dict[int, Trial] = {}
        self._changed: dict[int, Trial] = {}
        self.epoch = 0
        """The highest under which it was led."""
        self.add(first)

    def add(self, event: Event) -> None:
        """One more event.

        Raises:
            ConfigError: It cannot have happened.
        """
        number = event.trial
        was = None if number is None else self._live.get(number)
        now = None
        try:
            if isinstance(event.body, TrialSuggested):
                if event.body.trial != self._fold.num_trials:
                    raise self._wrong(f"trial {self._fold.num_trials} should be suggested here")
                now = self._new[event.body.trial] = fold_trial(None, event, self._names)
            elif was is not None:
                now = fold_trial(was, event, self._names)
                if now is not was:
                    (self._new if now.number in self._new else self._changed)[now.number] = now
            elif number is not None and number >= self._fold.num_trials:
                raise self._wrong(f"there is no trial {number} yet")
            self._fold.add(event, was, now)
        except IllegalTransition as error:
            raise self._wrong(f"this cannot have happened: {str(error).rstrip('.')}") from error
        if now is not None:
            self._live[now.number] = now
            if now.status.is_terminal:
                del self._live[now.number]
        if isinstance(event.body, LeaseTaken):
            self.epoch = max(self.epoch, event.body.epoch)
        self._events.append(event)
        if len(self._events) >= _PIECE:
            self._hand_on()

    def finish(self) -> Study:
        """Hand on what is left; the study's row."""
        self._hand_on()
        return self._fold.study()

    def _hand_on(self) -> None:
        if not self._events:
            return
        commit = Commit(
            study=self._fold.study(),
            events=self._events,
            new_trials=list(self._new.values()),
            changed_trials=list(self._changed.values()),
        )
        self._events, self._new, self._changed = [], {}, {}
        self._target.add(commit)


def _stored(store: Store, study_id: str) -> Iterator[Event]:
    after = 0
    while page := store.events(study_id, after=after, limit=_PIECE):
        yield from page
        after = page[-1].seq
