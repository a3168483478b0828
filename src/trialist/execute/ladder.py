"""How the first process of a family is ended, and what it left behind: TERM, grace, KILL, then everything that is marked.

Knows pids and a mark, no trial and no worker.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable

from trialist.execute.processes import Family, has_orphans, kill_all, of_trial, send_group

_LOOKS = 3
_KILL_AGAIN_S = 0.5


class Ladder:
    """A process in a session of its own, and its family, from its start until nothing of it is left.

    Args:
        pid: The first process, the leader of its session.
        token: What its family carries in the environment.
        grace_s: Seconds between TERM and KILL.
        parent: Whose child it is; ``None``: this process's.
    """

    def __init__(self, pid: int, token: str, grace_s: float, parent: int | None = None) -> None:
        self.pid = pid
        self.token = token
        self.parent = parent
        self.due: float | None = None
        """When ``act`` wants to be called."""
        self.status: int | None = None
        """What ``waitpid`` said; ``None`` while it lives."""
        self.is_clean = False
        """Nothing of the family runs any more."""
        self._grace_s = grace_s
        self.is_ending = False
        """TERM was sent."""
        self._looks = 0
        self._pause_s = 0.002

    @property
    def exited(self) -> bool:
        """Whether the first process is gone."""
        return self.status is not None

    def end(self, grace_s: float | None = None) -> None:
        """TERM now, KILL after the grace; a second call can only make it sooner."""
        if self.exited:
            return
        due = time.monotonic() + (self._grace_s if grace_s is None else grace_s)
        if not self.is_ending:
            self.is_ending, self.due = True, due
            send_group(self.pid, signal.SIGTERM)
            send_group(self.pid, signal.SIGCONT)  # one that sleeps in SIGSTOP must wake up to hear it
        elif self.due is not None:
            self.due = min(self.due, due)

    def leaves_by(self, seconds: float) -> None:
        """It was asked to leave by itself; TERM after so many seconds."""
        if not self.is_ending and not self.exited:
            self.due = time.monotonic() + seconds

    def reaped(self, status: int) -> None:
        """The first process is gone."""
        self.status, self.due = status, 0.0

    def act(self, others: Iterable[int], *, alone: bool) -> None:
        """Do what is due.

        Args:
            others: First processes of the other families.
            alone: There is no other family, so an orphan without any mark is of this one too.
        """
        now = time.monotonic()
        if not self.exited and not self.is_ending:
            self.end()
        elif not self.exited:
            send_group(self.pid, signal.SIGKILL)
            kill_all(self._family(others, alone=alone).members)
            self.due = now + _KILL_AGAIN_S
        else:
            self.is_clean = self.is_clean or self._end_family(others, alone=alone)
            self._pause_s = min(0.1, self._pause_s * 2)
            self.due = None if self.is_clean else now + self._pause_s

    def _family(self, others: Iterable[int], *, alone: bool) -> Family:
        return of_trial(self.pid, self.token.encode(), others, alone=alone, parent=self.parent)

    def _end_family(self, others: Iterable[int], *, alone: bool) -> bool:
        if not has_orphans(others):
            return True  # whatever outlives its first process becomes a child of ours
        family = self._family(others, alone=alone)
        kill_all(family.members)
        self._looks += 1
        # The system may show a process without its environment for a moment, so a stranger is looked at again.
        return not family.members and (not family.strangers or self._looks > _LOOKS)
