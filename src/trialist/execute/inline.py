"""Runs a Python function in the engine's own thread: the executor for cheap functions, for debugging and for notebooks.

A breakpoint in the function is a breakpoint in the trial. Knows neither store nor engine. What it cannot do is end a
function that never reports: orders and ``timeout_s`` take effect at reports, and only there.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from trialist.core.errors import InternalError, ObjectiveError
from trialist.core.ports import CheckpointedSignal, ExitedSignal, ParkedSignal, ReportedSignal, Signal
from trialist.core.records import AttemptKey, Failure, FailureReason, OutcomeKind, Segment
from trialist.execute.segments import OUTCOME_OF_ORDER, start_of
from trialist.runtime.context import TrialContext
from trialist.runtime.objective import Ended, Objective
from trialist.runtime.protocol import Order

_TURN_S = 0.005
"""A ``poll`` starts no further trial after this, so that the engine can commit what there is."""
_NO_METRICS: Mapping[str, float] = {}


class InlineExecutor:
    """One trial at a time, on the thread that polls.

    Signals are delivered from inside the function's own ``report``; what ``sink`` answers there takes effect when
    ``report`` goes on; a process that the function forked is not heard. Ctrl-C inside the function ends that attempt as
    ``INTERRUPTED`` and is not raised further: the engine learns of it by that outcome. ``kill`` ends a trial at its next
    report.

    Args:
        objective: The user's function; how it is called is told at ``runtime.objective.Objective``.
        metric_names: The study's metrics, the first of which a bare number stands for.

    Raises:
        ObjectiveError: ``objective`` is no function.
    """

    name = "inline"
    runs_ahead = True
    parks = False
    is_elsewhere = False

    def __init__(self, objective: Callable[..., Any], metric_names: Sequence[str] = ()) -> None:
        self._objective = Objective(objective, metric_names)
        self._queue: deque[Segment] = deque()
        self._told: dict[AttemptKey, OutcomeKind] = {}
        self._running: _Turn | None = None
        self._wakes: SimpleQueue[None] = SimpleQueue()
        """An ``Event`` may not be set in a signal handler that came in the middle of its own ``wait`` or ``set``."""
        self._worker = f"pid {os.getpid()} on {socket.gethostname()}"

    def worker(self) -> str:
        return self._worker

    def start(self, segment: Segment) -> None:
        self._queue.append(segment)

    def go_on(self, key: AttemptKey, to_step: int | None) -> None:
        turn = self._turn(key)
        if turn is not None:
            turn.go_on(to_step)

    def evict(self, key: AttemptKey) -> None:
        self._tell(key, OutcomeKind.EVICTED)

    def stop(self, key: AttemptKey) -> None:
        self._tell(key, OutcomeKind.STOPPED)

    def kill(self, key: AttemptKey) -> None:
        self._tell(key, OutcomeKind.KILLED)

    def poll(self, timeout_s: float, sink: Callable[[Signal], None]) -> None:
        if not self._queue:
            with suppress(Empty):
                self._wakes.get(timeout=max(0.0, timeout_s))
            self._rest()
            return
        began = time.monotonic()
        while self._queue:
            segment = self._queue.popleft()
            try:
                signal = self._run(segment, sink)
            finally:
                self._running = None
                self._told.pop(segment.key, None)
            sink(signal)
            if not self._wakes.empty() or time.monotonic() - began > _TURN_S:
                break
        self._rest()

    def wake(self) -> None:
        self._wakes.put(None)

    def _rest(self) -> None:
        """Take the wakes so far as heard."""
        with suppress(Empty):
            while True:
                self._wakes.get_nowait()

    def lead_for(self, seconds: float) -> None:
        """A frozen engine's trials are frozen with it."""

    def close(self) -> None:
        self._queue.clear()

    def _turn(self, key: AttemptKey) -> _Turn | None:
        return self._running if self._running is not None and self._running.key == key else None

    def _tell(self, key: AttemptKey, outcome: OutcomeKind) -> None:
        turn = self._turn(key)
        if turn is not None:
            turn.leave(outcome)
        elif any(segment.key == key for segment in self._queue):
            self._told[key] = outcome

    def _run(self, segment: Segment, sink: Callable[[Signal], None]) -> ExitedSignal:
        key = segment.key
        if self._told and key in self._told:
            return ExitedSignal(key=key, outcome=self._told[key])
        turn = self._running = _Turn(segment, key, sink)
        resume_step, checkpoint, warm_start = start_of(segment)
        trial = TrialContext(
            turn,
            number=segment.trial,
            params=segment.params,
            seed=segment.seed,
            run_dir=segment.run_dir,
            attempt=segment.attempt,
            resume_step=resume_step,
            checkpoint=checkpoint,
            warm_start=warm_start,
            devices=segment.devices,
        )
        try:
            ended = self._objective.run(trial)
        except ObjectiveError as error:
            failure = Failure(reason=FailureReason.NOT_STARTED, message=str(error))
            return ExitedSignal(key=key, outcome=OutcomeKind.NOT_STARTED, error=failure)
        turn.deliver_late()
        if turn.broken is not None:
            raise turn.broken
        return _exited(key, ended, turn.outcome)


