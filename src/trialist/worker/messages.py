"""What a worker and the processes that lead its studies say to each other: JSON lines over a pair of sockets.

Knows bytes and lines; who says what, and when, is ``supervising`` and ``working``.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

Message = dict[str, Any]


class Line:
    """One end of the line. Not thread-safe, but for one that reads beside one that writes."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._rest = b""
        self.is_gone = False
        """The other side has left."""

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, **message: Any) -> None:
        """Say something; nothing where the other side has left."""
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            self.is_gone = True

    def receive(self) -> list[Message]:
        """Wait for the next bytes; the whole messages among all so far. Empty and ``is_gone``: the other side has left."""
        return self._received(self._read(0))

    def rest(self) -> list[Message]:
        """The whole messages among all that is there already; waits for nothing."""
        found: list[Message] = []
        while not self.is_gone:
            try:
                data = self._read(socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            found += self._received(data)
        return found

    def _read(self, flags: int) -> bytes:
        try:
            return self.socket.recv(1 << 16, flags)
        except ConnectionResetError:
            return b""

    def _received(self, data: bytes) -> list[Message]:
        if not data:
            self.is_gone = True
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Leave; idempotent."""
        with suppress(OSError):
            self.socket.close()
