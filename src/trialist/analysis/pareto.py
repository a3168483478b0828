"""The trials that no other one beats in every metric. Knows records only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from trialist.core.records import Metric, Mode, Trial


def pareto_front(trials: Iterable[Trial], metrics: Sequence[Metric]) -> list[Trial]:
    """The non-dominated trials, in the order given; one that lacks a finite value of some metric is left out.

    Costs the number of trials times the size of the front, in time, and the front in memory.
    """
    front: list[tuple[tuple[float, ...], Trial]] = []
    for trial in trials:
        cost = _cost(trial, metrics)
        if cost is None or any(_dominates(other, cost) for other, _ in front):
            continue
        front = [(other, one) for other, one in front if not _dominates(cost, other)]
        front.append((cost, trial))
    return [trial for _, trial in front]


def _cost(trial: Trial, metrics: Sequence[Metric]) -> tuple[float, ...] | None:
    """The values with their signs turned so that lower is better."""
    values = [trial.metrics.get(metric.name, math.nan) for metric in metrics]
    if not all(math.isfinite(value) for value in values):
        return None
    return tuple(-v if m.mode is Mode.MAX else v for v, m in zip(values, metrics, strict=True))


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether ``one`` is nowhere above ``other`` and somewhere below."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other
