"""The loop: suggests, places, runs, hears, decides and commits, until there is nothing left to do.

A tick is: commands → waiting trials, promotions, suggestions → commit → start → poll → events → commit. Results and the
suggestions that follow from them share a commit. Knows ports and records; which searcher, store or executor these are was
decided by a front door.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from trialist.core import faults
from trialist.core.errors import LeaseLost, StoreError
from trialist.core.events import StudyStatusChanged, StudyWithdrawn
from trialist.core.ports import ExitedSignal, Signal
from trialist.core.records import Command, Lease, OutcomeKind, Study
from trialist.core.states import StudyStatus
from trialist.engine.archive import Archive
from trialist.engine.assembly import Assembly, RunEnd
from trialist.engine.clients import Clients
from trialist.engine.context import Context
from trialist.engine.course import Course
from trialist.engine.finish import Finish
from trialist.engine.giving import Giving
from trialist.engine.hearing import Hearing
from trialist.engine.heartbeat import Heartbeat
from trialist.engine.interrupts import Interrupts
from trialist.engine.keeping import CheckpointKeeper
from trialist.engine.orders import COMMANDS_EVERY_S, Orders
from trialist.engine.outcome import Errand, Leaving
from trialist.engine.publisher import Publisher
from trialist.engine.recover import begin_leading, take_up
from trialist.engine.replies import Replies
from trialist.engine.runs import Runs
from trialist.engine.starting import Starting

_log = logging.getLogger("trialist")
COMMIT_EVERY_S = 0.005
COMMIT_RECORDS = 256
_LONGEST_REASON = 300


class Engine:
    """Leads one study in this process, on the calling thread.

    Args:
        assembly: What it is made of.
        lease: Held by the caller; released by the caller.
        study: The row, read under the lease.
    """

    def __init__(self, assembly: Assembly, lease: Lease, study: Study) -> None:
        self._a = assembly
        self._lease = lease
        self._thread = threading.get_ident()
        self._interrupts = Interrupts(assembly.say, assembly.executor)
        self._publisher = Publisher(assembly, give_up=lambda: self._interrupts.kills)
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
        self._archive = Archive(assembly.store, self._lead, self._publisher, self._keeper)
        self._runs = Runs(
            lead=self._lead,
            executor=assembly.executor,
            placement=assembly.placement,
            keeper=self._keeper,
            scheduler=assembly.scheduler.name,
        )
        self._hearing = Hearing(
            lead=self._lead,
            runs=self._runs,
            executor=assembly.executor,
            scheduler=assembly.scheduler,
            keeper=self._keeper,
        )
        self._replies = Replies(self._lead, assembly.replier, assembly.executor.wake, self._archive.commit)
        self._course = Course(self._lead)
        self._starting = self._make_starting()
        self._giving = Giving(
            lead=self._lead,
            runs=self._runs,
            starting=self._starting,
            searcher=assembly.searcher,
            scheduler=assembly.scheduler,
            replies=self._replies,
            course=self._course,
            check_params=assembly.check_params if assembly.check_suggestions else None,
        )
        self._orders = Orders(
            lead=self._lead,
            runs=self._runs,
            context=self._context(),
            course=self._course,
            store=assembly.store,
            clock=assembly.clock,
            commit=self._archive.commit,
            say=assembly.say,
        )
        self._finish = Finish(
            lead=self._lead,
            runs=self._runs,
            course=self._course,
            commit=self._archive.commit,
            failures=self._archive.failures,
            hands_back=assembly.hands_back,
        )

    def _make_starting(self) -> Starting:
        return Starting(
            lead=self._lead,
            runs=self._runs,
            executor=self._a.executor,
            scheduler=self._a.scheduler,
            keeper=self._keeper,
            workspace=self._a.workspace,
            metrics_at=self._archive.metrics_at,
            timeout_s=self._a.timeout_s,
            say=self._a.say,
        )

    def _context(self) -> Context:
        return Context(
            lead=self._lead,
            floor=self._runs,
            check_params=self._a.check_params,
            find_trial=self._archive.trial,
            find_checkpoint=self._keeper.last_of,
            clients=Clients(self._lead, self._a.searcher, self._a.scheduler).handlers(),
        )

    # --- from outside ---

    def run(self) -> RunEnd:
        """Lead the study until it has ended, or until it was interrupted.

        Raises:
            LeaseLost: Another process took over; nothing was written since.
            StoreError: The store was away for longer than ``STORE_PATIENCE_S``, or until somebody lost patience with it.
        """
        heartbeat = Heartbeat(self._a.store, self._lease, self._lead, self._a.executor.wake, self._a.executor.lead_for)
        interrupts = self._interrupts
        fenced = False
        try:
            with heartbeat, interrupts:
                try:
                    self._begin()
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
                    self._replies.drop()
                    self._a.executor.close()
        finally:
            if not fenced:
                self._publisher.close()
        self._publisher.call_back(self._lead)
        return RunEnd(self._lead.fold.study(), interrupts.count > 0)

    def _begin(self) -> None:
        for trial in begin_leading(self._lead, self._a.configured, self._a.budget):
            self._runs.ended(trial)
        if not self._a.hands_back and self._lead.fold.submitted_at is not None:
            self._lead.emit(StudyWithdrawn())  # or workers would take it when this process dies
        faults.point("engine.settled")
        self._archive.commit()
        faults.point("engine.opened")

    def carry_out(self, command: Command) -> dict[str, Any]:
        """Carry a command out; for calls from this engine's own thread (a callback), which cannot wait for its loop.

        Raises:
            UserError, Conflict, NotFound: It was refused.
        """
        with self._interrupts.engine_code():
            return self._orders.carry_out(command)

    def settle(self) -> None:
        """Make durable what has happened so far, for a reader in this process; on any thread.

        Raises:
            LeaseLost: Another process took over; nothing was written.
            StoreError: The store is away; on the engine's own thread, for longer than ``STORE_PATIENCE_S``.
        """
        if not self._lead.pending:
            return
        if threading.get_ident() != self._thread:
            self._lead.commit()
            return
        with self._interrupts.engine_code():
            self._archive.commit()

    def _break_off(self, error: Exception) -> None:
        """Something that is no trial's failure ends the run (a callback or a searcher that raised, say).

        What runs is ended and waits for the next run, and the study is not left running.
        """
        if isinstance(error, StoreError):
            return  # nothing can be written
        fold = self._lead.fold
        reason = f"interrupted by {type(error).__name__}: {error}".rstrip(": ")[:_LONGEST_REASON]
        try:
            self._lead.deafen()
            self._runs.broken_off()
            if fold.status is StudyStatus.RUNNING:
                self._lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.PAUSED, reason=reason))
            self._lead.commit()
        except Exception as second:  # noqa: BLE001  the first one is what the caller must see
            _log.warning("study '%s' was not marked as paused: %s", fold.spec.name, second)

    # --- the tick ---

    def _tick(self, interrupts: Interrupts) -> bool:
        """One round; returns whether there is another."""
        self._orders.take()
        self._heed(interrupts)
        self._replies.collect()
        self._giving.fill()
        if self._runs.has_launches:
            if not self._a.executor.runs_ahead or self._commit_due():
                self._archive.commit()
            self._starting.launch()
        elif not self._runs.running and not self._replies.outstanding:
            if self._called_back() and not interrupts.count:
                return True  # a callback may have given the study something to do
            if self._finish.reached(interrupted=interrupts.count > 0):
                return False
        if interrupts.polling(lambda: self._poll(interrupts)):
            self._runs.broken_off()
        # A callback comes before the next trial begins: it may stop the study, or add to it.
        if self._commit_due() or (self._a.on_end is not None and self._lead.pending):
            self._archive.commit()
        self._publisher.call_back(self._lead)
        return True

    def _called_back(self) -> bool:
        """Tell the callbacks of all that has ended so far; returns whether anything happened meanwhile."""
        seq = self._lead.fold.seq
        self._archive.commit()
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
            faults.point("engine.signal.before")
            self._hearing.on_signal(signal)
            faults.point("engine.signal.after")
            if self._commit_due():
                self._archive.commit()
            if self._a.executor.runs_ahead:
                self._orders.take()
                self._orders.heed_pause()

    def _heed(self, interrupts: Interrupts) -> None:
        """React to interrupts and to a paused study."""
        if interrupts.count:
            self._course.interrupted = "interrupted"
            if self._a.hands_back:
                self._runs.yield_checkpointed(Leaving(Errand.YIELD, "engine", "its worker leaves"))
        if interrupts.kills:
            self._replies.drop()
        if interrupts.kills and self._runs.active:
            self._runs.kill_all(Leaving(Errand.YIELD, "engine", "interrupted"))
        self._orders.heed_pause()
