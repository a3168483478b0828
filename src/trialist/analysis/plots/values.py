"""Plots of what came out: the history of a study, values by parameter, and the front of several metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from statistics import median

from trialist.analysis.pareto import pareto_front
from trialist.analysis.plots.axes import by_status, counted, empty_note, param_axis, star, value_axis
from trialist.analysis.plots.record import Ink, Mark, Panel, Plot, Ramp, Shape
from trialist.analysis.series import Axis, Scale
from trialist.analysis.snapshot import Snapshot
from trialist.core.records import Metric, Mode

MOST_PANELS = 12
MOST_FRONT = 5000
"""Trials among which a front is looked for: the search is quadratic where all of them are on it."""


def history(snapshot: Snapshot, metric: Metric) -> Plot:
    """Value by trial number, with the best so far."""
    places = [float(trial.number) for trial in snapshot.trials]
    values = snapshot.values(metric)
    marks = by_status(snapshot, metric, places)
    stairs = best_so_far(snapshot, metric)
    if len(stairs) > 1:
        marks.insert(
            0,
            Mark(
                shape=Shape.STEPS,
                ink=Ink.STRONG,
                label="best so far",
                x=tuple(x for x, _ in stairs),
                y=tuple(y for _, y in stairs),
            ),
        )
    return Plot(
        kind="history",
        title=f"{metric.name} by trial",
        subtitle=about(snapshot, metric),
        panels=(
            Panel(
                x=Axis(label="trial", whole=True),
                y=value_axis(metric, values),
                marks=(*marks, *star(snapshot, metric, places)),
                clip=metric.mode,
                note=empty_note(snapshot, metric),
            ),
        ),
    )


def metric_vs_parameter(snapshot: Snapshot, metric: Metric, name: str) -> Plot:
    """Value by one parameter; medians where it takes few values."""
    panel = _by_parameter(snapshot, metric, name)
    return Plot(
        kind="metric-vs-parameter",
        title=f"{metric.name} by {name}",
        subtitle=about(snapshot, metric),
        panels=(panel,),
        note=_without(snapshot, name),
    )


def slices(snapshot: Snapshot, metric: Metric, names: Sequence[str]) -> Plot:
    """Value by each of several parameters, side by side; darker where a trial came later.

    Args:
        snapshot: The study.
        metric: What lies along y.
        names: Parameters, the most important first; at most 12 of them are shown.
    """
    last = max(1, len(snapshot.trials) - 1)
    shade = [k / last for k in range(len(snapshot.trials))]
    panels = [_by_parameter(snapshot, metric, name, shade=shade) for name in names[:MOST_PANELS]]
    note = empty_note(snapshot, metric) or ("" if panels else "no parameter varies")
    return Plot(
        kind="slice",
        title=f"{metric.name} by each parameter",
        subtitle=about(snapshot, metric),
        panels=tuple(panels) or (_nothing(metric, note),),
        ramp=Ramp(label="trial", low="0", high=f"{snapshot.trials[-1].number:,}") if panels and last > 1 else None,
        note=more(len(panels), len(names), "parameter"),
    )


def pareto(snapshot: Snapshot, metrics: Sequence[Metric]) -> Plot:
    """Trials by two metrics, and those that no other one beats in every metric; a panel for each pair, three at most."""
    title = "Pareto front"
    if len(metrics) < 2:
        note = "a study of one metric has no Pareto front"
        return Plot(kind="pareto", title=title, panels=(_nothing(snapshot.metric, note),))
    valued = [t for t in snapshot.trials if t.status.counts and all(_has(t.metrics, m) for m in metrics)]
    able = [trial for trial in valued if trial.number not in snapshot.infeasible]
    front = pareto_front(able[-MOST_FRONT:], metrics)
    numbers = {trial.number for trial in front}
    note = "" if valued else empty_note(snapshot, metrics[0]) or "no trial has told all metrics yet"
    panels = []
    for one, other in list(combinations(metrics, 2))[:3]:
        rest = [trial for trial in valued if trial.number not in numbers]
        edge = sorted(front, key=lambda trial, one=one: trial.metrics[one.name])  # type: ignore[misc]
        groups = ((rest, Shape.DOTS, Ink.QUIET, "other trials"), (edge, Shape.DOTS, Ink.MAIN, "on the front"))
        marks = [
            Mark(
                shape=shape,
                ink=ink,
                label=label,
                x=tuple(trial.metrics[one.name] for trial in group),
                y=tuple(trial.metrics[other.name] for trial in group),
                text=tuple(
                    f"trial {t.number}: {one.name} {t.metrics[one.name]:.5g}, {other.name} {t.metrics[other.name]:.5g}"
                    for t in group
                ),
                faint=ink is Ink.QUIET,
            )
            for group, shape, ink, label in groups
            if group
        ]
        if len(edge) > 1 and len(metrics) == 2:
            xs, ys = tuple(t.metrics[one.name] for t in edge), tuple(t.metrics[other.name] for t in edge)
            marks.insert(len(marks) - 1, Mark(shape=Shape.LINE, ink=Ink.MAIN, x=xs, y=ys, faint=True))
        axes = [
            replace(axis, label=f"{metric.name} ({'lower' if metric.mode is Mode.MIN else 'higher'} is better)")
            for metric in (one, other)
            for axis in (value_axis(metric, [trial.metrics[metric.name] for trial in valued]),)
        ]
        panels.append(Panel(x=axes[0], y=axes[1], marks=tuple(marks), note=note))
    subtitle = f"{snapshot.name} · {counted(len(front), 'trial')} of {len(valued):,} not beaten in every metric"
    more_pairs = f"of {math.comb(len(metrics), 2)} pairs of metrics three are shown" if len(metrics) > 3 else ""
    return Plot(kind="pareto", title=title, subtitle=subtitle, panels=tuple(panels), note=more_pairs)


def best_so_far(snapshot: Snapshot, metric: Metric) -> list[tuple[float, float]]:
    """The staircase: each number of a trial that was the best until then, and its value; then the last trial's number."""
    stairs: list[tuple[float, float]] = []
    for trial, value in zip(snapshot.trials, snapshot.values(metric), strict=True):
        able = value is not None and trial.number not in snapshot.infeasible
        if able and value is not None and (not stairs or metric.mode.better(value, stairs[-1][1])):
            stairs.append((float(trial.number), value))
    if stairs and snapshot.trials[-1].number > stairs[-1][0]:
        stairs.append((float(snapshot.trials[-1].number), stairs[-1][1]))
    return stairs


