"""The wire between a trial and whoever runs it: JSON objects, one a line, UTF-8, in both directions.

A process finds its trial in its environment (the ``TRIALIST_…`` names below), connects when it first has something to say,
and speaks for one trial on one connection; a process that holds several trials opens several connections. Each message
stands alone, so the same objects can travel as the bodies of requests where there is no socket.

Trial → host::

    {"op": "hello", "version": 1, "trial": TOKEN, "pid": 4711}                       first; answered by welcome or refused
    {"op": "report", "step": 3, "metrics": {"loss": 0.21}, "wait": false, "target": 10}    "target" may be left out
    {"op": "checkpointed", "step": 3, "path": "/…/step-000003", "num_bytes": 1234}
    {"op": "leaving", "order": "stop"}                                               it obeys, and ends soon
    {"op": "result", "metrics": {"loss": 0.2}}                                       what a function returned
    {"op": "failed", "reason": "exception", "message": "ValueError: …", "detail": "Traceback …"}

Host → trial::

    {"op": "welcome", "to_step": 4, "order": null}           the present boundary (null: none), and an order given before
    {"op": "refused", "message": "…"}                        no such trial, or a message that was none
    {"op": "go_on", "to_step": 8}                            answers a report that waits
    {"op": "evict"}    {"op": "stop"}                        at any time; also answer a report that waits

A report waits (``"wait": true``) exactly when its step has reached ``to_step``. Orders take effect at the next report; a
later ``stop`` overrides ``evict``. Non-finite floats travel as ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. A line is at
most ``MAX_LINE`` bytes. Knows no socket, process or record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

VERSION = 1
MAX_LINE = 1 << 20
"""Bytes of one message, newline included."""
MAX_STEP = (1 << 63) - 1

ENV_TRIAL = "TRIALIST_TRIAL"
"""The token: names the attempt towards its host, and marks every process of it."""
ENV_WITHIN = "TRIALIST_WITHIN"
"""Tokens of the trials around this one, outermost first, where a trial itself runs a study."""
ENV_HOST = "TRIALIST_HOST"
"""Marks every process of a worker that runs many trials."""
ENV_SOCKET = "TRIALIST_SOCKET"
ENV_PARAMS = "TRIALIST_PARAMS_JSON"
ENV_PARAMS_FILE = "TRIALIST_PARAMS_FILE"
"""Stands in for ``TRIALIST_PARAMS_JSON`` where the params are too long for an environment."""
ENV_RUN_DIR = "TRIALIST_RUN_DIR"
ENV_NUMBER = "TRIALIST_NUMBER"
ENV_ATTEMPT = "TRIALIST_ATTEMPT"
ENV_SEED = "TRIALIST_SEED"
ENV_DEVICES = "TRIALIST_DEVICES"
"""Ids, separated by commas."""
ENV_RESUME_STEP = "TRIALIST_RESUME_STEP"
ENV_CHECKPOINT = "TRIALIST_CHECKPOINT"
ENV_WARM_START = "TRIALIST_WARM_START"
ENV_SYS_PATH = "TRIALIST_SYS_PATH"
"""``sys.path`` of the process that gave the function, as JSON; only for function trials."""
ENVIRONMENT_OF_TRIALS = frozenset(
    {
        ENV_TRIAL,
        ENV_SOCKET,
        ENV_PARAMS,
        ENV_PARAMS_FILE,
        ENV_RUN_DIR,
        ENV_NUMBER,
        ENV_ATTEMPT,
        ENV_SEED,
        ENV_DEVICES,
        ENV_RESUME_STEP,
        ENV_CHECKPOINT,
        ENV_WARM_START,
        ENV_SYS_PATH,
    }
)
"""What describes one trial, and must not reach the trials of a study that runs inside it."""


class Order(StrEnum):
    """What a trial is told to do at its next report."""

    EVICT = "evict"
    """Leave, to go on later from the last checkpoint."""
    STOP = "stop"


EXIT_CODES = {Order.STOP: 42, Order.EVICT: 43}
"""What a process that obeys exits with."""


class ProtocolError(Exception):
    """A line that is no message; its text says why. Never leaves this package's callers."""


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as one line."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decode(line: bytes | bytearray) -> dict[str, Any]:
    """The message on a line.

    Raises:
        ProtocolError: It is no JSON object with an ``op``.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("op"), str):
        raise ProtocolError("not an object with 'op'")
    return message


def encode_metrics(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Metrics as strict JSON."""
    # x - x is 0 for finite numbers alone: one comparison where isfinite would be a call.
    return {name: value if value - value == 0 else _spell(value) for name, value in metrics.items()}


def _spell(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


_SPELLED = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def decode_metrics(data: Any) -> dict[str, float]:
    """The inverse of ``encode_metrics``, for what a stranger sent.

    Raises:
        ProtocolError: Not numbers by name.
    """
    if not isinstance(data, dict):
        raise ProtocolError("metrics are no object")
    out: dict[str, float] = {}
    for name, value in data.items():
        kind = type(value)
        if kind is float:
            out[name] = value
        elif kind is int:
            try:
                out[name] = float(value)
            except OverflowError:
                out[name] = _SPELLED["Infinity" if value > 0 else "-Infinity"]
        elif kind is str and value in _SPELLED:
            out[name] = _SPELLED[value]
        else:
            raise ProtocolError(f"metric '{name[:100]}' is no number")
    return out


def decode_step(value: Any) -> int:
    """A step that a stranger sent.

    Raises:
        ProtocolError: Not a whole number from 0 to ``MAX_STEP``.
    """
    if type(value) is not int or not 0 <= value <= MAX_STEP:
        raise ProtocolError("step is no whole number from 0 on")
    return value
