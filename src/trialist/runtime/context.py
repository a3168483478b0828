"""What a running trial holds in its hand: ``TrialContext``, and how it is told to leave.

Knows no transport: a ``Channel`` carries what is said to whoever runs the trial. The same class serves a function in the
engine's own thread, one of many trials in a worker process, and a script of its own.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from trialist.core import faults
from trialist.core.errors import ObjectiveError
from trialist.runtime.checkpoints import save_checkpoint
from trialist.runtime.protocol import EXIT_CODES, MAX_STEP, Order


class Stopped(SystemExit):
    """Raised inside ``report`` when the trial is told to end; its value at the step reached counts.

    A ``SystemExit``: ``except Exception`` in a training loop lets it through, and a script that does not catch it exits
    quietly with code 42. Save what should be kept, then let it go on (or return). Every later ``report`` raises it again.
    """

    def __init__(self) -> None:
        super().__init__(EXIT_CODES[Order.STOP])


class Paused(SystemExit):
    """Raised inside ``report`` when the trial is to leave and go on later from its last checkpoint.

    A ``SystemExit`` with code 43, for the reasons given at ``Stopped``.
    """

    def __init__(self) -> None:
        super().__init__(EXIT_CODES[Order.EVICT])


class Channel(Protocol):
    """Carries what a trial says to whoever runs it, and orders back. Called by one thread at a time."""

    def report(self, step: int, metrics: Mapping[str, float], target: int | None) -> Order | None:
        """Deliver a report; where its step has reached the boundary, wait for the answer.

        Returns:
            What the trial must do now; ``None``: go on.
        """
        ...

    def checkpointed(self, step: int, path: str, num_bytes: int) -> None:
        """Say that a checkpoint lies complete at ``path``."""
        ...


class TrialContext:
    """The trial, from the inside.

    Threads may share it: a lock keeps a step number and the message that carries it together, so that reports leave in
    the order of their automatic steps. Steps usually count from 1.
    """

    __slots__ = (
        "_channel",
        "_leaving",
        "_lock",
        "_pid",
        "_run_dir",
        "_step",
        "attempt",
        "checkpoint",
        "devices",
        "number",
        "params",
        "resume_step",
        "seed",
        "warm_start",
    )

    def __init__(
        self,
        channel: Channel,
        *,
        number: int,
        params: Mapping[str, Any],
        seed: int,
        run_dir: str,
        attempt: int = 1,
        resume_step: int | None = None,
        checkpoint: Path | None = None,
        warm_start: str | None = None,
        devices: tuple[str, ...] = (),
    ) -> None:
        self.number = number
        """0, 1, 2 … unique in its study."""
        self.params: dict[str, Any] = own_copy(params)
        """A copy of the trial's own."""
        self.seed = seed
        """0 … 2**31 - 1; a function of the study's seed and the number."""
        self.attempt = attempt
        """From 1; more than 1 where an earlier one was lost or left."""
        self.resume_step = resume_step
        """The step of the checkpoint where the trial goes on as if never stopped; ``None`` when it starts fresh."""
        self.checkpoint = checkpoint
        """The directory to start from, if not from nothing."""
        self.warm_start = warm_start
        """What to take over from ``checkpoint``: ``"weights"``, ``"optimizer"`` or ``"resume"``."""
        self.devices = devices
        """Ids of the accelerators it may use."""
        self._run_dir = run_dir
        self._channel = channel
        self._step: int | None = resume_step
        self._leaving: Order | None = None
        self._lock = threading.RLock()
        self._pid = os.getpid()

    @property
    def dir(self) -> Path:
        """The trial's own directory, made at first use; it outlives attempts."""
        path = Path(self._run_dir)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def report(self, *given: Any, step: int | None = None, **metrics: Any) -> None:
        """Tell metrics at a step: ``report(step=3, loss=0.2)`` or ``report({"val/loss": 0.2}, step=3)``.

        Returns at once, but for a step at which the trial must wait for a decision. NaN and infinity are legal here.

        Args:
            *given: A mapping of metrics, a step, or both.
            step: Whole number from 0 on; left out: one more than the last.
            **metrics: Anything that is one number: Python's, numpy's, torch's.

        Raises:
            ObjectiveError: A metric is no number, or the step none; names it.
            Stopped: The trial is told to end.
            Paused: The trial is told to leave and go on later.
        """
        for item in given:
            if isinstance(item, Mapping):
                metrics = {**item, **metrics}
            elif step is None and item is not None:
                step = item
        self.send_report(step, numbers(metrics))

    def send_report(self, step: int | None, metrics: Mapping[str, float], target: int | None = None) -> None:
        """``report`` for metrics that are floats already; ``target`` is the step at which training ends, where known."""
        with self._own_lock():
            if self._leaving is None:
                self._step = (self._step or 0) + 1 if step is None else check_step(step)
                self._leaving = self._channel.report(self._step, metrics, target)
            order = self._leaving
        if order is not None:
            raise Stopped if order is Order.STOP else Paused

    def save_checkpoint(self, write: Callable[[Path], Any]) -> Path:
        """Let ``write(directory)`` fill a new directory, make it durable, and tell of it as the last reported step's.

        Atomic: the directory appears under its name complete or not at all; when ``write`` raises nothing is left behind.

        Returns:
            ``<dir>/checkpoints/step-000012``.
        """
        step = self._step or 0
        saved = save_checkpoint(self.dir / "checkpoints", step, self.attempt, write)
        with self._own_lock():
            self._channel.checkpointed(step, str(saved.path), saved.num_bytes)
            faults.point("trial.checkpoint.told")
        return saved.path

    def _own_lock(self) -> threading.RLock:
        if os.getpid() != self._pid:  # the user's code forked while another of its threads may have held the lock
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock

    @property
    def told_to_leave(self) -> Order | None:
        """The order that ``report`` raised for, where it did."""
        return self._leaving

    def __repr__(self) -> str:
        return f"<trial {self.number} attempt {self.attempt} {self.params}>"


