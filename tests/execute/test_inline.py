"""What is the inline executor's own: signatures, threads, Ctrl-C, and the engine's errors."""

import os
import sys
import threading

import pytest

from trialist.core.errors import LeaseLost, ObjectiveError
from trialist.core.ports import ExitedSignal, ParkedSignal, ReportedSignal
from trialist.core.records import FailureReason, OutcomeKind
from trialist.execute.inline import InlineExecutor
from trialist.runtime import Stopped, current_trial, report
from trialist.testing.counting import calls_of
from trialist.testing.executors import Drive, segment


def run(objective, tmp_path, answer=None, names=("loss",), **fields):
    drive = Drive(InlineExecutor(objective, names), answer or (lambda executor, told: None))
    (end,) = drive.run(segment(tmp_path, **fields))
    return end, drive


def test_an_objective_that_fits_no_params_says_which(tmp_path):
    end, _ = run(lambda lr, depth: 0.0, tmp_path, params={"lr": 0.1, "width": 3})
    assert end.outcome is OutcomeKind.NOT_STARTED
    assert "it lacks 'depth' and it has no parameter 'width'" in end.error.message


def test_what_is_no_function_is_refused():
    with pytest.raises(ObjectiveError, match="give a function"):
        InlineExecutor(3, ("loss",))


def test_ctrl_c_ends_the_attempt_and_is_not_raised(tmp_path):
    def objective(trial):
        raise KeyboardInterrupt

    end, _ = run(objective, tmp_path)
    assert (end.outcome, end.error) == (OutcomeKind.INTERRUPTED, None)


def test_an_error_of_the_engine_passes_through_the_users_except_clauses(tmp_path):
    def objective(trial):
        while True:
            try:
                trial.report(loss=1.0)
            except BaseException:
                return 0.0

    def sink(told):
        raise LeaseLost("digits", 3)

    executor = InlineExecutor(objective, ("loss",))
    executor.start(segment(tmp_path))
    with pytest.raises(LeaseLost):
        executor.poll(1.0, sink)


def test_a_trial_that_catches_the_stop_and_returns_is_stopped_with_its_result(tmp_path):
    def objective(trial):
        try:
            while True:
                trial.report(loss=1.0)
        except Stopped:
            return 0.25

    def stop(executor, told):
        if isinstance(told, ReportedSignal) and told.step == 3:
            executor.stop(told.key)

    end, _ = run(objective, tmp_path, stop)
    assert (end.outcome, dict(end.metrics)) == (OutcomeKind.STOPPED, {"loss": 0.25})


def test_a_timeout_takes_effect_at_a_report(tmp_path):
    def objective(trial):
        while True:
            trial.report(loss=1.0)

    end, _ = run(objective, tmp_path, timeout_s=0.02)
    assert (end.outcome, end.error.reason) == (OutcomeKind.TIMED_OUT, FailureReason.TIMEOUT)


def test_threads_of_the_function_belong_to_its_trial_and_the_sink_to_the_engines_thread(tmp_path):
    def objective(trial):
        thread = threading.Thread(target=lambda: report(step=1, loss=0.5))
        thread.start()
        thread.join()
        trial.report(step=2, loss=0.25)

    seen = []
    _, drive = run(objective, tmp_path, lambda executor, told: seen.append(threading.get_ident()))
    assert set(seen) == {threading.get_ident()}
    assert [r.step for r in drive.of(ReportedSignal)] == [1, 2]


def test_the_current_trial_is_bound_while_it_runs(tmp_path):
    def objective(x, steps):
        report(loss=current_trial().params["x"])

    _, drive = run(objective, tmp_path)
    assert [dict(r.metrics) for r in drive.of(ReportedSignal)] == [{"loss": 3.0}]
    assert current_trial() is None


def test_a_traceback_shows_the_users_frames_alone(tmp_path):
    def objective(trial):
        return 1 / 0

    end, _ = run(objective, tmp_path)
    assert end.error.message == "ZeroDivisionError: division by zero"
    assert "return 1 / 0" in end.error.detail
    assert "trialist/execute" not in end.error.detail
    assert "trialist/runtime" not in end.error.detail


def test_an_unanswered_boundary_is_a_defect(tmp_path):
    from trialist.core.errors import InternalError

    with pytest.raises(InternalError, match="without an answer"):
        run(lambda trial: trial.report(loss=1), tmp_path, to_step=1)


def test_a_generator_is_told_where_it_waits_and_may_return(tmp_path):
    cleaned = []

    def objective(trial):
        try:
            for step in range(10):
                yield {"loss": 1.0 - step / 10, "step": step * 2}
        except Stopped:
            cleaned.append(True)
            return 0.125

    def stop(executor, told):
        if isinstance(told, ParkedSignal):
            executor.stop(told.key)

    end, drive = run(objective, tmp_path, stop, to_step=4)
    assert [r.step for r in drive.of(ReportedSignal)] == [0, 2, 4]
    assert (end.outcome, dict(end.metrics), cleaned) == (OutcomeKind.STOPPED, {"loss": 0.125}, [True])


def test_a_no_op_costs_few_calls_and_touches_no_file(tmp_path):
    executor = InlineExecutor(lambda lr, depth, kind: 1.0, ("loss",))
    items = [segment(tmp_path, n, params={"lr": 0.1, "depth": 3, "kind": "a"}) for n in range(200)]
    ends = []

    def run(some):
        for item in some:
            executor.start(item)
            executor.poll(0.0, ends.append)

    run(items[:100])  # what is paid once
    assert calls_of(lambda: run(items[100:])) <= 100 * 140, "it was 67 a trial where this was written"
    assert [type(end) for end in ends] == [ExitedSignal] * 200
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("child", "code"),
    [
        (lambda trial: sys.exit(3), 3),
        (lambda trial: 1 / 0, 1),
        (lambda trial: trial.report(step=7, loss=9.0), 0),
    ],
)
def test_a_process_that_the_function_forks_never_comes_back_as_the_engine(tmp_path, capfd, child, code):
    parent = os.getpid()
    seen = []

    def objective(trial):
        pid = os.fork()
        if pid == 0:
            return child(trial)
        seen.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return 1.0

    end, drive = run(objective, tmp_path)
    if os.getpid() != parent:  # it came back: it must not go on with the tests as well
        os._exit(77)
    assert (end.outcome, dict(end.metrics), seen) == (OutcomeKind.RETURNED, {"loss": 1.0}, [code])
    assert drive.of(ReportedSignal) == []
    assert ("ZeroDivisionError" in capfd.readouterr().err) == (code == 1)
