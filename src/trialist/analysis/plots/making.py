"""From a snapshot and the name of a kind to the plot's record. The table of kinds is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trialist.analysis.importance import Importance, importance
from trialist.analysis.plots.courses import learning_curves, timeline
from trialist.analysis.plots.params import distributions, importance_bars, parallel_coordinates
from trialist.analysis.plots.record import Plot
from trialist.analysis.plots.values import history, metric_vs_parameter, pareto, slices
from trialist.analysis.snapshot import Snapshot, snapshot_of
from trialist.core.errors import ConfigError, UnknownName
from trialist.core.records import Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a plot may be asked for beside its kind."""

    metric: Metric
    param: str | None = None
    top_k: int | None = None
    method: str = "ped_anova"


def make_plot(
    studied: Any,
    kind: str,
    *,
    metric: str | None = None,
    param: str | None = None,
    top_k: int | None = None,
    method: str = "ped_anova",
) -> Plot:
    """A plot of a study, as data.

    Any study will do: one trial, none that ended well, NaN, mixed types, ten thousand; what cannot be shown is said in
    a note.

    Args:
        studied: A study, its results or a snapshot.
        kind: One of ``KINDS``.
        metric: One of the study's; ``None``: the first.
        param: Of ``metric-vs-parameter``: which one; ``None``: the most important.
        top_k: Of ``parallel-coordinates`` and ``learning-curves``: only so many of the best trials.
        method: Of ``importance``: ``ped_anova`` or ``fanova``.

    Raises:
        UnknownName: There is no such kind, metric or param; the nearest is offered.
        ConfigError: ``top_k`` is not above 0.
    """
    if kind not in KINDS:
        raise UnknownName("plot", kind, KINDS)
    if top_k is not None and top_k < 1:
        raise ConfigError(f"must be at least 1; got {top_k}.", path="top_k")
    snapshot = snapshot_of(studied)
    asked = Request(metric=snapshot.metric_named(metric), param=param, top_k=top_k, method=method)
    return KINDS[kind](snapshot, asked)


def by_importance(snapshot: Snapshot, metric: Metric) -> list[str]:
    """The params that varied, the most important first."""
    shares = importance(snapshot, metric=metric.name if snapshot.metrics else None).shares
    return sorted(snapshot.names, key=lambda name: -shares.get(name, 0.0))


def importance_plot(found: Importance, name: str) -> Plot:
    """The plot of shares that are known already."""
    how = {"ped_anova": "PED-ANOVA", "fanova": "fANOVA"}.get(found.method, found.method)
    subtitle = f"{name} · {how} of {found.metric}, {found.trials:,} trials"
    return importance_bars(found.shares, subtitle=subtitle, note=found.note)


def _importance(snapshot: Snapshot, asked: Request) -> Plot:
    name = asked.metric.name if snapshot.metrics else None
    return importance_plot(importance(snapshot, method=asked.method, metric=name), snapshot.name)


def _metric_vs_parameter(snapshot: Snapshot, asked: Request) -> Plot:
    if asked.param is not None:
        return metric_vs_parameter(snapshot, asked.metric, snapshot.name_of_param(asked.param))
    names = by_importance(snapshot, asked.metric)
    if not names:
        return slices(snapshot, asked.metric, [])
    return metric_vs_parameter(snapshot, asked.metric, names[0])


KINDS: dict[str, Callable[[Snapshot, Request], Plot]] = {
    "history": lambda snapshot, asked: history(snapshot, asked.metric),
    "importance": _importance,
    "parallel-coordinates": lambda snapshot, asked: parallel_coordinates(
        snapshot, asked.metric, by_importance(snapshot, asked.metric), asked.top_k
    ),
    "distributions": lambda snapshot, asked: distributions(
        snapshot, asked.metric, by_importance(snapshot, asked.metric)
    ),
    "metric-vs-parameter": _metric_vs_parameter,
    "slice": lambda snapshot, asked: slices(snapshot, asked.metric, by_importance(snapshot, asked.metric)),
    "learning-curves": lambda snapshot, asked: learning_curves(snapshot, asked.metric, asked.top_k),
    "timeline": lambda snapshot, _: timeline(snapshot),
    "pareto": lambda snapshot, _: pareto(snapshot, snapshot.metrics),
}
"""Name of a plot to what makes it."""
