"""The processes that lead a worker's studies: started, listened to, signalled, and buried when they end.

One of them may wait for a study. Knows what they are, and neither stores nor studies nor when one is wanted.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trialist.worker.admission import Share
from trialist.worker.messages import Line, Message

_LEAVES_WITHIN_S = 5.0
"""So long may a process that leads nothing take to end."""
_ENDS_WITHIN_S = 1.0
"""The end of a process is seen a moment after the end of its line."""


@dataclass(slots=True, eq=False)
class Leader:
    """A process that leads a study, or waits for one."""

    process: subprocess.Popen[bytes]
    line: Line
    is_ready: bool = False
    is_asked: bool = False
    study: str | None = None
    share: Share = field(default_factory=lambda: Share({}))
    end: Message | None = None
    """Its last word."""


class Heard(NamedTuple):
    """What a process said, or that it has ended."""

    leader: Leader
    message: Message | None
    """``None``: it has ended."""
    code: int = 0
    """Its exit code, where it has ended; below 0: the signal that ended it."""


class Crew:
    """All processes of one worker. One thread; ``wake`` may be called from a signal handler."""

    def __init__(self) -> None:
        self._leaders: list[Leader] = []
        self._dismissed: list[Leader] = []
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)

    @property
    def leading(self) -> list[Leader]:
        """Those that lead a study."""
        return [leader for leader in self._leaders if leader.study is not None]

    @property
    def spare(self) -> Leader | None:
        """The one that waits for a study, or claims one now."""
        return next((leader for leader in self._leaders if leader.study is None), None)

    def start(self, **setup: Any) -> None:
        """Start a process that waits for a study.

        Args:
            setup: What it has to know; see ``working.LeadingProcess``.

        Raises:
            OSError: The system gives no process.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "trialist.worker.leading", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C is the worker's business
                )
        except BaseException:
            ours.close()
            raise
        leader = Leader(process, Line(ours))
        self._leaders.append(leader)
        self._selector.register(leader.line, selectors.EVENT_READ, leader)
        leader.line.send(**setup)

    def wake(self) -> None:
        """Make a waiting ``listen`` return."""
        with suppress(BlockingIOError):
            os.write(self._waker, b".")

    def listen(self, timeout_s: float) -> Iterator[Heard]:
        """What is said and who ends, for at most so long; returns after the first things that happen."""
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                with suppress(BlockingIOError):
                    while os.read(self._woken, 4096):
                        pass
                continue
            leader: Leader = key.data
            yield from (Heard(leader, message) for message in leader.line.receive())
            if leader.line.is_gone:
                self._selector.unregister(leader.line)
                with suppress(subprocess.TimeoutExpired):  # a study's own code may close what it did not open
                    leader.process.wait(_ENDS_WITHIN_S)
        # Not by the end of the line: whatever a study's code has forked holds it open.
        for leader in [leader for leader in self._leaders if leader.process.poll() is not None]:
            yield from self._bury(leader)

    def _bury(self, leader: Leader) -> Iterator[Heard]:
        if not leader.line.is_gone:
            self._selector.unregister(leader.line)
            yield from (Heard(leader, message) for message in leader.line.rest())
        leader.line.close()
        self._leaders.remove(leader)
        yield Heard(leader, None, leader.process.returncode)

    def dismiss(self, leader: Leader) -> None:
        """A process that is not needed any more: it ends when its line does, and is waited for at the end."""
        self._selector.unregister(leader.line)
        leader.line.close()
        self._leaders.remove(leader)
        self._dismissed.append(leader)

    def signal(self, number: signal.Signals) -> None:
        """To all that lead; KILL to the one that waits, too."""
        for leader in self._leaders:
            if leader.study is not None or number is signal.SIGKILL:
                leader.process.send_signal(number)

    def close(self, leading_s: float) -> None:
        """Nobody is left behind: leaders whose line is closed stop by themselves, and are ended where they do not.

        Args:
            leading_s: How long one that leads may take.
        """
        for leader in self._leaders:
            leader.line.close()
        for leader in (*self._leaders, *self._dismissed):
            try:
                leader.process.wait(_LEAVES_WITHIN_S if leader.study is None else leading_s)
            except subprocess.TimeoutExpired:
                leader.process.kill()
                leader.process.wait()
        self._selector.close()
        for end in (self._woken, self._waker):
            os.close(end)
