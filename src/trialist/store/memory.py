"""The store in this process's memory: the executable specification of the port, and the fastest store there is.

Asked to verify, it folds every commit again (``core.fold``) and compares that with the rows it brought, so whatever is
tested on this store has its arithmetic checked as well; a user's own trusts the engine's rows, which is twice as fast.
Nothing outlives the object; nothing here knows SQL or files.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import RLock
from typing import Any

from trialist.core.errors import Conflict, InternalError, LeaseLost, NotFound, StudyExists, StudyLed
from trialist.core.events import (
    AttemptEnded,
    AttemptStarted,
    Body,
    Checkpointed,
    CheckpointFreed,
    CommandApplied,
    CommandRefused,
    Event,
    Reported,
    StudyCreated,
    TrialEnded,
)
from trialist.core.ports import BY_NUMBER, FORGET_WORKERS_S, Commit, StudyPage, TrialOrder, TrialPage
from trialist.core.records import (
    Attempt,
    Checkpoint,
    Command,
    CommandStatus,
    Holder,
    Lease,
    Report,
    Study,
    StudySpec,
    Trial,
    Worker,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.store.claims import by_start, claim
from trialist.store.holders import LeaseState
from trialist.store.paging import (
    Ranking,
    ValueCursor,
    best_first,
    check_order,
    number_cursor,
    read_number_cursor,
    read_value_cursor,
    sign_of,
    value_cursor,
)
from trialist.store.refold import check_commit, check_fit

VERIFY = "TRIALIST_VERIFY"
"""Set to anything in the environment: every store in memory verifies that is not told otherwise. So tests do."""


@dataclass(slots=True)
class _Kept:
    """Everything of one study."""

    study: Study
    order: int
    """Counts studies as they were created."""
    lease: LeaseState = field(default_factory=LeaseState)
    trials: list[Trial] = field(default_factory=list)
    live: set[int] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    attempts: dict[int, dict[int, Attempt]] = field(default_factory=lambda: defaultdict(dict))
    reports: dict[int, dict[tuple[int, int], Report]] = field(default_factory=lambda: defaultdict(dict))
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    pending: dict[int, None] = field(default_factory=dict)
    """Ids of commands without an answer, oldest first."""


class MemoryStore:
    """The ``Store`` port over plain dicts.

    Records are kept as they are given and given as they are kept: who changes a dict inside one changes the store.

    Args:
        url: What it calls itself in messages.
        verify: Fold every commit again, and refuse one whose rows are not what its events add up to. ``None``: where
            ``TRIALIST_VERIFY`` is set.
    """

    def __init__(self, url: str = "memory", *, verify: bool | None = None) -> None:
        self.url = url
        self._check = check_commit if (bool(os.environ.get(VERIFY)) if verify is None else verify) else check_fit
        self._studies: dict[str, _Kept] = {}
        self._workers: dict[str, Worker] = {}
        self._created = 0
        self._lock = RLock()
        """Protects all of the above from other threads: the lease's renewer, the service, a user's own."""

    # studies

    def create_study(self, spec: StudySpec) -> Study:
        with self._lock:
            if any(kept.study.name == spec.name for kept in self._studies.values()):
                raise StudyExists(spec.name, self.url)
            if spec.id in self._studies:
                raise InternalError(f"study id {spec.id} was given twice.")
            self._created += 1
            kept = _Kept(study=Study(spec=spec, seq=1), order=self._created)
            kept.events.append(Event(1, spec.created_at, StudyCreated(spec=spec)))
            self._studies[spec.id] = kept
            return kept.study

    def find_study(self, name_or_id: str) -> Study | None:
        with self._lock:
            for kept in self._studies.values():
                if kept.study.name == name_or_id:
                    return kept.study
            found = self._studies.get(name_or_id)
            return None if found is None else found.study

    def list_studies(
        self, *, status: StudyStatus | None = None, search: str = "", limit: int = 100, cursor: str | None = None
    ) -> StudyPage:
        before = read_number_cursor(cursor)
        wanted = search.casefold()
        with self._lock:
            found = [
                kept
                for kept in reversed(self._studies.values())
                if (before is None or kept.order < before)
                and (status is None or kept.study.status is status)
                and wanted in kept.study.name.casefold()
            ]
            more = len(found) > limit
            page = found[:limit]
            return StudyPage([kept.study for kept in page], number_cursor(page[-1].order) if more and page else None)

    def delete_study(self, study_id: str) -> None:
        with self._lock:
            kept = self._kept(study_id)
            self._refuse_led(kept)
            del self._studies[study_id]

    # leading

    def take_lease(self, study_id: str, holder: Holder, ttl_s: float) -> Lease:
        with self._lock:
            kept = self._kept(study_id)
            self._refuse_led(kept)
            kept.lease = kept.lease.taken(holder, ttl_s)
            return Lease(study_id=study_id, epoch=kept.lease.epoch, holder=holder, ttl_s=ttl_s)

    def renew_lease(self, lease: Lease) -> None:
        with self._lock:
            kept = self._led(lease, lease.study_id)
            kept.lease = kept.lease.renewed(lease.ttl_s)

    def release_lease(self, lease: Lease) -> None:
        with self._lock:
            kept = self._studies.get(lease.study_id)
            if kept is not None and kept.lease.epoch == lease.epoch:
                kept.lease = LeaseState(epoch=lease.epoch)

    def leader(self, study_id: str) -> Holder | None:
        with self._lock:
            return self._kept(study_id).lease.leader()

    def claimable(self, *, limit: int = 100, cursor: str | None = None) -> StudyPage:
        last = read_value_cursor(cursor)
        with self._lock:
            line = sorted(
                (kept.study.in_line_since, kept.order, kept)
                for kept in self._studies.values()
                if kept.study.in_line_since is not None
            )
            line = [place for place in line if last is None or place[:2] > (last.rank, last.number)]
            page = line[:limit]
            more = value_cursor(ValueCursor(*page[-1][:2])) if len(line) > limit and page else None
            return StudyPage([kept.study for *_, kept in page if kept.lease.leader() is None], more)

    def claim_study(
        self, holder: Holder, ttl_s: float, *, accepts: Callable[[Study], bool] | None = None
    ) -> Lease | None:
        return claim(self, lambda study: self._claim(study, holder, ttl_s), accepts)

    def _claim(self, study: Study, holder: Holder, ttl_s: float) -> Lease | None:
        with self._lock:
            kept = self._studies.get(study.id)
            if kept is None or kept.study.in_line_since is None or kept.lease.leader() is not None:
                return None
            return self.take_lease(study.id, holder, ttl_s)

    def commit(self, lease: Lease | None, commit: Commit) -> None:
        with self._lock:
            if lease is not None:
                kept = self._led(lease, commit.study.name)
            else:
                kept = self._kept(commit.study.id)
                self._refuse_led(kept)
                if commit.study.seq - len(commit.events) != kept.study.seq:
                    raise Conflict(f"study '{commit.study.name}' was changed meanwhile: read it again, and try again.")
            self._check(kept.study, kept.trials, commit)
            if lease is None:
                kept.lease = LeaseState(epoch=kept.lease.epoch)  # whoever let it run out is fenced from here on
            _apply(kept, commit)

    # workers

    def beat_worker(self, worker: Worker) -> None:
        with self._lock:
            self._workers[worker.id] = worker
            long_ago = worker.seen_at - FORGET_WORKERS_S
            self._workers = {name: one for name, one in self._workers.items() if one.seen_at >= long_ago}

    def workers(self, *, seen_after: float = 0.0) -> list[Worker]:
        with self._lock:
            return by_start(worker for worker in self._workers.values() if worker.seen_at > seen_after)

    def remove_worker(self, worker_id: str) -> None:
        with self._lock:
            self._workers.pop(worker_id, None)

    # commands

    def send_command(self, study_id: str, command: Command) -> Command:
        with self._lock:
            kept = self._kept(study_id)
            known = kept.keys.get(command.key)
            if known is not None:
                return kept.commands[known - 1]
            number = len(kept.commands) + 1
            stored = replace(
                command,
                id=number,
                status=CommandStatus.PENDING,
                result={},
                error="",
                created_at=command.created_at or time.time(),
            )
            kept.commands.append(stored)
            kept.keys[command.key] = number
            kept.pending[number] = None
            return stored

    def pending_commands(self, study_id: str) -> list[Command]:
        with self._lock:
            kept = self._kept(study_id)
            return [kept.commands[number - 1] for number in islice(kept.pending, 1000)]

    def command(self, study_id: str, command_id: int) -> Command:
        with self._lock:
            commands = self._kept(study_id).commands
            if not 1 <= command_id <= len(commands):
                raise NotFound("command", command_id, self.url)
            return commands[command_id - 1]

    # reading

    def trial(self, study_id: str, number: int) -> Trial:
        with self._lock:
            trials = self._kept(study_id).trials
            if not 0 <= number < len(trials):
                raise NotFound("trial", number, self.url)
            return trials[number]

    def trials(
        self,
        study_id: str,
        *,
        status: Sequence[TrialStatus] = (),
        order: TrialOrder = BY_NUMBER,
        limit: int = 100,
        cursor: str | None = None,
    ) -> TrialPage:
        check_order(order)
        with self._lock:
            kept = self._kept(study_id)
            if order.by == "value":
                return _page_by_value(kept, frozenset(status), order, limit, read_value_cursor(cursor))
            last = read_number_cursor(cursor)
            if order.descending:
                numbers = range((len(kept.trials) if last is None else min(last, len(kept.trials))) - 1, -1, -1)
            else:
                numbers = range(0 if last is None else last + 1, len(kept.trials))
            rows = (kept.trials[number] for number in numbers)
            page = list(islice((trial for trial in rows if not status or trial.status in status), limit + 1))
            return TrialPage(page[:limit], number_cursor(page[limit - 1].number) if len(page) > limit else None)

    def iter_trials(self, study_id: str, *, status: Sequence[TrialStatus] = ()) -> Iterator[Trial]:
        cursor = None
        while True:
            page = self.trials(study_id, status=status, limit=1000, cursor=cursor)
            yield from page.trials
            cursor = page.cursor
            if cursor is None:
                return

    def live_trials(self, study_id: str) -> list[Trial]:
        with self._lock:
            kept = self._kept(study_id)
            return [kept.trials[number] for number in sorted(kept.live)]

    def events(
        self, study_id: str, *, after: int = 0, limit: int = 1000, kinds: Sequence[type[Body]] = ()
    ) -> list[Event]:
        with self._lock:
            events = self._kept(study_id).events
            if not kinds:
                return events[max(after, 0) : max(after, 0) + limit]
            rows = islice(events, max(after, 0), None)
            return list(islice((event for event in rows if type(event.body) in kinds), limit))

    def reports(self, study_id: str, trial: int) -> list[Report]:
        with self._lock:
            kept = self._kept(study_id)
            attempts = kept.attempts.get(trial, {}).values()
            reports = kept.reports.get(trial, {})
            return [replace(reports[key], superseded=_superseded(reports[key], attempts)) for key in sorted(reports)]

    def attempts(self, study_id: str, trial: int) -> list[Attempt]:
        with self._lock:
            attempts = self._kept(study_id).attempts.get(trial, {})
            return [attempts[number] for number in sorted(attempts)]

    def checkpoints(self, study_id: str, trial: int | None = None) -> list[Checkpoint]:
        with self._lock:
            rows = self._kept(study_id).checkpoints.values()
            return [row for row in rows if trial is None or row.trial == trial]

    def checkpoint(self, study_id: str, checkpoint_id: str) -> Checkpoint:
        with self._lock:
            found = self._kept(study_id).checkpoints.get(checkpoint_id)
            if found is None:
                raise NotFound("checkpoint", checkpoint_id, self.url)
            return found

    def close(self) -> None:
        """Nothing to release."""

    def _kept(self, study_id: str) -> _Kept:
        kept = self._studies.get(study_id)
        if kept is None:
            raise NotFound("study", study_id, self.url)
        return kept

    def _led(self, lease: Lease, name: str) -> _Kept:
        """The study, if this lease is still its own; a deleted study is nobody's."""
        kept = self._studies.get(lease.study_id)
        if kept is None or kept.lease.epoch != lease.epoch or kept.lease.holder is None:
            raise LeaseLost(kept.study.name if kept is not None else name, lease.epoch)
        return kept

    @staticmethod
    def _refuse_led(kept: _Kept) -> None:
        leader = kept.lease.leader()
        if leader is not None:
            raise StudyLed(kept.study.name, str(leader))


