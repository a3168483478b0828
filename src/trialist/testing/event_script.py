"""Legal events for tests: says what happens to a study, folds it, and hands out commits.

For tests of stores and of everything that reads a study's history; no engine, no clock, no store of its own.

    >>> script = EventScript(study_spec())
    >>> number = script.suggest({"lr": 0.1})
    >>> script.start(number)
    >>> script.report(number, 1, loss=0.5)
    >>> script.end(number, loss=0.4)
    >>> commit = script.commit()
    >>> [event.kind for event in commit.events]
    ['trial_suggested', 'attempt_started', 'reported', 'trial_ended']
    >>> commit.new_trials[0].value, commit.study.best_number
    (0.4, 0)
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Body,
    Checkpointed,
    CheckpointFreed,
    Event,
    Reported,
    StudyStatusChanged,
    TrialEnded,
    TrialPaused,
    TrialResumed,
    TrialSuggested,
)
from trialist.core.fold import StudyFold, fold_trial
from trialist.core.ports import Commit, Store
from trialist.core.records import (
    Failure,
    FailureReason,
    Metric,
    Mode,
    OutcomeKind,
    Spec,
    Study,
    StudySpec,
    Trial,
    trial_seed,
)
from trialist.core.states import StudyStatus, TrialStatus

_OUTCOMES = {
    TrialStatus.COMPLETED: OutcomeKind.RETURNED,
    TrialStatus.STOPPED: OutcomeKind.STOPPED,
    TrialStatus.FAILED: OutcomeKind.RAISED,
    TrialStatus.CANCELLED: OutcomeKind.KILLED,
}


def study_spec(name: str = "study", *, mode: Mode = Mode.MIN, **changes: Any) -> StudySpec:
    """A spec with the metric ``loss``; equal names have equal ids. ``changes`` replace any field."""
    spec = StudySpec(
        id=uuid.uuid5(uuid.NAMESPACE_URL, name).hex,
        name=name,
        space={"x": {"type": "uniform", "low": 0.0, "high": 1.0}},
        metrics=(Metric(name="loss", mode=mode),),
        searcher=Spec(name="random"),
        executor=Spec(name="inline"),
        created_at=1000.0,
        version="0.0.0",
    )
    return replace(spec, **changes)


class EventScript:
    """A study that is being told.

    Args:
        study: A spec (then the study is as ``create_study`` leaves it), or a row to go on from.
        trials: Rows to go on from.
        tick_s: How far apart events are; the first is at second 1000 of the epoch.
    """

    def __init__(self, study: StudySpec | Study, trials: Iterable[Trial] = (), *, tick_s: float = 1.0) -> None:
        row = study if isinstance(study, Study) else Study(spec=study, seq=1)
        self.trials: dict[int, Trial] = {trial.number: trial for trial in trials}
        self._fold = StudyFold(row)
        self._names = tuple(metric.name for metric in row.spec.metrics)
        self._tick_s = tick_s
        self._events: list[Event] = []
        self._new: dict[int, None] = {}
        self._changed: dict[int, None] = {}

    @classmethod
    def of(cls, store: Store, study_id: str) -> EventScript:
        """Goes on from what a store has."""
        study = store.find_study(study_id)
        assert study is not None, study_id
        return cls(study, store.iter_trials(study_id))

    @property
    def study(self) -> Study:
        """The study's row as it is now."""
        return self._fold.study()

    def emit(self, body: Body) -> Event:
        """Let any event happen."""
        seq = self._fold.seq + 1
        event = Event(seq, 1000.0 + self._tick_s * seq, body)
        was, now = None, None
        if event.trial is not None:
            was = self.trials.get(event.trial)
            now = self.trials[event.trial] = fold_trial(was, event, self._names)
            if was is None:
                self._new[event.trial] = None
            elif now is not was and event.trial not in self._new:
                self._changed[event.trial] = None
        self._fold.add(event, was, now)
        self._events.append(event)
        return event

    def commit(self) -> Commit:
        """All that happened since the last commit."""
        commit = Commit(
            study=self.study,
            events=tuple(self._events),
            new_trials=tuple(self.trials[number] for number in self._new),
            changed_trials=tuple(self.trials[number] for number in self._changed),
        )
        self._events, self._new, self._changed = [], {}, {}
        return commit

    # what may happen

    def status(self, status: StudyStatus, reason: str = "") -> None:
        """The study's status changes."""
        self.emit(StudyStatusChanged(was=self._fold.status, status=status, reason=reason))

    def suggest(self, params: Mapping[str, Any] | None = None, **fields: Any) -> int:
        """A new trial; its number."""
        number = self._fold.num_trials
        chosen = {"x": number / 8} if params is None else params
        known = {"seed": trial_seed(self._fold.spec.seed, number), "source": "random", "seen_seq": self._fold.seq}
        self.emit(TrialSuggested(trial=number, params=chosen, **{**known, **fields}))
        return number

    def start(self, number: int, **fields: Any) -> None:
        """The trial's next attempt begins."""
        self.emit(AttemptStarted(trial=number, attempt=self.trials[number].attempt + 1, **fields))

    def go_on(self, number: int, to_step: int | None = None) -> None:
        """The trial goes on from a boundary in its worker."""
        trial = self.trials[number]
        self.emit(AttemptContinued(trial=number, attempt=trial.attempt, from_step=trial.step or 0, to_step=to_step))

    def report(self, number: int, step: int, **metrics: float) -> None:
        """The trial reports."""
        self.emit(Reported(trial=number, attempt=self.trials[number].attempt, step=step, metrics=metrics))

    def checkpoint(self, number: int, checkpoint: str, step: int = 1) -> None:
        """The trial leaves a checkpoint."""
        attempt = self.trials[number].attempt
        path = f"/runs/{number}/{checkpoint}"
        self.emit(
            Checkpointed(trial=number, attempt=attempt, step=step, checkpoint=checkpoint, path=path, num_bytes=10)
        )

    def free(self, number: int, checkpoint: str) -> None:
        """A checkpoint is given up."""
        self.emit(CheckpointFreed(trial=number, checkpoint=checkpoint))

    def pause(self, number: int, *, parked: bool = False, by: str = "person") -> None:
        """The trial waits for a decision."""
        trial = self.trials[number]
        self.emit(TrialPaused(trial=number, attempt=trial.attempt, step=trial.step, parked=parked, by=by))

    def resume(self, number: int, to_step: int | None = None) -> None:
        """The paused trial may run again."""
        self.emit(TrialResumed(trial=number, to_step=to_step, by="person"))

    def lose(self, number: int, message: str = "its worker died") -> None:
        """The trial's attempt is lost; it waits for the next."""
        self.emit(
            AttemptEnded(
                trial=number,
                attempt=self.trials[number].attempt,
                outcome=OutcomeKind.LOST,
                status=TrialStatus.WAITING,
                message=message,
            )
        )

    def end(self, number: int, status: TrialStatus = TrialStatus.COMPLETED, /, **metrics: float) -> None:
        """The trial ends; ``metrics`` come on top of what it reported."""
        trial = self.trials[number]
        known = {**trial.metrics, **metrics}
        failed = status is TrialStatus.FAILED
        self.emit(
            TrialEnded(
                trial=number,
                attempt=trial.attempt,
                status=status,
                step=trial.step,
                metrics=known,
                value=known.get(self._names[0]) if self._names and status.counts else None,
                error=Failure(reason=FailureReason.EXCEPTION, message="ValueError: no") if failed else None,
                outcome=_OUTCOMES[status] if trial.status is TrialStatus.RUNNING else None,
            )
        )

    def run(self, params: Mapping[str, Any] | None = None, **metrics: float) -> int:
        """A trial from its suggestion to its completion; its number."""
        number = self.suggest(params)
        self.start(number)
        self.end(number, **metrics)
        return number
