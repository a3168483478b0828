"""Trials that run outside any engine: a client asks for params, trains by itself, and tells what came of it.

Used by the leader for commands of other processes, and without a leader for a single call. Knows no transport.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trialist.core.errors import Conflict, InternalError, ObjectiveError
from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Decided,
    Reported,
    StudyStatusChanged,
    TrialEnded,
)
from trialist.core.ports import ExitedSignal, Scheduler, Searcher
from trialist.core.records import (
    AttemptKey,
    Command,
    CommandKind,
    Continue,
    Exhausted,
    Failure,
    FailureReason,
    Fork,
    NeedsReply,
    OutcomeKind,
    Pause,
    Stop,
    Trial,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.core.wire import NON_FINITE
from trialist.engine.context import check_not_found, check_open
from trialist.engine.guards import trials_left
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving, end_of_attempt
from trialist.engine.recover import CLIENT
from trialist.engine.runs import retry_failed
from trialist.runtime.context import check_step, numbers


class Clients:
    """``ask``, ``tell`` and ``report`` over a lead.

    Args:
        lead: The study.
        searcher: Suggests; has the study's history folded in.
        scheduler: Decides at reports.
    """

    def __init__(self, lead: Lead, searcher: Searcher, scheduler: Scheduler) -> None:
        self._lead = lead
        self._searcher = searcher
        self._scheduler = scheduler

    def handlers(self) -> Mapping[CommandKind, Callable[[Command], dict[str, Any]]]:
        """By kind of command, for ``control``."""
        return {
            CommandKind.ASK: lambda command: self.ask(
                command.sender,
                again=bool(command.args.get("again")),
                bounded=bool(command.args.get("bounded")),
            ),
            CommandKind.TELL: lambda command: self.tell(
                check_not_found(command.args.get("trial")),
                _metrics(command),
                command.args.get("error"),
            ),
            CommandKind.REPORT: lambda command: self.report(
                check_not_found(command.args.get("trial")),
                check_step(command.args.get("step")),
                _metrics(command),
            ),
        }

    def ask(self, client: str, *, again: bool = False, bounded: bool = False) -> dict[str, Any]:
        """A trial for a client to run: a waiting one, else a new suggestion.

        Args:
            client: Who asks.
            again: Whether an unfinished trial of the same client is given back first.
            bounded: Whether ``budget.num_trials`` holds for it too; a person who asks for one more gets one more.

        Raises:
            Conflict: There is nothing to try: the budget or the space is used up, or the study is not open.
        """
        lead, fold = self._lead, self._lead.fold
        if fold.status in (StudyStatus.PAUSED, StudyStatus.CANCELLED):
            raise Conflict(f"study '{fold.spec.name}' is {fold.status}: resume it before asking for trials")
        worker = CLIENT + client
        if again:
            for trial in lead.live():
                if trial.status is TrialStatus.RUNNING and trial.worker == worker:
                    return _handed(trial)
        check_open(fold)
        waiting = lead.next_waiting()
        if waiting is not None and waiting.parked:  # it goes on where it sits, in a worker of the leader's
            waiting = None
        trial = waiting or self._suggest(bounded)
        if fold.status is not StudyStatus.RUNNING:
            lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.RUNNING))
        to_step = trial.to_step if trial.to_step is not None else self._scheduler.boundary(trial, 0)
        lead.emit(AttemptStarted(trial=trial.number, attempt=trial.attempt + 1, to_step=to_step, worker=worker))
        return _handed(lead.trials[trial.number])

    def _suggest(self, bounded: bool) -> Trial:
        lead, fold = self._lead, self._lead.fold
        if bounded and not trials_left(fold):
            raise Conflict(f"study '{fold.spec.name}' has used its budget of {fold.spec.budget.num_trials} trials")
        answer = self._searcher.suggest(fold.num_trials)
        if isinstance(answer, Exhausted):
            raise Conflict(f"study '{fold.spec.name}' has nothing left to try: {answer.reason}")
        if isinstance(answer, NeedsReply):
            raise Conflict(f"searcher '{self._searcher.name}' needs replies from outside: use study.run")
        return lead.trials[lead.suggested(answer, source=self._searcher.name)]

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Take a report of a client's trial; the result's ``decision`` is ``continue``, ``pause`` or ``stop``."""
        trial = self._out(number)
        lead = self._lead
        lead.emit(Reported(trial=number, attempt=trial.attempt, step=step, metrics=metrics))
        trial = lead.trials[number]
        at_boundary = trial.to_step is not None and step >= trial.to_step
        decision = self._scheduler.decide(trial, step, at_boundary=at_boundary)
        if isinstance(decision, Continue) and not at_boundary:
            return {"decision": "continue"}
        word = type(decision).__name__.lower()
        by = self._scheduler.name
        if isinstance(decision, Fork):
            lead.suggested(decision.suggestion, source=by, counted=False)
        lead.emit(Decided(trial=number, attempt=trial.attempt, step=step, decision=word, by=by, reason=decision.reason))
        if isinstance(decision, Stop | Fork):
            self._end(trial, OutcomeKind.STOPPED, {}, Leaving(Errand.STOP, by, decision.reason))
        elif isinstance(decision, Pause):
            event = AttemptEnded(
                trial=number,
                attempt=trial.attempt,
                outcome=OutcomeKind.EVICTED,
                status=TrialStatus.PAUSED,
                by=by,
                message=decision.reason,
            )
            lead.emit(event)
        elif isinstance(decision, Continue):
            to_step = decision.to_step
            if to_step is None or to_step <= step:
                to_step = self._scheduler.boundary(trial, step)
            lead.emit(AttemptContinued(trial=number, attempt=trial.attempt, from_step=step, to_step=to_step, by=by))
        return {"decision": word}

    def tell(self, number: int, metrics: Mapping[str, float], error: str | None = None) -> dict[str, Any]:
        """Take the result of a client's trial.

        Raises:
            Conflict: The trial has ended, or runs in an engine.
        """
        trial = self._out(number)
        if error is not None:
            failure = Failure(reason=FailureReason.EXCEPTION, message=error.splitlines()[-1] if error else "failed")
            signal = ExitedSignal(
                key=AttemptKey(trial=number, attempt=trial.attempt), outcome=OutcomeKind.RAISED, error=failure
            )
            self._finish(trial, signal, None)
        else:
            self._end(trial, OutcomeKind.RETURNED, metrics, None)
        return {"status": str(self._lead.trials[number].status)}

    def _end(self, trial: Trial, outcome: OutcomeKind, metrics: Mapping[str, float], leaving: Leaving | None) -> None:
        key = AttemptKey(trial=trial.number, attempt=trial.attempt)
        self._finish(trial, ExitedSignal(key=key, outcome=outcome, metrics=metrics), leaving)

    def _finish(self, trial: Trial, signal: ExitedSignal, leaving: Leaving | None) -> None:
        event = end_of_attempt(trial, signal, leaving, self._lead.fold.spec.metrics)
        self._lead.emit(event)
        if isinstance(event, TrialEnded):
            if event.status is TrialStatus.FAILED:
                retry_failed(self._lead, self._lead.trials[trial.number])
            self._end_study()

    def _end_study(self) -> None:
        """Without a leader, the last result of the budget completes the study; a leader sees to that itself."""
        lead, fold = self._lead, self._lead.fold
        if lead.lease is None and not fold.status.is_ended and not lead.live() and not trials_left(fold):
            lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.COMPLETED))

    def _out(self, number: int) -> Trial:
        """The client's trial of this number."""
        trial = self._lead.trials.get(number)
        if trial is None:
            stored = self._lead.store.trial(self._lead.fold.spec.id, number)
            raise Conflict(f"trial {number} is {stored.status} already: its result never changes")
        if trial.status is not TrialStatus.RUNNING or not trial.worker.startswith(CLIENT):
            where = f"runs on {trial.worker}" if trial.status is TrialStatus.RUNNING else f"is {trial.status}"
            raise Conflict(f"trial {number} {where}: only a trial that was asked for can be told")
        return trial


def _metrics(command: Command) -> dict[str, float]:
    """A command's metrics, non-finite ones as they travel in JSON.

    Raises:
        ObjectiveError: They are none.
    """
    given = command.args.get("metrics") or {}
    if not isinstance(given, Mapping):
        raise ObjectiveError(f"metrics are numbers by name, not {given!r}")
    return numbers(
        {name: NON_FINITE.get(value, value) if isinstance(value, str) else value for name, value in given.items()}
    )


def _handed(trial: Trial) -> dict[str, Any]:
    """What a client gets of its trial."""
    if trial.attempt < 1:
        raise InternalError(f"trial {trial.number} was handed out without an attempt")
    return {
        "trial": trial.number,
        "params": dict(trial.params),
        "seed": trial.seed,
        "attempt": trial.attempt,
        "to_step": trial.to_step,
    }
