"""A thread beside the loop that keeps the lease alive and commits what a busy trial leaves waiting.

An inline trial may compute for an hour on the engine's own thread; what was emitted before it began must be durable and
visible all the same. Knows nothing of trials.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from trialist.core.errors import LeaseLost, StoreError
from trialist.core.ports import Store
from trialist.core.records import Lease
from trialist.engine.lead import Lead
from trialist.engine.trust import Trust

_log = logging.getLogger("trialist")
VISIBLE_AFTER_S = 0.1
"""What is emitted becomes visible to other processes within about this time."""


class Heartbeat:
    """Context manager around the time during which a process leads a study.

    Args:
        store: Where the lease lives.
        lease: The lease.
        lead: Whose waiting events are committed.
        on_lost: Called once, from this thread, when the lease is gone.
        lead_for: Told for how many seconds from now the lease can be counted on.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        lead: Lead,
        on_lost: Callable[[], None],
        lead_for: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._lease = lease
        self._lead = lead
        self._on_lost = on_lost
        self._trust = Trust(lease.ttl_s, lead_for, lead.clock.monotonic)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trialist-heartbeat", daemon=True)
        self.lost: LeaseLost | None = None

    def __enter__(self) -> Heartbeat:
        self._trust.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._trust.__exit__()

    def _run(self) -> None:
        clock = self._lead.clock
        every_s = self._lease.ttl_s / 3
        told = ""
        due = clock.monotonic()  # at once: what went before may have taken a while
        while not self._stop.wait(min(VISIBLE_AFTER_S, every_s)):
            try:
                with self._trust.asking():
                    asked_at = clock.monotonic()
                    if asked_at >= due:
                        self._renew(asked_at)
                        due = asked_at + every_s  # the lease runs from then: after a long wait for the store, at once
                    self._commit_waiting()
            except LeaseLost as error:
                self.lost = error
                self._on_lost()
                return
            except StoreError as error:
                # The loop meets the same error at its own commit and says so there; the lease is tried again.
                _log.debug("heartbeat of study %s: %s", self._lease.study_id, error)
            except Exception as error:  # noqa: BLE001  a defect, which the loop meets at its own commit: the lease goes on
                if str(error) != told:
                    told = str(error)
                    _log.warning("heartbeat of study %s: %s: %s", self._lease.study_id, type(error).__name__, error)

    def _renew(self, asked_at: float) -> None:
        try:
            self._store.renew_lease(self._lease)
        except LeaseLost:
            raise
        except StoreError:
            self._trust.unanswered()
            raise
        self._trust.renewed(asked_at)

    def _commit_waiting(self) -> None:
        lead = self._lead
        if not lead.pending or lead.clock.monotonic() - lead.last_commit < VISIBLE_AFTER_S:
            return
        # The engine may be in a commit of its own, held up by a slow sink; the lease must not wait for that.
        if lead.lock.acquire(blocking=False):
            try:
                lead.commit()
            finally:
                lead.lock.release()