def own_copy(params: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that the user's code may change: params are JSON, so lists and dicts are all there is to copy."""
    return {name: _copy(value) if type(value) in (list, dict) else value for name, value in params.items()}


def _copy(value: Any) -> Any:
    if type(value) is list:
        return [_copy(item) for item in value]
    if type(value) is dict:
        return {name: _copy(item) for name, item in value.items()}
    return value


def check_step(step: Any) -> int:
    """A step as the user gave it.

    Raises:
        ObjectiveError: Not a whole number from 0 on.
    """
    if type(step) is int and 0 <= step <= MAX_STEP:
        return step
    try:
        number = None if isinstance(step, bool) else operator.index(step)
    except TypeError:
        number = None
    if number is None or not 0 <= number <= MAX_STEP:
        raise ObjectiveError(f"report(step={_show(step)}): a step is a whole number from 0 on.")
    return number


def numbers(metrics: Mapping[Any, Any]) -> dict[str, float]:
    """Metrics as floats.

    Raises:
        ObjectiveError: A name is no text, or a value no number; names it.
    """
    out: dict[str, float] = {}
    for name, value in metrics.items():
        if type(name) is not str or not name:
            raise ObjectiveError(f"a metric's name is text, not {_show(name)}.")
        if type(value) is float:
            out[name] = value
            continue
        number = as_number(value)
        if number is None:
            raise ObjectiveError(
                f"metric '{name}' is {_show(value)}, and a metric is one number. Leave it out, or write it to a file in "
                "the trial's directory."
            )
        out[name] = number
    return out


def as_number(value: Any) -> float | None:
    """The float that a value stands for; ``None`` where it stands for none.

    Numbers of any library count, and arrays and tensors of exactly one element.
    """
    if isinstance(value, (str, bytes, bytearray, list, tuple, dict, set)) or value is None:
        return None
    try:
        if isinstance(value, (int, float)):
            return float(value)
        item = getattr(value, "item", None)
        return float(item() if callable(item) else value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    except (TypeError, ValueError, RuntimeError):  # more than one element, complex, or no number at all
        return None


def _show(value: Any) -> str:
    """A value for a message: its type, and a short form of itself."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
