"""The warden's end of trials' connections: messages in, orders out.

Knows the protocol and the attempt that a connection speaks for; no process and no selector.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from trialist.execute.attempts import Attempt
from trialist.runtime.protocol import (
    MAX_LINE,
    VERSION,
    Order,
    ProtocolError,
    decode,
    decode_metrics,
    decode_step,
    encode,
    encode_metrics,
)

_MAX_UNREAD = 64 << 10
_MAX_TEXT = 16 << 10
_CHUNK = 1 << 16


class Connection:
    """A connection from a process of a trial.

    Args:
        endpoint: Non-blocking.
        attempt_of: The running attempt that a token names.
        tell: Takes messages for the engine.
    """

    def __init__(
        self,
        endpoint: socket.socket,
        attempt_of: Callable[[str], Attempt | None],
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self.endpoint = endpoint
        self.attempt: Attempt | None = None
        self.waits = False
        self.is_closed = False
        self._attempt_of = attempt_of
        self._tell = tell
        self._received = bytearray()
        self._unsent = bytearray()

    def pump(self) -> int | None:
        """Take in what is there, at most a chunk; how much it was, ``None`` where nothing is there now, 0 at the end."""
        if self.is_closed:
            return 0
        try:
            data = self.endpoint.recv(_CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.close()
            return 0
        self._flush()
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        try:
            if len(rest) > MAX_LINE:
                raise ProtocolError(f"a line of more than {MAX_LINE:,} bytes")
            for line in lines:
                self._take(decode(line))
        except ProtocolError as error:
            self.send({"op": "refused", "message": str(error)})
            self.close()
        return len(data)

    def send(self, message: Mapping[str, Any]) -> None:
        """Say something; a peer that does not listen is cut off rather than waited for."""
        if self.is_closed:
            return
        self._unsent += encode(message)
        self._flush()

    def _flush(self) -> None:
        try:
            if self._unsent and not self.is_closed:
                sent = self.endpoint.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        if len(self._unsent) > _MAX_UNREAD:
            self.close()

    def close(self) -> None:
        """Hang up; idempotent. The descriptor stays the owner's to close: it may stand in a selector."""
        if not self.is_closed:
            self.is_closed = True
            try:
                self.endpoint.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side was faster
                pass

    def order(self, order: Order) -> None:
        """Pass an order on; it also answers a report that waits."""
        self.waits = False
        self.send({"op": order.value})

    def go_on(self, to_step: int | None) -> None:
        """Answer a report that waits."""
        if self.waits:
            self.waits = False
            self.send({"op": "go_on", "to_step": to_step})

    def _take(self, message: dict[str, Any]) -> None:
        op = message["op"]
        if self.attempt is None:
            self._greet(message)
        elif op == "report":
            self._report(self.attempt, message)
        elif op == "checkpointed":
            self._checkpointed(self.attempt, message)
        elif op == "result":
            self.attempt.facts["result"] = encode_metrics(decode_metrics(message.get("metrics")))
        elif op == "failed":
            fields = ("reason", "message", "detail")
            self.attempt.facts["failed"] = {name: str(message.get(name, ""))[:_MAX_TEXT] for name in fields}
        elif op == "leaving":
            self.attempt.facts["left"] = str(message.get("order"))
        # Others are of a later version, and none that needs an answer.

    def _greet(self, message: dict[str, Any]) -> None:
        if message["op"] != "hello":
            raise ProtocolError("the first message must be hello")
        if message.get("version") != VERSION:
            raise ProtocolError(f"version {message.get('version')} of the protocol is not spoken here, {VERSION} is")
        attempt = self._attempt_of(str(message.get("trial")))
        if attempt is None:
            raise ProtocolError("no such trial runs")
        self.attempt = attempt
        attempt.spoke = True
        self.send({"op": "welcome", "to_step": attempt.to_step, "order": attempt.told})

    def _report(self, attempt: Attempt, message: dict[str, Any]) -> None:
        step = decode_step(message.get("step"))
        metrics = encode_metrics(decode_metrics(message.get("metrics")))
        told = {"op": "report", "id": attempt.id, "step": step, "metrics": metrics}
        if message.get("wait") is not True:
            self._tell(told)
            return
        if attempt.told is not None:
            self._tell(told)
            self.order(attempt.told)
            return
        self.waits = True
        if attempt.to_step is None or step < attempt.to_step:
            self._tell(told)
            self.go_on(attempt.to_step)
        else:
            self._tell(told if attempt.parked else {**told, "parked": True})
            attempt.park()

    def _checkpointed(self, attempt: Attempt, message: dict[str, Any]) -> None:
        path, num_bytes = message.get("path"), message.get("num_bytes")
        if not isinstance(path, str) or type(num_bytes) is not int:
            raise ProtocolError("a checkpoint has a path and a number of bytes")
        step = decode_step(message.get("step"))
        self._tell({"op": "checkpointed", "id": attempt.id, "step": step, "path": path, "num_bytes": num_bytes})
