"""The trial that this process is, as its environment says, and the socket to whoever runs it.

Works through shells and launchers that close descriptors: only the environment has to reach the process. Knows neither
trials beside it nor how its host is made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trialist.core import faults
from trialist.core.errors import ObjectiveError
from trialist.runtime.context import TrialContext
from trialist.runtime.protocol import (
    ENV_ATTEMPT,
    ENV_CHECKPOINT,
    ENV_DEVICES,
    ENV_NUMBER,
    ENV_PARAMS,
    ENV_PARAMS_FILE,
    ENV_RESUME_STEP,
    ENV_RUN_DIR,
    ENV_SEED,
    ENV_SOCKET,
    ENV_TRIAL,
    ENV_WARM_START,
    MAX_LINE,
    VERSION,
    Order,
    decode,
    encode,
    encode_metrics,
)


class ControllerGone(SystemExit):
    """Whoever ran this trial is gone, so nothing it does is remembered any more: the process leaves with code 1.

    A ``SystemExit`` with a line for the log, for the reasons given at ``Stopped``.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"trialist: the process that runs this trial is gone ({why}); leaving.")


class SocketChannel:
    """A ``Channel`` over a Unix domain socket, connected at first use.

    After a fork the child opens a connection of its own: two processes never share one.

    Args:
        address: Path of the socket.
        token: Names the attempt.
    """

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._token = token
        self._socket: Any = None
        self._pid = 0
        self._received = bytearray()
        self._to_step: int | None = None
        self._order: Order | None = None

    def report(self, step: int, metrics: Mapping[str, float], target: int | None) -> Order | None:
        self._connect()
        wait = self._order is None and self._to_step is not None and step >= self._to_step
        message: dict[str, Any] = {"op": "report", "step": step, "metrics": encode_metrics(metrics), "wait": wait}
        if target is not None:
            message["target"] = target
        self._send(message)
        faults.point("trial.report.sent")
        if wait:
            while not self._read(wait=True):
                pass
        else:
            self._read(wait=False)
        if self._order is not None:
            self._send({"op": "leaving", "order": self._order.value})
        return self._order

    def checkpointed(self, step: int, path: str, num_bytes: int) -> None:
        self.say({"op": "checkpointed", "step": step, "path": path, "num_bytes": num_bytes})

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message that has no answer."""
        self._connect()
        self._send(message)

    def close(self) -> None:
        """Hang up: the trial has ended, and its process goes on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        if self._socket is not None and self._pid == os.getpid():
            return
        import socket  # 3 ms that a script which never reports need not pay

        if self._socket is not None:
            self._socket.close()  # this process's copy of its parent's connection
        self._pid = os.getpid()
        self._received.clear()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(self._address)
        except OSError as error:
            raise ControllerGone(f"{self._address}: {error.strerror}") from None
        self._send({"op": "hello", "version": VERSION, "trial": self._token, "pid": self._pid})
        while not self._read(wait=True):
            pass

    def _send(self, message: Mapping[str, Any]) -> None:
        line = encode(message)
        if len(line) > MAX_LINE:
            raise ObjectiveError(f"a report of {len(line):,} bytes is too long; the limit is {MAX_LINE:,}.")
        try:
            self._socket.sendall(line)
        except OSError as error:
            self._read(wait=False)  # it may have said why
            raise ControllerGone(error.strerror or str(error)) from None

    def _read(self, *, wait: bool) -> bool:
        """Take in what has come; whether a message was among it that lets a waiting trial go on."""
        import socket

        try:
            data = self._socket.recv(65536, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ControllerGone(error.strerror or str(error)) from None
        if not data:
            raise ControllerGone("it closed the connection")
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        answers = [self._obey(decode(line)) for line in lines]  # all of them, before any is judged
        return any(answers)

    def _obey(self, message: dict[str, Any]) -> bool:
        op = message["op"]
        if op in ("welcome", "go_on"):
            self._to_step = message.get("to_step")
        if op == "refused":
            raise ControllerGone(f"it refused: {message.get('message')}")
        order = message.get("order") if op == "welcome" else op if op in ("stop", "evict") else None
        if order is not None and self._order is not Order.STOP:
            self._order = Order(order)
        return op in ("welcome", "go_on", "stop", "evict")


class NoChannel:
    """A ``Channel`` for a trial whose host gave it a name and no way to speak: everything goes nowhere."""

    def report(self, step: int, metrics: Mapping[str, float], target: int | None) -> Order | None:
        del step, metrics, target
        return None

    def checkpointed(self, step: int, path: str, num_bytes: int) -> None:
        del step, path, num_bytes

    def say(self, message: Mapping[str, Any]) -> None:
        del message

    def close(self) -> None:
        """There is nothing to hang up."""


def channel_of(environment: Mapping[str, str]) -> SocketChannel | NoChannel:
    """The channel that an environment names."""
    address = environment.get(ENV_SOCKET)
    return SocketChannel(address, environment[ENV_TRIAL]) if address else NoChannel()


def context_of(environment: Mapping[str, str], channel: SocketChannel | NoChannel) -> TrialContext:
    """The trial that an environment describes."""
    resume_step = environment.get(ENV_RESUME_STEP)
    checkpoint = environment.get(ENV_CHECKPOINT)
    devices = environment.get(ENV_DEVICES, "")
    return TrialContext(
        channel,
        number=int(environment.get(ENV_NUMBER, "0")),
        params=params_of(environment),
        seed=int(environment.get(ENV_SEED, "0")),
        run_dir=environment.get(ENV_RUN_DIR) or str(Path.cwd()),
        attempt=int(environment.get(ENV_ATTEMPT, "1")),
        resume_step=None if resume_step is None else int(resume_step),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        warm_start=environment.get(ENV_WARM_START),
        devices=tuple(devices.split(",")) if devices else (),
    )


def params_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """The params that an environment holds or points at; empty where it does neither."""
    text = environment.get(ENV_PARAMS)
    if text is None:
        file = environment.get(ENV_PARAMS_FILE)
        text = "{}" if file is None else Path(file).read_text(encoding="utf-8")
    params: dict[str, Any] = json.loads(text)
    return params


_own: TrialContext | None = None


def own_trial() -> TrialContext | None:
    """The trial that this process is; ``None`` where it is none. The same object each time."""
    global _own
    if _own is None and ENV_TRIAL in os.environ:
        _own = context_of(os.environ, channel_of(os.environ))
    return _own
