"""Commits of a led study: through a store that is away or full, and on to sinks and callbacks.

Knows nothing of what the events mean beyond which trials ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from trialist.core import faults
from trialist.core.errors import StoreBusy, StoreFull
from trialist.core.events import Noted, TrialEnded
from trialist.core.records import Trial
from trialist.engine.assembly import Assembly
from trialist.engine.interrupts import Interrupts
from trialist.engine.lead import Batch, Lead

R = TypeVar("R")
STORE_PATIENCE_S = 600.0
"""How long a store may be away before the engine gives up; what runs goes on meanwhile."""
_LONGEST_WAIT_S = 2.0


class Publisher:
    """Makes what a lead emitted durable, then visible.

    Args:
        assembly: Its sinks, its callback, its clock and the voice to the person at the terminal.
        give_up: Whether somebody has lost patience with a store that is away: a second Ctrl-C.
    """

    def __init__(self, assembly: Assembly, give_up: Callable[[], bool]) -> None:
        self._a = assembly
        self._give_up = give_up
        self._sinks = list(assembly.sinks)
        self._ended: list[Trial] = []

    def commit(self, lead: Lead) -> None:
        """Commit, waiting out a store that is away or full.

        Raises:
            StoreBusy, StoreFull: It was away for longer than ``STORE_PATIENCE_S``, or ``give_up`` said so.
        """
        seq = lead.fold.seq
        self.patiently(lead, lead.commit)
        if lead.fold.seq != seq:
            self.commit(lead)  # the note about the wait

    def patiently(self, lead: Lead, call: Callable[[], R]) -> R:
        """Call the store until it answers; that it was away becomes an event.

        Raises:
            StoreBusy, StoreFull: It was away for longer than ``STORE_PATIENCE_S``, or ``give_up`` said so.
        """
        away_since: float | None = None
        delay_s = 0.05
        while True:
            try:
                result = call()
                break
            except (StoreBusy, StoreFull) as error:
                now = self._a.clock.monotonic()
                if away_since is None:
                    away_since = now
                    what = "is full" if isinstance(error, StoreFull) else "does not answer"
                    self._a.say(f"the store {what}; nothing is lost, trying on ({error})")
                if now - away_since > STORE_PATIENCE_S or self._give_up():
                    raise
                Interrupts.pause(delay_s)
                delay_s = min(_LONGEST_WAIT_S, delay_s * 2)
        if away_since is not None:
            away_s = self._a.clock.monotonic() - away_since
            self._a.say(f"the store is back after {away_s:.0f} s")
            lead.emit(Noted(level="warning", message=f"the store was away for {away_s:.0f} s"))
        return result

    def after_commit(self, batch: Batch) -> None:
        """Show committed events to the sinks, and remember the ended trials for ``call_back``."""
        self._ended += [batch.trials[e.body.trial] for e in batch.events if isinstance(e.body, TrialEnded)]
        for sink in list(self._sinks):
            try:
                faults.point("engine.sinks.before")
                sink.write(batch.events, batch.trials)
                faults.point("engine.sinks.after")
            except Exception as error:  # noqa: BLE001  a sink can never fail a study
                self._sinks.remove(sink)
                self._a.say(f"{type(sink).__name__} is switched off: {error}")

    def call_back(self, lead: Lead) -> None:
        """Call ``on_end`` for each trial whose end was committed since the last time; on the engine's thread."""
        with lead.lock:
            ended, self._ended = self._ended, []
        if self._a.on_end is not None:
            for trial in ended:
                faults.point("engine.callback.before")
                self._a.on_end(trial)
                faults.point("engine.callback.after")

    def close(self) -> None:
        """Close all sinks, those that were switched off too."""
        for sink in self._a.sinks:
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001  a sink can never fail a study
                self._a.say(f"{type(sink).__name__}: {error}")
