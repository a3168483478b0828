"""Densities over the unit cube of a space: mixtures with one component a trial, over all parameters at once.

A component is a product over parameters: a gaussian cut off at the ends of a number's range, a mixture of "the same" and
"any" for a choice. A parameter that means nothing at a component's centre is uniform there, so a whole conditional space
has one density. Knows no result.

Watanabe, "Tree-structured Parzen estimator: understanding its algorithm components and their roles for better empirical
performance", 2023.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from trialist.search.cube import Bools, Cube, Floats

ANY = 0.2
"""The part of a choice's component that is uniform over its options."""
_SQRT_2PI = math.sqrt(2 * math.pi)
_ALONE = 2**17
"""Multiplications of one matrix product: so few are never spread over threads, which would cost more than they do here."""


class Axes:
    """The columns of a cube as features, such that a component's logarithm is one scalar product with a point.

    Args:
        cube: The space's.
    """

    def __init__(self, cube: Cube) -> None:
        self.cube = cube
        self.numbers = np.flatnonzero(~cube.is_choice)
        self.choices = np.flatnonzero(cube.is_choice)
        self.options = cube.options[self.choices]
        self.offsets = np.concatenate([[0], np.cumsum(self.options)[:-1]]).astype(np.int64)
        """Where the options of each choice begin among the one-hot columns."""
        self.half_cell = 0.5 / np.maximum(cube.cells[self.numbers], 1.0)
        self.any_logs = np.repeat(-np.log(self.options), self.options)
        """For each one-hot column what "any option" counts there."""

    def hot(self, points: Floats, active: Bools) -> Floats:
        """(n, options of all choices): 1 where an active choice takes an option."""
        out = np.zeros((len(points), len(self.any_logs)))
        if len(self.choices):
            taken = np.minimum((points[:, self.choices] * self.options).astype(np.int64), self.options - 1)
            rows, places = np.nonzero(active[:, self.choices])
            out[rows, (taken + self.offsets)[rows, places]] = 1.0
        return out

    def features(self, points: Floats, active: Bools) -> Floats:
        """(n, 3 * numbers + options): what is multiplied with a component."""
        means = active[:, self.numbers].astype(np.float64)
        values = points[:, self.numbers] * means
        return np.concatenate([values**2, values, means, self.hot(points, active)], axis=1)


class Mixture:
    """A mixture with a component at each of some points, and a uniform one.

    Args:
        axes: The space's.
        points: (n, dimension): legal rows.
        weights: (n,): how much each counts.
        prior: How much the uniform component counts.
        width: The standard deviation of the gaussians, as a part of the range: one for all, or (numbers,), or
            (n, numbers); integers take at least half a cell.
    """

    def __init__(self, axes: Axes, points: Floats, weights: Floats, *, prior: float, width: float | Floats) -> None:
        self._axes = axes
        self._points = points
        self._active = axes.cube.active(points)
        total = weights.sum() + prior
        self._weights = np.concatenate([weights, [prior]]) / total
        self._widths = np.broadcast_to(np.maximum(width, axes.half_cell), (len(points), len(axes.numbers)))

    def _components(self) -> Floats:
        """(features, n + 1): the logarithm of each component as factors of the features."""
        axes, numbers = self._axes, self._axes.numbers
        means = self._active[:, numbers]
        centres = self._points[:, numbers] * means
        inverse = 1.0 / self._widths**2
        # The part of the gaussian inside [0, 1]: the difference of two tails, each on the side where it is exact.
        inside = ndtr((1.0 - centres) / self._widths) - ndtr(-centres / self._widths)
        constant = -0.5 * centres**2 * inverse - np.log(inside * self._widths * _SQRT_2PI)
        same = np.log((1.0 - ANY) * np.exp(-axes.any_logs) + ANY)
        hot = axes.hot(self._points, self._active)
        chosen = np.repeat(self._active[:, axes.choices], axes.options, axis=1)
        logs = axes.any_logs + chosen * math.log(ANY) + hot * (same - math.log(ANY))
        parts = [means * (-0.5 * inverse), centres * inverse, means * constant, logs]
        prior = np.concatenate([np.zeros(3 * len(numbers)), axes.any_logs])
        return np.concatenate([np.concatenate(parts, axis=1), prior[None, :]]).T

    def log_density(self, features: Floats) -> Floats:
        """(m,): the logarithm of the density at points, given as their features."""
        logs = _product(features, self._components()) + np.log(np.maximum(self._weights, 1e-300))
        top = logs.max(axis=1, keepdims=True)
        return np.asarray(top[:, 0] + np.log(np.exp(logs - top).sum(axis=1)))

    def sample(self, rng: np.random.Generator, count: int) -> Floats:
        """(count, dimension): legal rows drawn from it."""
        axes, cube = self._axes, self._axes.cube
        out = rng.random((count, cube.dimension))
        keep = rng.random((count, len(axes.choices))) >= ANY
        component = np.searchsorted(np.cumsum(self._weights), rng.random(count) * self._weights.sum(), side="right")
        component = np.minimum(component, len(self._points))
        rows = np.flatnonzero(component < len(self._points))
        if len(rows):
            self._move(out, rows, component[rows], keep)
        return cube.snap(out)

    def _move(self, out: Floats, rows: np.ndarray, component: np.ndarray, keep: Bools) -> None:
        """From uniform draws to draws around centres, in place; where these mean nothing, uniform ones stay."""
        numbers, choices = self._axes.numbers, self._axes.choices
        centres, means = self._points[component], self._active[component]
        middle, widths = centres[:, numbers], self._widths[component]
        low, high = ndtr(-middle / widths), ndtr((1.0 - middle) / widths)
        uniform = out[np.ix_(rows, numbers)]
        drawn = middle + widths * ndtri(low + (high - low) * uniform)
        out[np.ix_(rows, numbers)] = np.where(means[:, numbers], drawn, uniform)
        kept = keep[rows] & means[:, choices]
        out[np.ix_(rows, choices)] = np.where(kept, centres[:, choices], out[np.ix_(rows, choices)])


def _product(left: Floats, right: Floats) -> Floats:
    """The matrix product, in parts of columns: the same bits with any number of threads, and no waiting for one."""
    step = max(1, _ALONE // max(1, left.size))
    parts = [left @ right[:, at : at + step] for at in range(0, right.shape[1], step)]
    return np.concatenate(parts, axis=1)
