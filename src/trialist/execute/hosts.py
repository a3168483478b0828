"""All hosts of a warden: which one takes a trial, and which have served their time.

Hosts are started as fresh interpreters, kept, and used again. Knows orders and hosts, no engine and no selector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trialist.execute.worker import Host, Others, key_of


class Hosts:
    """All hosts of a warden.

    Args:
        base: The environment of all trials.
        tie: See ``Attempt.spawn``.
        others: First processes of all families of the warden.
    """

    def __init__(self, base: Mapping[str, str], tie: Callable[[], None], others: Others) -> None:
        self.all: list[Host] = []
        self._base = base
        self._tie = tie
        self._others = others
        self._count = 0

    def find(self, order: Mapping[str, Any]) -> Host | None:
        """A host with room for the trial of a ``start`` message; the fullest, so that others become empty."""
        key = key_of(order["host"])
        fitting = []
        for host in self.all:
            if host.key == key and host.has_room:
                if not host.is_current and not host.attempts:
                    host.retire()
                elif host.is_current:
                    fitting.append(host)
        return max(fitting, key=lambda host: len(host.attempts), default=None)

    def make(self, order: Mapping[str, Any]) -> Host:
        """A new one for the trial of a ``start`` message.

        Raises:
            OSError: It cannot be started.
        """
        self._count += 1
        mark = order["token"].partition("-")[0]
        host = Host(
            order["host"], f"{mark}-worker-{self._count}", self._base, self._tie, order["grace_s"], self._others
        )
        self.all.append(host)
        return host

    def of(self, pid: int) -> Host | None:
        """The host with this pid."""
        return next((host for host in self.all if host.ladder.pid == pid and not host.ladder.exited), None)

    def settle(self, host: Host) -> None:
        """After an attempt of it has ended: see whether it has served its time, or is one too many."""
        if host.attempts or host.retires:
            return
        idle = [other for other in self.all if other.key == host.key and not other.attempts and not other.retires]
        if host.is_worn or len(idle) > host.spare:
            host.retire()

    def pids(self) -> list[int]:
        """First processes of all of them."""
        return [host.ladder.pid for host in self.all]

    def close(self, grace_s: float) -> None:
        """End all of them."""
        for host in self.all:
            if host.attempts:
                host.end(grace_s)
            else:
                host.retire()
                host.ladder.leaves_by(grace_s)
