"""Hearing what the executor says of running trials: signals become events, and decisions become calls.

Knows the scheduler, which decides, and what runs; never decides what to try next nor when a study ends.
"""

from __future__ import annotations

from trialist.core.events import AttemptContinued, Checkpointed, Decided, Reported, TrialPaused
from trialist.core.ports import (
    CheckpointedSignal,
    Executor,
    ExitedSignal,
    LostSignal,
    ParkedSignal,
    ReportedSignal,
    Scheduler,
    Signal,
)
from trialist.core.records import Continue, Decision, Fork, Pause, Stop, Trial
from trialist.engine.keeping import CheckpointKeeper
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving
from trialist.engine.runs import Runs

MAX_PARKED = 64
"""How many trials may sit parked in workers; more leave to their checkpoints."""


class Hearing:
    """The ear of an engine.

    Args:
        lead: Where events go.
        runs: What runs.
        executor: Told to go on where a decision says so.
        scheduler: Decides at reports.
        keeper: Told of checkpoints.
    """

    def __init__(
        self, *, lead: Lead, runs: Runs, executor: Executor, scheduler: Scheduler, keeper: CheckpointKeeper
    ) -> None:
        self._lead = lead
        self._runs = runs
        self._executor = executor
        self._scheduler = scheduler
        self._keeper = keeper

    def on_signal(self, signal: Signal) -> None:
        """Turn what the executor says into events, and decisions into calls."""
        if isinstance(signal, LostSignal):
            for key in signal.keys:
                self._runs.lost(key, signal.message, is_blameless=signal.is_blameless)
            return
        trial = self._lead.trials.get(signal.key.trial)
        if trial is None or self._runs.active.get(signal.key.trial) != signal.key:
            return  # an attempt that was given up meanwhile
        match signal:
            case ReportedSignal():
                self._reported(signal)
            case ParkedSignal():
                self._at_boundary(trial, signal)
            case CheckpointedSignal():
                body = Checkpointed(
                    trial=trial.number,
                    attempt=signal.key.attempt,
                    step=signal.step,
                    # A step may be saved twice, so the event's own number makes the id one of a kind.
                    checkpoint=f"{trial.number}-{signal.key.attempt}-{signal.step}-{self._lead.fold.seq + 1}",
                    path=signal.path,
                    num_bytes=signal.num_bytes,
                )
                event = self._lead.emit(body)
                self._keeper.took(body, event.at)
            case ExitedSignal():
                self._runs.exited(signal)

    def _reported(self, signal: ReportedSignal) -> None:
        key = signal.key
        self._lead.emit(Reported(trial=key.trial, attempt=key.attempt, step=signal.step, metrics=signal.metrics))
        trial = self._lead.trials[key.trial]
        if key.trial in self._runs.leaving or (trial.to_step is not None and signal.step >= trial.to_step):
            return  # at a boundary the decision comes with the ParkedSignal
        decision = self._scheduler.decide(trial, signal.step, at_boundary=False)
        if isinstance(decision, Stop | Fork):
            self._decide(trial, signal.step, decision)

    def _at_boundary(self, trial: Trial, signal: ParkedSignal) -> None:
        leaving = self._runs.leaving.get(trial.number)
        if leaving is not None:
            self._runs.send_off(signal.key, leaving)
            return
        self._decide(trial, signal.step, self._scheduler.decide(trial, signal.step, at_boundary=True))

    def _decide(self, trial: Trial, step: int, decision: Decision) -> None:
        key = self._runs.active[trial.number]
        by = self._scheduler.name
        word = type(decision).__name__.lower()
        self._lead.emit(
            Decided(trial=trial.number, attempt=key.attempt, step=step, decision=word, by=by, reason=decision.reason)
        )
        match decision:
            case Continue():
                to_step = decision.to_step
                if to_step is None or to_step <= step:
                    to_step = self._scheduler.boundary(trial, step)
                self._lead.emit(
                    AttemptContinued(trial=trial.number, attempt=key.attempt, from_step=step, to_step=to_step, by=by)
                )
                self._executor.go_on(key, to_step)
            case Pause():
                self._park(trial, step, decision)
            case Stop():
                self._runs.leave(trial.number, Leaving(Errand.STOP, by, decision.reason))
            case Fork():
                self._runs.leave(trial.number, Leaving(Errand.STOP, by, decision.reason, decision.suggestion))

    def _park(self, trial: Trial, step: int, pause: Pause) -> None:
        """A scheduler's pause: the trial keeps its process where it may and the executor can hold it, else it leaves."""
        by, reason = self._scheduler.name, pause.reason
        if pause.leaves or not self._executor.parks or len(self._runs.parked) >= MAX_PARKED:
            self._runs.leave(trial.number, Leaving(Errand.PAUSE, by, reason))
            return
        self._runs.park(trial.number)
        self._lead.emit(
            TrialPaused(trial=trial.number, attempt=trial.attempt, step=step, parked=True, by=by, reason=reason)
        )