def about(snapshot: Snapshot, metric: Metric) -> str:
    """The line under a title: which study, how many trials, which way is better."""
    way = "lower" if metric.mode is Mode.MIN else "higher"
    return f"{snapshot.name} · {counted(len(snapshot.trials), 'trial')} · {way} is better"


def more(shown: int, there: int, noun: str) -> str:
    """The note that says what was left out."""
    return f"{shown} of {counted(there, noun)} shown, the most important ones" if shown < there else ""


def _by_parameter(snapshot: Snapshot, metric: Metric, name: str, *, shade: Sequence[float] = ()) -> Panel:
    axis, place = param_axis(snapshot, name)
    places = [place(params[name]) if name in params else None for params in snapshot.flat]
    values = snapshot.values(metric)
    moved = _spread(axis, places)
    marks = by_status(snapshot, metric, moved, shade=shade)
    if axis.scale is Scale.CATEGORY:
        marks += _medians(places, values)
    return Panel(
        x=axis,
        y=value_axis(metric, values),
        marks=(*marks, *star(snapshot, metric, moved)),
        clip=metric.mode,
        note=empty_note(snapshot, metric),
    )


def _spread(axis: Axis, places: Sequence[float | None]) -> list[float | None]:
    """Places moved aside a little where many share a category: evenly, by van der Corput's sequence."""
    if axis.scale is not Scale.CATEGORY or len(places) <= 8 * len(axis.categories):
        return list(places)
    return [None if at is None else at + 0.6 * (_van_der_corput(k) - 0.5) for k, at in enumerate(places)]


def _van_der_corput(k: int) -> float:
    return int(f"{k & 0xFFFF:016b}"[::-1], 2) / 0x10000


def _medians(places: Sequence[float | None], values: Sequence[float | None]) -> list[Mark]:
    groups: dict[float, list[float]] = {}
    for at, value in zip(places, values, strict=True):
        if at is not None and value is not None:
            groups.setdefault(at, []).append(value)
    several = {at: median(group) for at, group in sorted(groups.items()) if len(group) > 1}
    if not several:
        return []
    mark = Mark(shape=Shape.DASHES, ink=Ink.STRONG, label="median", x=tuple(several), y=tuple(several.values()))
    return [mark]


def _without(snapshot: Snapshot, name: str) -> str:
    count = sum(name not in params for params in snapshot.flat)
    return f"{counted(count, 'trial')} without this parameter left out" if count else ""


def _nothing(metric: Metric, note: str) -> Panel:
    return Panel(x=Axis(label=""), y=Axis(label=metric.name), note=note or "nothing to show")


def _has(metrics: object, metric: Metric) -> bool:
    value = metrics.get(metric.name, math.nan) if hasattr(metrics, "get") else math.nan
    return math.isfinite(value)
