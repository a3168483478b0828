"""Verbs that look: what they print for people and as JSON, and that nothing of a study is taken for markup."""

from __future__ import annotations

import json
import math

import pytest

import trialist
from trialist.api import Study
from trialist.core.states import StudyStatus, TrialStatus

SPACE = {"lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1}}


def test_list_shows_studies_newest_first(cli, study: Study, url: str) -> None:
    trialist.create_study("later", {"x": [1, 2]}, store=study.store)
    result = cli("list")
    head, *rows = result.out.splitlines()
    assert head.split() == ["STUDY", "DOOR", "STATUS", "TRIALS", "BEST", "MADE"]
    assert [row.split()[0] for row in rows] == ["later", "digits"]
    assert "completed" in rows[1]
    assert "12/12" in rows[1]
    assert f"loss {study.best_value:.6g}" in rows[1]
    assert [one["name"] for one in cli("list", "--json").json["studies"]] == ["later", "digits"]
    assert [one["name"] for one in cli("list", "--json", "--search", "DIG").json["studies"]] == ["digits"]
    assert [one["name"] for one in cli("list", "--json", "--status", "created").json["studies"]] == ["later"]


def test_a_grid_knows_how_many_trials_there_will_be(cli, study: Study) -> None:
    grid = trialist.create_study("grid", {"x": [1, 2, 3], "y": [1, 2]}, searcher="grid", store=study.store)
    grid.tell(grid.ask(), {"z": 1.0})
    assert "1/6" in cli("list").out
    assert "1 of 6" in cli("status", "grid").out


def test_a_name_without_its_stamp_is_offered_whole(cli, study: Study) -> None:
    trialist.create_study("mlp_experiment_031914", {"x": [1, 2]}, store=study.store)
    assert "Did you mean 'mlp_experiment_031914'?" in cli("status", "mlp").err


def test_list_goes_on_where_a_page_ended(cli, study: Study) -> None:
    trialist.create_study("later", {"x": [1, 2]}, store=study.store)
    page = cli("list", "--json", "--limit", "1").json
    assert [one["name"] for one in page["studies"]] == ["later"]
    rest = cli("list", "--json", "--cursor", page["cursor"]).json
    assert ([one["name"] for one in rest["studies"]], rest["cursor"]) == (["digits"], None)
    assert f"--cursor {page['cursor']}" in cli("list", "--limit", "1").out


def test_without_a_store_there_are_no_studies_and_no_store_is_made(cli, tmp_path) -> None:
    assert "No studies yet" in cli("list").out
    assert cli("list", "--json").json["studies"] == []
    assert list(tmp_path.iterdir()) == []


def test_status_says_how_it_stands(cli, study: Study) -> None:
    out = cli("status", "digits").out
    best = study.best_trial
    assert best is not None
    failed = study.counts[TrialStatus.FAILED]
    assert out.startswith("digits  completed\n")
    assert "12 of 12" in out
    assert f"{12 - failed} completed · {failed} failed" in out
    assert f"loss {study.best_value:.6g}  trial {best.number}" in out
    assert f"model.depth={best.params['model']['depth']}" in out
    assert f"{failed} × ValueError: too [red]deep[/red] for \\x1b[31mthis\\x1b[0m data" in out
    assert "trialist retry digits --failed" in out
    assert "\x1b" not in out


def test_status_as_json_has_every_key_whatever_the_study_is(cli, study: Study) -> None:
    trialist.create_study("empty", {"x": [1, 2]}, store=study.store)
    full, empty = cli("status", "digits", "--json", "--last", "2").json, cli("status", "empty", "--json").json
    assert list(full) == list(empty)
    assert full["status"] == "completed"
    assert full["trials"]["total"] == sum(full["trials"][status] for status in TrialStatus) == 12
    assert full["best"] == {"trial": study.row.best_number, "value": study.best_value}
    assert [trial["number"] for trial in full["last"]] == [10, 11]
    assert full["failures"][0]["times"] == full["trials"]["failed"]
    assert empty["best"] == {"trial": None, "value": None}
    assert empty["best_params"] is None


def test_status_says_that_a_study_is_being_stopped(cli, url: str) -> None:
    study = trialist.create_study("digits", SPACE, metric="loss", mode="min", searcher="random", store=url)
    shown: list[str] = []

    def objective(trial: object) -> float:
        study.stop()
        shown.append(cli("status", "digits").out)
        return 1.0

    study.run(objective, num_trials=50, progress=False)
    study.store.close()
    assert "running" in shown[0]
    assert "stopped by a person; what runs ends first" in " ".join(shown[0].split())


def test_status_takes_an_id_too(cli, study: Study) -> None:
    assert cli("status", study.id).out.startswith("digits  ")


def test_trials_shows_a_page_in_any_order(cli, study: Study) -> None:
    lines = cli("trials", "digits", "--limit", "5").out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["TRIAL", "0", "1", "2", "3", "4"]
    assert lines[-1].startswith("More with --cursor 4")
    assert cli("trials", "digits", "--limit", "5", "--cursor", "4").out.splitlines()[1].split()[0] == "5"
    best = cli("trials", "digits", "--sort", "best", "--json").json["trials"]
    assert best[0]["number"] == study.row.best_number
    values = [trial["value"] for trial in best if trial["value"] is not None]
    assert values == sorted(values)
    backwards = cli("trials", "digits", "--desc", "--json").json["trials"]
    assert [trial["number"] for trial in backwards] == list(range(11, -1, -1))


def test_trials_picks_by_status(cli, study: Study) -> None:
    failed = cli("trials", "digits", "--status", "failed", "--json").json["trials"]
    assert {trial["status"] for trial in failed} == {"failed"}
    assert len(failed) == study.counts[TrialStatus.FAILED]
    both = cli("trials", "digits", "--status", "failed,completed", "--json").json["trials"]
    assert len(both) == 12
    assert "must be one of waiting, running" in cli("trials", "digits", "--status", "broken").err
    assert cli("trials", "digits", "--status", "running").out == "No such trial.\n"


def test_trials_shows_chosen_columns(cli, study: Study) -> None:
    head, first, *_ = cli("trials", "digits", "--columns", "number,model.depth,error,loss").out.splitlines()
    assert head.split() == ["TRIAL", "depth", "ERROR", "loss"]
    assert first.split()[:2] == ["0", str(study.trial(0).params["model"]["depth"])]
    assert cli("trials", "digits", "--columns", "number,depth").code == 0
    assert "Did you mean 'model.depth'?" in cli("trials", "digits", "--columns", "model.dept").err


def test_a_table_in_a_pipe_is_whole_and_bare(cli, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out = cli("trials", "digits").out
    assert "too [red]deep[/red] for" in out
    assert "…" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_show_tells_everything_about_a_trial(cli, study: Study) -> None:
    number = study.row.best_number
    out = cli("show", "digits", str(number)).out
    assert out == cli("show", "digits").out, "without a number, the best one"
    assert out.startswith(f"digits trial {number}  completed\n")
    assert "the best" in out
    assert "model.depth" in out
    assert "metrics, 5 reports" in out
    assert "█▃▁" in out or "▁" in out
    assert "step 5, 100 B  checkpoints/step-000005" in out
    document = cli("show", "digits", str(number), "--json").json
    assert [report["step"] for report in document["reports"]] == [1, 2, 3, 4, 5]
    assert document["trial"]["params"] == study.trial(number).params  # type: ignore[arg-type]
    assert document["checkpoint"]["step"] == 5
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["returned"]


def test_show_tells_why_a_trial_failed(cli, study: Study) -> None:
    failed = next(study.iter_trials(status="failed"))
    out = cli("show", "digits", str(failed.number)).out
    assert "ValueError: too [red]deep[/red]" in out
    assert "Traceback (most recent call last):" in out
    assert "\x1b" not in out
    document = cli("show", "digits", str(failed.number), "--json").json["trial"]
    assert document["error"]["reason"] == "exception"
    assert document["value"] is None


def test_show_without_a_best_trial_asks_which(cli, unled: Study) -> None:
    trialist.create_study("empty", {"x": [1, 2]}, store=unled.store)
    assert "say which one to show" in cli("show", "empty").err
    assert "no trial '9' in study 'digits', which has 3 trials" in cli("show", "digits", "9").err


def test_numbers_that_are_not_finite_are_texts_in_json(cli, url: str) -> None:
    study = trialist.create_study("odd", {"x": [1, 2, 3]}, store=url)
    study.tell(study.ask(), {"a": math.nan, "b": math.inf, "c": -math.inf})
    assert cli("trials", "odd", "--json").json["trials"][0]["metrics"] == {
        "a": "NaN", "b": "Infinity", "c": "-Infinity",
    }  # fmt: skip
    assert "nan" in cli("show", "odd", "0").out
    study.store.close()


def test_events_tells_what_happened(cli, study: Study) -> None:
    lines = cli("events", "digits", "--limit", "2").out.splitlines()
    assert lines[-1].endswith("study completed")
    document = cli("events", "digits", "--json", "--after", "0", "--limit", "3").json
    assert [event["seq"] for event in document["events"]] == [1, 2, 3]
    assert document["events"][0]["kind"] == "study_created"
    assert document["seq"] == study.row.seq
    ended = cli("events", "digits", "--kind", "trial_ended,study_status_changed", "--json").json["events"]
    assert {event["kind"] for event in ended} == {"trial_ended", "study_status_changed"}
    assert len(ended) == 12 + 2


def test_following_an_ended_study_ends(cli, study: Study) -> None:
    lines = cli("events", "digits", "--follow", "--after", "0", "--json", "--limit", "1").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, study.row.seq + 1))
    ends = cli("events", "digits", "--follow", "--after", "0", "--kind", "trial_ended").out.splitlines()
    assert len(ends) == 12
    watched = cli("watch", "digits", "--json").json
    assert watched["status"] == "completed"
    assert "12 of 12" in cli("watch", "digits").out