def _exited(key: AttemptKey, ended: Ended, told: OutcomeKind | None) -> ExitedSignal:
    if ended.interrupted:
        return ExitedSignal(key=key, outcome=OutcomeKind.INTERRUPTED)
    if ended.order is not None:
        outcome = told or OUTCOME_OF_ORDER[ended.order]
        late = Failure(reason=FailureReason.TIMEOUT, message="timed out") if outcome is OutcomeKind.TIMED_OUT else None
        return ExitedSignal(key=key, outcome=outcome, metrics=ended.metrics, error=late)
    if ended.reason is None:
        return ExitedSignal(key=key, outcome=OutcomeKind.RETURNED, metrics=ended.metrics or _NO_METRICS)
    failure = Failure(reason=FailureReason(ended.reason), message=ended.message, detail=ended.detail)
    return ExitedSignal(key=key, outcome=OutcomeKind.RAISED, metrics=ended.metrics, error=failure)


class _Turn:
    """A running attempt, and the ``Channel`` of its trial."""

    def __init__(self, segment: Segment, key: AttemptKey, sink: Callable[[Signal], None]) -> None:
        self.key = key
        self.outcome: OutcomeKind | None = None
        """What it was told to leave as."""
        self.broken: BaseException | None = None
        """What ``sink`` raised: the engine's own trouble, carried past the user's ``except`` clauses back to ``poll``."""
        self._sink = sink
        self._to_step = segment.to_step
        self._answered = True
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        self._late: deque[Signal] = deque()
        self._timeout_s = segment.timeout_s
        self._began = time.monotonic()

    def go_on(self, to_step: int | None) -> None:
        if not self._answered:
            self._to_step = to_step
            self._answered = True

    def leave(self, outcome: OutcomeKind) -> None:
        # A stop may still turn into a kill; whatever else came first stands.
        if self.outcome is None or (outcome is OutcomeKind.KILLED and self.outcome is not OutcomeKind.TIMED_OUT):
            self.outcome = outcome
        self._answered = True

    def deliver_late(self) -> None:
        """Hand on what other threads of the function said meanwhile: the sink is the engine's thread's alone."""
        while self._late:
            self._deliver(self._late.popleft())

    def _deliver(self, signal: Signal) -> None:
        if self.broken is None:
            try:
                self._sink(signal)
            except BaseException as error:  # noqa: BLE001 - kept, and raised by ``poll``
                self.broken = error

    def report(self, step: int, metrics: Mapping[str, float], target: int | None) -> Order | None:
        del target
        if os.getpid() != self._pid:  # a fork of the function's: its copy of the engine is nobody's leader
            return None
        signal = ReportedSignal(key=self.key, step=step, metrics=metrics)
        if threading.get_ident() != self._thread:
            self._late.append(signal)
            return self._order()
        self.deliver_late()
        self._deliver(signal)
        if self.outcome is None and self._to_step is not None and step >= self._to_step:
            self._answered = False
            self._deliver(ParkedSignal(key=self.key, step=step))
            if not self._answered and self.broken is None:
                self.broken = InternalError(f"trial {self.key.trial} was left parked at step {step} without an answer.")
        if self._timeout_s is not None and time.monotonic() - self._began > self._timeout_s:
            self.leave(OutcomeKind.TIMED_OUT)
        return self._order()

    def checkpointed(self, step: int, path: str, num_bytes: int) -> None:
        if os.getpid() != self._pid:
            return
        signal = CheckpointedSignal(key=self.key, step=step, path=path, num_bytes=num_bytes)
        if threading.get_ident() != self._thread:
            self._late.append(signal)
        else:
            self.deliver_late()
            self._deliver(signal)

    def _order(self) -> Order | None:
        if self.outcome is None:
            return None if self.broken is None else Order.STOP
        return Order.EVICT if self.outcome is OutcomeKind.EVICTED else Order.STOP
