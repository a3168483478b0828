"""Axes of plots, and the marks that several of them share: points by status, the best so far. Knows snapshots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from trialist.analysis.axes import number
from trialist.analysis.plots.record import Ink, Mark, Shape
from trialist.analysis.series import Axis, Scale, parameter_axis
from trialist.analysis.series import scale_of as scale_of
from trialist.analysis.snapshot import Snapshot
from trialist.core.records import Metric, Trial
from trialist.core.states import TrialStatus
from trialist.space.choices import Choice

Place = Callable[[Any], float]


def value_axis(metric: Metric, values: Iterable[float | None]) -> Axis:
    """An axis for a metric; logarithmic where that spreads the values more evenly."""
    return Axis(label=metric.name, scale=scale_of([value for value in values if value is not None]))


def param_axis(snapshot: Snapshot, name: str) -> tuple[Axis, Place]:
    """A param's axis, and where on it each of its values lies: as its domain says, else as its values look."""
    values = [params[name] for params in snapshot.flat if name in params]
    axis, place = parameter_axis(name, values)
    domains = [leaf.domain for leaf in snapshot.space.leaves if leaf.path == name] if snapshot.space else []
    if axis.scale is Scale.CATEGORY:
        if len(domains) == 1 and isinstance(domains[0], Choice) and not domains[0].branches:
            return _in_order(name, values, domains[0], axis, place)
        return axis, place
    logs = {bool(getattr(domain, "log", False)) for domain in domains}
    if logs == {True}:
        return Axis(label=name, scale=Scale.LOG, whole=axis.whole), place
    if logs == {False}:
        return Axis(label=name, scale=Scale.LINEAR, whole=axis.whole), place
    return axis, place


def _in_order(name: str, values: Sequence[Any], choice: Choice, axis: Axis, place: Place) -> tuple[Axis, Place]:
    """Options in the order in which the space lists them, where it lists all."""
    ordered, place_of = parameter_axis(name, list(choice.values), categories=True)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in choice.values):
        return axis, place  # numbers stand by size
    try:
        for value in values:
            place_of(value)
    except KeyError:
        return axis, place
    return ordered, place_of


def by_status(
    snapshot: Snapshot, metric: Metric, places: Sequence[float | None], *, shade: Sequence[float] = ()
) -> list[Mark]:
    """Trials as marks, told apart by how they ended.

    Args:
        snapshot: The study.
        metric: What lies along y.
        places: By place in ``snapshot.trials``: where it lies along x; ``None``: it is left out.
        shade: By place in ``snapshot.trials``: 0 … 1; colours completed and stopped trials by it.
    """
    groups: dict[str, list[int]] = {"completed": [], "stopped": [], "infeasible": [], "failed": []}
    values = snapshot.values(metric)
    for k, (trial, at, value) in enumerate(zip(snapshot.trials, places, values, strict=True)):
        if at is None:
            continue
        if value is None:
            if is_failed(trial):
                groups["failed"].append(k)
        elif trial.number in snapshot.infeasible:
            groups["infeasible"].append(k)
        else:
            groups["stopped" if trial.status is TrialStatus.STOPPED else "completed"].append(k)
    looks = {
        "completed": (Shape.DOTS, Ink.MAIN, "completed"),
        "stopped": (Shape.RINGS, Ink.SECOND, "stopped early"),
        "infeasible": (Shape.RINGS, Ink.BAD, "breaks a constraint"),
        "failed": (Shape.CROSSES, Ink.BAD, "failed"),
    }
    return [
        Mark(
            shape=looks[group][0],
            ink=looks[group][1],
            label=looks[group][2],
            x=tuple(_need(places[k]) for k in rows),
            y=tuple(math.nan if (value := values[k]) is None else value for k in rows),
            text=tuple(told(snapshot.trials[k], values[k], metric) for k in rows),
            shade=tuple(shade[k] for k in rows) if shade and group in ("completed", "stopped") else (),
        )
        for group, rows in groups.items()
        if rows
    ]


def star(snapshot: Snapshot, metric: Metric, places: Sequence[float | None]) -> list[Mark]:
    """The best trial, where it has a place."""
    for k in snapshot.best_first(metric)[:1]:
        value, at = snapshot.values(metric)[k], places[k]
        if value is None or at is None:
            continue
        trial = snapshot.trials[k]
        label = f"best: {number(value)} (trial {trial.number})"
        return [
            Mark(shape=Shape.STAR, ink=Ink.BEST, label=label, x=(at,), y=(value,), text=(told(trial, value, metric),))
        ]
    return []


def told(trial: Trial, value: float | None, metric: Metric) -> str:
    """One trial in a few words."""
    if value is None:
        return f"trial {trial.number}: {trial.error.reason if trial.error else 'no value'}"
    return f"trial {trial.number}: {metric.name} {number(value)}"


def is_failed(trial: Trial) -> bool:
    """Whether it ended without a value that counts, by an error or by a value that is no number."""
    return trial.status is TrialStatus.FAILED or (trial.status.counts and not _finite(trial.value))


def empty_note(snapshot: Snapshot, metric: Metric) -> str:
    """Why there is nothing to see; empty where there is."""
    if not snapshot.trials:
        return "no trials yet"
    if any(value is not None for value in snapshot.values(metric)):
        return ""
    failed = sum(map(is_failed, snapshot.trials))
    if failed == len(snapshot.trials):
        return "the only trial failed" if failed == 1 else f"all {failed} trials failed"
    return f"no trial has told {metric.name} yet"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _need(value: float | None) -> float:
    assert value is not None
    return value
