"""Taking a study up: from its stored rows and events to a ``Lead`` that goes on as if never interrupted.

Searchers and schedulers get the stored events folded in; attempts that ran when the last engine died are declared lost
and their trials wait again. Knows no executor: whatever ran is gone by now (a dead engine takes its children along).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from trialist.core.events import (
    AttemptEnded,
    Body,
    BudgetChanged,
    Event,
    LeaseLapsed,
    LeaseTaken,
    Noted,
    RunConfigured,
    StudyStatusChanged,
    TrialSuggested,
)
from trialist.core.fold import fold_trial
from trialist.core.ports import Clock, Scheduler, Searcher, Store
from trialist.core.records import PERSON, Budget, Lease, OutcomeKind, Study, Trial
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.lead import Batch, Lead
from trialist.engine.outcome import Errand, end_at_rest

_log = logging.getLogger("trialist")
CLIENT = "client "
"""What ``worker`` begins with where a trial was asked for and runs outside the engine."""
_PAGE = 2000


def take_up(
    *,
    store: Store,
    lease: Lease | None,
    study: Study,
    searcher: Searcher | None,
    scheduler: Scheduler | None,
    clock: Clock,
    after_commit: Callable[[Batch], None] | None = None,
) -> Lead:
    """A lead over a stored study, with its history folded into searcher and scheduler.

    Args:
        store: The store.
        lease: The lease under which ``study`` was read; ``None`` for a single call.
        study: The row, read under the lease.
        searcher: New, without any history.
        scheduler: New, without any history.
        clock: Time.
        after_commit: See ``Lead``.
    """
    replay(store, study, searcher, scheduler, lease)
    lead = Lead(
        store=store,
        lease=lease,
        study=study,
        trials=store.live_trials(study.id),
        searcher=searcher,
        scheduler=scheduler,
        clock=clock,
        after_commit=after_commit,
    )
    if lease is None and lead.fold.led_since is not None:
        lead.emit(LeaseLapsed())  # before anything else happens, or its downtime would count as time it was led
    return lead


def replay(
    store: Store,
    study: Study,
    searcher: Searcher | None,
    scheduler: Scheduler | None,
    lease: Lease | None = None,
) -> None:
    """Fold a study's events up to ``study.seq`` into a searcher and a scheduler.

    Reads only what they read: a searcher that ignores history costs nothing, one that needs the suggestions alone skips
    the rest. A lease is renewed on the way, however long the history is.
    """
    searcher_reads = frozenset() if searcher is None else searcher.reads
    scheduler_reads = frozenset() if scheduler is None else scheduler.reads
    reads = searcher_reads | scheduler_reads
    if not reads:
        return
    for event, trial in fold_events(store, study, reads, lease):
        if searcher is not None and type(event.body) in searcher_reads:
            searcher.update(event, trial)
        if scheduler is not None and type(event.body) in scheduler_reads:
            scheduler.update(event, trial)


def fold_events(
    store: Store, study: Study, reads: frozenset[type[Body]], lease: Lease | None = None
) -> Iterator[tuple[Event, Trial | None]]:
    """Each event with its trial's row after it; rows of ended trials are dropped as they end.

    With ``reads`` of ``TrialSuggested`` alone, only these are read.
    """
    kinds: tuple[type[Body], ...] = (TrialSuggested,) if reads <= {TrialSuggested} else ()
    names = tuple(metric.name for metric in study.spec.metrics)
    rows: dict[int, Trial] = {}
    seen = 0
    while seen < study.seq:
        events = store.events(study.id, after=seen, limit=_PAGE, kinds=kinds)
        if not events:
            return
        for event in events:
            if event.seq > study.seq:
                return
            trial = None
            if event.trial is not None:
                before = rows.get(event.trial)
                if before is not None or isinstance(event.body, TrialSuggested):
                    trial = fold_trial(before, event, names)
                    if kinds or trial.status.is_terminal:
                        rows.pop(event.trial, None)
                    else:
                        rows[event.trial] = trial
            yield event, trial
        seen = events[-1].seq
        if lease is not None:
            store.renew_lease(lease)


class Settled(NamedTuple):
    """What a new leader made of the last one's trials."""

    waiting: int
    """How many wait again."""
    ended: tuple[Trial, ...]
    """Those that a person had told to end."""


def settle_lost(lead: Lead) -> Settled:
    """Declare what ran under the last engine lost: it waits again, unless a person had told it otherwise.

    Trials that a client asked for run outside any engine and stay as they are. The time between the last engine's last
    commit and now is nobody's: a study that is resumed the next day has not computed all night.
    """
    assert lead.lease is not None
    last_heard = lead.fold.last_active_at
    lead.emit(LeaseTaken(epoch=lead.lease.epoch, holder=str(lead.lease.holder)))
    waiting, ended = 0, []
    for trial in lead.live():
        if trial.worker.startswith(CLIENT) and trial.status is TrialStatus.RUNNING:
            continue
        if trial.status is not TrialStatus.RUNNING and not trial.parked:
            continue
        paused = trial.ordered == Errand.PAUSE
        # One that was promoted where it sat, and had no place yet, goes on waiting for one.
        rests = paused or trial.status is TrialStatus.PAUSED
        lead.emit(
            AttemptEnded(
                trial=trial.number,
                attempt=trial.attempt,
                outcome=OutcomeKind.LOST,
                status=TrialStatus.PAUSED if rests else TrialStatus.WAITING,
                by=PERSON if paused else trial.paused_by,
                message=trial.reason if paused else "the engine that ran it ended",
                until=last_heard,
            )
        )
        if trial.ordered and not paused:
            status = TrialStatus.CANCELLED if trial.ordered == Errand.CANCEL else TrialStatus.STOPPED
            lead.emit(end_at_rest(lead.trials[trial.number], status, by=PERSON, reason=trial.reason))
            ended.append(lead.trials[trial.number])
        else:
            waiting += trial.status is TrialStatus.RUNNING and not rests
    return Settled(waiting, tuple(ended))


def begin_leading(lead: Lead, configured: RunConfigured | None, budget: Budget | None) -> Sequence[Trial]:
    """Record that a process begins to lead: what it found lost, and what it says of the run where that is new.

    Returns the trials that ended by that: a person had told them to, and their engine died before they did.

    Args:
        lead: Taken up under a lease.
        configured: What this run says of objective, executor and resources.
        budget: What it says of the budget.
    """
    lost, ended = settle_lost(lead)
    fold = lead.fold
    if configured is not None and configured != RunConfigured(
        objective=fold.spec.objective, executor=fold.spec.executor, resources=fold.spec.resources
    ):
        lead.emit(configured)
    if budget is not None and budget != fold.spec.budget:
        lead.emit(BudgetChanged(budget=budget))
    if fold.status is not StudyStatus.RUNNING:
        lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.RUNNING, reason=""))
    if lost:
        message = f"took the study up again: {lost} running trial{'s' * (lost != 1)} start over"
        lead.emit(Noted(message=message))
        _log.info(message)
    return ended
