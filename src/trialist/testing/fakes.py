"""Stand-ins for tests: a clock to own, a searcher without a space, an executor whose trials move when they are told to.

Each keeps as much of its port's contract as the engine relies on.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trialist.core.events import Body, Event
from trialist.core.ports import (
    CheckpointedSignal,
    ExitedSignal,
    LostSignal,
    ParkedSignal,
    ReportedSignal,
    Signal,
)
from trialist.core.records import (
    AttemptKey,
    Exhausted,
    Failure,
    FailureReason,
    OutcomeKind,
    Segment,
    Suggestion,
    Trial,
)

Script = Callable[[Segment], Iterator[Mapping[str, float]]]
"""A trial as a generator: each item is a report at the next step; what it returns (metrics) is its result."""


class FakeClock:
    """Time that stands still until it is moved."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self._now = at
        self._set_back_s = 0.0

    def now(self) -> float:
        return self._now - self._set_back_s

    def monotonic(self) -> float:
        return self._now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def set_back(self, seconds: float) -> None:
        """Somebody sets the clock back; no time passes."""
        self._set_back_s += seconds


class UniformSearcher:
    """Suggests ``{"x": …}`` uniformly in [0, 1), ``limit`` times at most; ignores history."""

    name = "uniform"
    reads: frozenset[type[Body]] = frozenset()

    def __init__(self, seed: int = 0, limit: int | None = None) -> None:
        self._seed = seed
        self._limit = limit

    def suggest(self, number: int) -> Suggestion | Exhausted:
        if self._limit is not None and number >= self._limit:
            return Exhausted()
        return Suggestion(params={"x": random.Random(f"{self._seed}/{number}").random()})

    def update(self, event: Event, trial: Trial | None) -> None:
        pass


class ScriptedExecutor:
    """Runs scripts step by step: each ``poll`` moves every running trial one report on, lowest number first.

    Args:
        script: What each trial does.
        parks: As in the port.
        checkpoints: Every report is followed by a checkpoint at this directory, where given.
    """

    name = "scripted"
    runs_ahead = False
    is_elsewhere = False

    def __init__(self, script: Script, *, parks: bool = True, checkpoints: str | None = None) -> None:
        self.parks = parks
        self._script = script
        self._checkpoints = checkpoints
        self._signals: deque[Signal] = deque()
        self._running: dict[AttemptKey, _Moving] = {}
        self.calls: list[tuple[str, AttemptKey]] = []
        """Every call with its attempt, for tests to look at."""
        self.started: list[Segment] = []

    def worker(self) -> str:
        return "scripted"

    def start(self, segment: Segment) -> None:
        self.calls.append(("start", segment.key))
        self.started.append(segment)
        self._running[segment.key] = _Moving(segment, self._script(segment))

    def go_on(self, key: AttemptKey, to_step: int | None) -> None:
        self.calls.append(("go_on", key))
        moving = self._running.get(key)
        if moving is not None and moving.parked:
            moving.parked, moving.to_step = False, to_step

    def evict(self, key: AttemptKey) -> None:
        self._order("evict", key, OutcomeKind.EVICTED)

    def stop(self, key: AttemptKey) -> None:
        self._order("stop", key, OutcomeKind.STOPPED)

    def kill(self, key: AttemptKey) -> None:
        self.calls.append(("kill", key))
        if self._running.pop(key, None) is not None:
            self._signals.append(ExitedSignal(key=key, outcome=OutcomeKind.KILLED))

    def lose_all(self, message: str = "worker died", *, is_blameless: bool = False) -> None:
        """The worker with all its trials dies."""
        keys = tuple(self._running)
        self._running.clear()
        self._signals.append(LostSignal(worker="scripted", keys=keys, message=message, is_blameless=is_blameless))

    def poll(self, timeout_s: float, sink: Callable[[Signal], None]) -> None:
        if not self._signals:
            for key in sorted(self._running):
                self._move(key)
        while self._signals:
            sink(self._signals.popleft())

    def lead_for(self, seconds: float) -> None:
        pass

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self._running.clear()

    def _order(self, name: str, key: AttemptKey, outcome: OutcomeKind) -> None:
        self.calls.append((name, key))
        moving = self._running.get(key)
        if moving is None:
            return
        moving.order = outcome
        if moving.parked:
            self._leave(key, outcome)

    def _leave(self, key: AttemptKey, outcome: OutcomeKind) -> None:
        del self._running[key]
        self._signals.append(ExitedSignal(key=key, outcome=outcome))

    def _move(self, key: AttemptKey) -> None:
        moving = self._running.get(key)
        if moving is None or moving.parked:
            return
        try:
            metrics = next(moving.steps)
        except StopIteration as end:
            del self._running[key]
            result: Any = end.value or {}
            self._signals.append(ExitedSignal(key=key, outcome=OutcomeKind.RETURNED, metrics=result))
            return
        except Exception as error:  # noqa: BLE001  the script's failure is the trial's
            del self._running[key]
            failure = Failure(reason=FailureReason.EXCEPTION, message=f"{type(error).__name__}: {error}")
            self._signals.append(ExitedSignal(key=key, outcome=OutcomeKind.RAISED, error=failure))
            return
        moving.step += 1
        self._signals.append(ReportedSignal(key=key, step=moving.step, metrics=metrics))
        if self._checkpoints is not None:
            self._signals.append(CheckpointedSignal(key=key, step=moving.step, path=self._checkpoints, num_bytes=1))
        if moving.order is not None:
            self._leave(key, moving.order)
        elif moving.to_step is not None and moving.step >= moving.to_step:
            moving.parked = True
            self._signals.append(ParkedSignal(key=key, step=moving.step))


class _Moving:
    def __init__(self, segment: Segment, steps: Iterator[Mapping[str, float]]) -> None:
        self.steps = steps
        self.step = segment.from_step
        self.to_step = segment.to_step
        self.parked = False
        self.order: OutcomeKind | None = None
