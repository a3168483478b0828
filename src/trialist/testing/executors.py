"""The contract of executors as a suite: subclass ``ExecutorContract``, say how yours is made, and pytest does the rest.

The objectives are functions of this module, so that an executor may run them in its own process, by import path, or from a
script that imports them. Knows ports, records and the trial's side; no executor in particular.
"""

from __future__ import annotations

import os
import select
import signal
import time
import unittest
from collections.abc import Callable, Mapping
from functools import partial
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
from trialist.core.records import (
    AttemptKey,
    FailureReason,
    FromCheckpoint,
    OutcomeKind,
    Segment,
    State,
    WarmStart,
)
from trialist.runtime import Paused, Stopped, TrialContext
from trialist.testing.processes import marked_processes

# --- objectives ------------------------------------------------------------------------------------------------------


def returns_square(trial: TrialContext) -> float:
    return float(trial.params["x"]) ** 2


def returns_nothing(trial: TrialContext) -> None:
    trial.report(loss=0.5)


def returns_text(trial: TrialContext) -> str:
    return "good"


def returns_nan(trial: TrialContext) -> float:
    return float("nan")


def reports_steps(trial: TrialContext) -> None:
    """As many steps as ``params["steps"]``, from where the trial goes on."""
    for step in range(trial.resume_step or 0, trial.params["steps"]):
        trial.report(step=step + 1, loss=1.0 / (step + 1))


def saves_each_step(trial: TrialContext) -> None:
    """Like ``reports_steps``, with a checkpoint before each next step."""
    for step in range(trial.resume_step or 0, trial.params["steps"]):
        trial.report(step=step + 1, loss=1.0 / (step + 1))
        trial.save_checkpoint(partial(_write_step, step + 1))


def _write_step(step: int, folder: Path) -> None:
    (folder / "step.txt").write_text(str(step))


def saves_when_told(trial: TrialContext) -> None:
    try:
        reports_steps(trial)
    except (Paused, Stopped):
        trial.save_checkpoint(lambda folder: (folder / "state.txt").write_text("saved"))
        raise


def reports_nan_between(trial: TrialContext) -> None:
    trial.report(step=1, loss=float("nan"))
    trial.report(step=2, loss=float("inf"))
    trial.report(step=3, loss=0.25)


def reports_and_returns(trial: TrialContext) -> dict[str, float]:
    trial.report(step=1, loss=0.9, accuracy=0.1)
    return {"loss": 0.2}


def raises_value_error(trial: TrialContext) -> None:
    raise ValueError("no such optimiser")


def raises_memory_error(trial: TrialContext) -> None:
    raise MemoryError


def exits_with_3(trial: TrialContext) -> None:
    raise SystemExit(3)


def reports_text(trial: TrialContext) -> None:
    trial.report(step=1, loss="low")


def reports_for_ever(trial: TrialContext) -> None:
    while True:
        trial.report(loss=1.0)


def hides_the_stop(trial: TrialContext) -> None:
    """What a training framework's loop does: no ``except Exception`` may swallow the order to leave."""
    while True:
        try:
            trial.report(loss=1.0)
        except Exception:  # noqa: BLE001, S110 - the very thing that is tested
            pass


def tells_its_context(trial: TrialContext) -> dict[str, float]:
    trial.report(step=7, seed=trial.seed, number=trial.number, attempt=trial.attempt, resume=trial.resume_step or -1)
    started = trial.checkpoint is not None and (trial.checkpoint / "step.txt").read_text() == "6"
    return {"from_checkpoint": float(started), "resumes": float(trial.warm_start == "resume")}


# --- driving ---------------------------------------------------------------------------------------------------------

Answer = Callable[[Executor, Signal], None]


def segment(tmp_path: Path, trial: int = 0, *, attempt: int = 1, **fields: Any) -> Segment:
    """A segment for tests; its run directory lies under ``tmp_path``."""
    given: dict[str, Any] = {
        "study_id": "0" * 32,
        "study": "contract",
        "trial": trial,
        "attempt": attempt,
        "params": {"x": 3.0, "steps": 6},
        "seed": 1234,
        "run_dir": str(tmp_path / f"trial-{trial}"),
    }
    return Segment(**{**given, **fields})


