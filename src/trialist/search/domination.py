"""Several losses at once: who dominates whom, and how much of the space of losses a set of points covers.

Losses are lower-is-better and finite. A point dominates another when it is nowhere worse and somewhere better. Knows no
trial and no searcher.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK = 2**22
"""Comparisons made at a time, so that memory stays small however many points there are."""
_SAMPLES = 2048


def ranks(losses: Floats, *, enough: int | None = None) -> Ints:
    """Non-dominated sorting: 0 for points that nothing dominates, 1 for those that only these dominate, and so on.

    Equal points have equal ranks.

    Args:
        losses: (n, objectives).
        enough: Stop when so many points have a rank; the others share the one after the last. ``None``: rank all.
    """
    count = len(losses)
    enough = count if enough is None else min(enough, count)
    values, inverse = np.unique(losses, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    sizes = np.bincount(inverse, minlength=len(values))
    if losses.shape[1] == 1:
        return inverse.astype(np.int64)
    found = np.full(len(values), -1, dtype=np.int64)
    left, rank, done = np.arange(len(values)), 0, 0
    while len(left) and done < enough:
        on_front = _front_of_sorted(values[left])
        found[left[on_front]] = rank
        done += int(sizes[left[on_front]].sum())
        left, rank = left[~on_front], rank + 1
    found[left] = rank
    return found[inverse]


def front(losses: Floats) -> Ints:
    """The rows that nothing dominates, ascending."""
    return np.flatnonzero(ranks(losses, enough=1) == 0)


def _front_of_sorted(values: Floats) -> NDArray[np.bool_]:
    """Which of different points in lexicographic order nothing dominates: only an earlier one can."""
    count, objectives = values.shape
    if objectives == 2:
        before = np.concatenate([[np.inf], np.minimum.accumulate(values[:, 1])[:-1]])
        return np.asarray(values[:, 1] < before)
    # Whoever is dominated at all is dominated by a point of the front, so the front alone is compared with.
    keep: NDArray[np.bool_] = np.ones(count, dtype=np.bool_)
    step = max(1, _BLOCK // max(1, count * objectives))
    for start in range(0, count, step):
        some = np.flatnonzero(keep[start : start + step]) + start
        if not len(some):
            continue
        after = values[start:]
        worse = np.asarray((values[some][:, None, :] <= after[None, :, :]).all(axis=2))
        worse[np.arange(len(some)), some - start] = False
        keep[start:] &= ~worse.any(axis=0)
    return keep


def reference_point(losses: Floats) -> Floats:
    """A point that all of ``losses`` dominate: a tenth of their range beyond the worst of each objective."""
    worst, best = losses.max(axis=0), losses.min(axis=0)
    span = worst - best
    return np.asarray(worst + np.where(span > 0, 0.1 * span, np.maximum(0.1 * np.abs(worst), 1e-12)))


def hypervolume(losses: Floats, reference: Floats) -> float:
    """The volume of what some point dominates and ``reference`` bounds; points beyond the reference add nothing.

    Exact. Time grows with the points' number like n log n for one and two objectives, and steeply with each further one: a
    hundred points of four objectives take about a second.

    Args:
        losses: (n, objectives); no points cover nothing.
        reference: (objectives,).
    """
    inside = losses[(losses < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    inside = np.unique(inside, axis=0)
    if inside.shape[1] == 1:
        return float(reference[0] - inside[0, 0])
    return _volume(inside[_front_of_sorted(inside)], reference)


def _volume(points: Floats, reference: Floats) -> float:
    """Of different points in lexicographic order that do not dominate each other (While and others, "A fast way of
    calculating exact hypervolumes", IEEE TEC 16, 2012)."""
    if points.shape[1] == 2:
        heights = np.concatenate([[reference[1]], points[:-1, 1]]) - points[:, 1]
        return float(((reference[0] - points[:, 0]) * heights).sum())
    if len(points) == 1:
        return float(np.prod(reference - points[0]))
    return sum(_exclusive(points[at], points[at + 1 :], reference) for at in range(len(points)))


def _exclusive(point: Floats, others: Floats, reference: Floats) -> float:
    """What a point covers and none of the others does."""
    own = float(np.prod(reference - point))
    if not len(others):
        return own
    shared = np.unique(np.maximum(others, point), axis=0)
    shared = shared[_front_of_sorted(shared)]
    return own - _volume(shared, reference)


def contributions(losses: Floats, reference: Floats) -> Floats:
    """For each point the volume that only it covers; 0 for those that are dominated or stand there twice.

    Args:
        losses: (n, objectives).
        reference: (objectives,).
    """
    out = np.zeros(len(losses))
    for row in range(len(losses)):
        if (losses[row] < reference).all():
            others = np.delete(losses, row, axis=0)
            others = others[(others < reference).all(axis=1)]
            out[row] = max(0.0, _gain(losses[row], others, reference))
    return out


def _gain(point: Floats, others: Floats, reference: Floats) -> float:
    """How much the volume grows by a point."""
    if len(point) == 1:
        best = others.min() if len(others) else reference[0]
        return float(best - point[0])
    return _exclusive(point, others, reference)


def spread(losses: Floats, count: int, reference: Floats) -> Ints:
    """So many rows that cover much together, the one that adds most first.

    Greedy, which covers at least 63% of what the best choice would (Guerreiro and others, "Greedy hypervolume subset
    selection in low dimensions", Evolutionary Computation 24, 2016). Volumes are exact for two objectives, and counted over
    2,048 points for more. Rows that add nothing come last, in order.

    Args:
        losses: (n, objectives).
        count: How many; all where there are fewer.
        reference: (objectives,).
    """
    count = min(count, len(losses))
    capped = np.minimum(losses, reference)
    if count == len(losses) == 1:
        return np.zeros(1, dtype=np.int64)
    return _spread_exactly(capped, count, reference) if losses.shape[1] <= 2 else _spread(capped, count, reference)


def _spread_exactly(losses: Floats, count: int, reference: Floats) -> Ints:
    # What a point adds never grows as others are chosen: an old gain is a bound, and few need to be computed again.
    chosen: list[int] = []
    bounds = [(-float(gain), row) for row, gain in enumerate(np.prod(reference - losses, axis=1))]
    heapq.heapify(bounds)
    computed_at = [0] * len(losses)
    while len(chosen) < count:
        gain, row = heapq.heappop(bounds)
        if computed_at[row] == len(chosen):
            chosen.append(row)
            continue
        computed_at[row] = len(chosen)
        now = 0.0 if gain == 0.0 else max(0.0, _gain(losses[row], losses[chosen], reference))
        heapq.heappush(bounds, (-now, row))
    return np.array(chosen, dtype=np.int64)


def _spread(losses: Floats, count: int, reference: Floats) -> Ints:
    low = losses.min(axis=0)
    samples = low + (reference - low) * np.random.default_rng(0).random((_SAMPLES, losses.shape[1]))
    covers = (losses[:, None, :] <= samples[None, :, :]).all(axis=2)
    chosen, free = np.zeros(count, dtype=np.int64), np.ones(len(losses), dtype=np.bool_)
    for place in range(count):
        gains = np.where(free, covers.sum(axis=1), -1)
        chosen[place] = row = int(np.argmax(gains))
        free[row] = False
        covers &= ~covers[row]
    return chosen
