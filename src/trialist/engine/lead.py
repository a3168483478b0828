"""Leading a study: the one place where events come into being, are folded, and are committed.

A ``Lead`` owns the study's row, the rows of its live trials, and the events that are not yet committed. The loop, control
commands, recovery and single calls (``ask``, ``tell``) all speak through ``emit``. Knows nothing of executors.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from trialist.core import faults
from trialist.core.errors import InternalError
from trialist.core.events import Body, CheckpointFreed, Event, TrialSuggested
from trialist.core.fold import StudyFold, fold_trial
from trialist.core.ports import Clock, Commit, Scheduler, Searcher, Store
from trialist.core.records import Lease, Study, Suggestion, Trial, trial_seed
from trialist.core.states import TrialStatus


class Batch(NamedTuple):
    """What one commit made durable."""

    events: Sequence[Event]
    trials: Mapping[int, Trial]
    """The row of each trial that the events concern, after the commit."""


class Lead:
    """A study in the hands of whoever leads it.

    ``lock`` protects everything here between the engine's thread and the thread that commits what an inline trial leaves
    waiting; whoever emits several events that belong together holds it around them.

    Args:
        store: Where commits go.
        lease: The lease to write under; ``None`` for a single call where nobody leads.
        study: The stored row, read under the lease.
        trials: The rows of all live trials, read under the lease.
        searcher: Folds what it reads at each event; ``None`` where nothing is suggested.
        scheduler: The same.
        clock: Gives events their time.
        after_commit: Told of every commit, in order, never two at once.
    """

    def __init__(
        self,
        *,
        store: Store,
        lease: Lease | None,
        study: Study,
        trials: Sequence[Trial],
        searcher: Searcher | None,
        scheduler: Scheduler | None,
        clock: Clock,
        after_commit: Callable[[Batch], None] | None = None,
    ) -> None:
        self.store = store
        self.lease = lease
        self.fold = StudyFold(study)
        self.trials: dict[int, Trial] = {trial.number: trial for trial in trials}
        self.searcher = searcher
        self.scheduler = scheduler
        self.clock = clock
        self.lock = threading.RLock()
        self._after_commit = after_commit
        self._metric_names = tuple(metric.name for metric in study.spec.metrics)
        self._searcher_reads = frozenset() if searcher is None else searcher.reads
        self._scheduler_reads = frozenset() if scheduler is None else scheduler.reads
        self._events: list[Event] = []
        self._new: set[int] = set()
        self._changed: set[int] = set()
        self._waiting = sorted(t.number for t in trials if t.status is TrialStatus.WAITING)
        self.last_commit = clock.monotonic()
        self._last_at, self._last_passed = 0.0, self.last_commit
        self._ahead_s = 0.0

    @property
    def pending(self) -> int:
        """Events that are emitted and not committed."""
        return len(self._events)

    def live(self) -> list[Trial]:
        """The rows of all trials that have not ended, by number."""
        with self.lock:
            rows = [trial for trial in self.trials.values() if not trial.status.is_terminal]
        return sorted(rows, key=lambda trial: trial.number)

    def now(self) -> float:
        """The time of an event that happens now: never before the last one's.

        A clock that is set back while a study is led moves on from there: what trials take, and what is left of the time
        budget, stays right, and the times of day are those of before until somebody else leads.
        """
        now, passed = self.clock.now() + self._ahead_s, self.clock.monotonic()
        if now < self._last_at:
            due = self._last_at + passed - self._last_passed
            self._ahead_s += due - now
            now = due
        self._last_at, self._last_passed = now, passed
        return now

    def emit(self, body: Body) -> Event:
        """Make an event happen: number it, fold it into every state that depends on it, and keep it for the commit."""
        with self.lock:
            fold = self.fold
            event = Event(fold.seq + 1, self.now(), body)
            number = event.trial
            was = now = None
            if number is not None and not isinstance(body, CheckpointFreed):  # may concern a trial that has ended
                was = self.trials.get(number)
                if was is None and not isinstance(body, TrialSuggested):
                    raise InternalError(f"{event.kind} for trial {number}, which is not live")
                now = fold_trial(was, event, self._metric_names)
                self.trials[number] = now
                if now.status is TrialStatus.WAITING and (was is None or was.status is not TrialStatus.WAITING):
                    heapq.heappush(self._waiting, number)
                if was is None:
                    self._new.add(number)
                elif number not in self._new and now is not was:
                    self._changed.add(number)
            fold.add(event, was, now)
            self._events.append(event)
            kind = type(body)
            if kind in self._searcher_reads and self.searcher is not None:
                self.searcher.update(event, now)
            if kind in self._scheduler_reads and self.scheduler is not None:
                self.scheduler.update(event, now)
            return event

    def suggested(
        self,
        suggestion: Suggestion,
        *,
        source: str,
        counted: bool = True,
        repeat: int = 0,
        seen_seq: int | None = None,
    ) -> int:
        """Make a trial of a suggestion; returns its number."""
        with self.lock:
            number = self.fold.num_trials
            self.emit(
                TrialSuggested(
                    trial=number,
                    params=suggestion.params,
                    seed=trial_seed(self.fold.spec.seed, number, repeat),
                    source=source,
                    counted=counted,
                    seen_seq=self.fold.seq if seen_seq is None else seen_seq,
                    parent=suggestion.parent,
                    repeat_of=suggestion.repeat_of,
                    warm_start_from=suggestion.warm_start_from,
                    note=suggestion.note,
                )
            )
            return number

    def retry(self, trial: Trial, tries: int, source: str = "retry") -> int:
        """Suggest an ended trial's params again; returns the new trial's number."""
        again = Suggestion(
            params=trial.params,
            parent=trial.number,
            repeat_of=trial.repeat_of,
            warm_start_from=trial.warm_start_from,
            note={**trial.note, "retry": tries},
        )
        return self.suggested(again, source=source, counted=False)

    def next_waiting(self) -> Trial | None:
        """The waiting trial with the lowest number; ``None`` where none waits."""
        with self.lock:
            while self._waiting:
                trial = self.trials.get(self._waiting[0])
                if trial is not None and trial.status is TrialStatus.WAITING:
                    return trial
                heapq.heappop(self._waiting)
            return None

    def commit(self) -> None:
        """Make everything emitted so far durable; nothing to do is no commit.

        Raises:
            StoreError, LeaseLost, StudyLed, Conflict: Nothing was written, and everything is kept for another try.
        """
        with self.lock:
            if not self._events:
                return
            events = self._events
            commit = Commit(
                study=self.fold.study(),
                events=events,
                new_trials=[self.trials[number] for number in sorted(self._new)],
                changed_trials=[self.trials[number] for number in sorted(self._changed)],
            )
            faults.point("engine.commit.before")
            self.store.commit(self.lease, commit)
            faults.point("engine.commit.after")
            numbers = {event.trial for event in events}
            touched = {n: self.trials[n] for n in numbers if n is not None and n in self.trials}
            for number, trial in touched.items():
                if trial.status.is_terminal:
                    del self.trials[number]
            self._events, self._new, self._changed = [], set(), set()
            self.last_commit = self.clock.monotonic()
            if self._after_commit is not None:
                self._after_commit(Batch(events, touched))

    def deafen(self) -> None:
        """Searcher and scheduler hear of nothing more: one of them may be what raised."""
        with self.lock:
            self._searcher_reads = self._scheduler_reads = frozenset()

    def forget(self) -> None:
        """Drop what was not committed; the lead is of no further use."""
        with self.lock:
            self._events, self._new, self._changed = [], set(), set()