def go_to_the_end(executor: Executor, told: Signal) -> None:
    """An answer that lets every parked trial run to its end."""
    if isinstance(told, ParkedSignal):
        executor.go_on(told.key, None)


class Drive:
    """Polls an executor and keeps what it said.

    Args:
        executor: What is driven.
        answer: Called with each signal, as an engine's sink would be.
        deadline_s: How long ``until`` waits for what it waits for; guards against a hang, and promises no speed.
    """

    def __init__(self, executor: Executor, answer: Answer = go_to_the_end, *, deadline_s: float = 120.0) -> None:
        self.executor = executor
        self.signals: list[Signal] = []
        self._answer = answer
        self._deadline_s = deadline_s

    def _sink(self, told: Signal) -> None:
        self.signals.append(told)
        self._answer(self.executor, told)

    def until(self, done: Callable[[], Any]) -> list[Signal]:
        """Poll until ``done()``; a miss of the deadline fails and shows what came."""
        deadline = time.monotonic() + self._deadline_s
        while not done():
            left = deadline - time.monotonic()
            assert left > 0, f"nothing happened for {self._deadline_s} s; so far: {self.signals[-20:]}"
            self.executor.poll(min(left, 1.0), self._sink)
        return self.signals

    def run(self, *segments: Segment) -> list[ExitedSignal]:
        """Start segments and poll until all of them have ended; their ends, in the order of the arguments."""
        for item in segments:
            self.executor.start(item)
        self.until(lambda: all(self.ended(item.key) for item in segments))
        return [self.end(item.key) for item in segments]

    def ended(self, key: AttemptKey) -> bool:
        return any(_ends(told, key) for told in self.signals)

    def end(self, key: AttemptKey) -> ExitedSignal:
        """The one end of an attempt that was not lost."""
        ends = [told for told in self.signals if _ends(told, key)]
        assert len(ends) == 1, f"{len(ends)} ends of {key}: {ends}"
        assert isinstance(ends[0], ExitedSignal), ends[0]
        return ends[0]

    def of(self, kind: type[Any], key: AttemptKey | None = None) -> list[Any]:
        """All signals of a class."""
        return [told for told in self.signals if isinstance(told, kind) and (key is None or told.key == key)]


def _ends(told: Signal, key: AttemptKey) -> bool:
    return (isinstance(told, ExitedSignal) and told.key == key) or (isinstance(told, LostSignal) and key in told.keys)


