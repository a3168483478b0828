"""``trialist plot | report | importance`` on studies of a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trialist
from trialist.api import Study


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_importance_is_a_table(cli, study: Study) -> None:
    lines = cli("importance", "digits").out.splitlines()
    assert lines[0].startswith("PED-ANOVA of loss, ")
    assert lines[1].split() == ["PARAM", "SHARE"]
    assert {line.split()[0] for line in lines[2:4]} == {"lr", "model.depth"}
    assert lines[2].rstrip().endswith("█" * 30)


def test_importance_as_json(cli, study: Study) -> None:
    told = cli("importance", "digits", "--json").json
    assert (told["study"], told["metric"], told["method"]) == ("digits", "loss", "ped_anova")
    assert sum(told["importance"].values()) == pytest.approx(1.0)
    assert told["trials"] == study.counts["completed"]


def test_an_empty_study_says_what_is_missing(cli, study: Study) -> None:
    trialist.create_study("empty", {"x": [1, 2]}, metric="loss", mode="min", store=study.store)
    assert "too few trials with a value" in cli("importance", "empty").out
    assert cli("plot", "empty", "history", "--json").json["panels"][0]["note"] == "no trials yet"


def test_wrong_names_offer_the_nearest(cli, study: Study) -> None:
    for args, said in (
        (("plot", "digits", "histori"), "no plot is called 'histori'. Did you mean 'history'?"),
        (("plot", "digit", "history"), "Did you mean 'digits'?"),
        (("plot", "digits", "history", "--metric", "los"), "Did you mean 'loss'?"),
        (("plot", "digits", "metric-vs-parameter", "--param", "model.dept"), "Did you mean 'model.depth'?"),
        (("importance", "digits", "--method", "fanov"), "Did you mean 'fanova'?"),
        (("report", "digits", "--method", "fanov"), "Did you mean 'fanova'?"),
        (("plot", "digits", "timeline", "--text"), "a terminal shows history"),
    ):
        result = cli(*args)
        assert (result.code, result.out) == (2, ""), args
        assert said in result.err
    assert [path.name for path in Path().iterdir() if path.suffix in (".png", ".html")] == []


def test_a_plot_as_data_needs_no_library_and_writes_nothing(cli, study: Study) -> None:
    told = cli("plot", "digits", "metric-vs-parameter", "--param", "depth", "--json").json
    assert (told["kind"], told["panels"][0]["x"]["label"]) == ("metric-vs-parameter", "model.depth")
    assert not list(Path().glob("*.png"))


def test_a_plot_in_the_terminal(cli, study: Study) -> None:
    out = cli("plot", "digits", "history", "--text").out
    assert out.startswith("loss by trial\n")
    assert "★ best" in out
    sliced = cli("plot", "digits", "slice", "--text").out
    assert "loss by lr" in sliced
    assert "loss by model.depth" in sliced


def test_a_report_lies_where_it_is_told(cli, study: Study) -> None:
    told = cli("report", "digits", "--out", "deep/er", "--json").json
    assert told["report"] == "deep/er/report.html"
    assert told["analysis"]["best_trial"]["number"] == study.row.best_number
    assert Path("deep/er/trials.csv").read_text("utf-8").count("\n") == 13
    out = cli("report", "digits").out
    assert out.startswith("digits: 12 trials, best loss ")
    assert "wrote digits-report/report.html" in out
    assert "too [red]deep[/red]" in Path("digits-report/report.html").read_text("utf-8")


@pytest.mark.extras
def test_a_plot_is_a_file(cli, study: Study) -> None:
    assert "wrote digits-history.png" in cli("plot", "digits").err
    assert Path("digits-history.png").read_bytes().startswith(b"\x89PNG")
    result = cli("plot", "digits", "slice", "-o", "s.svg", "--json")
    assert json.loads(result.out)["kind"] == "slice"
    assert Path("s.svg").read_text("utf-8").lstrip().startswith("<?xml")
    assert "wrote digits-timeline.html" in cli("plot", "digits", "timeline", "--interactive").err
