"""Log files that cannot grow without bound: the head of what was written, and its end.

Knows no process: bytes come in, a file comes out.
"""

from __future__ import annotations

import os
import time
from errno import EDQUOT, EFBIG, EIO, ENOSPC

HEAD = 16 << 20
TAIL = 1 << 20
RECENT = 16 << 10
"""How much of the end is at hand for messages."""
_FULL = (ENOSPC, EDQUOT, EFBIG, EIO)
_RETRY_S = 1.0


class CappedLog:
    """A file that takes the first ``head`` bytes as they come, and when it is closed the last ``tail`` bytes.

    Between the two stands how many bytes were left out. What is in the file before counts as part of the head. A full disk
    never raises: bytes are counted, and the file says how many are missing as soon as there is room.

    Args:
        path: Appended to, made where it is missing; never through a symbolic link.
        head: Bytes.
        tail: Bytes, held in memory while the head is full.

    Raises:
        OSError: The file cannot be opened, for any other reason than a full disk.
    """

    def __init__(self, path: str, head: int = HEAD, tail: int = TAIL) -> None:
        self._file = -1
        self._tail = bytearray()
        self._tail_size = tail
        self._recent = bytearray()
        self._left_out = 0
        self._lost = 0
        self._retry_at = 0.0
        self.problem = ""
        """Why bytes are missing, where the disk would not take them."""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            self._file = os.open(path, flags, 0o644)
            self._room = max(0, head - os.fstat(self._file).st_size)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._room, self.problem = head, str(error.strerror)

    @property
    def has_room(self) -> bool:
        """Whether the head takes more."""
        return self._room > 0

    @property
    def recent(self) -> bytes:
        """The last bytes written, at most ``RECENT``."""
        return bytes(self._recent[-RECENT:])

    def write(self, data: bytes) -> None:
        """Take bytes in."""
        self._recent += data[-RECENT:]
        if len(self._recent) > 4 * RECENT:
            del self._recent[:-RECENT]
        head, rest = (data, b"") if len(data) <= self._room else (data[: self._room], data[self._room :])
        if head:
            self._room -= len(head)
            self._put(head)
        if rest:
            self._tail += rest
            if len(self._tail) > 2 * self._tail_size:
                self._trim()

    def close(self) -> None:
        """Write the end and close; idempotent."""
        if self._file < 0:
            return
        self._trim()
        self._retry_at = 0.0
        if self._left_out:
            self._put(b"\n\xe2\x80\xa6 truncated: %d bytes left out \xe2\x80\xa6\n" % self._left_out)
        self._put(bytes(self._tail))
        os.close(self._file)
        self._file = -1

    def _trim(self) -> None:
        surplus = len(self._tail) - self._tail_size
        if surplus > 0:
            del self._tail[:surplus]
            self._left_out += surplus

    def _put(self, data: bytes) -> None:
        if self._file < 0 or (self._lost and time.monotonic() < self._retry_at):
            self._lost += len(data)
            return
        try:
            if self._lost:
                note = b"\n\xe2\x80\xa6 %d bytes could not be written: %s \xe2\x80\xa6\n"
                self._write_all(note % (self._lost, self.problem.encode()))
                self._lost = 0
            self._write_all(data)
        except OSError as error:
            if error.errno not in _FULL:
                self._room = 0
            self.problem = str(error.strerror)
            self._lost += len(data)
            self._retry_at = time.monotonic() + _RETRY_S

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
