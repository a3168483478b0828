"""The contract of executors that keep residents: many trials parked in one worker, which go on exactly where they were.

Subclass ``ResidentContract`` and say how yours is made. The trainer here is small, and real enough to notice: it draws
batches from a random stream, has momentum, and a single lost or repeated step changes every number after it. Knows ports,
records and the trial's side; no executor in particular.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trialist.core.ports import (
    CheckpointedSignal,
    Executor,
    ExitedSignal,
    LostSignal,
    ParkedSignal,
    ReportedSignal,
    Signal,
)
from trialist.core.records import AttemptKey, FailureReason, FromCheckpoint, OutcomeKind, Segment, State, WarmStart
from trialist.runtime import Paused, TrialContext
from trialist.testing.executors import Drive, segment, wait_for_end

RESIDENTS = 8
"""How many trials the suite parks in one worker."""
STEPS = 9


class ToyTrainer:
    """Logistic regression on points of two kinds, by stochastic gradient descent with momentum.

    Args:
        lr: Learning rate.
        seed: Of the points and of the order of batches.
    """

    def __init__(self, lr: float, seed: int) -> None:
        self._lr = lr
        points = random.Random(seed)
        self._data = [([points.gauss(kind, 1.0), points.gauss(-kind, 1.0)], kind) for kind in (0, 1) for _ in range(32)]
        self._batches = random.Random(seed + 1)
        self._weights = [0.0, 0.0, 0.0]
        self._velocity = [0.0, 0.0, 0.0]

    def step(self) -> float:
        """Train on one batch; the loss over all points behind it."""
        gradient = [0.0, 0.0, 0.0]
        for point, kind in self._batches.sample(self._data, 8):
            error = self._predict(point) - kind
            for index, value in enumerate([*point, 1.0]):
                gradient[index] += error * value / 8
        for index, slope in enumerate(gradient):
            self._velocity[index] = 0.9 * self._velocity[index] - self._lr * slope
            self._weights[index] += self._velocity[index]
        likely = [self._predict(point) if kind else 1.0 - self._predict(point) for point, kind in self._data]
        return -sum(math.log(max(p, 1e-12)) for p in likely) / len(likely)

    def _predict(self, point: Sequence[float]) -> float:
        score = sum(weight * value for weight, value in zip(self._weights, [*point, 1.0], strict=True))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, score))))

    def save(self, folder: Path) -> None:
        """Write all that the next step depends on."""
        state = {"weights": self._weights, "velocity": self._velocity, "batches": self._batches.getstate()}
        (folder / "state.json").write_text(json.dumps(state))

    def load(self, folder: Path) -> None:
        """Take over what ``save`` wrote."""
        state = json.loads((folder / "state.json").read_text())
        self._weights, self._velocity = state["weights"], state["velocity"]
        version, internal, gauss = state["batches"]
        self._batches.setstate((version, tuple(internal), gauss))


def losses(lr: float, seed: int, steps: int = STEPS) -> list[float]:
    """What an uninterrupted training reports."""
    trainer = ToyTrainer(lr, seed)
    return [trainer.step() for _ in range(steps)]


def trains(trial: TrialContext) -> None:
    """Train ``params["steps"]`` steps, one report each; save every ``save_every`` steps, and when told to leave.

    ``at`` is the step at which the trial misbehaves, as ``how`` says: ``crash``, ``exit`` or ``hang``.
    """
    params = trial.params
    trainer = ToyTrainer(params["lr"], trial.seed)
    if trial.checkpoint is not None:
        trainer.load(trial.checkpoint)
    try:
        for step in range((trial.resume_step or 0) + 1, params["steps"] + 1):
            loss = trainer.step()
            print(f"trial {trial.number} step {step}")
            trial.report(step=step, loss=loss, pid=os.getpid(), thread=threading.get_ident())
            if step % params.get("save_every", 10**6) == 0:
                trial.save_checkpoint(trainer.save)
            if step == params.get("at"):
                _misbehave(params["how"])
    except Paused:
        trial.save_checkpoint(trainer.save)
        raise


def _misbehave(how: str) -> None:
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "exit":
        os._exit(7)
    threading.Event().wait()  # for ever: heeds no order


def stay(executor: Executor, told: Signal) -> None:
    """An answer that leaves every trial parked."""


class ResidentContract:
    """Every test an executor that keeps residents must pass."""

    def make(self, objective: Callable[[TrialContext], Any], metric_names: tuple[str, ...], residents: int) -> Executor:
        """A new executor for ``trains``, whose workers hold so many trials each, with a grace of a second or less."""
        raise NotImplementedError

    def setup_method(self) -> None:
        self._made: list[Executor] = []

    def teardown_method(self) -> None:
        for executor in self._made:
            executor.close()

    # driving

    def drive(self, residents: int = RESIDENTS) -> Drive:
        executor = self.make(trains, ("loss",), residents)
        self._made.append(executor)
        return Drive(executor, stay)

    def item(self, tmp_path: Path, number: int, **fields: Any) -> Segment:
        params = {"lr": 0.05 * (number + 1), "steps": STEPS, **fields.pop("params", {})}
        return segment(tmp_path, number, params=params, seed=100 + number, **{"to_step": 3, **fields})

    def again(self, drive: Drive, item: Segment, **fields: Any) -> Segment:
        """The next attempt of a trial, from its last checkpoint, as an engine would make it."""
        saved: CheckpointedSignal = drive.of(CheckpointedSignal, item.key)[-1]
        state: State = FromCheckpoint(id="c", path=saved.path, step=saved.step, what=WarmStart.RESUME)
        given = {name: getattr(item, name) for name in ("params", "seed", "run_dir", "study", "study_id", "to_step")}
        changed: dict[str, Any] = {
            "attempt": item.attempt + 1,
            "from_step": saved.step,
            "state": state,
            "to_step": None,
        }
        return Segment(trial=item.trial, **{**given, **changed, **fields})

    def park_all(self, drive: Drive, items: Sequence[Segment]) -> None:
        for item in items:
            drive.executor.start(item)
        drive.until(lambda: all(drive.of(ParkedSignal, item.key) for item in items))

    def told(self, drive: Drive, item: Segment) -> list[tuple[int, float]]:
        return [(report.step, report.metrics["loss"]) for report in drive.of(ReportedSignal, item.key)]

    def expected(self, item: Segment, after: int = 0) -> list[tuple[int, float]]:
        known = losses(item.params["lr"], item.seed)
        return [(step, loss) for step, loss in enumerate(known, 1) if step > after]

    def pids(self, drive: Drive, items: Sequence[Segment]) -> set[int]:
        return {int(report.metrics["pid"]) for item in items for report in drive.of(ReportedSignal, item.key)}

    def finish(self, drive: Drive, items: Sequence[Segment]) -> list[ExitedSignal]:
        drive.until(lambda: all(drive.ended(item.key) for item in items))
        return [drive.end(item.key) for item in items]

    # staying

    def test_many_sit_parked_in_one_worker_and_each_goes_on_exactly(self, tmp_path: Path) -> None:
        drive = self.drive()
        items = [self.item(tmp_path, number) for number in range(RESIDENTS)]
        self.park_all(drive, items)
        assert len(self.pids(drive, items)) == 1
        assert len({drive.of(ReportedSignal, item.key)[0].metrics["thread"] for item in items}) == RESIDENTS
        for boundary, order in ((6, reversed(items)), (None, [*items[1::2], *items[::2]])):
            for item in order:
                drive.executor.go_on(item.key, boundary)
            if boundary is not None:
                drive.until(lambda: len(drive.of(ParkedSignal)) == 2 * RESIDENTS)
        ends = self.finish(drive, items)
        assert {end.outcome for end in ends} == {OutcomeKind.RETURNED}
        for item in items:
            assert self.told(drive, item) == self.expected(item)
        assert len(self.pids(drive, items)) == 1

    def test_each_writes_to_its_own_log(self, tmp_path: Path) -> None:
        drive = self.drive()
        items = [self.item(tmp_path, number, to_step=None) for number in range(4)]
        for item in items:
            drive.executor.start(item)
        self.finish(drive, items)
        for item in items:
            logs = b"".join(path.read_bytes() for path in Path(item.run_dir).glob("*.log")).decode()
            assert logs.splitlines() == [f"trial {item.trial} step {step}" for step in range(1, STEPS + 1)]

    # leaving

    def test_an_evicted_one_goes_on_in_another_worker_exactly(self, tmp_path: Path) -> None:
        drive, other = self.drive(), self.drive()
        items = [self.item(tmp_path, number) for number in range(3)]
        self.park_all(drive, items)
        drive.executor.evict(items[1].key)
        (end,) = self.finish(drive, [items[1]])
        assert (end.outcome, end.error) == (OutcomeKind.EVICTED, None)
        second = self.again(drive, items[1])
        (end,) = other.run(second)
        assert end.outcome is OutcomeKind.RETURNED
        assert self.told(other, second) == self.expected(second, after=3)
        assert not self.pids(drive, items) & self.pids(other, [second])
        self._go_on_unharmed(drive, [items[0], items[2]])

    def test_stopping_one_that_is_parked_leaves_the_others(self, tmp_path: Path) -> None:
        self._leaves_alone(tmp_path, lambda executor, key: executor.stop(key), OutcomeKind.STOPPED)

    def test_killing_one_that_is_parked_leaves_the_others(self, tmp_path: Path) -> None:
        self._leaves_alone(tmp_path, lambda executor, key: executor.kill(key), OutcomeKind.KILLED)

    def _leaves_alone(
        self, tmp_path: Path, order: Callable[[Executor, AttemptKey], None], outcome: OutcomeKind
    ) -> None:
        drive = self.drive()
        items = [self.item(tmp_path, number) for number in range(3)]
        self.park_all(drive, items)
        order(drive.executor, items[0].key)
        (end,) = self.finish(drive, items[:1])
        assert (end.outcome, end.error) == (outcome, None)
        self._go_on_unharmed(drive, items[1:])

    def _go_on_unharmed(self, drive: Drive, items: Sequence[Segment]) -> None:
        for item in items:
            drive.executor.go_on(item.key, None)
        assert {end.outcome for end in self.finish(drive, items)} == {OutcomeKind.RETURNED}
        for item in items:
            assert self.told(drive, item) == self.expected(item)
        assert len(self.pids(drive, items)) == 1
        assert not drive.of(LostSignal)

    # dying

    def test_a_hung_one_that_is_killed_costs_its_worker_and_the_others_go_on_from_checkpoints(
        self, tmp_path: Path
    ) -> None:
        self._costs_its_worker(tmp_path, OutcomeKind.KILLED, kill=True)

    def test_a_hung_one_that_times_out_costs_its_worker_and_the_others_go_on_from_checkpoints(
        self, tmp_path: Path
    ) -> None:
        self._costs_its_worker(tmp_path, OutcomeKind.TIMED_OUT, timeout_s=2.0)

    def _costs_its_worker(self, tmp_path: Path, outcome: OutcomeKind, *, kill: bool = False, **hung: Any) -> None:
        drive = self.drive()
        bad = self.item(tmp_path, 0, to_step=None, params={"at": 1, "how": "hang"}, **hung)
        good = [self.item(tmp_path, number, params={"save_every": 2}) for number in (1, 2)]
        self.park_all(drive, good)
        drive.executor.start(bad)
        drive.until(lambda: drive.of(ReportedSignal, bad.key))
        if kill:
            drive.executor.kill(bad.key)
        drive.until(lambda: all(drive.ended(item.key) for item in [bad, *good]))
        assert drive.end(bad.key).outcome is outcome
        assert {key for lost in drive.of(LostSignal) for key in lost.keys} == {item.key for item in good}
        assert all(lost.is_blameless for lost in drive.of(LostSignal))
        self._resume(drive, good, after=2)

    def test_a_crash_loses_all_and_each_goes_on_from_its_checkpoint(self, tmp_path: Path) -> None:
        drive = self.drive()
        good = [self.item(tmp_path, number, params={"save_every": 2}) for number in (1, 2)]
        bad = self.item(tmp_path, 0, params={"save_every": 2, "at": 5, "how": "crash"})
        self.park_all(drive, [*good, bad])
        drive.executor.go_on(bad.key, None)
        drive.until(lambda: all(drive.ended(item.key) for item in [bad, *good]))
        (lost,) = drive.of(LostSignal)
        assert set(lost.keys) == {item.key for item in [bad, *good]}
        assert lost.is_blameless
        assert "SIGSEGV" in lost.message
        # Nobody knows which of them it was; the next time it can harm nobody but itself, and its end is its own.
        second = self.again(drive, bad)
        drive.executor.start(second)
        self._resume(drive, good, after=2)
        (end,) = self.finish(drive, [second])
        assert (end.outcome, end.error and end.error.reason) == (OutcomeKind.SIGNALLED, FailureReason.SIGNAL)

    def _resume(self, drive: Drive, items: Sequence[Segment], after: int) -> None:
        seconds = [self.again(drive, item) for item in items]
        assert {end.outcome for end in drive.run(*seconds)} == {OutcomeKind.RETURNED}
        for item in seconds:
            assert self.told(drive, item) == self.expected(item, after=after)
        assert not self.pids(drive, items) & self.pids(drive, seconds)

    def test_one_that_takes_its_worker_down_while_it_is_alone_has_failed_by_itself(self, tmp_path: Path) -> None:
        drive = self.drive()
        bad = self.item(tmp_path, 0, to_step=None, params={"at": 2, "how": "exit"})
        (end,) = drive.run(bad)
        assert end.outcome is OutcomeKind.EXITED
        assert end.error is not None
        assert end.error.exit_code == 7
        good = self.item(tmp_path, 1, to_step=None)
        (end,) = drive.run(good)
        assert end.outcome is OutcomeKind.RETURNED

    def test_closing_leaves_nobody(self, tmp_path: Path) -> None:
        drive = self.drive()
        items = [self.item(tmp_path, number) for number in range(2)]
        self.park_all(drive, items)
        (pid,) = self.pids(drive, items)
        drive.executor.close()
        assert wait_for_end(pid, 60.0)