class ExecutorContract:
    """Every test an executor must pass. Subclass it as ``TestMine`` and implement ``make``."""

    raises_as = frozenset({OutcomeKind.RAISED})
    """How the end of a function that raised is told; ``EXITED`` where functions run as scripts."""
    checks_results = True
    """Whether the executor sees what a function returned; scripts return nothing."""
    worker_words = "pid "
    """What the name of a place has in it."""

    def make(self, objective: Callable[[TrialContext], Any], metric_names: tuple[str, ...]) -> Executor:
        """A new executor for one of the objectives above."""
        raise NotImplementedError

    def setup_method(self) -> None:
        self._made: list[Executor] = []

    def teardown_method(self) -> None:
        for executor in self._made:
            executor.close()

    def _needs_results(self) -> None:
        if not self.checks_results:
            raise unittest.SkipTest("scripts return nothing")

    def drive(self, objective: Callable[[TrialContext], Any], answer: Answer = go_to_the_end) -> Drive:
        executor = self.make(objective, ("loss",))
        self._made.append(executor)
        return Drive(executor, answer)

    # results

    def test_a_returned_number_is_the_first_metric(self, tmp_path: Path) -> None:
        self._needs_results()
        (end,) = self.drive(returns_square).run(segment(tmp_path))
        assert (end.outcome, dict(end.metrics), end.error) == (OutcomeKind.RETURNED, {"loss": 9.0}, None)

    def test_returning_nothing_leaves_the_last_report(self, tmp_path: Path) -> None:
        drive = self.drive(returns_nothing)
        (end,) = drive.run(segment(tmp_path))
        assert (end.outcome, dict(end.metrics)) == (OutcomeKind.RETURNED, {})
        assert [(r.step, dict(r.metrics)) for r in drive.of(ReportedSignal)] == [(1, {"loss": 0.5})]

    def test_what_it_returned_is_told_apart_from_what_it_reported(self, tmp_path: Path) -> None:
        self._needs_results()
        drive = self.drive(reports_and_returns)
        (end,) = drive.run(segment(tmp_path))
        assert dict(end.metrics) == {"loss": 0.2}
        assert dict(drive.of(ReportedSignal)[0].metrics) == {"loss": 0.9, "accuracy": 0.1}

    def test_a_bad_result_fails_and_says_what_came(self, tmp_path: Path) -> None:
        self._needs_results()
        (end,) = self.drive(returns_text).run(segment(tmp_path))
        assert end.error is not None
        assert end.error.reason is FailureReason.BAD_RESULT
        assert "'good' (str)" in end.error.message

    def test_a_final_nan_fails(self, tmp_path: Path) -> None:
        self._needs_results()
        (end,) = self.drive(returns_nan).run(segment(tmp_path))
        assert end.error is not None
        assert end.error.reason is FailureReason.NOT_FINITE

    def test_nan_on_the_way_is_legal(self, tmp_path: Path) -> None:
        drive = self.drive(reports_nan_between)
        (end,) = drive.run(segment(tmp_path))
        assert end.error is None
        assert [repr(r.metrics["loss"]) for r in drive.of(ReportedSignal)] == ["nan", "inf", "0.25"]

    # failures

    def test_an_exception_is_a_failure_with_one_line_and_a_traceback(self, tmp_path: Path) -> None:
        (end,) = self.drive(raises_value_error).run(segment(tmp_path))
        assert end.outcome in self.raises_as
        assert end.error is not None
        assert "ValueError: no such optimiser" in end.error.message
        assert "\n" not in end.error.message
        assert "raises_value_error" in end.error.detail

    def test_a_bad_report_names_the_metric(self, tmp_path: Path) -> None:
        (end,) = self.drive(reports_text).run(segment(tmp_path))
        assert end.error is not None
        assert "metric 'loss' is 'low' (str)" in end.error.message

    def test_sys_exit_is_a_failure_of_the_trial_alone(self, tmp_path: Path) -> None:
        drive = self.drive(exits_with_3)
        first, second = drive.run(segment(tmp_path, 0), segment(tmp_path, 1))
        assert first.error is not None
        assert second.error is not None
        assert "3" in first.error.message

    def test_out_of_memory_has_a_reason_of_its_own(self, tmp_path: Path) -> None:
        (end,) = self.drive(raises_memory_error).run(segment(tmp_path))
        assert end.error is not None
        assert end.error.reason is FailureReason.OUT_OF_MEMORY

    # order

    def test_reports_come_in_order_and_the_end_last(self, tmp_path: Path) -> None:
        drive = self.drive(reports_steps)
        items = [segment(tmp_path, number) for number in range(4)]
        drive.run(*items)
        for item in items:
            told = [s for s in drive.signals if not isinstance(s, LostSignal) and s.key == item.key]
            assert [s.step for s in told if isinstance(s, ReportedSignal)] == [1, 2, 3, 4, 5, 6]
            assert isinstance(told[-1], ExitedSignal)
            assert sum(isinstance(s, ExitedSignal) for s in told) == 1

    def test_checkpoints_lie_complete_when_they_are_told(self, tmp_path: Path) -> None:
        seen: list[str] = []

        def look(executor: Executor, told: Signal) -> None:
            if isinstance(told, CheckpointedSignal):
                seen.append((Path(told.path) / "step.txt").read_text())
                assert told.num_bytes == len(seen[-1])

        self.drive(saves_each_step, look).run(segment(tmp_path))
        assert seen == ["1", "2", "3", "4", "5", "6"]

    def test_the_trial_knows_who_it_is_and_where_it_starts(self, tmp_path: Path) -> None:
        checkpoint = tmp_path / "checkpoint"
        checkpoint.mkdir()
        (checkpoint / "step.txt").write_text("6")
        state: State = FromCheckpoint(id="c1", path=str(checkpoint), step=6, what=WarmStart.RESUME)
        drive = self.drive(tells_its_context)
        (end,) = drive.run(segment(tmp_path, 5, attempt=2, from_step=6, state=state))
        (told,) = drive.of(ReportedSignal)
        assert dict(told.metrics) == {"seed": 1234.0, "number": 5.0, "attempt": 2.0, "resume": 6.0}
        if self.checks_results:
            assert dict(end.metrics) == {"from_checkpoint": 1.0, "resumes": 1.0}

    # boundaries

    def test_a_trial_parks_at_the_boundary_right_after_its_report(self, tmp_path: Path) -> None:
        drive = self.drive(reports_steps)
        drive.run(segment(tmp_path, to_step=2))
        kinds = [(type(s).__name__, getattr(s, "step", None)) for s in drive.signals[:4]]
        assert kinds == [("ReportedSignal", 1), ("ReportedSignal", 2), ("ParkedSignal", 2), ("ReportedSignal", 3)]
        assert len(drive.of(ParkedSignal)) == 1

    def test_it_parks_again_at_the_next_boundary(self, tmp_path: Path) -> None:
        def by_two(executor: Executor, told: Signal) -> None:
            if isinstance(told, ParkedSignal):
                executor.go_on(told.key, told.step + 2)

        drive = self.drive(reports_steps, by_two)
        (end,) = drive.run(segment(tmp_path, to_step=2))
        assert [s.step for s in drive.of(ParkedSignal)] == [2, 4, 6]
        assert end.outcome is OutcomeKind.RETURNED

    def test_eviction_at_a_boundary(self, tmp_path: Path) -> None:
        self._leaves_at_boundary(tmp_path, lambda executor, key: executor.evict(key), OutcomeKind.EVICTED)

    def test_stopping_at_a_boundary(self, tmp_path: Path) -> None:
        self._leaves_at_boundary(tmp_path, lambda executor, key: executor.stop(key), OutcomeKind.STOPPED)

    def test_killing_at_a_boundary(self, tmp_path: Path) -> None:
        self._leaves_at_boundary(tmp_path, lambda executor, key: executor.kill(key), OutcomeKind.KILLED)

    def _leaves_at_boundary(
        self, tmp_path: Path, order: Callable[[Executor, AttemptKey], None], outcome: OutcomeKind
    ) -> None:
        def leave(executor: Executor, told: Signal) -> None:
            if isinstance(told, ParkedSignal):
                order(executor, told.key)

        drive = self.drive(reports_steps, leave)
        (end,) = drive.run(segment(tmp_path, to_step=3))
        assert (end.outcome, end.error) == (outcome, None)
        assert [s.step for s in drive.of(ReportedSignal)] == [1, 2, 3]

    def test_it_may_save_when_it_is_told_to_leave(self, tmp_path: Path) -> None:
        def leave(executor: Executor, told: Signal) -> None:
            if isinstance(told, ParkedSignal):
                executor.evict(told.key)

        drive = self.drive(saves_when_told, leave)
        (end,) = drive.run(segment(tmp_path, to_step=3))
        (saved,) = drive.of(CheckpointedSignal)
        assert (end.outcome, saved.step) == (OutcomeKind.EVICTED, 3)

    def test_stopping_away_from_a_boundary(self, tmp_path: Path) -> None:
        self._leaves_while_running(tmp_path, reports_for_ever, "stop", OutcomeKind.STOPPED)

    def test_eviction_away_from_a_boundary(self, tmp_path: Path) -> None:
        self._leaves_while_running(tmp_path, reports_for_ever, "evict", OutcomeKind.EVICTED)

    def test_killing_a_running_trial(self, tmp_path: Path) -> None:
        self._leaves_while_running(tmp_path, reports_for_ever, "kill", OutcomeKind.KILLED)

    def test_except_exception_does_not_swallow_the_order(self, tmp_path: Path) -> None:
        self._leaves_while_running(tmp_path, hides_the_stop, "stop", OutcomeKind.STOPPED)

    def _leaves_while_running(
        self, tmp_path: Path, objective: Callable[[TrialContext], Any], order: str, outcome: OutcomeKind
    ) -> None:
        def leave(executor: Executor, told: Signal) -> None:
            if isinstance(told, ReportedSignal) and told.step == 5:
                getattr(executor, order)(told.key)

        (end,) = self.drive(objective, leave).run(segment(tmp_path))
        assert (end.outcome, end.error) == (outcome, None)

    # idempotence

    def test_orders_for_what_has_ended_do_nothing(self, tmp_path: Path) -> None:
        drive = self.drive(returns_nothing)
        (end,) = drive.run(segment(tmp_path, 0))
        executor = drive.executor
        executor.go_on(end.key, 3)
        executor.evict(end.key)
        executor.stop(end.key)
        executor.kill(end.key)
        executor.kill(AttemptKey(trial=99, attempt=1))
        (second,) = drive.run(segment(tmp_path, 1))
        assert second.outcome is OutcomeKind.RETURNED
        assert len(drive.of(ExitedSignal)) == 2

    def test_orders_given_twice_count_once(self, tmp_path: Path) -> None:
        def twice(executor: Executor, told: Signal) -> None:
            if isinstance(told, ParkedSignal):
                for _ in range(2):
                    executor.stop(told.key)
                    executor.evict(told.key)

        drive = self.drive(reports_steps, twice)
        (end,) = drive.run(segment(tmp_path, to_step=1))
        assert end.outcome is OutcomeKind.STOPPED

    def test_a_trial_that_was_ordered_to_leave_before_it_began(self, tmp_path: Path) -> None:
        drive = self.drive(reports_for_ever)
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.executor.kill(item.key)
        drive.until(lambda: drive.ended(item.key))
        assert drive.end(item.key).outcome is OutcomeKind.KILLED

    def test_the_sink_may_start_the_next_trial(self, tmp_path: Path) -> None:
        def chain(executor: Executor, told: Signal) -> None:
            if isinstance(told, ExitedSignal) and told.key.trial < 3:
                executor.start(segment(tmp_path, told.key.trial + 1))

        drive = self.drive(returns_nothing, chain)
        drive.executor.start(segment(tmp_path, 0))
        drive.until(lambda: len(drive.of(ExitedSignal)) == 4)
        assert [s.key.trial for s in drive.of(ExitedSignal)] == [0, 1, 2, 3]

    # waiting

    def test_poll_returns_when_nothing_happens(self) -> None:
        drive = self.drive(returns_nothing)
        drive.executor.poll(0.01, drive.signals.append)
        assert drive.signals == []

    def test_wake_ends_a_waiting_poll(self) -> None:
        drive = self.drive(returns_nothing)
        drive.executor.wake()
        drive.executor.poll(86_400.0, drive.signals.append)  # a day: what was not woken meets the suite's own timeout
        assert drive.signals == []

    def test_a_signal_handler_may_wake_at_any_moment(self) -> None:
        """Also in the middle of a wake of its own thread: two Ctrl-C in a row are just that."""
        executor, handled = self.drive(returns_nothing).executor, [0]

        def handler(number: int, frame: object) -> None:
            handled[0] += 1
            executor.wake()

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
        try:
            while handled[0] < 2000:
                executor.wake()
                executor.poll(0.001, lambda _: None)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            executor.close()

    def test_closing_twice_is_closing_once(self) -> None:
        drive = self.drive(returns_nothing)
        drive.executor.close()
        drive.executor.close()

    def test_the_worker_has_a_name(self) -> None:
        assert self.worker_words in self.drive(returns_nothing).executor.worker()


# --- processes -------------------------------------------------------------------------------------------------------


def processes_with(mark: str) -> dict[int, str]:
    """Living processes that carry ``mark`` in their environment, with their command lines (Linux)."""
    return dict(marked_processes(mark))


def wait_until_gone(mark: str, deadline_s: float) -> Mapping[int, str]:
    """What still carries ``mark`` when nothing does any more, or else when the deadline has passed."""
    deadline = time.monotonic() + deadline_s
    while (left := processes_with(mark)) and time.monotonic() < deadline:
        wait_for_end(next(iter(left)), deadline - time.monotonic())
    return left


def wait_for_end(pid: int, deadline_s: float) -> bool:
    """Wait until a process has ended, ours or not, reaped or not; False where the deadline passed first (Linux)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], max(0.0, deadline_s))[0])
    finally:
        os.close(descriptor)


def end_all(mark: str) -> None:
    """End what a failed test left."""
    for pid in processes_with(mark):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
