"""For how long what runs may run unheard: told on at each renewal of the lease, and while the store gives no answer.

A store that is away keeps others from leading too, so what runs may go on until it is back, however long one call waits for
it. A process that was frozen is another matter: meanwhile others could lead, so once its word has run out it says nothing
more until the lease is renewed. Knows neither stores nor executors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PART = 0.8
"""The part of a lease during which trials may run unheard: so they are gone when it has run out."""


class Trust:
    """Context manager around the time during which a process leads; its word is given when it begins.

    Args:
        lease_s: How long the lease runs.
        lead_for: Told for how many seconds from now the lease can be counted on; from two threads, one at a time.
        now: Seconds of a clock that goes on while this process is frozen.
    """

    def __init__(self, lease_s: float, lead_for: Callable[[float], None], now: Callable[[], float]) -> None:
        self._span_s = lease_s * _PART
        self._lead_for = lead_for
        self._now = now
        self._until = 0.0
        self._is_asking = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trialist-trust", daemon=True)

    def __enter__(self) -> Trust:
        self.renewed(self._now())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def renewed(self, asked_at: float) -> None:
        """The lease was renewed, and runs from when the store was asked. Takes back no word that still holds."""
        with self._lock:
            now = self._now()
            self._until = max(asked_at + self._span_s, self._until if now < self._until else 0.0)
            self._lead_for(self._until - now)

    def unanswered(self) -> None:
        """The store is away: nobody else can lead. Does nothing once the last word has run out."""
        with self._lock:
            now = self._now()
            if now < self._until:
                self._until = now + self._span_s
                self._lead_for(self._span_s)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While a call waits for the store, which may take longer than the last word holds."""
        self._is_asking = True
        try:
            yield
        finally:
            self._is_asking = False

    def _run(self) -> None:
        while not self._stop.wait(self._span_s / 4):
            if self._is_asking and self._until - self._now() < self._span_s / 2:
                self.unanswered()