def _page_by_value(
    kept: _Kept, status: frozenset[TrialStatus], order: TrialOrder, limit: int, last: ValueCursor | None
) -> TrialPage:
    sign, rank = sign_of(kept.study.spec), Ranking(kept.study.spec)
    wanted = [trial for trial in kept.trials if not status or trial.status in status]
    found = [(rank(trial.value, trial.metrics), trial.number) for trial in wanted]
    ranked = sorted((value, number) for value, number in found if value is not None)
    unranked = [number for value, number in found if value is None]
    forwards = best_first(order, sign)
    if not forwards:
        ranked.reverse()
    if last is not None and last.rank is None:
        ranked, unranked = [], [number for number in unranked if number > last.number]
    elif last is not None:
        at = (last.rank, last.number)
        ranked = [key for key in ranked if (key > at if forwards else key < at)]
    keys = [ValueCursor(value, number) for value, number in ranked] + [ValueCursor(None, number) for number in unranked]
    page = [kept.trials[key.number] for key in keys[:limit]]
    return TrialPage(page, value_cursor(keys[limit - 1]) if len(keys) > limit else None)


def _superseded(report: Report, attempts: Any) -> bool:
    """Whether a later attempt began below this report; one that began at 0 began from nothing."""
    return any(
        later.attempt > report.attempt and (later.from_step < report.step or later.from_step == 0) for later in attempts
    )


