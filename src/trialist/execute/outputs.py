"""Pipes from a process into a capped log, read for metrics on their way.

Knows bytes and descriptors, no trial.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from trialist.execute.logs import CappedLog
from trialist.execute.printed import Lines

_CHUNK = 1 << 16
_MAX_REMAINDER = 4 << 20
"""What is read of a pipe after the end: more than a pipe can hold, so that only a runaway writer meets it."""


class Output:
    """A pipe from the trial into a capped log, which another pipe may share; read for metrics on its way."""

    def __init__(self, log: CappedLog, found: Callable[[bytes], None] | None) -> None:
        self.log = log
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._lines = Lines()
        self._found = found

    def started(self) -> None:
        """The child has its copy of the writing end, or will never have one."""
        os.close(self.writer)
        self.writer = -1

    def lend(self) -> int:
        """The writing end, now the caller's to close."""
        writer, self.writer = self.writer, -1
        return writer

    def pump(self) -> int | None:
        """Move what is there, at most a chunk; how much it was, ``None`` where nothing is there now, 0 at the end."""
        try:
            data = os.read(self.reader, _CHUNK)
        except BlockingIOError:
            return None
        if data:
            if self._found is not None and self.log.has_room:
                for line in self._lines.feed(data):
                    self._found(line)
            self.log.write(data)
        return len(data)

    def drain(self) -> bool:
        """Move what is left behind an end; whether there was anything."""
        had = False
        for _ in range(_MAX_REMAINDER // _CHUNK):
            if not self.pump():
                break
            had = True
        return had

    def close(self) -> None:
        """Read the last lines, whatever was left out before them, and close."""
        if self._found is not None:
            # Behind a full head only the end is at hand, and it begins somewhere inside a line.
            last = self._lines.end() if self.log.has_room else self.log.recent.partition(b"\n")[2]
            for line in last.replace(b"\r", b"\n").split(b"\n"):
                self._found(line)
        self.log.close()
        os.close(self.reader)
        if self.writer >= 0:
            os.close(self.writer)
