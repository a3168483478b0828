"""What runs now: trials given to the executor, what it says of them, and what becomes of that.

Turns placements into segments, signals into events, decisions into calls of the executor. Knows the ports of executor and
scheduler; never decides what to try next (``loop``) nor when a study ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from trialist.core.errors import InternalError
from trialist.core.events import (
    AttemptContinued,
    AttemptStarted,
    Checkpointed,
    Decided,
    Noted,
    Reported,
    TrialEnded,
    TrialPaused,
)
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
from trialist.core.records import (
    AttemptKey,
    Continue,
    Decision,
    Failure,
    FailureReason,
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
from trialist.core.states import TrialStatus
from trialist.engine.keeping import CheckpointKeeper
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving, end_of_attempt
from trialist.engine.placement import Placement

MAX_LOSSES = 3
"""How often one engine starts a trial again whose worker died; then the trial is the likely cause, and has failed."""
MAX_PARKED = 64
"""How many trials may sit parked in workers; more leave to their checkpoints."""


class Runs:
    """The running trials of a led study.

    Args:
        lead: Where events go.
        executor: Where segments go.
        scheduler: Decides at reports.
        placement: Gives places.
        keeper: Knows the checkpoints.
        workspace: The directory of a trial's own.
        metrics_at: ``(trial, step)`` to what its reports up to that step add up to.
        timeout_s: Limit of one attempt; ``None``: none.
    """

    def __init__(
        self,
        *,
        lead: Lead,
        executor: Executor,
        scheduler: Scheduler,
        placement: Placement,
        keeper: CheckpointKeeper,
        workspace: Callable[[Trial], Path],
        metrics_at: Callable[[int, int], Metrics],
        timeout_s: float | None = None,
    ) -> None:
        self._lead = lead
        self._executor = executor
        self._scheduler = scheduler
        self.placement = placement
        self._keeper = keeper
        self._workspace = workspace
        self._metrics_at = metrics_at
        self._timeout_s = timeout_s
        self.active: dict[int, AttemptKey] = {}
        """Trials that have a process or a place in a worker, parked ones too."""
        self._parked: dict[int, tuple[str, ...]] = {}
        self._leaving: dict[int, Leaving] = {}
        self._losses: Counter[int] = Counter()
        self._launches: list[Segment] = []

    # --- beginning ---

    @property
    def running(self) -> int:
        """Trials that compute."""
        return len(self.active) - len(self._parked)

    @property
    def has_launches(self) -> bool:
        """Whether something waits for ``launch``."""
        return bool(self._launches)

    def has_room(self, jobs: int, trial: int | None = None) -> bool:
        """Whether a trial may be begun; one that is parked can only go on where it sits."""
        return self.placement.has_room(jobs, None if trial is None else self._parked.get(trial))

    def begin(self, trial: Trial) -> None:
        """Give a waiting trial a place; ``launch`` starts it."""
        if trial.number in self._parked:
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
        devices = self.placement.take(trial.number)
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
        self.active[trial.number] = segment.key
        self._launches.append(segment)

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
            self.ended(self._lead.trials[trial.number])

    def launch(self) -> None:
        """Hand what was begun to the executor; what has side effects must be committed by now.

        Raises:
            OSError: No space for a trial's files; it and the following ones are handed over by the next call.
        """
        while self._launches:
            self._executor.start(self._launches[0])
            del self._launches[0]

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
        key = self.active[trial.number]
        self.placement.take(trial.number, self._parked.pop(trial.number))
        step = trial.step or 0
        to_step = trial.to_step
        if to_step is not None and to_step <= step:
            to_step = self._scheduler.boundary(trial, step)
        self._lead.emit(AttemptContinued(trial=trial.number, attempt=key.attempt, from_step=step, to_step=to_step))
        self._executor.go_on(key, to_step)

    # --- hearing ---

    def on_signal(self, signal: Signal) -> None:
        """Turn what the executor says into events, and decisions into calls."""
        if isinstance(signal, LostSignal):
            for key in signal.keys:
                self._exited(ExitedSignal(key=key, outcome=OutcomeKind.LOST), signal.message)
            return
        trial = self._lead.trials.get(signal.key.trial)
        if trial is None or self.active.get(signal.key.trial) != signal.key:
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
                self._exited(signal)

    def _reported(self, signal: ReportedSignal) -> None:
        key = signal.key
        self._lead.emit(Reported(trial=key.trial, attempt=key.attempt, step=signal.step, metrics=signal.metrics))
        trial = self._lead.trials[key.trial]
        if key.trial in self._leaving or (trial.to_step is not None and signal.step >= trial.to_step):
            return  # at a boundary the decision comes with the ParkedSignal
        decision = self._scheduler.decide(trial, signal.step, at_boundary=False)
        if isinstance(decision, Stop | Fork):
            self._decide(trial, signal.step, decision)

    def _at_boundary(self, trial: Trial, signal: ParkedSignal) -> None:
        leaving = self._leaving.get(trial.number)
        if leaving is not None:
            self._send_off(signal.key, leaving)
            return
        self._decide(trial, signal.step, self._scheduler.decide(trial, signal.step, at_boundary=True))

    def _decide(self, trial: Trial, step: int, decision: Decision) -> None:
        key = self.active[trial.number]
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
                self._park(trial, step, decision.reason)
            case Stop():
                self._leave(trial.number, Leaving(Errand.STOP, by, decision.reason))
            case Fork():
                self._leave(trial.number, Leaving(Errand.STOP, by, decision.reason, decision.suggestion))

    def _park(self, trial: Trial, step: int, reason: str) -> None:
        """A scheduler's pause: the trial keeps its process where the executor can hold it, else it leaves."""
        by = self._scheduler.name
        if not self._executor.parks or len(self._parked) >= MAX_PARKED:
            self._leave(trial.number, Leaving(Errand.PAUSE, by, reason))
            return
        devices = self.placement.give_back(trial.number)
        self._parked[trial.number] = devices
        self._lead.emit(
            TrialPaused(trial=trial.number, attempt=trial.attempt, step=step, parked=True, by=by, reason=reason)
        )

    def _exited(self, signal: ExitedSignal, message: str = "") -> None:
        number = signal.key.trial
        trial = self._lead.trials.get(number)
        if trial is None or self.active.get(number) != signal.key:
            return
        leaving = self._leaving.pop(number, None)
        del self.active[number]
        self.placement.give_back(number)
        self._parked.pop(number, None)
        if signal.outcome is OutcomeKind.LOST:
            signal = self._count_loss(signal, message)
        event = end_of_attempt(trial, signal, leaving, self._lead.fold.spec.metrics, message)
        self._lead.emit(event)
        if isinstance(event, TrialEnded):
            if leaving is not None and leaving.fork is not None and event.status is not TrialStatus.CANCELLED:
                # With the end, in one commit: after a crash before it the trial runs again, and is decided about again.
                self._lead.suggested(leaving.fork, source=self._scheduler.name, counted=False)
            self.ended(self._lead.trials[number])

    def _count_loss(self, signal: ExitedSignal, message: str) -> ExitedSignal:
        """A trial that takes its worker down each time has failed."""
        number = signal.key.trial
        self._losses[number] += 1
        if self._losses[number] < MAX_LOSSES:
            return signal
        error = Failure(
            reason=FailureReason.LOST,
            message=f"its worker died {MAX_LOSSES} times while it ran" + (f": {message}" if message else ""),
        )
        return ExitedSignal(key=signal.key, outcome=OutcomeKind.RAISED, error=error)

    def ended(self, trial: Trial) -> None:
        """A trial reached its end: its next try, where it failed, and what no one starts from any more."""
        if trial.status is TrialStatus.FAILED:
            retry_failed(self._lead, trial)
        self._keeper.trial_ended(trial)

    # --- sending away ---

    def leave(self, number: int, leaving: Leaving) -> None:
        """Tell an active trial to leave; the last errand wins, but none undoes a cancel, nor what a scheduler forked."""
        before = self._leaving.get(number)
        if before is None or before.errand is not Errand.CANCEL:
            self._leave(number, leaving if before is None else leaving._replace(fork=before.fork))

    def _leave(self, number: int, leaving: Leaving) -> None:
        self._leaving[number] = leaving
        if any(segment.trial == number for segment in self._launches):
            self._launches = [segment for segment in self._launches if segment.trial != number]
            self._exited(ExitedSignal(key=self.active[number], outcome=OutcomeKind.KILLED))
            return
        self._send_off(self.active[number], leaving)

    def _send_off(self, key: AttemptKey, leaving: Leaving) -> None:
        match leaving.errand:
            case Errand.CANCEL:
                self._executor.kill(key)
            case Errand.STOP:
                self._executor.stop(key)
            case Errand.PAUSE | Errand.YIELD:
                self._executor.evict(key)

    def kill_all(self, leaving: Leaving) -> None:
        """End every attempt now."""
        for number, key in list(self.active.items()):
            self.leave(number, leaving)
            self._executor.kill(key)

    def yield_checkpointed(self, leaving: Leaving) -> None:
        """Send away the trials that can go on from a checkpoint later; the others run to their end."""
        for number in list(self.active):
            if self._keeper.last_of(number) is not None and number not in self._leaving:
                self._leave(number, leaving)

    def broken_off(self) -> None:
        """Ctrl-C threw ``poll`` out of an executor that runs trials in this thread: nothing of them runs any more."""
        self._executor.close()
        with self._lead.lock:
            for key in list(self.active.values()):
                self._exited(ExitedSignal(key=key, outcome=OutcomeKind.INTERRUPTED))

    def is_active(self, number: int) -> bool:
        return number in self.active

    def abandon(self) -> Mapping[int, AttemptKey]:
        """Forget everything without an event: the lease is lost, and another engine owns these trials."""
        given_up, self.active, self._launches = self.active, {}, []
        return given_up


def _not_kept(trial: Trial) -> str:
    origin = trial.warm_start_from
    assert origin is not None
    return f"the checkpoint {origin.checkpoint} of trial {origin.trial} that it was to start from is no longer kept"


def retry_failed(lead: Lead, trial: Trial) -> None:
    """Suggest a failed trial again while its chain of retries is shorter than the budget allows."""
    tries = trial.note.get("retry", 0)
    if not isinstance(tries, int):
        raise InternalError(f"trial {trial.number} has a retry note {tries!r}")
    if tries >= lead.fold.spec.budget.retries:
        return
    lead.retry(trial, tries + 1)
