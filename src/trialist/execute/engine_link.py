"""The warden's end of the connection to the engine: JSON, one object a line, bounded by what the engine reads.

Knows lines, and nothing of what they say.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from typing import Any

_HIGH, _LOW = 256 << 10, 64 << 10
"""Bytes unread by the engine above which it is congested, and below which it is no more."""
_CHUNK = 1 << 16


class EngineLink:
    """The connection.

    Args:
        connection: To the engine.
        selector: Watches it.
        hear: Called by whoever serves the selector when there is something to ``hear``.
    """

    def __init__(
        self, connection: socket.socket, selector: selectors.BaseSelector, hear: Callable[[object], None]
    ) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self._selector = selector
        self._on_event = hear
        self._unsent = bytearray()
        self._received = bytearray()
        self.is_congested = False
        """So much is unsent that nothing more should come."""
        selector.register(connection, selectors.EVENT_READ, hear)

    def tell(self, message: dict[str, Any]) -> None:
        """Keep something for the engine; ``send`` sends it."""
        self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def forget(self) -> None:
        """Drop what was not sent."""
        self._unsent.clear()

    def send(self) -> bool:
        """Send what it takes now; ``False``: it is gone."""
        is_there = True
        if self._unsent:
            try:
                del self._unsent[: self._connection.send(self._unsent)]
            except BlockingIOError:
                pass
            except OSError:
                self._unsent.clear()
                is_there = False
        self._watch()
        self.is_congested = len(self._unsent) > (_LOW if self.is_congested else _HIGH)
        return is_there

    def _watch(self) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        known = self._selector.get_map().get(self._connection)
        if known is not None and known.events != wanted:
            self._selector.modify(self._connection, wanted, self._on_event)

    def hear(self) -> list[dict[str, Any]] | None:
        """What it says, as far as it is there; ``None``: it is gone, and is watched no more."""
        try:
            data = self._connection.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(self._connection)
            return None
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        return [json.loads(line) for line in lines]
