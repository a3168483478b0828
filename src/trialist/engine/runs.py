"""What runs now: who has a process or a place in a worker, who is on the way out, and what an attempt's end leaves.

The one record of it, and the calls that send trials away. How they begin is ``starting``, what they say ``hearing``;
never decides anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from trialist.core import faults
from trialist.core.errors import InternalError
from trialist.core.events import TrialEnded
from trialist.core.ports import Executor, ExitedSignal
from trialist.core.records import AttemptKey, Failure, FailureReason, OutcomeKind, Segment, Trial
from trialist.core.states import TrialStatus
from trialist.engine.keeping import CheckpointKeeper
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving, end_of_attempt
from trialist.engine.placement import Placement

MAX_LOSSES = 3
"""How often a worker may die of a trial in one engine; then the trial is the likely cause, and has failed."""


class Runs:
    """The running trials of a led study.

    Args:
        lead: Where events go.
        executor: Where segments go.
        placement: Gives places.
        keeper: Knows the checkpoints.
        scheduler: The name of who forks.
    """

    def __init__(
        self, *, lead: Lead, executor: Executor, placement: Placement, keeper: CheckpointKeeper, scheduler: str
    ) -> None:
        self._lead = lead
        self._executor = executor
        self.placement = placement
        self._keeper = keeper
        self._scheduler = scheduler
        self.active: dict[int, AttemptKey] = {}
        """Trials that have a process or a place in a worker, parked ones too."""
        self.parked: dict[int, tuple[str, ...]] = {}
        """Those that wait in their workers, with the devices that they go on on."""
        self.leaving: dict[int, Leaving] = {}
        """Those that were told to leave."""
        self._losses: Counter[int] = Counter()
        self._launches: list[Segment] = []

    # --- places ---

    @property
    def running(self) -> int:
        """Trials that compute."""
        return len(self.active) - len(self.parked)

    @property
    def has_launches(self) -> bool:
        """Whether something waits for ``launch``."""
        return bool(self._launches)

    def has_room(self, jobs: int, trial: int | None = None) -> bool:
        """Whether a trial may be begun; one that is parked can only go on where it sits."""
        return self.placement.has_room(jobs, None if trial is None else self.parked.get(trial))

    def begun(self, segment: Segment) -> None:
        """A segment has its place and its event; ``launch`` starts it."""
        self.active[segment.trial] = segment.key
        self._launches.append(segment)

    def launch(self) -> None:
        """Hand what was begun to the executor; what has side effects must be committed by now.

        Raises:
            OSError: No space for a trial's files; it and the following ones are handed over by the next call.
        """
        while self._launches:
            faults.point("engine.launch.before")
            self._executor.start(self._launches[0])
            faults.point("engine.launch.after")
            del self._launches[0]

    def park(self, number: int) -> None:
        """A trial waits in its worker: it keeps its process and gives its place back."""
        self.parked[number] = self.placement.give_back(number)

    # --- ends ---

    def exited(self, signal: ExitedSignal, message: str = "") -> None:
        """An attempt ended: what that means for its trial; nothing where it was given up meanwhile."""
        number = signal.key.trial
        trial = self._lead.trials.get(number)
        if trial is None or self.active.get(number) != signal.key:
            return
        leaving = self.leaving.pop(number, None)
        del self.active[number]
        self.placement.give_back(number)
        self.parked.pop(number, None)
        event = end_of_attempt(trial, signal, leaving, self._lead.fold.spec.metrics, message)
        self._lead.emit(event)
        if isinstance(event, TrialEnded):
            if leaving is not None and leaving.fork is not None and event.status is not TrialStatus.CANCELLED:
                # With the end, in one commit: after a crash before it the trial runs again, and is decided about again.
                self._lead.suggested(leaving.fork, source=self._scheduler, counted=False)
            self.ended(self._lead.trials[number])

    def lost(self, key: AttemptKey, message: str, *, is_blameless: bool) -> None:
        """An attempt's worker died: it starts again, unless it takes its worker down each time; then it has failed."""
        if self.active.get(key.trial) != key:
            return
        signal = ExitedSignal(key=key, outcome=OutcomeKind.LOST)
        self._losses[key.trial] += not is_blameless
        if self._losses[key.trial] >= MAX_LOSSES and not is_blameless:
            words = f"its worker died {MAX_LOSSES} times while it ran" + (f": {message}" if message else "")
            error = Failure(reason=FailureReason.LOST, message=words)
            signal = ExitedSignal(key=key, outcome=OutcomeKind.RAISED, error=error)
        self.exited(signal, message)

    def ended(self, trial: Trial) -> None:
        """A trial reached its end: its next try, where it failed, and what no one starts from any more."""
        if trial.status is TrialStatus.FAILED:
            retry_failed(self._lead, trial)
        self._keeper.trial_ended(trial)

    # --- sending away ---

    def leave(self, number: int, leaving: Leaving) -> None:
        """Tell an active trial to leave; the last errand wins, but none undoes a cancel, nor what a scheduler forked."""
        before = self.leaving.get(number)
        if before is not None:
            if before.errand is Errand.CANCEL:
                return
            leaving = leaving._replace(fork=before.fork)
        self.leaving[number] = leaving
        if any(segment.trial == number for segment in self._launches):
            self._launches = [segment for segment in self._launches if segment.trial != number]
            self.exited(ExitedSignal(key=self.active[number], outcome=OutcomeKind.KILLED))
            return
        self.send_off(self.active[number], leaving)

    def send_off(self, key: AttemptKey, leaving: Leaving) -> None:
        """Give an executor the word that belongs to an errand."""
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
            if self._keeper.last_of(number) is not None and number not in self.leaving:
                self.leave(number, leaving)

    def broken_off(self) -> None:
        """Ctrl-C threw ``poll`` out of an executor that runs trials in this thread: nothing of them runs any more."""
        self._executor.close()
        with self._lead.lock:
            for key in list(self.active.values()):
                self.exited(ExitedSignal(key=key, outcome=OutcomeKind.INTERRUPTED))

    def is_active(self, number: int) -> bool:
        return number in self.active

    def abandon(self) -> Mapping[int, AttemptKey]:
        """Forget everything without an event: the lease is lost, and another engine owns these trials."""
        given_up, self.active, self._launches = self.active, {}, []
        return given_up


def retry_failed(lead: Lead, trial: Trial) -> None:
    """Suggest a failed trial again while its chain of retries is shorter than the budget allows."""
    tries = trial.note.get("retry", 0)
    if not isinstance(tries, int):
        raise InternalError(f"trial {trial.number} has a retry note {tries!r}")
    if tries >= lead.fold.spec.budget.retries:
        return
    lead.retry(trial, tries + 1)
