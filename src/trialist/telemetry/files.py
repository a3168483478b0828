"""Files that grow by whole lines and are whole again after any crash.

Knows bytes and lines; not what is in them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trialist.core import faults

_BLOCK = 1 << 16


class GrowingFile:
    """A file that is written at its end, one ``pwrite`` a change.

    Not thread-safe; of several processes that write one file the last one wins, so a study's leader alone may.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.size = os.fstat(self._fd).st_size

    def write_at(self, offset: int, data: bytes) -> None:
        """Replace everything from ``offset`` on. When that fails, the file is as it was.

        Raises:
            OSError: The disk is full, or gone.
        """
        kept = os.pread(self._fd, self.size - offset, offset)
        try:
            self._write_all(offset, data)
            if offset + len(data) < self.size:
                os.ftruncate(self._fd, offset + len(data))
        except OSError:
            os.ftruncate(self._fd, self.size)
            self._write_all(offset, kept)  # into blocks that it had before, so that there is room
            raise
        self.size = offset + len(data)

    def _write_all(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, faults.short("sinks.torn", view), offset)
            view, offset = view[done:], offset + done
            if view:
                faults.point("sinks.torn")

    def append(self, data: bytes) -> None:
        """Add to the end; as ``write_at``."""
        self.write_at(self.size, data)

    def truncate(self, size: int) -> None:
        """Drop what lies behind ``size`` bytes."""
        os.ftruncate(self._fd, size)
        self.size = size

    def lines(self) -> Iterator[bytes]:
        """All lines from the start, with their ends."""
        with self.path.open("rb") as file:
            yield from file

    def drop_torn_line(self) -> None:
        """Drop what follows the last line end: a line that was being written when its writer died."""
        self.truncate(self._line_start(self.size))

    def last_line(self) -> bytes:
        """The last whole line without its end; empty where there is none."""
        start = self._line_start(self.size - 1) if self.size else 0
        return os.pread(self._fd, max(0, self.size - start - 1), start)

    def drop_last_line(self) -> None:
        """Drop the last whole line."""
        self.truncate(self._line_start(self.size - 1) if self.size else 0)

    def _line_start(self, end: int) -> int:
        """Where the line begins that reaches up to ``end``."""
        while end > 0:
            start = max(0, end - _BLOCK)
            at = os.pread(self._fd, end - start, start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
        return 0

    def close(self) -> None:
        """Release the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def set_aside(path: Path, *also: Path) -> Path:
    """Rename a file that belongs to another study, and its companions, out of the way; returns its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    for companion in also:
        if companion.exists():
            companion.rename(aside.with_name(companion.name.replace(path.name, aside.name, 1)))
    if path.exists():
        path.rename(aside)
    return aside
