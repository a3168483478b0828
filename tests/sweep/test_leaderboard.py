"""The leaderboard: its order, its columns, and a CSV that no spreadsheet takes for a program."""

from __future__ import annotations

import csv
import math

import pytest

from trialist.core.records import Failure, FailureReason, Metric, Mode, Trial
from trialist.core.states import TrialStatus
from trialist.sweep.leaderboard import Leaderboard, Row, exit_code, row_of

COMPLETED, FAILED, STOPPED = TrialStatus.COMPLETED, TrialStatus.FAILED, TrialStatus.STOPPED


def row(number, value=None, status=COMPLETED, **rest):
    metrics = {} if value is None else {"loss": value}
    return Row(
        number=number, run=f"run_{number}", params={"a.x": number}, metrics=metrics, value=value, status=status, **rest
    )


def board(rows, mode=Mode.MIN, paths=("a.x",)):
    made = Leaderboard(paths, None if mode is None else Metric(name="loss", mode=mode))
    for one in rows:
        made.put(one)
    return made


def read(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("mode", "order"), [(Mode.MIN, [1, 0, 2, 3, 4]), (Mode.MAX, [0, 1, 2, 3, 4]), (None, [0, 1, 2, 3, 4])]
)
def test_the_best_first_then_those_without_a_value_in_order(mode, order):
    rows = [row(0, 2.0), row(1, 1.0, STOPPED), row(2, math.nan), row(3, 0.0, FAILED), row(4)]
    assert [one.number for one in board(rows, mode)] == order


def test_one_row_a_run_with_params_metrics_status_and_seconds(tmp_path):
    board([row(0, 2.0, seconds=1.23456, exit_code=0), row(1, None, FAILED, error="exit code 3", exit_code=3)]).write(
        tmp_path / "b.csv"
    )
    assert read(tmp_path / "b.csv") == [
        ["run", "a.x", "loss", "status", "seconds", "exit_code", "error"],
        ["run_0", "0", "2.0", "completed", "1.235", "0", ""],
        ["run_1", "1", "", "failed", "0.0", "3", "exit code 3"],
    ]


def test_an_empty_one_has_its_header(tmp_path):
    board([]).write(tmp_path / "b.csv")
    assert read(tmp_path / "b.csv") == [["run", "status", "seconds", "exit_code", "error"]]


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("-x", "'-x"), ("-1.5", "-1.5"), ("\tx", "'\tx"), ("a,b\n\"c", "a,b\n\"c")],
)  # fmt: skip
def test_text_is_never_a_formula(tmp_path, text, cell):
    made = Leaderboard(["x"], None)
    made.put(Row(number=0, run="r", params={"x": text}, error=text))
    made.write(tmp_path / "b.csv")
    assert read(tmp_path / "b.csv")[1] == ["r", cell, "waiting", "0.0", "", cell]


def test_columns_of_one_name_are_told_apart():
    made = Leaderboard(["loss", "status"], None)
    made.put(Row(number=0, run="r", params={"loss": "mse", "status": 1}, metrics={"loss": 0.5, "seconds": 3.0}))
    record = made.records()[0]
    assert record["loss"] == "mse"
    assert record["metric.loss"] == 0.5
    assert record["param.status"] == 1
    assert record["metric.seconds"] == 3.0
    assert made.columns([record]) == [
        "run", "loss", "param.status", "metric.loss", "metric.seconds", "status", "seconds", "exit_code", "error",
    ]  # fmt: skip


def test_a_run_that_was_tried_again_is_judged_by_its_last_try():
    made = board(
        [row(0, None, FAILED), row(1, None, FAILED), row(2, 1.0, retry_of=0), row(3, None, FAILED, retry_of=1)]
    )
    assert [one.number for one in made.failed()] == [3]


def test_the_row_of_a_trial():
    error = Failure(reason=FailureReason.EXIT_CODE, message="exit code 3: ValueError: no", exit_code=3)
    trial = Trial(number=4, params={"x": 1}, status=FAILED, error=error, parent=2, source="retry", seconds=2.0)
    made = row_of(trial, "r_x_1")
    assert (made.exit_code, made.error, made.retry_of) == (3, "exit code 3: ValueError: no", 2)


@pytest.mark.parametrize(
    ("status", "known", "code"),
    [(COMPLETED, None, 0), (FAILED, 127, 127), (FAILED, None, None), (TrialStatus.RUNNING, None, None)],
)
def test_the_exit_code(status, known, code):
    error = Failure(reason=FailureReason.EXIT_CODE, message="x", exit_code=known) if status is FAILED else None
    assert exit_code(Trial(number=0, params={}, status=status, error=error)) == code
