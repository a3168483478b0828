"""Plots as data, and as inline SVG, of every kind of study; what each of them says."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from trialist.analysis.draw.layout import frame, legend, short, wrapped
from trialist.analysis.draw.with_svg import draw
from trialist.analysis.plots.making import KINDS, make_plot
from trialist.analysis.plots.record import Ink, Plot, Shape
from trialist.analysis.snapshot import Snapshot, snapshot_of
from trialist.core.errors import ConfigError, UnknownName, UserError
from trialist.core.records import Metric, Mode, Report
from trialist.core.states import TrialStatus as S
from trialist.space import SearchSpace


def marks(plot: Plot, shape: Shape, ink: Ink | None = None):
    return [m for panel in plot.panels for m in panel.marks if m.shape is shape and ink in (None, m.ink)]


def test_any_study_is_a_plot_and_a_picture(odd: Snapshot) -> None:
    for kind in KINDS:
        plot = make_plot(odd, kind)
        assert plot.kind == kind or kind == "metric-vs-parameter"  # none varies: all of none
        json.dumps(plot.to_json(), allow_nan=False)
        for panel in plot.panels:
            assert panel.marks or panel.note, kind
            shown = frame(panel)
            for extent in (shown.x, shown.y):
                assert all(-1e-9 <= tick.at <= 1 + 1e-9 for tick in extent.ticks)
        text = draw(plot)
        ET.fromstring(text)
        assert len(text) < 1_500_000, "ten thousand trials make a small picture"
        assert "<script" not in text
        assert "nan" not in text.replace("stopped", "").split(">", 1)[1].split("<text")[0]


def test_history_follows_the_best_and_leaves_out_what_does_not_count(taken, tried) -> None:
    trials = [
        tried(0, 3.0),
        tried(1, 2.0, S.STOPPED),
        tried(2, math.nan),
        tried(3, None, S.FAILED),
        tried(4, 1.0),
        tried(5, 1.5),
    ]
    plot = make_plot(taken(trials, None, infeasible=frozenset({4})), "history")
    (stairs,) = marks(plot, Shape.STEPS)
    assert list(zip(stairs.x, stairs.y, strict=True)) == [(0, 3.0), (1, 2.0), (5, 1.5)]
    assert marks(plot, Shape.CROSSES)[0].x == (2, 3)
    assert marks(plot, Shape.STAR)[0].label == "best: 1.5 (trial 5)"
    assert marks(plot, Shape.RINGS, Ink.BAD)[0].x == (4,), "what breaks a constraint is shown, and is not the best"


def test_a_plot_of_another_metric_shows_that_one(taken, tried) -> None:
    metrics = (Metric(name="loss", mode=Mode.MIN), Metric(name="size", mode=Mode.MAX))
    plot = make_plot(taken([tried(k, 1.0 / (k + 1)) for k in range(6)], None, *metrics), "history", metric="size")
    assert marks(plot, Shape.STAR)[0].label == "best: 5 (trial 5)"
    assert plot.panels[0].y.label == "size"


def test_importance_has_a_bar_for_each_parameter_the_largest_on_top(search) -> None:
    plot = make_plot(search(300), "importance")
    (bars,) = marks(plot, Shape.SPANS)
    assert sorted(bars.x, reverse=True) == list(bars.x)
    assert sum(bars.x) == pytest.approx(1.0)
    assert plot.panels[0].y.categories[int(bars.y[0])] in ("lr", "model")


def test_parallel_coordinates_draw_the_best_last_and_keep_the_top(search) -> None:
    study = search(60)
    (lines,) = marks(make_plot(study, "parallel-coordinates", top_k=5), Shape.LINE)
    assert len(lines.starts) == 5
    assert lines.shade[-1] == 1.0
    best = study.trials[study.best_first(study.metric)[0]].number
    assert lines.text[-1].startswith(f"trial {best}:")
    assert len(marks(make_plot(search(3000), "parallel-coordinates"), Shape.LINE)[0].starts) == 400


def test_a_line_jumps_over_the_axis_of_a_parameter_it_does_not_have(search) -> None:
    plot = make_plot(search(40), "parallel-coordinates")
    (lines,) = marks(plot, Shape.LINE)
    axes = plot.panels[0].x.categories
    assert {"model.width", "model.depth"} < set(axes)
    for a, b in pairwise([*lines.starts, len(lines.x)]):
        names = {axes[int(x)] for x in lines.x[a:b]}
        assert len(names & {"model.width", "model.depth"}) == 1


def test_distributions_are_shares_of_all_and_of_the_best_tenth(search) -> None:
    plot = make_plot(search(200), "distributions")
    for mark in marks(plot, Shape.COLUMNS):
        assert sum(mark.y) == pytest.approx(1.0)
    labels = [entry.label for entry in legend(plot)]
    assert labels[0] == "all trials"
    assert labels[1].startswith("best 10%")


def test_a_slice_goes_by_importance_and_darkens_with_time(search) -> None:
    plot = make_plot(search(300), "slice")
    assert {panel.x.label for panel in plot.panels[:2]} == {"lr", "model"}
    dots = plot.panels[0].marks[0]
    assert dots.shade == tuple(sorted(dots.shade))
    assert plot.panels[0].x.scale == "log" or plot.panels[1].x.scale == "log"


def test_choices_stand_in_the_order_of_the_space(search) -> None:
    plot = make_plot(search(40), "metric-vs-parameter", param="act")
    assert plot.panels[0].x.categories == ("relu", "tanh")


def test_learning_curves_skip_what_a_later_attempt_did_again(taken, tried) -> None:
    rows = [(1, 1, 9.0, True), (2, 1, 1.0, False), (2, 2, 0.5, False)]
    reports = [
        Report(trial=0, attempt=attempt, step=step, metrics={"loss": loss}, at=0.0, superseded=gone)
        for attempt, step, loss, gone in rows
    ]
    study = taken([tried(0, 0.5)])
    study = Snapshot(name="s", trials=study.trials, metrics=study.metrics, reports=lambda _: reports)
    (line,) = marks(make_plot(study, "learning-curves"), Shape.LINE)
    assert list(zip(line.x, line.y, strict=True)) == [(1, 1.0), (2, 0.5)]


def test_learning_curves_read_the_reports_of_a_bounded_number_of_trials(search) -> None:
    asked = []
    study = search(2000)

    def reports(number):
        asked.append(number)
        return study.reports(number)

    seen = Snapshot(name="s", trials=study.trials, metrics=study.metrics, space=study.space, reports=reports)
    plot = make_plot(seen, "learning-curves")
    assert len(asked) <= 100
    assert study.trials[study.best_first(study.metric)[0]].number in asked
    assert "are shown" in plot.note


def test_a_timeline_has_as_many_rows_as_trials_at_one_time(taken, tried) -> None:
    plot = make_plot(
        taken([tried(k, 1.0) for k in range(6)]), "timeline"
    )  # each takes 2 s and starts 1 s after the last
    spans = marks(plot, Shape.SPANS)
    assert {y for mark in spans for y in mark.y} == {0.0, 1.0}
    assert "at most 2 at one time" in plot.subtitle
    assert plot.panels[0].x.label == "seconds since the first trial began"


def test_a_pareto_front_is_of_feasible_trials_that_none_beats(search) -> None:
    study = search(60, 1, Metric(name="loss", mode=Mode.MIN), Metric(name="size", mode=Mode.MAX))
    plot = make_plot(study, "pareto")
    (front,) = marks(plot, Shape.DOTS, Ink.MAIN)
    points = list(zip(front.x, front.y, strict=True))
    for x, y in points:
        assert not any((a <= x and b >= y) and (a, b) != (x, y) for a, b in points)
    assert "no Pareto front" in make_plot(search(5), "pareto").panels[0].note


def test_wrong_names_offer_the_nearest(search) -> None:
    study = search(20)
    with pytest.raises(UnknownName, match="Did you mean 'history'"):
        make_plot(study, "histori")
    with pytest.raises(UnknownName, match="Did you mean 'loss'"):
        make_plot(study, "history", metric="los")
    with pytest.raises(UnknownName, match="Did you mean 'drop'"):
        make_plot(study, "metric-vs-parameter", param="drp")
    with pytest.raises(ConfigError, match="top_k: must be at least 1"):
        make_plot(study, "parallel-coordinates", top_k=0)
    with pytest.raises(UserError, match="not list"):
        snapshot_of([])
    assert study.name_of_param("width") == "model.width"


def test_a_snapshot_is_made_of_whatever_holds_one(search) -> None:
    study = search(5)

    class Holds:
        snapshot = study

    class Takes:
        def snapshot(self):
            return study

    assert snapshot_of(study) is snapshot_of(Holds()) is snapshot_of(Takes()) is study


def test_long_names_are_cut_where_they_say_least() -> None:
    assert short("training.optimizer.learning_rate", 20) == "traini…learning_rate"
    assert wrapped("training.learning_rate", 14) == ["training.", "learning_rate"]
    assert short("a\nb\x1b", 10) == "a b"


def test_few_values_that_are_far_worse_lie_on_the_edge_and_are_counted(taken, tried) -> None:
    values = [1.0 + 0.01 * k for k in range(30)]
    panel = make_plot(taken([tried(k, value) for k, value in enumerate([*values, 80.0])]), "history").panels[0]
    shown = frame(panel)
    assert shown.beyond == 1
    assert 1.29 < shown.y.high < 2.0
    better = make_plot(taken([tried(k, value) for k, value in enumerate([*values, -80.0])]), "history").panels[0]
    assert frame(better).beyond == 0, "what is far better is what a search is for"


def test_a_branch_is_named_by_what_is_fixed_in_it(taken, tried) -> None:
    space = SearchSpace.of({"f": [{"map": "plain"}, {"map": "rbf", "gamma": {"type": "uniform", "low": 0, "high": 1}}]})
    study = taken([tried(0, 1.0, f={"map": "plain"}), tried(1, 2.0, f={"map": "rbf", "gamma": 0.5})], space)
    assert [params["f"] for params in study.flat] == ["plain", "rbf"]
    assert study.names == ("f",)
