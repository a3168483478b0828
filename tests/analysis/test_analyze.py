"""``analyze``: every key for every study, and what the numbers mean."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

import trialist
from trialist.analysis.analyze import analyze
from trialist.analysis.snapshot import Snapshot, snapshot_of
from trialist.core.errors import ConfigError, UnknownName
from trialist.core.records import Metric, Mode
from trialist.core.states import TrialStatus as S

KEYS = {
    "study", "metric", "mode", "trials", "best_trial", "parameter_importance", "importance_method", "importance_note",
    "top_k_trials", "convergence", "failures", "duration", "early_stopping_savings",
}  # fmt: skip


def test_every_key_is_there_whatever_the_study_is(odd: Snapshot, search) -> None:
    told = analyze(odd)
    assert set(told) == KEYS
    assert set(told["best_trial"]) == {"number", "score", "params"}
    full = analyze(search(50))
    for key in ("convergence", "failures", "duration", "early_stopping_savings"):
        assert set(told[key]) == set(full[key]), key
    json.dumps(told, allow_nan=False)
    assert told["trials"]["total"] == len(odd.trials) == sum(told["trials"][status] for status in S)


def test_the_best_trial_and_those_beside_it(search) -> None:
    study = search(60)
    told = analyze(study, top_k=5)
    ranked = sorted((t for t in study.trials if t.value is not None), key=lambda t: (t.value, t.number))
    assert [one["number"] for one in told["top_k_trials"]] == [trial.number for trial in ranked[:5]]
    best = {"number": ranked[0].number, "score": ranked[0].value, "params": dict(ranked[0].params)}
    assert told["best_trial"] == best


def test_what_breaks_a_constraint_or_is_no_number_is_never_the_best(taken, tried) -> None:
    trials = [tried(0, 3.0), tried(1, math.nan), tried(2, 1.0), tried(3, 2.0, S.CANCELLED), tried(4, -math.inf)]
    told = analyze(taken(trials, None, infeasible=frozenset({2})))
    assert told["best_trial"]["number"] == 0
    assert told["failures"]["by_reason"] == {"not_finite": 2}


def test_convergence_says_when_the_best_came(taken, tried) -> None:
    told = analyze(taken([tried(k, v) for k, v in enumerate([5.0, 4.0, 4.5, 1.02, 3.0, 1.0, 2.0, 2.0])]))["convergence"]
    assert [one["number"] for one in told["best_so_far"]] == [0, 1, 3, 5]
    assert (told["trials_to_best"], told["trials_to_near_best"], told["trials_since_best"]) == (6, 4, 2)
    assert told["improvement"] == 4.0


def test_failures_are_grouped_by_what_they_said(taken, tried) -> None:
    trials = [
        tried(0, 1.0),
        *(tried(k, None, S.FAILED, f"no room for {k} MiB") for k in range(1, 4)),
        tried(4, None, S.FAILED, "other"),
    ]
    told = analyze(taken(trials))["failures"]
    assert (told["total"], told["share"]) == (4, 0.8)
    assert [(one["times"], one["message"]) for one in told["commonest"]] == [(3, "no room for 1 MiB"), (1, "other")]


def test_savings_are_the_steps_that_stopped_trials_did_not_run(taken, tried) -> None:
    trials = [
        replace(tried(0, 1.0), step=10),
        replace(tried(1, 2.0, S.STOPPED), step=2),
        replace(tried(2, 3.0, S.STOPPED), step=3),
    ]
    told = analyze(taken(trials))["early_stopping_savings"]
    assert told == {
        "stopped_trials": 2,
        "full_steps": 10,
        "steps_saved": 15,
        "share": 0.5,
        "seconds_saved": pytest.approx(8 + 14 / 3),
    }


def test_another_metric_may_be_asked_for(search) -> None:
    study = search(30, 0, Metric(name="loss", mode=Mode.MIN), Metric(name="size", mode=Mode.MAX))
    assert analyze(study, metric="size")["best_trial"]["score"] == 6
    with pytest.raises(UnknownName, match="Did you mean 'size'"):
        analyze(study, metric="sise")
    with pytest.raises(ConfigError, match="top_k"):
        analyze(study, top_k=0)


def test_a_study_of_a_store_is_read_with_its_reports(url: str) -> None:
    def objective(trial):
        for step in range(1, 4):
            trial.report(step=step, loss=trial.params["x"] / step)
        return {"loss": trial.params["x"] / 3}

    study = trialist.create_study(
        "s", {"x": {"type": "uniform", "low": 0, "high": 1}}, metric="loss", mode="min", seed=1, store=url
    )
    study.run(objective, num_trials=12, progress=False)
    taken = snapshot_of(study)
    assert [trial.number for trial in taken.trials] == list(range(12))
    assert len(taken.reports(3)) == 3
    told = trialist.analyze(study)
    assert told["best_trial"]["number"] == study.best_trial.number
    assert told["parameter_importance"] == {"x": 1.0}
    assert told["duration"]["trials_s"] > 0
    study.store.close()


@pytest.fixture
def url(tmp_path) -> str:
    return str(tmp_path / "trials.db")
