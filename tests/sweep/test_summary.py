"""The summary: what is best, what failed and why, and what to do next, in the columns there are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from trialist.core.records import Metric, Mode, Trial
from trialist.core.states import TrialStatus
from trialist.sweep.layout import SweepFiles
from trialist.sweep.leaderboard import Leaderboard, Row
from trialist.sweep.summary import Ended, fit_columns, last_line, summary, summary_json
from trialist.telemetry.progress import Tally, duration

METRIC = Metric(name="val_loss", mode=Mode.MIN)


def ended(tmp_path, rows, metric=METRIC, **rest):
    board = Leaderboard(["training.learning_rate"], metric)
    for row in rows:
        board.put(row)
    given = {"leaderboard": board, "files": SweepFiles(runs=tmp_path / "runs", stem="lr_123045"), "total": len(rows)}
    return Ended(**{**given, "seconds": 83.0, "interrupted": False, **rest})


def row(number, value=None, status=TrialStatus.COMPLETED, **rest):
    metrics = {} if value is None else {"val_loss": value, "val_acc": 0.5}
    params = {"training.learning_rate": 10.0**-number}
    return Row(
        number=number,
        run=f"lr_123045_learning_rate_{number}",
        params=params,
        metrics=metrics,
        value=value,
        status=status,
        **rest,
    )


def text(made, tmp_path, width=80):
    return summary(made, width=width, again="trialist sweep --resume lr_123045", here=tmp_path)


def test_the_best_run_its_settings_and_its_config(tmp_path):
    said = text(ended(tmp_path, [row(0, 0.5), row(1, 0.25)]), tmp_path)
    assert "2 runs: 2 completed, in 1 min 23 s." in said
    assert "Best: val_loss 0.25 with learning_rate=0.1" in said
    assert "runs/lr_123045_learning_rate_1/config.yaml" in said
    assert "Leaderboard: runs/lr_123045.csv" in said
    assert "trialist status lr_123045" in said


def test_a_failed_run_is_named_with_the_last_line_of_its_log(tmp_path):
    log = tmp_path / "runs" / "lr_123045_learning_rate_1" / "stdout.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"epoch 1\n\x1b[31mValueError: loss is \xff too large\x1b[0m\r\n\n")
    failed = row(1, None, TrialStatus.FAILED, error="exit code 1", exit_code=1)
    said = text(ended(tmp_path, [row(0, 0.5), failed]), tmp_path)
    assert "2 runs: 1 completed, 1 failed" in said
    assert "  lr_123045_learning_rate_1\n      exit code 1: ValueError: loss is \ufffd too large" in said
    assert json.loads(json.dumps(summary_json(ended(tmp_path, [failed]), METRIC)))["rows"][0]["last_line"].startswith(
        "ValueError"
    )


def test_an_interrupted_sweep_says_how_to_go_on(tmp_path):
    said = text(ended(tmp_path, [row(0, 0.5), row(1, None, TrialStatus.WAITING)], interrupted=True, total=5), tmp_path)
    assert "Interrupted with 1 of 5 runs done: 1 completed" in said
    assert said.endswith("Go on with it: trialist sweep --resume lr_123045")


def test_without_a_metric_there_is_a_hint(tmp_path):
    said = text(ended(tmp_path, [row(0, 0.5)], metric=None), tmp_path)
    assert "The runs told val_loss, val_acc; --metric val_loss sorts the leaderboard." in said


def test_a_run_without_any_metric_shows_its_exit_code(tmp_path):
    said = text(ended(tmp_path, [row(0, exit_code=0)], metric=None), tmp_path)
    assert "exit code" in said
    assert "No run told a metric; the leaderboard has their exit codes." in said


def test_a_metric_that_no_run_told(tmp_path):
    other = Metric(name="accuracy", mode=Mode.MAX)
    only = Row(number=0, run="r", params={}, metrics={"loss": 1.0}, status=TrialStatus.COMPLETED)
    assert "No run told 'accuracy', so none is the best. They told loss" in text(
        ended(tmp_path, [only], other), tmp_path
    )


def test_only_the_best_ten_are_shown_and_the_rest_counted(tmp_path):
    assert "… and 15 more" in text(ended(tmp_path, [row(number, float(number)) for number in range(25)]), tmp_path)


def test_a_reason_that_does_not_go_without_saying_is_said(tmp_path):
    assert "More than 3 runs failed." in text(
        ended(tmp_path, [row(0, 0.5)], reason="more than 3 runs failed"), tmp_path
    )
    asked = text(ended(tmp_path, [row(0, 0.5)], reason="no data set 'digit'. Did you mean 'digits'?"), tmp_path)
    assert "Did you mean 'digits'?\n" in asked


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_keeps_to_the_width(tmp_path, width):
    wide = {f"section.parameter_{index}": "x" * 50 for index in range(8)}
    board = Leaderboard(list(wide), METRIC)
    board.put(Row(number=0, run="r", params=wide, metrics={"val_loss": 1.0}, value=1.0, status=TrialStatus.COMPLETED))
    made = ended(tmp_path, [])._replace(leaderboard=board)
    table = text(made, tmp_path, width).splitlines()[2:4]
    assert all(len(line) <= width for line in table)
    assert "val_loss" in table[0]


def test_drawn_numbers_are_shortened_in_the_table_alone(tmp_path):
    drawn = replace(row(0, 0.5), params={"training.learning_rate": 0.007616099499788955})
    said = text(ended(tmp_path, [drawn]), tmp_path)
    assert "0.0076161 " in said
    assert "with learning_rate=0.007616099499788955" in said


def test_columns_are_aligned_numbers_to_the_right():
    assert fit_columns([["name", "a", "bc"], ["n", "1.5", "10"]], 80) == ["name    n", "a     1.5", "bc     10"]


def test_the_last_line_of_nothing_is_nothing(tmp_path):
    assert last_line(tmp_path / "missing.log") == ""
    (tmp_path / "empty.log").write_bytes(b"\n \n")
    assert last_line(tmp_path / "empty.log") == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (9.96, "10 s"), (59.4, "59 s"), (185.2, "3 min 05 s"), (7800, "2 h 10 min"), (273600, "3 d 4 h")]
)  # fmt: skip
def test_durations_for_people(seconds, said):
    assert duration(seconds) == said


def test_a_mistyped_metric_is_said_after_the_first_run():
    tally = Tally(total=3, metric=Metric(name="val_los", mode=Mode.MIN), jobs=1)
    assert tally.words() == ""
    ended = {"params": {}, "status": TrialStatus.COMPLETED}
    tally.add(Trial(number=0, metrics={"val_loss": 0.5}, **ended))
    assert tally.words() == "no run told 'val_los' but 'val_loss'"
    tally.add(Trial(number=1, metrics={"val_los": 0.25}, value=0.25, **ended))
    assert tally.words() == "best val_los 0.25"


def test_the_estimated_end_counts_runs_that_go_on_at_once():
    tally = Tally(total=9, metric=None, jobs=4)
    assert tally.left_s() is None
    tally._seconds, tally.ended = 10.0, 1
    assert tally.left_s() == 20.0
