"""Verbs that steer: what they change where nobody leads, what they say, and that a dry run changes nothing."""

from __future__ import annotations

import pytest

import trialist
from trialist.api import Study
from trialist.core.states import TrialStatus

CHANGES = [
    ["pause", "digits"],
    ["stop", "digits"],
    ["cancel", "digits"],
    ["cancel", "digits", "--trial", "2"],
    ["clone", "digits", "--trial", "0", "--set", "lr=1e-4"],
    ["enqueue", "digits", "--set", "lr=1e-4", "--set", "model.depth=2"],
    ["retry", "digits", "--trial", "0"],
    ["budget", "digits", "--num-trials", "99"],
    ["delete", "digits"],
]


@pytest.mark.parametrize("args", CHANGES, ids=" ".join)
def test_a_dry_run_changes_nothing(cli, unled: Study, args: list[str]) -> None:
    before = unled.row
    result = cli(*args, "--dry-run")
    assert result.code == 0, result.err
    assert "would" in result.out
    assert unled.row == before
    document = cli(*args, "--dry-run", "--json").json
    assert (document["dry_run"], document["next"], document["study"]) == (True, [], "digits")
    assert document["message"]
    assert unled.row == before


def test_pause_and_resume(cli, unled: Study) -> None:
    assert cli("pause", "digits").code == 0
    assert unled.status == "paused"
    assert "paused already" in cli("pause", "digits").out
    assert cli("resume", "digits").code == 0
    assert unled.status == "queued"


def test_an_ended_study_cannot_be_paused(cli, study: Study) -> None:
    result = cli("pause", "digits")
    assert (result.code, result.err) == (3, "error: study 'digits' is completed: there is nothing to pause\n")


def test_stop_and_cancel_end_a_study_that_nobody_leads(cli, unled: Study) -> None:
    assert cli("stop", "digits").code == 0
    assert unled.status == "completed"
    assert unled.trial(2).status == "stopped"
    other = trialist.create_study("other", {"x": [1, 2]}, store=unled.store)
    assert cli("cancel", "other").code == 0
    assert other.status == "cancelled"


def test_cancel_of_one_trial(cli, unled: Study) -> None:
    document = cli("cancel", "digits", "--trial", "2", "--json").json
    assert document["trial"] == 2
    assert unled.trial(2).status == "cancelled"
    assert not unled.status.is_ended


def test_clone_changes_what_is_set_and_says_how_to_run_it(cli, study: Study) -> None:
    result = cli("clone", "digits", "--trial", "0", "--set", "lr=1e-4", "--set", "model.depth=2")
    assert "trial 12 is a clone of trial 0" in result.out
    assert "no process leads it: run the script of " in result.out
    assert "(with resume=True)" in result.out
    made = study.trial(12)
    assert (made.params, made.parent, made.status) == ({"lr": 1e-4, "model": {"depth": 2}}, 0, TrialStatus.WAITING)
    assert study.status == "queued"


def test_clone_with_a_warm_start(cli, study: Study) -> None:
    good = study.row.best_number
    result = cli("clone", "digits", "--trial", str(good), "--warm-start", "optimizer", "--json")
    number = result.json["trial"]
    warm = study.trial(number).record.warm_start_from
    assert warm is not None
    assert (warm.trial, warm.what) == (good, "optimizer")
    failed = next(study.iter_trials(status="failed")).number
    assert (
        "has no checkpoint to start from"
        in cli("clone", "digits", "--trial", str(failed), "--warm-start", "weights").err
    )
    assert "'weights'" in cli("clone", "digits", "--trial", str(good), "--warm-start", "weight").err


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("model.dept=2", "model.dept: no parameter has this name. Did you mean "),
        ("depth=2", "model.depth"),
        ("lr=7", "lr:"),
        ("lr=fast", "lr:"),
        ("model.depth=1.5", "model.depth:"),
    ],
)
def test_values_outside_the_space_are_refused(cli, study: Study, assignment: str, said: str) -> None:
    result = cli("clone", "digits", "--trial", "0", "--set", assignment)
    assert result.code == 2
    assert said in result.err
    assert study.row.num_trials == 12


def test_enqueue_adds_a_trial_that_comes_next(cli, unled: Study) -> None:
    document = cli("enqueue", "digits", "--set", "lr=1e-4", "--set", "model.depth=2", "--json").json
    assert unled.trial(document["trial"]).source == "enqueue"
    assert unled.ask().params == {"lr": 1e-4, "model": {"depth": 2}}


def test_retry_of_one_and_of_all_that_failed(cli, study: Study) -> None:
    failed = [trial.number for trial in study.iter_trials(status="failed")]
    one = cli("retry", "digits", "--trial", str(failed[0]), "--json").json
    assert study.trial(one["trial"]).parent == failed[0]
    dry = cli("retry", "digits", "--failed", "--dry-run", "--json").json
    assert (dry["retried"], dry["trials"]) == (failed[1:], []), "one has been tried again already"
    rest = cli("retry", "digits", "--failed", "--json").json
    assert rest["retried"] == failed[1:]
    assert [study.trial(number).parent for number in rest["trials"]] == failed[1:]
    assert "no trial to retry" in cli("retry", "digits", "--failed").out


def test_a_clone_beyond_the_budget_is_said_to_be_one(cli, study: Study) -> None:
    study.trial(0).clone()
    assert "12 of 12, and 1 more added by hand" in cli("budget", "digits").out


def test_budget_shows_and_changes(cli, study: Study) -> None:
    assert "12 of 12" in cli("budget", "digits").out
    result = cli(
        "budget", "digits", "--num-trials", "20", "--jobs", "2", "--time-budget-s", "60", "--max-failures", "9"
    )
    assert "num_trials=20" in result.out
    budget = cli("budget", "digits", "--json").json["budget"]
    assert budget == {
        "num_trials": 20, "used": 12, "time_budget_s": 60.0, "max_failures": 9, "retries": 0, "jobs": 2,
    }  # fmt: skip
    cli(
        "budget",
        "digits",
        "--num-trials",
        "none",
        "--time-budget-s",
        "none",
        "--max-failures",
        "none",
        "--retries",
        "1",
    )
    budget = study.row.spec.budget
    assert (budget.num_trials, budget.time_budget_s, budget.max_failures, budget.retries) == (None, None, None, 1)


def test_delete_asks_first(cli, study: Study, url: str) -> None:
    files = study.trial(0).run_dir
    assert files is not None
    refused = cli("delete", "digits")
    assert refused.code == 2
    assert "say so with --yes" in refused.err
    assert files.exists()
    assert "is deleted (completed, 12 trials" in cli("delete", "digits", "--yes").out
    assert not files.parent.exists()
    assert cli("list", "--json").json["studies"] == []


def test_a_sweep_is_resumed_by_its_own_door(cli, url: str) -> None:
    study = trialist.create_study("lr_120000", {"x": [1, 2]}, store=url, door="sweep")
    assert "→ trialist sweep --resume lr_120000" in cli("pause", "lr_120000").out
    assert cli("resume", "lr_120000", "--json").json["next"][0]["do"] == "trialist sweep --resume lr_120000"
    study.store.close()


def test_names_are_quoted_for_the_shell(cli, url: str) -> None:
    study = trialist.create_study("my $study", {"x": [1, 2]}, store=url, door="sweep")
    assert "trialist sweep --resume 'my $study'" in cli("pause", "my $study").out
    study.store.close()