def _apply(kept: _Kept, commit: Commit) -> None:
    """Write a commit that was checked; nothing in here can fail halfway."""
    kept.study = commit.study
    kept.events.extend(commit.events)
    kept.trials.extend(commit.new_trials)
    for trial in commit.changed_trials:
        kept.trials[trial.number] = trial
    for trial in (*commit.new_trials, *commit.changed_trials):
        (kept.live.discard if trial.status.is_terminal else kept.live.add)(trial.number)
    for event in commit.events:
        _derive(kept, event)


def _derive(kept: _Kept, event: Event) -> None:
    """The rows of attempts, reports, checkpoints and commands that follow from an event."""
    match event.body:
        case Reported() as body:
            reports, key = kept.reports[body.trial], (body.attempt, body.step)
            known = reports[key].metrics if key in reports else {}
            reports[key] = Report(
                trial=body.trial,
                attempt=body.attempt,
                step=body.step,
                metrics={**known, **body.metrics},
                at=event.at,
            )
        case AttemptStarted() as body:
            kept.attempts[body.trial][body.attempt] = Attempt(
                trial=body.trial,
                attempt=body.attempt,
                from_step=body.from_step,
                started_at=event.at,
                worker=body.worker,
                devices=body.devices,
            )
        case AttemptEnded() as body:
            _end_attempt(kept, event.at, body, body.message)
        case TrialEnded() as body:
            _end_attempt(kept, event.at, body, body.error.message if body.error is not None else body.reason)
        case Checkpointed() as body:
            kept.checkpoints[body.checkpoint] = Checkpoint(
                id=body.checkpoint,
                trial=body.trial,
                attempt=body.attempt,
                step=body.step,
                path=body.path,
                num_bytes=body.num_bytes,
                at=event.at,
            )
        case CheckpointFreed() as body:
            kept.checkpoints.pop(body.checkpoint, None)
        case CommandApplied() as body:
            _answer(kept, body.command, CommandStatus.APPLIED, result=body.result)
        case CommandRefused() as body:
            _answer(kept, body.command, CommandStatus.REFUSED, error=body.error, refusal=body.refusal)


def _end_attempt(kept: _Kept, at: float, body: AttemptEnded | TrialEnded, message: str) -> None:
    """An attempt ends once: a trial that ends between attempts leaves the last one as it was."""
    attempt = kept.attempts[body.trial].get(body.attempt)
    if attempt is not None and attempt.ended_at is None:
        kept.attempts[body.trial][body.attempt] = Attempt(
            trial=attempt.trial,
            attempt=attempt.attempt,
            from_step=attempt.from_step,
            started_at=attempt.started_at,
            ended_at=at,
            outcome=None if body.outcome is None else body.outcome.value,
            message=message,
            worker=attempt.worker,
            devices=attempt.devices,
        )


def _answer(kept: _Kept, command_id: int, status: CommandStatus, **fate: Any) -> None:
    """A command is answered once; one that never went through the store has no row."""
    if command_id in kept.pending:
        del kept.pending[command_id]
        kept.commands[command_id - 1] = replace(kept.commands[command_id - 1], status=status, **fate)
