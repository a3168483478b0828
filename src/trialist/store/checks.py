"""Whether what a store holds adds up: every study folded again from its events, and compared with every row of it.

For ``trialist fsck`` and for tests after a crash. Reads a page at a time and keeps a few numbers for each trial that has not
ended, so a study of any size can be checked. What files lie beside a store is not its business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

from trialist.core.errors import IllegalTransition, NotFound, StoreError
from trialist.core.events import (
    Checkpointed,
    CheckpointFreed,
    CommandApplied,
    CommandRefused,
    Event,
    LeaseTaken,
    Reported,
    TrialSuggested,
)
from trialist.core.fold import StudyFold, fold_trial
from trialist.core.ports import Store
from trialist.core.records import Checkpoint, Command, CommandStatus, Study, Trial
from trialist.core.states import TrialStatus
from trialist.core.wire import to_json
from trialist.store.expected import Expected, Reports, check_attempts_and_reports
from trialist.store.inspecting import check_columns, check_line
from trialist.store.sqlite import path_of

_PAGE = 1000
_MAX_SUSPECTS = 100
Progress = Callable[[int, int], None]
"""Told how many events of how many are folded."""


def check_study(store: Store, study_id: str, progress: Progress | None = None) -> Iterator[str]:
    """What is wrong with a study, a sentence each; nothing where its rows are what its events add up to.

    A study that is being led meanwhile is read as it is at one instant if ``store`` is frozen (``store.inspecting``);
    else it may seem wrong where it is ahead of the check.

    Raises:
        NotFound: No such study.
        StoreError: The store cannot be read at all, or the study's own row cannot.
    """
    study = store.find_study(study_id)
    if study is None:
        raise NotFound("study", study_id, store.url)
    check = _Check(store, study)
    for event in check.events():
        yield from check.add(event)
        if progress is not None and (event.seq % _PAGE == 0 or event.seq == study.seq):
            progress(event.seq, study.seq)
    yield from check.end()


def check_file(url: str) -> list[str]:
    """What SQLite finds wrong with a file, a line each; empty where it is sound. Reads all of it.

    Raises:
        StoreError: The URL names no file.
    """
    try:
        with closing(sqlite3.connect(f"file:{path_of(url)}?mode=rw", uri=True)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if found == ["ok"] else found


class _Check:
    """A study while its events are folded."""

    def __init__(self, store: Store, study: Study) -> None:
        self._store = store
        self._study = study
        self._fold = StudyFold(Study(spec=study.spec))
        self._names = tuple(metric.name for metric in study.spec.metrics)
        self._live: dict[int, Trial] = {}
        self._expected: dict[int, Expected] = {}
        self._checkpoints: dict[str, Checkpoint] = {}
        self._answered = bytearray()
        """A byte a command: whether an event answers it."""
        self._suspects: dict[int, Expected] = {}
        """Trials whose reports do not fit, to be looked at one by one."""
        self._counts = {"trials": 0, "attempts": 0, "reports": 0}
        self._epoch = 0
        self._seq = 0
        self._unread: list[str] = []

    def events(self, kinds: tuple[type, ...] = ()) -> Iterator[Event]:
        """All events that can be read; what cannot goes to ``_unread``."""
        after = 0
        while after < self._study.seq:
            try:
                page = self._store.events(self._study.id, after=after, limit=_PAGE, kinds=kinds)
            except StoreError:
                yield from self._one_by_one(after, kinds)
                after += _PAGE
                continue
            if not page:
                return
            yield from (event for event in page if event.seq <= self._study.seq)
            after = page[-1].seq

    def _one_by_one(self, after: int, kinds: tuple[type, ...]) -> Iterator[Event]:
        """The readable ones of a page with one that is not."""
        for seq in range(after + 1, min(after + _PAGE, self._study.seq) + 1):
            try:
                found = self._store.events(self._study.id, after=seq - 1, limit=1, kinds=kinds)
            except StoreError as error:
                self._unread.append(f"event {seq} cannot be read: {error}")
                continue
            yield from (event for event in found if event.seq == seq)

    def add(self, event: Event) -> Iterator[str]:
        """Fold one more event."""
        unread, self._unread = self._unread, []
        yield from unread
        self._seq += 1
        if event.seq != self._seq:
            if not unread:
                yield f"event {self._seq} is missing: {event.seq} comes next."
            self._seq = event.seq
        yield from self._add_to_study(event)
        if event.trial is None:
            yield from self._fold_event(event, None, None)
        elif isinstance(event.body, CheckpointFreed):
            yield from self._fold_event(event, None, None)  # may concern a trial that has ended
        else:
            yield from self._add_to_trial(event, event.trial)

    def _fold_event(self, event: Event, was: Trial | None, now: Trial | None) -> Iterator[str]:
        try:
            self._fold.add(event, was, now)
        except IllegalTransition as error:
            yield f"event {event.seq} ({event.kind}) cannot have happened: {error}"

    def _add_to_trial(self, event: Event, number: int) -> Iterator[str]:
        was = self._live.get(number)
        if isinstance(event.body, TrialSuggested):
            yield from self._suggested(event.body, event.seq)
            was = None
        elif was is None:
            what = "has ended" if 0 <= number < self._counts["trials"] else "was never suggested"
            yield f"event {event.seq} ({event.kind}) is about trial {number}, which {what}."
            return
        try:
            now = fold_trial(was, event, self._names)
        except IllegalTransition as error:
            yield f"event {event.seq} ({event.kind}) cannot have happened: {error}"
            return
        yield from self._fold_event(event, was, now)
        expected = self._expected.setdefault(number, Expected())
        for problem in expected.add(event):
            yield f"event {event.seq} ({event.kind}) of trial {number}: {problem}."
        self._live[number] = now
        if now.status.is_terminal:
            yield from self._compare(now)
            del self._live[number], self._expected[number]

    def _suggested(self, body: TrialSuggested, seq: int) -> Iterator[str]:
        due = self._counts["trials"]
        if body.trial != due:
            yield f"event {seq} suggests trial {body.trial}, where {due} is due."
        if body.seen_seq >= seq:
            yield f"event {seq} suggests trial {body.trial} from the events up to {body.seen_seq}, which come later."
        self._counts["trials"] = max(due, body.trial + 1)

    def _add_to_study(self, event: Event) -> Iterator[str]:
        match event.body:
            case LeaseTaken() as body:
                if body.epoch <= self._epoch:
                    yield f"event {event.seq}: a leader with epoch {body.epoch} came after one with {self._epoch}."
                self._epoch = max(self._epoch, body.epoch)
            case Checkpointed() as body:
                if body.checkpoint in self._checkpoints:
                    yield f"event {event.seq}: checkpoint {body.checkpoint} is taken a second time."
                self._checkpoints[body.checkpoint] = Checkpoint(
                    id=body.checkpoint,
                    trial=body.trial,
                    attempt=body.attempt,
                    step=body.step,
                    path=body.path,
                    num_bytes=body.num_bytes,
                    at=event.at,
                )
            case CheckpointFreed() as body:
                if self._checkpoints.pop(body.checkpoint, None) is None:
                    yield f"event {event.seq}: checkpoint {body.checkpoint} is freed, and is not there."
            case CommandApplied() | CommandRefused() as body:
                if body.command:  # what is asked for without a leader has no row
                    yield from self._answer(body, event.seq)

    # --- rows ---

    def _compare(self, folded: Trial) -> Iterator[str]:
        number, expected = folded.number, self._expected[folded.number]
        self._counts["attempts"] += len(expected.attempts)
        self._counts["reports"] += expected.num_reports
        what = f"trial {number}"
        try:
            stored = self._store.trial(self._study.id, number)
            yield from _differences(what, to_json(stored), to_json(folded))
            for problem in check_attempts_and_reports(self._store, self._study.id, number, expected):
                if problem:
                    yield f"{what}: {problem}."
                elif len(self._suspects) < _MAX_SUSPECTS:
                    self._suspects[number] = expected
                else:
                    yield f"{what}: its reports are not what its events add up to."
        except NotFound:
            yield f"{what} has events and no row."
        except StoreError as error:
            yield f"{what} cannot be read: {error}"

    def _check_suspects(self) -> Iterator[str]:
        """Read the reports' events again for those trials of which the sums did not fit."""
        if not self._suspects:
            return
        made = {number: Reports() for number in self._suspects}
        for event in self.events(kinds=(Reported,)):
            if event.trial in made:
                made[event.trial].add(event)
        for number, expected in self._suspects.items():
            self._counts["reports"] += len(made[number].made) - expected.num_reports
            for problem in expected.compare_reports(made[number], self._store.reports(self._study.id, number)):
                yield f"trial {number}: {problem}."

    def _answer(self, body: CommandApplied | CommandRefused, seq: int) -> Iterator[str]:
        number = body.command
        if number > len(self._answered):
            self._answered.extend(bytes(number - len(self._answered)))
        if self._answered[number - 1]:
            yield f"event {seq} answers command {number} a second time."
        self._answered[number - 1] = 1
        try:
            stored = self._store.command(self._study.id, number)
        except NotFound:
            yield f"event {seq} answers command {number}, which is not there."
            return
        except StoreError as error:
            yield f"command {number} cannot be read: {error}"
            return
        fate: tuple[CommandStatus, dict[str, Any], str, dict[str, Any]]
        if isinstance(body, CommandApplied):
            fate = (CommandStatus.APPLIED, to_json(body).get("result", {}), "", {})
        else:
            fate = (CommandStatus.REFUSED, {}, body.error, dict(body.refusal))
        told = (stored.status, dict(stored.result), stored.error, dict(stored.refusal))
        if told != fate or stored.kind != body.command_kind:
            yield f"command {number} ({stored.kind}) is {stored.status}, but event {seq} says {fate[0]}, or tells another answer."

    def _check_commands(self) -> Iterator[str]:
        """Every stored command was answered by an event, or waits."""
        number, waiting = 0, []
        while True:
            number += 1
            try:
                stored = self._store.command(self._study.id, number)
            except NotFound:
                break
            except StoreError as error:
                yield f"command {number} cannot be read: {error}"
                continue
            answered = number <= len(self._answered) and self._answered[number - 1]
            if stored.status is CommandStatus.PENDING:
                waiting.append(number)
            elif not answered:
                yield f"command {number} ({stored.kind}) is {stored.status}, and no event says so."
        yield from self._check_pending(waiting)

    def _check_pending(self, waiting: list[int]) -> Iterator[str]:
        found: list[Command] = self._store.pending_commands(self._study.id)
        if [command.id for command in found] != waiting[: len(found)] or (not found and waiting):
            yield f"commands {waiting[:5]} wait, but the leader would be given {[command.id for command in found][:5]}."

    def _check_checkpoints(self) -> Iterator[str]:
        rows = {row.id: row for row in self._store.checkpoints(self._study.id)}
        for name, wanted in self._checkpoints.items():
            row = rows.pop(name, None)
            if row is None:
                yield f"checkpoint {name} was taken and not freed, and has no row."
            elif row != wanted:
                yield f"the row of checkpoint {name} is not what its event says."
        for name in rows:
            yield f"checkpoint {name} has a row, and is freed or was never taken."

    def _check_trials(self) -> Iterator[str]:
        """All trials by number, counted without any fold."""
        tally = _Tally(self._study)
        due = 0
        for trial in self._store.iter_trials(self._study.id):
            if trial.number != due:
                yield f"trial {due} has no row: {trial.number} comes next."
            due = trial.number + 1
            if trial.number >= self._counts["trials"]:
                yield f"trial {trial.number} has a row and no events."
            tally.add(trial)
        yield from tally.compare()
        live = [trial.number for trial in self._store.live_trials(self._study.id)]
        if live != sorted(self._live):
            yield f"trials {_some(live)} are said to be live, but events leave {_some(sorted(self._live))}."

    def end(self) -> Iterator[str]:
        """What is left to compare when all events are folded."""
        yield from self._unread
        if self._seq != self._study.seq:
            yield f"the study's row says that {self._study.seq} events happened, but there are {self._seq}."
        for trial in self._live.values():
            yield from self._compare(trial)
        yield from self._check_suspects()
        yield from _differences("the study's row", to_json(self._study), to_json(self._fold.study()))
        for check in (self._check_trials, self._check_checkpoints, self._check_commands, self._check_columns):
            try:
                yield from check()
            except StoreError as error:
                yield f"a part of it cannot be read: {error}"

    def _check_columns(self) -> Iterator[str]:
        counts = {**self._counts, "events": self._seq, "checkpoints": len(self._checkpoints)}
        yield from check_columns(self._store, self._study.id, counts, self._epoch)
        yield from check_line(self._store, self._study.id, self._fold.study().in_line_since)