def test_every_kind_of_event_has_a_line(study: Study) -> None:
    from trialist.cli.narration import line

    for event in study.events():
        text = line(event).plain
        assert type(event.body).__name__ not in text
        assert "\n" not in text


def test_a_study_that_lost_its_leader_says_so(cli, unled: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from trialist.cli.list import _row
    from trialist.cli.summary import _led

    orphaned = replace(unled.row, status=StudyStatus.RUNNING)
    assert "the process that led it is gone" in str(_led(orphaned, None))
    assert str(_row(orphaned, led=False)[2]) == "running, unled"
    assert "no process leads it" in cli("status", "digits").out


def test_logs_of_a_trial_in_process_are_explained(cli, study: Study) -> None:
    result = cli("logs", "digits", "0")
    assert result.code == 3
    assert "it ran inside the process of its study" in result.err


def test_logs_prints_the_end_of_a_file(cli, study: Study) -> None:
    directory = study.trial(0).run_dir
    assert directory is not None
    directory.joinpath("stdout.log").write_text("".join(f"line {n}\n" for n in range(100)))
    assert cli("logs", "digits", "0", "--tail", "2").out == "line 98\nline 99\n"
    assert cli("logs", "digits", "0", "--tail", "0").out == ""
    assert len(cli("logs", "digits", "0").out.splitlines()) == 100
    assert cli("logs", "digits", "0", "--follow").out.endswith("line 99\n"), "an ended trial is not waited for"
    document = cli("logs", "digits", "0", "--json", "--tail", "1").json
    assert document["text"] == "line 99\n"
    assert "log, the last 10 lines" in cli("show", "digits", "0").out
