"""Learning curves, shortened where they are long, and where they are going: a mixture of simple shapes carried to a horizon.

Larger is better in all that is forecast here. Knows no trial, no scheduler and no event.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_POINTS = 128
"""A curve of more points than this is halved by averaging neighbours: memory and time stay bounded."""
MIN_POINTS = 5
"""Fewer points say nothing."""
_POWERS = (0.25, 0.5, 1.0, 2.0)
_DECAYS = (0.15, 0.3, 0.6, 1.2)
_HILLS = tuple((f, s) for f in (0.3, 0.8) for s in (2, 4))
_BURN_INS = (0.0, 0.3, 0.6)
_LEAST_KEPT = 4
_RIDGE = 0.3


@dataclass(slots=True)
class Curve:
    """What a trial has reported, in at most ``MAX_POINTS`` points; each but the last stands for ``stride`` reports."""

    stride: int = 1
    counts: list[int] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    """Mean step of each point."""
    values: list[float] = field(default_factory=list)
    """Mean value of each point."""
    ends: list[int] = field(default_factory=list)
    """Last step of each point."""
    last_value: float = 0.0
    """Value at the last step: the same step may be told again."""

    @property
    def step(self) -> int:
        """The last step; -1: none."""
        return self.ends[-1] if self.ends else -1

    @property
    def is_whole(self) -> bool:
        """Whether the last point stands for as many reports as the others."""
        return bool(self.counts) and self.counts[-1] == self.stride

    def add(self, step: int, value: float) -> None:
        """A report at a step above the last, or at the last one again; steps below it are ignored."""
        if step < self.step:
            return
        if self.ends and step == self.ends[-1]:
            self.values[-1] += (value - self.last_value) / self.counts[-1]
            self.last_value = value
            return
        if not self.counts or self.is_whole:
            if len(self.counts) == MAX_POINTS:
                self._halve()
            for column in (self.counts, self.steps, self.values):
                column.append(0)
            self.ends.append(step)
        self.counts[-1] += 1
        self.steps[-1] += (step - self.steps[-1]) / self.counts[-1]
        self.values[-1] += (value - self.values[-1]) / self.counts[-1]
        self.ends[-1], self.last_value = step, value

    def cut(self, step: int) -> None:
        """Forget what lies above a step: the trial goes on from there. A point that reaches beyond it goes whole."""
        kept = bisect_right(self.ends, step)
        if kept == len(self.ends):
            return
        del self.counts[kept:], self.steps[kept:], self.values[kept:], self.ends[kept:]
        self.last_value = self.values[-1] if self.values else 0.0

    def _halve(self) -> None:
        self.stride *= 2
        self.counts = [self.stride] * (MAX_POINTS // 2)
        for name in ("steps", "values"):
            column = getattr(self, name)
            setattr(self, name, [(a + b) / 2 for a, b in zip(column[::2], column[1::2], strict=True)])
        self.ends = self.ends[1::2]


class Forecasts(NamedTuple):
    """Where curves will be at the horizon, one row a curve."""

    means: Floats
    variances: Floats
    """Of the mixture: how far the shapes disagree, and how badly each one fits. No noise."""
    noises: Floats
    """Variance of the reports around their curve."""


class Projection:
    """The shapes fitted to some steps and carried to a horizon, prepared: it forecasts any values at these steps.

    Fourteen shapes (powers, exponentials, a logarithm, a line, hills), each over the whole curve and without its first 30% and
    60%, by weighted least squares with a ridge on the slope; and the flat continuation of the last four points. They are
    weighed by how well they fit the last third. A forecast of a curve does not depend on which others are asked with it.

    Args:
        steps: Ascending, at least ``MIN_POINTS`` of them.
        horizon: Above the last of them.
    """

    def __init__(self, steps: Floats, horizon: float) -> None:
        count = len(steps)
        gap = (steps[-1] - steps[0]) / (count - 1)
        x = steps if steps[0] > 0 else steps - steps[0] + gap  # shapes have no value at 0
        end = horizon + (x[0] - steps[0])
        now = x[-1]
        self.tail = min(count, max(5, count // 3))
        levels, slopes, rises, tails = [], [], [], []
        for burn_in in _BURN_INS:
            first = min(int(burn_in * count), count - _LEAST_KEPT)
            weights = x[first:] / now
            weights = weights * (len(weights) / weights.sum())
            for shape in _shapes(x, now, end):
                phi = shape[:-1] - shape[-2]
                level, slope = _fit(phi[first:], weights)
                levels.append(np.concatenate([np.zeros(first), level]))
                slopes.append(np.concatenate([np.zeros(first), slope]))
                rises.append(shape[-1] - shape[-2])
                tails.append(phi[-self.tail :])
        self._levels, self._slopes = np.array(levels), np.array(slopes)
        self._tails = np.array(tails)
        self._carried = self._levels + np.array(rises)[:, None] * self._slopes
        self._lengths = np.append((self._carried**2).sum(axis=1), 0.25)
        self.count = count

    def forecast(self, values: Floats) -> Forecasts:
        """What curves with these values come to.

        Args:
            values: One row a curve, one column a step.
        """
        # Sums along the last axis, and no matrix products: each row comes out the same whoever stands beside it.
        rows = values[:, None, :]
        level, slope = (rows * self._levels).sum(axis=2), (rows * self._slopes).sum(axis=2)
        flat = values[:, -4:].mean(axis=1)
        at_end = np.column_stack([(rows * self._carried).sum(axis=2), flat])
        tail = values[:, -self.tail :]
        missed = tail[:, None, :] - level[:, :, None] - slope[:, :, None] * self._tails
        errors = np.column_stack([(missed**2).mean(axis=2), ((tail - flat[:, None]) ** 2).mean(axis=1)])
        bends = np.diff(values[:, -14:], n=2, axis=1)
        noises = (bends**2).mean(axis=1) / 6
        spans = values.max(axis=1) - values.min(axis=1)
        errors = errors + (0.25 * noises + 1e-6 * spans**2 + 1e-300)[:, None]
        likelihoods = -0.5 * self.tail * np.log(errors)
        weights = np.exp(likelihoods - likelihoods.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        means = (weights * at_end).sum(axis=1)
        variances = (weights * (errors * self._lengths + (at_end - means[:, None]) ** 2)).sum(axis=1)
        return Forecasts(means, variances, noises)


def _shapes(x: Floats, now: float, end: float) -> list[Floats]:
    """Each shape at the steps, and at the horizon after them."""
    at = np.append(x, end)
    out = [at**-power for power in _POWERS]
    out += [np.exp(-at / (decay * now)) for decay in _DECAYS]
    out += [np.log(at), at / now]
    out += [1 / (1 + (at / (middle * now)) ** steepness) for middle, steepness in _HILLS]
    return out


def _fit(phi: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Level and slope of ``values = level + slope * phi``, each as what the values are multiplied by."""
    total = weights.sum()
    centre = (weights * phi).sum() / total
    spread = weights * (phi - centre)
    mean_square = (weights * (phi - centre) ** 2).sum() / total
    slope = spread / max(total * mean_square + _RIDGE * len(phi) * mean_square, 1e-300)
    return weights / total - centre * slope, slope


def own_spread(values: Floats) -> float:
    """How far a curve has moved: from its 10% to its 90% quantile."""
    ordered = np.sort(values)
    last = len(ordered) - 1
    low, high = (_between(ordered, share * last) for share in (0.1, 0.9))
    return high - low


def _between(ordered: Floats, place: float) -> float:
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
