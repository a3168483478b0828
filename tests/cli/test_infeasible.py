"""An infeasible trial is shown for what it is."""

from __future__ import annotations

import pytest

import trialist


def measured(x):
    return {"loss": 10.0 - x, "memory_gb": 2.5 * x}


@pytest.fixture
def tight(url):
    study = trialist.create_study(
        "tight",
        {"x": [1, 2, 3]},
        metric="loss",
        mode="min",
        searcher="grid",
        outcome_constraints=["memory_gb <= 5"],
        store=url,
    )
    return study.run(measured)


def test_tables_and_screens_say_which_constraint_and_by_how_much(cli, tight):
    table = cli("trials", "tight").out
    assert "INFEASIBLE" in table
    assert "memory_gb by 2.5" in table
    shown = cli("show", "tight", "2").out
    assert "infeasible" in shown
    assert "memory_gb <= 5 broken by 2.5" in shown
    assert "trial 1" in cli("show", "tight").out  # the best one
    status = cli("status", "tight").out
    assert "min loss, memory_gb <= 5" in status
    assert "loss 8" in status


def test_documents_say_it_too(cli, tight):
    trials = cli("trials", "tight", "--sort", "best", "--json").json["trials"]
    assert [(trial["number"], trial["broken"]) for trial in trials] == [
        (1, []),
        (0, []),
        (2, [{"constraint": "memory_gb <= 5", "excess": 2.5}]),
    ]
    study = cli("status", "tight", "--json").json
    assert study["outcome_constraints"] == ["memory_gb <= 5"]
    assert study["best"] == {"trial": 1, "value": 8.0}


def test_where_nothing_is_feasible_that_is_said(cli, url):
    study = trialist.create_study(
        "none",
        {"x": [1]},
        metric="loss",
        mode="min",
        searcher="grid",
        outcome_constraints=["memory_gb <= 1"],
        store=url,
    )
    study.run(measured)
    assert "none keeps memory_gb <= 1" in cli("status", "none").out
    refused = cli("show", "none")
    assert refused.code == 3
    assert "none keeps memory_gb <= 1" in refused.err
    assert cli("fsck", "--replay").code == 0
