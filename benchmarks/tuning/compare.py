"""Compares searchers on paired courses: mean regret, mean rank, ratios with a paired bootstrap interval.

A cell is a (task, seed); a value is the regret of the trial that looked best up to some trial. Knows neither searchers nor
files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Cell = tuple[str, int]
"""Task and seed."""
DRAWS = 4000
"""Resamples of the bootstrap."""


def regret_at(seen: Sequence[float], true: Sequence[float], trials: int, best: float, median: float) -> float:
    """The normalised regret of what looked best after so many trials (or after all, where there were fewer)."""
    at = min(range(min(trials, len(seen))), key=seen.__getitem__)
    return max(0.0, (true[at] - best) / (median - best))


class Times(NamedTuple):
    """How many times a peer's mean regret somebody's is, and the 95% interval of that."""

    ratio: float
    low: float
    high: float
    cells: int

    def __str__(self) -> str:
        return f"{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}]"


def times(ours: Mapping[Cell, float], peer: Mapping[Cell, float], *, seed: int = 0) -> Times | None:
    """The ratio of mean regrets over the cells that both have, with a bootstrap over these cells, pairs kept together."""
    cells = sorted(ours.keys() & peer.keys())
    if not cells:
        return None
    above, below = (np.array([side[cell] for cell in cells]) for side in (ours, peer))
    if not below.mean():
        return None
    draws = np.random.default_rng(seed).integers(len(cells), size=(DRAWS, len(cells)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = above[draws].mean(1) / below[draws].mean(1)
    low, high = np.nanpercentile(ratios, [2.5, 97.5])
    return Times(float(above.mean() / below.mean()), float(low), float(high), len(cells))


def mean_ranks(values: Mapping[str, Mapping[Cell, float]]) -> dict[str, float]:
    """Each one's mean rank, from 1, over the cells that all have; ties share the mean of their places."""
    cells = sorted(set.intersection(*(set(one) for one in values.values()))) if values else []
    if not cells:
        return {}
    table = np.array([[one[cell] for cell in cells] for one in values.values()])
    return dict(zip(values, _ranks(table).mean(1).tolist(), strict=True))


def _ranks(table: NDArray[np.float64]) -> NDArray[np.float64]:
    below = (table[None, :, :] < table[:, None, :]).sum(1)
    ties = (table[None, :, :] == table[:, None, :]).sum(1)
    return np.asarray(below + (ties + 1) / 2)
