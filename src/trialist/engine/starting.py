"""Beginning segments: where a trial starts from, how far it goes before it waits, and the place it gets.

Knows the scheduler's boundaries and the checkpoints; what is begun is launched after its commit.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from trialist.core.events import AttemptContinued, AttemptStarted, Decided, Noted, TrialPaused
from trialist.core.ports import Executor, ExitedSignal, Scheduler
from trialist.core.records import (
    AttemptKey,
    Continue,
    Fork,
    Fresh,
    FromCheckpoint,
    Metrics,
    OutcomeKind,
    Pause,
    Segment,
    State,
    Stop,
    Trial,
    WarmStart,
)
from trialist.engine.interrupts import Interrupts
from trialist.engine.keeping import CheckpointKeeper
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving, end_of_attempt
from trialist.engine.runs import Runs

NO_SPACE_WAIT_S = 0.5


class Starting:
    """Gives waiting trials their places among what runs.

    Args:
        lead: Where events go.
        runs: What runs; begun segments are put there.
        executor: Where they will go.
        scheduler: Says where trials wait for a decision.
        keeper: Knows the checkpoints.
        workspace: The directory of a trial's own.
        metrics_at: ``(trial, step)`` to what its reports up to that step add up to.
        timeout_s: Limit of one attempt; ``None``: none.
        say: Tells the person at the terminal.
    """

    def __init__(
        self,
        *,
        lead: Lead,
        runs: Runs,
        executor: Executor,
        scheduler: Scheduler,
        keeper: CheckpointKeeper,
        workspace: Callable[[Trial], Path],
        metrics_at: Callable[[int, int], Metrics],
        timeout_s: float | None,
        say: Callable[[str], None],
    ) -> None:
        self._lead = lead
        self._runs = runs
        self._executor = executor
        self._scheduler = scheduler
        self._keeper = keeper
        self._workspace = workspace
        self._metrics_at = metrics_at
        self._timeout_s = timeout_s
        self._say = say
        self._no_space = False

    def begin(self, trial: Trial) -> None:
        """Give a waiting trial a place; ``launch`` starts it."""
        if trial.number in self._runs.parked:
            self._go_on_parked(trial)
            return
        state = self._start_state(trial)
        resumes = isinstance(state, FromCheckpoint) and state.what is WarmStart.RESUME
        from_step = state.step if resumes and isinstance(state, FromCheckpoint) else 0
        to_step = trial.to_step
        if resumes and to_step is not None and to_step <= from_step:
            decision = self._scheduler.decide(trial, from_step, at_boundary=True)
            if not isinstance(decision, Continue):
                self._stays(trial, from_step, decision)
                return
            to_step = decision.to_step
        if to_step is None or to_step <= from_step:
            to_step = self._scheduler.boundary(trial, from_step)
        devices = self._runs.placement.take(trial.number)
        run_dir = str(self._workspace(trial))
        self._lead.emit(
            AttemptStarted(
                trial=trial.number,
                attempt=trial.attempt + 1,
                from_step=from_step,
                to_step=to_step,
                checkpoint=state.id if isinstance(state, FromCheckpoint) else None,
                worker=self._executor.worker(),
                devices=devices,
                run_dir=run_dir,
                metrics=self._metrics_at(trial.number, from_step) if from_step else {},
            )
        )
        spec = self._lead.fold.spec
        segment = Segment(
            study_id=spec.id,
            study=spec.name,
            trial=trial.number,
            attempt=trial.attempt + 1,
            from_step=from_step,
            to_step=to_step,
            state=state,
            params=trial.params,
            seed=trial.seed,
            run_dir=run_dir,
            devices=devices,
            resources=spec.resources,
            timeout_s=self._timeout_s,
        )
        self._runs.begun(segment)

    def _stays(self, trial: Trial, step: int, decision: Pause | Stop | Fork) -> None:
        """A trial had come to its boundary and left a checkpoint there, but died before its answer had taken effect."""
        by, attempt = self._scheduler.name, trial.attempt
        word = type(decision).__name__.lower()
        with self._lead.lock:
            self._lead.emit(
                Decided(trial=trial.number, attempt=attempt, step=step, decision=word, by=by, reason=decision.reason)
            )
            if isinstance(decision, Pause):
                paused = TrialPaused(
                    trial=trial.number, attempt=attempt, step=step, parked=False, by=by, reason=decision.reason
                )
                self._lead.emit(paused)
                return
            left = ExitedSignal(key=AttemptKey(trial=trial.number, attempt=attempt), outcome=OutcomeKind.STOPPED)
            leaving = Leaving(Errand.STOP, by, decision.reason)
            self._lead.emit(end_of_attempt(trial, left, leaving, self._lead.fold.spec.metrics))
            if isinstance(decision, Fork):
                self._lead.suggested(decision.suggestion, source=by, counted=False)
            self._runs.ended(self._lead.trials[trial.number])

    def launch(self) -> None:
        """Start what was begun; a disk too full for a trial's files is waited out, like a full store."""
        try:
            self._runs.launch()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if not self._no_space:
                self._no_space = True
                self._say(f"no space for a trial's files; nothing is lost, trying on ({error})")
            Interrupts.pause(NO_SPACE_WAIT_S)
            return
        if self._no_space:
            self._no_space = False
            self._say("there is space again")

    def _start_state(self, trial: Trial) -> State:
        """Where a new attempt starts: its own last checkpoint, else the one it was given, else nothing."""
        row, what = self._keeper.last_of(trial.number), WarmStart.RESUME
        if row is None and trial.warm_start_from is not None:
            row, what = self._keeper.find(trial.warm_start_from.checkpoint), trial.warm_start_from.what
        if row is None and trial.warm_start_from is None:
            return Fresh()
        if row is None or not Path(row.path).is_dir():
            gone = f"its checkpoint {row.path} is gone" if row is not None else _not_kept(trial)
            self._lead.emit(Noted(level="warning", message=f"trial {trial.number} starts from nothing: {gone}"))
            return Fresh()
        return FromCheckpoint(id=row.id, path=row.path, step=row.step, what=what)

    def _go_on_parked(self, trial: Trial) -> None:
        key = self._runs.active[trial.number]
        self._runs.placement.take(trial.number, self._runs.parked.pop(trial.number))
        step = trial.step or 0
        to_step = trial.to_step
        if to_step is not None and to_step <= step:
            to_step = self._scheduler.boundary(trial, step)
        self._lead.emit(AttemptContinued(trial=trial.number, attempt=key.attempt, from_step=step, to_step=to_step))
        self._executor.go_on(key, to_step)


def _not_kept(trial: Trial) -> str:
    origin = trial.warm_start_from
    assert origin is not None
    return f"the checkpoint {origin.checkpoint} of trial {origin.trial} that it was to start from is no longer kept"
