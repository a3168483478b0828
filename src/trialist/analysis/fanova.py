"""fANOVA: which share of the variance over the whole space each parameter explains alone. Needs scikit-learn.

Hutter, Hoos, Leyton-Brown: "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014. A random forest is
fitted to the trials; each tree is a set of boxes with values, so the mean over all other parameters is computed exactly.
Done here for all leaves of a tree at once: each box adds its value to an interval of each axis.

A choice is numbered anew at random for each tree, so that no order of its options is assumed. A parameter that is not
active takes random values, so that no tree can tell the branch by it.
"""

from __future__ import annotations

from trialist import registry

registry.optional("sklearn.tree", "importance by fANOVA")  # where it is missing, this names the line that installs it

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TREES = 64
MOST_TRIALS = 2000
"""A tree is fitted to at most so many: more change shares in the third digit, and cost seconds."""


class _Boxes(NamedTuple):
    """The leaves of a tree."""

    low: Floats
    high: Floats
    """By leaf and column, in [0, 1]."""
    value: Floats


def importances(points: Floats, active: Bools, options: NDArray[np.int64], losses: Floats, seed: int = 0) -> Floats:
    """By column: the share of the variance that it explains alone, 0 … 1; what is left to 1 is due to interactions.

    Args:
        points: By trial and column, in [0, 1].
        active: By trial and column: whether the parameter means something.
        options: By column: how many options a choice has; 0: a number.
        losses: By trial, finite.
        seed: Of the forest; equal seeds give equal shares.
    """
    trials, dimension = points.shape
    shares = []
    losses = losses / (np.abs(losses).max(initial=0.0) or 1.0)  # squares of huge values would be infinite
    if trials >= 2 and np.ptp(losses) > 0:
        for number in range(TREES):
            rng = np.random.default_rng((seed, number))
            rows = rng.integers(trials, size=min(trials, MOST_TRIALS))
            x = _shuffled(points, options, rng)
            x = np.where(active, x, rng.random(points.shape))[rows]
            tree = DecisionTreeRegressor(random_state=int(rng.integers(2**31)), min_samples_leaf=1)
            tree.fit(x, losses[rows])
            share = _shares(_boxes(tree.tree_, dimension), options)
            if share is not None:
                shares.append(share)
    mean: Floats = np.mean(shares, axis=0) if shares else np.zeros(dimension)
    return mean


def _shuffled(points: Floats, options: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """The points with the options of each choice numbered anew."""
    out = points.copy()
    for column in np.flatnonzero(options):
        count = int(options[column])
        numbers = rng.permutation(count)
        out[:, column] = (numbers[np.minimum((points[:, column] * count).astype(np.int64), count - 1)] + 0.5) / count
    return out


def _boxes(tree: Any, dimension: int) -> _Boxes:
    low, high = np.zeros((tree.node_count, dimension)), np.ones((tree.node_count, dimension))
    # Children come after their parents in scikit-learn's order.
    for node in range(tree.node_count):
        left, right = tree.children_left[node], tree.children_right[node]
        if left < 0:
            continue
        for child in (left, right):
            low[child], high[child] = low[node], high[node]
        column, at = tree.feature[node], tree.threshold[node]
        high[left, column] = low[right, column] = min(max(at, low[node, column]), high[node, column])
    leaves = tree.children_left < 0
    return _Boxes(low[leaves], high[leaves], tree.value[leaves].reshape(-1))


def _shares(boxes: _Boxes, options: NDArray[np.int64]) -> Floats | None:
    """By column: the variance of the tree's mean over all other columns, as a share of its whole variance."""
    low, high = boxes.low.copy(), boxes.high.copy()
    for choice in np.flatnonzero(options):  # whole options: a threshold lies somewhere between two of them
        count = int(options[choice])
        low[:, choice] = np.ceil(low[:, choice] * count - 0.5) / count
        high[:, choice] = np.ceil(high[:, choice] * count - 0.5) / count
    sizes = high - low
    volumes = np.prod(sizes, axis=1)
    mean = float(volumes @ boxes.value)
    variance = float(volumes @ (boxes.value - mean) ** 2)
    if variance <= 0.0:
        return None
    out = np.zeros(low.shape[1])
    for column in range(low.shape[1]):
        others = np.divide(volumes, sizes[:, column], out=np.zeros_like(volumes), where=sizes[:, column] > 0)
        edges = np.unique(np.concatenate((low[:, column], high[:, column])))
        starts, ends = np.searchsorted(edges, low[:, column]), np.searchsorted(edges, high[:, column])
        steps = np.zeros(len(edges))
        np.add.at(steps, starts, others * boxes.value)
        np.add.at(steps, ends, -others * boxes.value)
        marginal = np.cumsum(steps)[:-1]
        out[column] = float(np.diff(edges) @ (marginal - mean) ** 2) / variance
    return np.clip(out, 0.0, 1.0)
