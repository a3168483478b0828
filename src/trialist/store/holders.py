"""Who this process is towards a lease, and whether the process behind a lease still lives.

Knows processes and clocks of this machine; knows no store. Two holders with one ``machine`` (boot id and PID namespace)
see each other's processes and share a clock that no one can set; between machines only the wall clock is left.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from trialist.core.records import Holder

_PROC = Path("/proc")


def holder() -> Holder:
    """This process as the holder of a lease; after a fork, the child's own."""
    return _holder(os.getpid())


@cache
def _holder(pid: int) -> Holder:
    started, _ = _process(pid) or ("", False)
    return Holder(host=platform.node() or "localhost", machine=_machine(), pid=pid, pid_started=started)


def is_alive(who: Holder) -> bool:
    """Whether the process lives, as far as this machine can tell.

    ``False`` only where it is certain: the holder is of this machine, and its process is gone, is a zombie, or its PID
    belongs to another process now. A stopped process (SIGSTOP) is alive; a holder elsewhere counts as alive.
    """
    if who.machine != _machine():
        return True
    found = _process(who.pid)
    if found is None:
        return False
    started, zombie = found
    return not zombie and started == who.pid_started


def wall_time() -> float:
    """Seconds since the epoch, by this machine's clock."""
    return time.time()


class LeaseState(NamedTuple):
    """A study's lease as stores keep it."""

    epoch: int = 0
    holder: Holder | None = None
    """``None``: never taken, or released."""
    boot_until: float = 0.0
    """When it runs out, on the holder's machine's clock since boot."""
    wall_until: float = 0.0
    """The same in seconds since the epoch, for takers on other machines."""
    now: Callable[[], float] = wall_time
    """The clock of ``wall_until``: this machine's, or one that all machines share where the store has one."""

    def taken(self, who: Holder, ttl_s: float) -> LeaseState:
        """The state after ``who`` took it."""
        return LeaseState(self.epoch + 1, who, boot_time() + ttl_s, self.now() + ttl_s, self.now)

    def renewed(self, ttl_s: float) -> LeaseState:
        """The state after its holder renewed it."""
        return self._replace(boot_until=boot_time() + ttl_s, wall_until=self.now() + ttl_s)

    def leader(self) -> Holder | None:
        """Who leads now: ``None`` when nobody holds it, it has run out, or its holder is known to be dead.

        On one machine the time since boot decides, which neither a person nor a time server can set.
        """
        if self.holder is None:
            return None
        same_machine = self.holder.machine == _machine()
        expired = boot_time() >= self.boot_until if same_machine else self.now() >= self.wall_until
        return None if expired or not is_alive(self.holder) else self.holder


def boot_time() -> float:
    """Seconds since this machine started, time asleep included where the platform can tell (Linux)."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@cache
def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        boot = _output("sysctl", "-n", "kern.bootsessionuuid")
        return f"{boot or platform.node()}/0"


def _process(pid: int) -> tuple[str, bool] | None:
    """Start time of a process and whether it is a zombie; ``None`` where there is no such process."""
    if _PROC.joinpath("self/stat").exists():
        try:
            stat = (_PROC / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The second field is the command's name in brackets and may hold anything, brackets and blanks included.
        fields = stat.rpartition(")")[2].split()
        return fields[19], fields[0] in "ZX"
    line = _output("ps", "-o", "stat=,lstart=", "-p", str(pid))
    if not line:
        return None
    state, _, started = line.partition(" ")
    return " ".join(started.split()), state.startswith("Z")


def _output(*command: str) -> str:
    """What a command prints, without the blanks around it; empty where it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
