"""The loop: suggests, places, runs, hears, decides and commits, until there is nothing left to do.

A tick is: commands → waiting trials, promotions, suggestions → commit → start → poll → events → commit. Results and the
suggestions that follow from them share a commit. Knows ports and records; which searcher, store or executor these are was
decided by a front door.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from trialist.core.errors import LeaseLost, StoreBusy, StoreError, StoreFull, TrialistError
from trialist.core.events import BudgetChanged, Noted, RunConfigured, StudyStatusChanged, TrialResumed
from trialist.core.ports import ExitedSignal, Signal
from trialist.core.records import (
    Command,
    CommandKind,
    Exhausted,
    Lease,
    Metrics,
    NeedsReply,
    OutcomeKind,
    Study,
    Trial,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine import control, guards
from trialist.engine.assembly import Assembly, RunEnd
from trialist.engine.clients import Clients
from trialist.engine.finish import end_left
from trialist.engine.heartbeat import Heartbeat
from trialist.engine.interrupts import Interrupts
from trialist.engine.keeping import CheckpointKeeper
from trialist.engine.outcome import Errand, Leaving
from trialist.engine.publisher import Publisher
from trialist.engine.recover import settle_lost, take_up
from trialist.engine.replies import Replies
from trialist.engine.runs import Runs

R = TypeVar("R")
_log = logging.getLogger("trialist")
COMMIT_EVERY_S = 0.005
COMMIT_RECORDS = 256
NO_SPACE_WAIT_S = 0.5
_LONGEST_REASON = 300
COMMANDS_EVERY_S = 0.1
"""How often the store is asked for commands, and the longest that ``poll`` waits."""


class Engine:
    """Leads one study in this process, on the calling thread.

    Args:
        assembly: What it is made of.
        lease: Held by the caller; released by the caller.
        study: The row, read under the lease.
    """

    def __init__(self, assembly: Assembly, lease: Lease, study: Study) -> None:
        self._a = assembly
        self._publisher = Publisher(assembly)
        self._lease = lease
        self._lead = take_up(
            store=assembly.store,
            lease=lease,
            study=study,
            searcher=assembly.searcher,
            scheduler=assembly.scheduler,
            clock=assembly.clock,
            after_commit=self._publisher.after_commit,
        )
        checkpoints = assembly.store.checkpoints(study.id)
        live = self._lead.trials
        ended = {row.trial for row in checkpoints if row.trial not in live}
        self._keeper = CheckpointKeeper(
            self._lead,
            checkpoints,
            [assembly.store.trial(study.id, number) for number in sorted(ended)],
            assembly.remove_files,
            **({} if assembly.artifact_budget_bytes is None else {"budget_bytes": assembly.artifact_budget_bytes}),
        )
        self._runs = Runs(
            lead=self._lead,
            executor=assembly.executor,
            scheduler=assembly.scheduler,
            placement=assembly.placement,
            keeper=self._keeper,
            workspace=assembly.workspace,
            metrics_at=self._metrics_at,
            timeout_s=assembly.timeout_s,
        )
        self._clients = Clients(self._lead, assembly.searcher, assembly.scheduler)
        self._control = control.Context(
            lead=self._lead,
            floor=self._runs,
            check_params=assembly.check_params,
            find_trial=self._find_trial,
            find_checkpoint=lambda number: self._keeper.last_of(number),
            clients=self._clients.handlers(),
        )
        self._replies = Replies(self._lead, assembly.replier, assembly.executor.wake, self._commit)
        self._exhausted = ""
        self._stopping = ""
        self._commands_due = 0.0
        self._yielded = False
        self._no_space = False

    # --- from outside ---

    def run(self) -> RunEnd:
        """Lead the study until it has ended, or until it was interrupted.

        Raises:
            LeaseLost: Another process took over; nothing was written since.
            StoreError: The store was away for longer than ``STORE_PATIENCE_S``.
        """
        lost = settle_lost(self._lead)
        self._open(lost)
        heartbeat = Heartbeat(self._a.store, self._lease, self._lead, self._a.executor.wake)
        interrupts = Interrupts(self._a.say, self._a.executor)
        fenced = False
        try:
            with heartbeat, interrupts:
                try:
                    while self._tick(interrupts):
                        if heartbeat.lost is not None:
                            raise heartbeat.lost
                except LeaseLost:
                    fenced = True
                    self._runs.abandon()
                    self._lead.forget()
                    raise
                except Exception as error:
                    self._break_off(error)
                    raise
                finally:
                    self._replies.close()
                    self._a.executor.close()
        finally:
            if not fenced:
                self._publisher.close()
        self._publisher.call_back(self._lead)
        return RunEnd(self._lead.fold.study(), interrupts.count > 0)

    def _break_off(self, error: Exception) -> None:
        """Something that is no trial's failure ends the run (a callback that raised, say): the study is not left running."""
        fold = self._lead.fold
        if isinstance(error, StoreError) or fold.status is not StudyStatus.RUNNING:
            return  # nothing can be written, or nothing need be
        reason = f"interrupted by {type(error).__name__}: {error}".rstrip(": ")[:_LONGEST_REASON]
        try:
            self._lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.PAUSED, reason=reason))
            self._lead.commit()
        except TrialistError as second:
            _log.warning("study '%s' was not marked as paused: %s", fold.spec.name, second)

    # --- the tick ---

    def _open(self, lost: int) -> None:
        fold, configured, budget = self._lead.fold, self._a.configured, self._a.budget
        if configured is not None and configured != RunConfigured(
            objective=fold.spec.objective, executor=fold.spec.executor, resources=fold.spec.resources
        ):
            self._lead.emit(configured)
        if budget is not None and budget != fold.spec.budget:
            self._lead.emit(BudgetChanged(budget=budget))
        if fold.status is not StudyStatus.RUNNING:
            self._lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.RUNNING, reason=""))
        if lost:
            message = f"took the study up again: {lost} running trial{'s' * (lost != 1)} start over"
            self._lead.emit(Noted(message=message))
            _log.info(message)
        self._commit()

    def _tick(self, interrupts: Interrupts) -> bool:
        """One round; returns whether there is another."""
        self._take_commands()
        self._heed(interrupts)
        self._replies.collect()
        self._fill()
        if self._runs.has_launches:
            if not self._a.executor.runs_ahead or self._commit_due():
                self._commit()
            self._launch()
        elif not self._runs.running and not self._replies.outstanding:
            if self._called_back() and not interrupts.count:
                return True  # a callback may have given the study something to do
            if self._finish(interrupts):
                return False
        if interrupts.polling(lambda: self._poll(interrupts)):
            self._runs.broken_off()
        # A callback comes before the next trial begins: it may stop the study, or add to it.
        if self._commit_due() or (self._a.on_end is not None and self._lead.pending):
            self._commit()
        self._publisher.call_back(self._lead)
        return True

    def _called_back(self) -> bool:
        """Tell the callbacks of all that has ended so far; returns whether anything happened meanwhile."""
        seq = self._lead.fold.seq
        self._commit()
        self._publisher.call_back(self._lead)
        return self._lead.fold.seq != seq

    def _poll(self, interrupts: Interrupts) -> None:
        self._a.executor.poll(self._poll_timeout(), lambda signal: self._hear(signal, interrupts))

    def _poll_timeout(self) -> float:
        if self._lead.pending:
            waited = self._a.clock.monotonic() - self._lead.last_commit
            return max(0.0, COMMIT_EVERY_S - waited)
        return COMMANDS_EVERY_S

    def _commit_due(self) -> bool:
        pending = self._lead.pending
        if not pending:
            return False
        return pending >= COMMIT_RECORDS or self._a.clock.monotonic() - self._lead.last_commit >= COMMIT_EVERY_S

    def _hear(self, signal: Signal, interrupts: Interrupts) -> None:
        """A signal from the executor; inline trials call this from inside their ``report``."""
        with interrupts.engine_code(), self._lead.lock:
            if isinstance(signal, ExitedSignal) and signal.outcome is OutcomeKind.INTERRUPTED:
                interrupts.by_trial()
            self._runs.on_signal(signal)
            if self._commit_due():
                self._commit()
            if self._a.executor.runs_ahead:
                self._take_commands()
                self._heed_pause()

    # --- giving work ---

    def _fill(self) -> None:
        fold = self._lead.fold
        while fold.status is StudyStatus.RUNNING and not self._stopping and not self._guard():
            waiting = self._lead.next_waiting()
            if not self._runs.has_room(fold.spec.budget.jobs, None if waiting is None else waiting.number):
                return
            trial = waiting or self._promoted() or self._new_trial() or self._promoted_last()
            if trial is None:
                return
            if not self._runs.has_room(fold.spec.budget.jobs, trial.number):
                return  # promoted where it sits parked, and that device is busy: it waits for it
            self._runs.begin(trial)

    def _promoted_last(self) -> Trial | None:
        """Whoever waited for others that will not come."""
        if self._runs.running or self._replies.outstanding:
            return None
        return self._promoted(last=True)

    def _promoted(self, *, last: bool = False) -> Trial | None:
        promotion = self._a.scheduler.promote(last=last)
        if promotion is None or promotion.trial not in self._lead.trials:
            return None
        self._lead.emit(
            TrialResumed(
                trial=promotion.trial,
                to_step=promotion.to_step,
                by=self._a.scheduler.name,
                reason=promotion.reason,
            )
        )
        return self._lead.trials[promotion.trial]

    def _new_trial(self) -> Trial | None:
        fold = self._lead.fold
        if self._exhausted or not guards.trials_left(fold) or self._replies.outstanding:
            return None
        answer = self._a.searcher.suggest(fold.num_trials)
        if isinstance(answer, Exhausted):
            self._exhausted = answer.reason
            return None
        if isinstance(answer, NeedsReply):
            self._replies.request(answer)
            return None
        return self._lead.trials[self._lead.suggested(answer, source=self._a.searcher.name)]

    def _guard(self) -> str:
        """Why no more trials may be suggested."""
        fold = self._lead.fold
        now = self._a.clock.now()
        active_s = fold.active_before_s + (max(0.0, now - fold.led_since) if fold.led_since is not None else 0.0)
        for guard in guards.GUARDS:
            why = guard(fold, active_s)
            if why:
                return why
        return ""

    def _launch(self) -> None:
        """Start what was begun; a disk too full for a trial's files is waited out, like a full store."""
        try:
            self._runs.launch()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if not self._no_space:
                self._no_space = True
                self._a.say(f"no space for a trial's files; nothing is lost, trying on ({error})")
            Interrupts.pause(NO_SPACE_WAIT_S)
            return
        if self._no_space:
            self._no_space = False
            self._a.say("there is space again")

    # --- being told ---

    def _take_commands(self) -> None:
        now = self._a.clock.monotonic()
        if now < self._commands_due:
            return
        self._commands_due = now + COMMANDS_EVERY_S
        try:
            commands = self._a.store.pending_commands(self._lead.fold.spec.id)
        except (StoreBusy, StoreFull) as error:
            _log.debug("commands: %s", error)
            return
        for command in commands:
            self._apply(command)

    def _apply(self, command: Command) -> None:
        try:
            self.carry_out(command)
        except control.REFUSALS as error:
            _log.info("refused %s from %s: %s", command.kind, command.sender, error)

    def carry_out(self, command: Command) -> dict[str, Any]:
        """Carry a command out; for calls from this engine's own thread (a callback), which cannot wait for its loop.

        Raises:
            UserError, Conflict, NotFound: It was refused.
        """
        try:
            result = control.apply(self._control, command)
        finally:
            self._commit()  # before the store is asked again, which would still call it pending
        if command.kind is CommandKind.STOP:
            self._stopping = "stopped by a person"
        if command.kind in (CommandKind.SET_BUDGET, CommandKind.RESUME, CommandKind.ENQUEUE):
            self._exhausted = ""
        if command.kind is CommandKind.PAUSE:
            self._a.say(f"paused; 'trialist resume {self._lead.fold.spec.name}' goes on")
        if command.kind is CommandKind.RESUME:
            self._yielded = False
        return result

    def _heed(self, interrupts: Interrupts) -> None:
        """React to interrupts and to a paused study."""
        if interrupts.count and not self._stopping:
            self._stopping = "interrupted"
        if interrupts.kills and self._runs.active:
            self._runs.kill_all(Leaving(Errand.YIELD, "engine", "interrupted"))
        self._heed_pause()

    def _heed_pause(self) -> None:
        """A paused study's trials leave where they can go on later."""
        if self._lead.fold.status is StudyStatus.PAUSED and not self._yielded:
            self._yielded = True
            self._runs.yield_checkpointed(Leaving(Errand.YIELD, "engine", "the study was paused"))

    # --- ending ---

    def _finish(self, interrupts: Interrupts) -> bool:
        """Nothing runs and nothing can be started: whether that is the end, and what the study becomes."""
        fold = self._lead.fold
        if fold.status is StudyStatus.CANCELLED or interrupts.count:
            if self._runs.active:  # parked ones
                self._runs.kill_all(Leaving(Errand.YIELD, "engine", "interrupted"))
                return False
            if fold.status is StudyStatus.RUNNING:
                self._lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.PAUSED, reason="interrupted"))
            self._commit()
            return True
        if fold.status is StudyStatus.QUEUED:  # cancelled, and given more to do before the last trial had left
            self._lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.RUNNING))
            return False
        if fold.status is StudyStatus.PAUSED and not self._stopping:
            return False  # waits for somebody to resume it
        if end_left(self._lead, self._runs, all_of_them=self._stopping or self._guard()):
            return False
        status, reason = self._verdict()
        self._lead.emit(StudyStatusChanged(was=fold.status, status=status, reason=reason))
        self._commit()
        return True

    def _verdict(self) -> tuple[StudyStatus, str]:
        fold = self._lead.fold
        left = self._lead.live()
        if left and not self._stopping:
            first = left[0]
            what = "is paused" if first.status is TrialStatus.PAUSED else f"is still out ({first.worker})"
            return StudyStatus.PAUSED, f"trial {first.number} {what}"
        why = self._stopping or self._guard() or ("" if not guards.trials_left(fold) else self._exhausted)
        return guards.final_status(fold, why, self._commonest_failure)

    def _commonest_failure(self) -> str:
        self._commit()
        store, study_id = self._a.store, self._lead.fold.spec.id
        page = self._patiently(lambda: store.trials(study_id, status=(TrialStatus.FAILED,), limit=500))
        messages = Counter(trial.error.message for trial in page.trials if trial.error is not None)
        return messages.most_common(1)[0][0] if messages else "no reason is known"

    # --- looking up ---

    def _commit(self) -> None:
        self._publisher.commit(self._lead)
        self._keeper.sweep()

    def _patiently(self, read: Callable[[], R]) -> R:
        """What the store tells, however long it is away."""
        return self._publisher.patiently(self._lead, read)

    def _find_trial(self, number: int) -> Trial:
        number = control.check_not_found(number)
        store, study_id = self._a.store, self._lead.fold.spec.id
        return self._lead.trials.get(number) or self._patiently(lambda: store.trial(study_id, number))

    def _metrics_at(self, number: int, step: int) -> Metrics:
        self._commit()
        known: dict[str, float] = {}
        for report in self._patiently(lambda: self._a.store.reports(self._lead.fold.spec.id, number)):
            if not report.superseded and report.step <= step:
                known.update(report.metrics)
        return known
