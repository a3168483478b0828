"""An attempt in a host, a worker process that runs many trials (``runtime.host``).

It is stopped through its reports; one that does not heed costs the host. Knows its host and its orders, no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trialist.execute.attempts import Attempt, Tell, Timer
from trialist.execute.logs import CappedLog
from trialist.runtime.protocol import Order

if TYPE_CHECKING:
    from trialist.execute.worker import Host

Ask = Callable[[Attempt], None]


class HostedAttempt(Attempt):
    """A trial in a host, from its start to the message that it has ended.

    Args:
        order: The ``start`` message.
        tell: Takes messages for the engine.
        host: Where it runs.
        ask: Passes ``told`` on to the trial.
    """

    def __init__(self, order: Mapping[str, Any], tell: Tell, host: Host, ask: Ask) -> None:
        super().__init__(order, tell)
        self.host = host
        self.is_lost = False
        """Its host died, and not because of it alone as far as anybody knows."""
        self.has_begun = False
        """Whether its host has said so."""
        self._ask = ask

    def begin(self) -> None:
        """Hand it to the host.

        Raises:
            OSError: A log cannot be opened.
        """
        self.open()
        self.host.begin(self, self._order)

    def end(self, why: str, grace_s: float | None = None) -> None:
        """End it: one that shares its host, or sits parked, is asked first; after the grace, or else at once, with its host."""
        self._because(why)
        if self.exited:
            return
        polite = why in ("kill", "timeout") and (self.host.is_shared or self.parked)
        if not polite or self.host.ladder.is_ending:
            super().end(why, grace_s)
        elif self._timer is not Timer.PATIENCE:
            self.told = Order.STOP
            self._be_patient()
            self._ask(self)

    def stop(self) -> None:
        if not self._why and not self.spoke and self.host.is_shared:
            self.told = Order.STOP  # it may speak yet, and all else costs its neighbours
            self._because("stop")
            self._be_patient()
        else:
            super().stop()

    def _end_it(self, grace_s: float | None) -> None:
        self.host.end(grace_s)

    def ended(self, code: int) -> None:
        """It says that it has ended, and the host goes on."""
        self._status, self.exited = code << 8, True

    @property
    def is_clean(self) -> bool:
        """It has ended, and so has all that it started, where that can be told apart from what others started."""
        return self.exited and (not self.host.is_leaving_for(self) or self.host.ladder.is_clean)

    def _logs(self) -> list[CappedLog]:
        """Its own; where it wrote nothing and its host died, that one's last words may say why."""
        logs = super()._logs()
        silent = self.host.ladder.exited and not any(log.recent for log in logs)
        return [*logs, self.host.output.log] if silent else logs

    @property
    def is_out_of_time(self) -> bool:
        """Whether it is to end because it took too long."""
        return self._why == "timeout"

    def finish(self) -> None:
        if self.is_lost:
            self.close_outputs()
        else:
            super().finish()
        self.host.finished(self)
