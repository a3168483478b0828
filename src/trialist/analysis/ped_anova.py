"""PED-ANOVA: how much a parameter tells the best trials from all of them. Arrays in, one number a parameter out.

Watanabe, Bansal, Hutter: "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces", IJCAI 2023.
The density of a parameter among the best trials is compared with its density among all, by their Pearson divergence; both
densities are kernel estimates on a grid with bandwidths by Scott's rule. A conditional parameter counts where it is
active, weighted as in the conditional variant (Ito et al., 2026). Linear in the number of trials.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TARGET = 0.1
"""The share of trials that are the best ones."""
GRID = 50
"""Cells on which densities of numbers are compared."""
_PRIOR = 1.0
"""Weight of the flat prior, in trials."""
_NARROWEST = 0.5 / 1.64
"""Bandwidth, in cells: 90% of the narrowest kernel lies within its own cell."""


class Column(NamedTuple):
    """One parameter: where its values lie."""

    name: str
    cells: Floats
    """By trial: the cell on the grid, 0 … ``size - 1``, whole numbers; meaningless where it is not active."""
    active: Bools
    """By trial: whether the parameter means something."""
    size: int
    is_choice: bool


def importances(columns: list[Column], losses: Floats, target: float = TARGET) -> Floats:
    """By column: how much it tells the best trials apart, from 0; not normalised.

    Args:
        columns: The parameters; a name may come more than once (different branches of a choice).
        losses: By trial: finite, lower is better.
        target: The share of trials that are the best ones, in (0, 1).
    """
    out = np.zeros(len(columns))
    count = len(losses)
    if count < 2:
        return out
    # At least five where there are ten: fewer say nothing. Ties with the last one are in.
    best_count = max(math.ceil(target * count), min(5, count // 2), 1)
    best = losses <= np.partition(losses, best_count - 1)[best_count - 1]
    share = best.sum() / count
    for place, column in enumerate(columns):
        here, top = column.active, column.active & best
        if column.size < 2 or here.sum() < 2 or not top.any():
            continue
        weight = (top.sum() / best.sum()) ** 2 / (here.sum() / count)
        density = _numbers if not column.is_choice else _choices
        p_all, p_top = (density(_counts(column, rows)) + 1e-12 for rows in (here, top))
        out[place] = share**2 * weight * float(p_all @ (p_top / p_all - 1.0) ** 2)
    return out


def grid_cells(positions: Floats, size: int) -> Floats:
    """Positions in [0, 1] as cells of a grid whose first and last cell are centred on the ends."""
    return np.clip(np.ceil(positions * (size - 1) - 0.5), 0, size - 1)


def _counts(column: Column, rows: Bools) -> Floats:
    return np.bincount(column.cells[rows].astype(np.int64), minlength=column.size).astype(np.float64)


def _choices(counts: Floats) -> Floats:
    """Shares of the options: each trial is a kernel that leaves a little for the others, and the prior is flat."""
    kernels = counts.sum() + 1.0
    little = _PRIOR / kernels
    kernel = (counts + little * counts.sum()) / (1.0 + little * len(counts))
    density: Floats = (kernel + _PRIOR / len(counts)) / (counts.sum() + _PRIOR)
    return density


def _numbers(counts: Floats) -> Floats:
    """A mixture of normals, one on each cell that has trials and a wide one over all, each cut to the grid."""
    at = np.flatnonzero(counts).astype(np.float64)
    weights = counts[counts > 0]
    total, last = weights.sum(), len(counts) - 1.0
    mean = at @ weights / total
    deviation = math.sqrt(((at - mean) ** 2 @ weights) / max(1.0, total - 1.0))
    below = np.cumsum(weights)
    first = int(np.searchsorted(below, total // 4, side="left"))
    third = min(len(at) - 1, int(np.searchsorted(below, total * 3 // 4, side="right")))
    scott = 1.059 * min((at[third] - at[first]) / 1.34, deviation) * total**-0.2
    centres = np.append(at, last / 2.0)
    widths = np.append(np.full(len(at), max(scott, _NARROWEST)), last + 1.0)
    mixed = np.append(weights, _PRIOR) / (total + _PRIOR)
    edges = np.arange(len(counts) + 1) - 0.5
    inside = np.diff(ndtr((edges[:, None] - centres) / widths), axis=0)
    density: Floats = (inside / inside.sum(axis=0)) @ mixed
    return density