class _Tally:
    """What a study's trials add up to, counted from their rows alone."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._counts: dict[TrialStatus, int] = {}
        self._suggested = 0
        self._best: float | None = None
        self._value_of_best: float | None = None

    def add(self, trial: Trial) -> None:
        self._counts[trial.status] = self._counts.get(trial.status, 0) + 1
        self._suggested += trial.counted
        if trial.number == self._study.best_number:
            self._value_of_best = trial.value if trial.status.counts else None
        metric = self._study.metric
        if metric is None or not trial.status.counts or trial.value is None:
            return
        if not self._study.spec.is_feasible(trial.metrics):
            return
        worst = float("inf") if metric.mode == "min" else float("-inf")
        if metric.mode.better(trial.value, worst if self._best is None else self._best):
            self._best = trial.value

    def compare(self) -> Iterator[str]:
        study = self._study
        for what, stored, counted in (
            ("trials by status", {str(k): v for k, v in study.counts.items() if v}, _by_name(self._counts)),
            ("trials", study.num_trials, sum(self._counts.values())),
            ("suggested trials", study.num_suggested, self._suggested),
            ("best value", study.best_value, self._best),
            ("value of its best trial", study.best_value, self._value_of_best),
        ):
            if stored != counted:
                yield f"the study's row gives {stored} as {what}, but its trials' rows give {counted}."


def _by_name(counts: dict[TrialStatus, int]) -> dict[str, int]:
    return {str(status): number for status, number in counts.items()}


def _some(numbers: Iterable[int]) -> str:
    numbers = list(numbers)
    return ", ".join(map(str, numbers[:5])) + (" …" if len(numbers) > 5 else "") if numbers else "none"


def _differences(what: str, stored: dict[str, object], folded: dict[str, object]) -> Iterator[str]:
    for name in sorted({*stored, *folded}):
        if stored.get(name) != folded.get(name):
            yield f"{what}: {name} is {stored.get(name)!r}, but its events add up to {folded.get(name)!r}."
