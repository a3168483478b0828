"""The process that leads one study for a worker: ``python -m trialist.worker.leading FD``.

It waits with everything imported until its worker says that there is room, claims a study, leads it to its end, and ends.
So a study's crash is that process's own, and a holder of a lease is a process. When its worker dies it stops its trials,
queues the study for others and ends. Knows nothing of other studies.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from trialist.api.leading import Turn
from trialist.api.naming import artifacts_dir
from trialist.api.progress import expected
from trialist.api.steering import SystemClock
from trialist.api.study import Study
from trialist.core import faults
from trialist.core.errors import Conflict, LeaseLost, StoreBusy, StoreError, StudyLed, TrialistError
from trialist.core.events import CheckpointFreed, LeaseLapsed, Noted, StudyClaimed, StudyStatusChanged, TrialEnded
from trialist.core.ports import Store
from trialist.core.records import Failure, FailureReason, Lease, OutcomeKind, Trial
from trialist.core.records import Study as StudyRow
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.lead import Lead
from trialist.engine.outcome import end_at_rest
from trialist.engine.recover import take_up
from trialist.store.holders import holder
from trialist.store.locate import open_store
from trialist.worker.admission import Room, Share, fits
from trialist.worker.leader_log import printing_into
from trialist.worker.messages import Line, Message
from trialist.worker.objectives import ready

MAX_CLAIMS = 3
"""After so many leaders in a row that died before anything came of it, the study itself is the likely cause."""
STORE_TIMEOUT_S = 10.0
"""How long one call may wait for other writers; an engine tries again, and heeds between two tries that it is to leave."""
LAST_WORDS_S = 30.0
"""How long a study may take to stop when its worker is gone."""
_NOT_HERE = (
    "trial {}'s checkpoint at step {} is not on the machine that leads now ({}): it starts again; give all workers one "
    "TRIALIST_ARTIFACTS directory that each of them reaches"
)
_log = logging.getLogger("trialist")
_clock = SystemClock()


class _Leave(BaseException):
    """Told to leave before the engine led."""


class LeadingProcess:
    """Leads one study on behalf of a worker.

    Args:
        line: To the worker.
        setup: The worker's first message: ``store``, ``lease_s``, ``name``, ``path``, ``resources``, ``devices``.
    """

    def __init__(self, line: Line, setup: Message) -> None:
        self._line = line
        self._name: str = setup["name"]
        self._lease_s: float = setup["lease_s"]
        self._whole = Room(setup["resources"], tuple(setup["devices"]))
        self._store = open_store(setup["store"], create=False, timeout_s=STORE_TIMEOUT_S)
        sys.path[:0] = [place for place in setup["path"] if place not in sys.path]

    def claim(self, free: Room) -> tuple[Lease, Share] | None:
        """The first study of the line that fits into what is free; ``None``: there is none."""
        shares: dict[str, Share] = {}

        def accepts(study: StudyRow) -> bool:
            share = fits(study.spec, self._whole, free)
            if share is not None:
                shares[study.id] = share
            return share is not None

        lease = self._store.claim_study(holder(), self._lease_s, accepts=accepts)
        return None if lease is None else (lease, shares[lease.study_id])

    def lead(self, lease: Lease, share: Share) -> None:
        """Lead a claimed study, and say how that ended."""
        try:
            faults.point("worker.claimed")
            self._lead(lease, share)
            faults.point("worker.ended")
            row = self._row(lease)
            self._line.send(op="ended", status=row.status.value, reason=row.reason, **_progress(row))
        except LeaseLost:
            self._line.send(op="lost")
        except StoreError as error:
            self._line.send(op="broke", error=str(error))

    def _lead(self, lease: Lease, share: Share) -> None:
        """Lead a study to wherever it gets.

        Raises:
            LeaseLost, StoreError: It is another's now, or waits for another leader.
        """
        with ExitStack() as stack:
            try:
                with _leaving():  # from before the worker knows: it may tell us to leave as soon as it does
                    study = self._begin(lease, share)
                    if study is None:
                        return
                    faults.point("worker.begun")
                    stack.enter_context(printing_into(self._folder(study.row) / "leader.log"))
                    if share.devices:
                        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share.devices)  # for trials in this process, too
                    with _kept(self._store, lease):
                        lead = ready(study)
                lead(Turn(lease, share.resources, share.devices))
            except (_Leave, KeyboardInterrupt):
                self._hand_back(lease)
            except (LeaseLost, StoreError):
                raise
            except TrialistError as error:
                self._fail(lease, str(error))
            except Exception as error:  # noqa: BLE001  it is written down, and the worker lives on
                _log.exception("study '%s'", lease.study_id)
                self._fail(lease, f"its leader ended with a defect: {type(error).__name__}: {error}")

    def _row(self, lease: Lease) -> StudyRow:
        row = self._store.find_study(lease.study_id)
        if row is None:
            raise LeaseLost(lease.study_id, lease.epoch)  # deleted
        return row

    # --- what the line of workers records ---

    def _begin(self, lease: Lease, share: Share) -> Study | None:
        """Record the claim before anything of the study's own runs; ``None`` where it took too many leaders down."""
        row = self._row(lease)
        self._line.send(
            op="claimed",
            study=row.name,
            resources=share.resources,
            devices=share.devices,
            took_over=row.worker if row.status is StudyStatus.RUNNING else None,
            **_progress(row),
        )
        if row.claims >= MAX_CLAIMS:
            self._fail(
                lease,
                f"{row.claims} processes that led it died one after another, and no trial came further: see 'leader.log' in "
                f"{self._folder(row)}",
            )
            return None
        lead = self._take_up(lease, row)
        lead.emit(StudyClaimed(worker=self._name, epoch=lease.epoch))
        if row.status is not StudyStatus.RUNNING:
            lead.emit(StudyStatusChanged(was=row.status, status=StudyStatus.RUNNING))
        for kept in self._store.checkpoints(row.id):
            if kept.trial in lead.trials and not Path(kept.path).is_dir():
                lead.emit(CheckpointFreed(trial=kept.trial, checkpoint=kept.id))
                lead.emit(Noted(message=_NOT_HERE.format(kept.trial, kept.step, kept.path), level="warning"))
        lead.commit()
        return Study(self._store, row)

    def _folder(self, row: StudyRow) -> Path:
        return artifacts_dir(self._store.url, row.id, row.name)

    def _fail(self, lease: Lease, reason: str) -> None:
        """End the study: nobody could go on with it."""
        self._settle(lease, StudyStatus.FAILED, reason)

    def _hand_back(self, lease: Lease) -> None:
        """Queue the study for other workers."""
        self._settle(lease, StudyStatus.QUEUED, "its worker left")

    def _settle(self, lease: Lease, status: StudyStatus, reason: str) -> None:
        """Leave a study that no engine leads (any more); does nothing where another process has taken it meanwhile."""
        try:
            self._store.renew_lease(lease)
            held: Lease | None = lease
        except LeaseLost:
            held = None  # the engine gave it back
        row = self._row(lease)
        if row.status is not StudyStatus.RUNNING and (
            status is StudyStatus.QUEUED or row.status is not StudyStatus.QUEUED
        ):
            return
        lead = self._take_up(held, row)
        if held is not None and row.led_since is not None:
            lead.emit(LeaseLapsed())
        if row.status is not StudyStatus.RUNNING:
            lead.emit(StudyStatusChanged(was=row.status, status=StudyStatus.RUNNING))
        if status is StudyStatus.FAILED:
            for trial in lead.live():
                lead.emit(_ended(trial, reason))
        lead.emit(StudyStatusChanged(was=StudyStatus.RUNNING, status=status, reason=reason))
        faults.point("worker.settling")
        with suppress(StudyLed, Conflict):
            lead.commit()
        faults.point("worker.settled")
        if held is not None:
            self._store.release_lease(held)

    def _take_up(self, lease: Lease | None, row: StudyRow) -> Lead:
        return take_up(store=self._store, lease=lease, study=row, searcher=None, scheduler=None, clock=_clock)


