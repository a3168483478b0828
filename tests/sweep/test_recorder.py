"""The files of a run follow its events, and are written again from the store where a crash kept them from being."""

from __future__ import annotations

import csv
import errno
import json
import math

import pytest

from trialist.core.events import AttemptStarted, Event, Reported, TrialEnded
from trialist.core.records import Failure, FailureReason, Report, Trial
from trialist.core.states import TrialStatus
from trialist.sweep.layout import SweepFiles
from trialist.sweep.leaderboard import Leaderboard
from trialist.sweep.recorder import Recorder

TRIAL = Trial(number=0, params={"x": 1}, status=TrialStatus.RUNNING, attempt=1)


def recorder(tmp_path, reports=(), **options):
    files = SweepFiles(runs=tmp_path, stem="s_123045")
    board = Leaderboard(["x"], None)
    made = Recorder(
        study="s_123045",
        leaderboard=board,
        path=files.leaderboard,
        files_of=lambda trial: files.run(f"s_123045_x_{trial.number}"),
        reports_of=lambda trial: reports,
        **options,
    )
    return made, files.run("s_123045_x_0"), files.leaderboard


def event(body, seq=1):
    return Event(seq=seq, at=1000.0 + seq, body=body)


def reported(step, **metrics):
    return event(Reported(trial=0, attempt=1, step=step, metrics=metrics), step)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_reports_are_appended_as_they_come(tmp_path):
    made, run, _ = recorder(tmp_path)
    made.write([reported(1, loss=0.5), reported(2, loss=math.nan)], {0: TRIAL})
    made.write(
        [event(Reported(trial=0, attempt=1, step=3, metrics={"loss": 0.25, "at": 7.0, "step": 9.0}))], {0: TRIAL}
    )
    assert [(line["step"], line["loss"]) for line in lines(run.reports)] == [(1, 0.5), (2, "NaN"), (3, 0.25)]


def test_a_new_attempt_keeps_what_still_counts(tmp_path):
    stored = [
        Report(trial=0, attempt=1, step=1, metrics={"loss": 3.0}, at=1.0),
        Report(trial=0, attempt=1, step=2, metrics={"loss": 2.0}, at=2.0, superseded=True),
    ]
    made, run, _ = recorder(tmp_path, stored)
    made.write([reported(1, loss=3.0), reported(2, loss=2.0)], {0: TRIAL})
    made.write([event(AttemptStarted(trial=0, attempt=2, from_step=1)), reported(2, loss=1.0)], {0: TRIAL})
    assert [(line["step"], line["loss"]) for line in lines(run.reports)] == [(1, 3.0), (2, 1.0)]


def test_an_end_is_written_whole(tmp_path):
    made, run, board = recorder(tmp_path)
    error = Failure(reason=FailureReason.EXIT_CODE, message="exit code 2: no", exit_code=2)
    ended = Trial(
        number=0,
        params={"x": 1},
        status=TrialStatus.FAILED,
        error=error,
        metrics={"loss": math.inf},
        attempt=1,
        ended_at=1.0,
    )
    made.write([event(TrialEnded(trial=0, attempt=1, status=TrialStatus.FAILED))], {0: ended})
    made.close()
    result = json.loads(run.result.read_text())
    assert result["error"] == {"reason": "exit_code", "message": "exit code 2: no"}
    assert (result["status"], result["exit_code"], result["metrics"]) == ("failed", 2, {"loss": "Infinity"})
    with board.open(newline="") as file:
        assert next(csv.DictReader(file))["status"] == "failed"
    assert lines(run.reports)[0]["loss"] == "Infinity"


def test_what_a_crash_kept_from_the_files_is_written_again(tmp_path):
    made, run, board = recorder(tmp_path, [Report(trial=0, attempt=1, step=1, metrics={"loss": 3.0}, at=1.0)])
    run.directory.mkdir()
    made.restore([Trial(number=0, params={"x": 1}, status=TrialStatus.COMPLETED, metrics={"loss": 3.0}, attempt=1)])
    made.close()
    assert json.loads(run.result.read_text())["status"] == "completed"
    assert lines(run.reports)[0]["step"] == 1
    assert board.is_file()


def ended(number):
    return Trial(number=number, params={"x": 1}, status=TrialStatus.COMPLETED, metrics={"loss": 0.5}, attempt=1)


def test_a_run_whose_directory_breaks_costs_only_its_own_files(tmp_path):
    said = []
    stored = [Report(trial=1, attempt=1, step=step, metrics={"loss": 0.5}, at=1.0) for step in (1, 2)]
    made, run, board = recorder(tmp_path, stored, say=said.append)
    broken, sound = run.directory.with_name("s_123045_x_1"), run.directory.with_name("s_123045_x_2")
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("a file where the run's directory should be")
    rows = {number: Trial(number=number, params={"x": 1}, status=TrialStatus.RUNNING, attempt=1) for number in (1, 2)}
    for step in (1, 2):
        made.write(
            [event(Reported(trial=number, attempt=1, step=step, metrics={"loss": 0.5})) for number in rows], rows
        )
    made.write(
        [event(TrialEnded(trial=number, attempt=1, status=TrialStatus.COMPLETED)) for number in rows],
        {number: ended(number) for number in rows},
    )
    made.close()
    assert [line["step"] for line in lines(sound / "metrics.jsonl")] == [1, 2]
    assert (sound / "result.json").is_file()
    assert board.is_file()
    assert not made.is_whole
    assert [text.split(" cannot")[0] for text in said] == ["the files of s_123045_x_1"]
    broken.unlink()
    made.restore([ended(1), ended(2)])
    made.close()
    assert made.is_whole
    assert [line["step"] for line in lines(broken / "metrics.jsonl")] == [1, 2]
    assert json.loads((broken / "result.json").read_text())["status"] == "completed"


def test_a_full_disk_still_concerns_all_runs(tmp_path, monkeypatch):
    made, run, _ = recorder(tmp_path)

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(run.directory), "mkdir", full)
    with pytest.raises(OSError, match="No space"):
        made.write([reported(1, loss=0.5)], {0: TRIAL})
    assert made.broken == {}
