"""What results must keep: said when a study is made, and heeded wherever something is called the best."""

from __future__ import annotations

import math

import pytest

import trialist
from trialist.api.checking import fsck
from trialist.core.errors import ConfigError, StudyMismatch
from trialist.core.ports import TrialOrder
from trialist.core.records import Bound, OutcomeConstraint, StudySpec
from trialist.core.wire import from_json, to_json

GRID = {"x": [0, 1, 2, 3, 4]}


def measured(x):
    """The best losses take the most memory; the very best does not say how much."""
    told = {"loss": 10.0 - x, "speed": float(x)}
    return told if x == 4 else {**told, "memory_gb": 2.5 * x}


@pytest.fixture(params=["sqlite", "memory"])
def store(request, tmp_path):
    if request.param == "memory":
        return trialist.registry.load("store", "memory")(verify=True)
    return f"sqlite:///{tmp_path}/trials.db"


def made(store, name="tight", **more):
    settings = {"metric": "loss", "mode": "min", "searcher": "grid", "outcome_constraints": ["memory_gb <= 5"], **more}
    return trialist.create_study(name, GRID, store=store, **settings)


def test_an_infeasible_trial_is_never_the_best(store):
    study = made(store).run(measured)
    assert study.counts == {"completed": 5}
    assert (study.best_params, study.best_value) == ({"x": 2}, 8.0)
    assert [trial.params["x"] for trial in study.top(10)] == [2, 1, 0]
    assert [str(one) for one in study.broken(3)] == ["memory_gb <= 5 broken by 2.5"]
    assert [one.excess for one in study.broken(study.trial(4))] == [math.inf]
    assert study.broken(2) == []
    assert list(study.dataframe()["broken"]) == [
        "",
        "",
        "",
        "memory_gb <= 5 broken by 2.5",
        "memory_gb <= 5: memory_gb was not told",
    ]
    found = fsck(store=store)
    assert found.ok, found.findings


def test_pages_by_value_end_with_the_infeasible_in_every_store(store):
    study = made(store).run(measured)
    for descending, first in ((False, [2, 1, 0]), (True, [0, 1, 2])):
        numbers, cursor = [], None
        while True:
            page = study.store.trials(
                study.id, order=TrialOrder("value", descending=descending), limit=2, cursor=cursor
            )
            numbers += [trial.number for trial in page.trials]
            cursor = page.cursor
            if cursor is None:
                break
        assert numbers == [*first, 3, 4]


def test_a_study_in_which_nothing_is_feasible_has_no_best(store):
    study = made(store, outcome_constraints=["memory_gb <= -1"]).run(measured)
    assert (study.best_trial, study.best_value, study.top()) == (None, None, [])
    assert study.status == "completed"


def test_the_front_of_several_metrics_is_feasible(store):
    study = made(store, metric=["loss", "speed"], mode=["min", "max"]).run(measured)
    assert [trial.params["x"] for trial in study.pareto_front()] == [2]


def test_a_resumed_study_keeps_its_constraints(store):
    made(store).run(measured)
    again = made(store, resume=True)
    assert again.row.spec.outcome_constraints == (
        OutcomeConstraint(metric="memory_gb", bound=Bound.AT_MOST, limit=5.0),
    )
    with pytest.raises(StudyMismatch, match=r"outcome_constraints: recorded memory_gb <= 5; now memory_gb <= 6"):
        made(store, resume=True, outcome_constraints=["memory_gb <= 6"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["memory_gb < 8"], "'<=' or '>='"),
        (["memory_gb"], "'<=' or '>='"),
        (["memory_gb <= eight"], "ends with 'eight'"),
        (["8 >= memory_gb"], "Write 'memory_gb <= 8'"),
        (["memory_gb <= inf"], "finite number"),
        ([8], "not 8"),
        (8, "not 8"),
        (["a <= 1", "a <= 2"], "'a <=' twice"),
        (["a >= 2", "a <= 1"], "cannot hold together: a >= 2 and a <= 1"),
    ],
)
def test_what_is_no_constraint_is_refused_at_once(given, says):
    with pytest.raises(ConfigError) as error:
        made("memory", outcome_constraints=given)
    assert says in str(error.value)
    assert "outcome_constraints" in str(error.value)


def test_texts_become_records():
    study = made("memory", outcome_constraints="val loss at end >= -1.5e-3")
    assert study.row.spec.outcome_constraints == (
        OutcomeConstraint(metric="val loss at end", bound=Bound.AT_LEAST, limit=-0.0015),
    )


def test_a_spec_that_was_stored_before_is_still_read_and_written_alike():
    study = trialist.create_study("plain", GRID, metric="loss", mode="min", searcher="grid", store="memory")
    data = to_json(study.row.spec)
    assert not {"outcome_constraints", "warm_start", "default"} & data.keys()
    assert from_json(StudySpec, data) == study.row.spec


@pytest.mark.parametrize(("value", "excess"), [(9.5, 0.0), (8.0, 0.0), (7.0, 1.0), (math.nan, math.inf)])
def test_excess_is_the_distance_to_the_limit(value, excess):
    constraint = OutcomeConstraint(metric="accuracy", bound=Bound.AT_LEAST, limit=8.0)
    assert constraint.excess({"accuracy": value}) == excess
    assert constraint.excess({}) == math.inf
