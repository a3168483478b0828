"""The wardens of an executor: one that its trials share, and one each for trials that must run apart.

Knows when they start and end, and up to when they may let trials run; nothing of what they say.
"""

from __future__ import annotations

import os
import threading
import time

from trialist.execute.processes import end_marked
from trialist.execute.warden_process import WardenProcess

_SWEEP_S = 3.0


class Wardens:
    """All wardens of an executor. ``lead_for`` may be called from any thread, all else from one."""

    def __init__(self) -> None:
        self.mark = os.urandom(8).hex()
        """Begins the mark of each warden, and so the token of each trial."""
        self._shared: WardenProcess | None = None
        self._apart: list[WardenProcess] = []
        self._count = 0
        self._until: float | None = None
        """Up to when trials may run, in the time of ``time.monotonic``; ``None``: nobody has said so."""
        self._lock = threading.Lock()
        """Keeps ``lead_for`` of another thread from writing to a descriptor that was given back."""

    @property
    def all(self) -> list[WardenProcess]:
        """Those that were started and are not known to be gone."""
        return self._apart if self._shared is None else [self._shared, *self._apart]

    def shared(self) -> WardenProcess:
        """The one that trials share, started where there is none.

        Raises:
            OSError: It cannot be started.
        """
        if self._shared is None:
            self._shared = self._started()
        return self._shared

    def apart(self) -> WardenProcess:
        """A new one for a single trial; ``leave`` it when that has ended.

        Raises:
            OSError: It cannot be started.
        """
        warden = self._started()
        self._apart.append(warden)
        return warden

    def _started(self) -> WardenProcess:
        self._count += 1
        with self._lock:
            warden = WardenProcess(f"{self.mark}.{self._count}")
            if self._until is not None:
                warden.lead_until(self._until)
        return warden

    def lead_for(self, seconds: float) -> None:
        """See ``Executor.lead_for``."""
        with self._lock:
            self._until = time.monotonic() + seconds
            for warden in self.all:
                warden.lead_until(self._until)

    def leave(self, warden: WardenProcess) -> None:
        """Have one that is apart end by itself; it is ``dispose``-d of when it is gone."""
        if warden in self._apart:
            warden.send({"op": "close"})

    def dispose(self, warden: WardenProcess) -> str:
        """Forget one that is gone, with all that it may have left; why it died, as far as it is known."""
        with self._lock:
            if warden is self._shared:
                self._shared = None
            else:
                self._apart.remove(warden)
            why = warden.dispose()
        end_marked(f"{warden.mark}-".encode(), _SWEEP_S)
        return why

    def close(self) -> None:
        """End all of them, and everything that they started."""
        with self._lock:
            leaving, self._shared, self._apart = self.all, None, []
        for warden in leaving:  # all at once, then each to its end
            warden.send({"op": "close"})
        for warden in leaving:
            if not warden.close():
                end_marked(f"{warden.mark}-".encode(), _SWEEP_S)