def _ended(trial: Trial, reason: str) -> TrialEnded:
    """The end of a trial of a study that nobody goes on with."""
    if trial.status is not TrialStatus.RUNNING:
        return end_at_rest(trial, TrialStatus.CANCELLED, by="engine", reason=reason)
    return TrialEnded(
        trial=trial.number,
        attempt=trial.attempt,
        status=TrialStatus.FAILED,
        step=trial.step,
        metrics=trial.metrics,
        error=Failure(reason=FailureReason.LOST, message="the process that led its study died while it ran"),
        outcome=OutcomeKind.LOST,
        by="engine",
        reason=reason,
    )


def _progress(row: StudyRow) -> dict[str, Any]:
    """What a worker says of a study."""
    metric = row.metric
    return {
        "counts": {status.value: count for status, count in row.counts.items() if count},
        "num_trials": expected(row),
        "jobs": row.spec.budget.jobs,
        "metric": None if metric is None else metric.name,
        "best_value": row.best_value,
        "best_trial": row.best_number,
    }


# --- the process ------------------------------------------------------------------------------------------------------


@contextmanager
def _leaving() -> Iterator[None]:
    """While no engine heeds them: INT and TERM hand the study back."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise _Leave

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # so that the engine takes it over


@contextmanager
def _kept(store: Store, lease: Lease) -> Iterator[None]:
    """Keep a lease while no engine does: an objective may take longer to import than a lease lasts."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(lease.ttl_s / 3):
            try:
                store.renew_lease(lease)
            except LeaseLost:
                return  # whoever writes next is told
            except StoreError as error:
                _log.debug("lease of %s: %s", lease.study_id, error)

    thread = threading.Thread(target=renew, name="trialist-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch_worker(line: Line) -> None:
    """End in order when the worker is gone, and in any case soon after."""
    while not line.is_gone:
        line.receive()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(LAST_WORDS_S)
    os.kill(os.getpid(), signal.SIGKILL)  # its warden ends what is left of its trials


def main(argv: list[str]) -> int:
    """Wait for room, claim a study, lead it, end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until there is a study; the worker closes the line instead
    line = Line(socket.socket(fileno=int(argv[0])))
    messages = _next(line)
    try:
        leader = LeadingProcess(line, messages.pop(0))
    except StoreError as error:
        line.send(op="away" if isinstance(error, StoreBusy) else "unusable", error=error.problem)
        return 0
    line.send(op="ready")
    while True:
        if not messages:
            messages = _next(line)
        if not messages:
            return 0  # no longer needed
        asked = messages.pop(0)
        try:
            claimed = leader.claim(Room(asked["resources"], tuple(asked["devices"])))
        except StoreError as error:
            line.send(op="none", error=str(error))
            continue
        if claimed is None:
            line.send(op="none")
            continue
        threading.Thread(target=_watch_worker, args=(line,), name="trialist-worker-watch", daemon=True).start()
        leader.lead(*claimed)
        return 0


def _next(line: Line) -> list[Message]:
    """The next messages; empty: the worker has left."""
    messages: list[Message] = []
    while not messages and not line.is_gone:
        messages = line.receive()
    return messages


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
