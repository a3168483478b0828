"""Where to look next, given a model: log expected improvement, and candidates that are made, moved and ranked.

Log-EI after Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization", 2023. Knows no model:
whoever searches says what a point is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import erfcx, ndtr

from trialist.search.cube import Bools, Cube, Floats

Score = Callable[[Floats], Floats]
Allowed = Callable[[Floats], bool]
_LN_2PI = float(np.log(2.0 * np.pi))


def log_ei(mean: Floats, sd: Floats, best: float) -> Floats:
    """The logarithm of the expected improvement below ``best``, exact far into the tail."""
    z = (best - mean) / sd
    out = np.empty_like(z)
    near = z > -1.0
    high = z[near]
    out[near] = np.log(np.exp(-0.5 * high * high - 0.5 * _LN_2PI) + high * ndtr(high))
    low = z[~near]
    tail = np.log(erfcx(-low / 2**0.5) * -low) + 0.5 * np.log(np.pi / 2.0)
    out[~near] = -0.5 * low * low - 0.5 * _LN_2PI + np.log1p(-np.exp(np.minimum(tail, -1e-16)))
    return out + np.log(sd)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How candidates are made."""

    uniform: int = 768
    moves: int = 64
    """Around each anchor."""
    rounds: int = 4
    parents: int = 10
    children: int = 32
    """Of each parent, in each round."""


DEFAULT_PLAN = Plan()


class Candidates:
    """Ranked candidates, best first.

    Args:
        cube: The space's.
        rng: Draws everything.
        plan: How many of which kind.
    """

    def __init__(self, cube: Cube, rng: np.random.Generator, plan: Plan = DEFAULT_PLAN) -> None:
        self.cube, self._rng, self._plan = cube, rng, plan
        self._cells = np.where(np.isfinite(cube.cells) & ~cube.is_choice, 1.0 / cube.cells, 0.0)

    def search(self, score: Score, anchors: Floats, is_allowed: Allowed | None = None) -> Iterator[Floats]:
        """Legal rows by falling score, each that is allowed; the same row may come again.

        Args:
            score: What rows are worth.
            anchors: (k, dimension) legal rows around which to look.
            is_allowed: Whether the constraints let a row pass; ``None``: all do.
        """
        plan, rng = self._plan, self._rng
        points = np.concatenate(
            [rng.random((plan.uniform, self.cube.dimension)), self.moved(anchors, plan.moves, _first_sd(rng))]
        )
        points = self.cube.snap(points)
        scores = score(points)
        for turn in range(plan.rounds):
            parents = self._best(points, scores, is_allowed)
            if not len(parents):
                break
            children = self.cube.snap(self.moved(parents, plan.children, _later_sd(rng, turn), 0.7))
            points, scores = np.concatenate([points, children]), np.concatenate([scores, score(children)])
        for row in np.argsort(-scores, kind="stable"):
            if is_allowed is None or is_allowed(points[row]):
                yield points[row]

    def _best(self, points: Floats, scores: Floats, is_allowed: Allowed | None) -> Floats:
        """The parents of the next round."""
        count = self._plan.parents
        if is_allowed is None:
            return points[np.argpartition(-scores, count)[:count]] if len(scores) > count else points
        kept: list[int] = []
        for row in np.argsort(-scores, kind="stable")[: 16 * count]:
            if is_allowed(points[row]):
                kept.append(int(row))
            if len(kept) == count:
                break
        return points[kept]

    def moved(self, points: Floats, times: int, draw_sd: Callable[[int], Floats], share: float = 0.6) -> Floats:
        """(len(points) * times, dimension): moves of each point, not yet legal.

        Half of them change few coordinates, the others most; each changes at least one.
        """
        rng, out = self._rng, np.repeat(points, times, axis=0)
        count, dimension = out.shape
        if self.cube.is_conditional:  # what a new option calls into being lies anywhere
            asleep = ~self.cube.active(out)
            out[asleep] = rng.random(int(asleep.sum()))
        few = rng.random(count) < 0.5
        chance = np.where(few, min(1.0, 1.5 / dimension), share)
        moves: Bools = rng.random(out.shape) < chance[:, None]
        moves[np.arange(count), rng.integers(dimension, size=count)] = True
        step = rng.standard_normal(out.shape) * draw_sd(count)[:, None]
        step = np.where(np.abs(step) < self._cells, np.copysign(self._cells, step), step)
        shifted = np.abs(out + step)
        shifted = np.where(shifted > 1.0, 2.0 - shifted, shifted)
        resample = self.cube.is_choice & (rng.random(out.shape) < 0.5)
        shifted = np.where(self.cube.is_choice, np.where(resample, rng.random(out.shape), out), shifted)
        return np.where(moves, shifted, out)


def _first_sd(rng: np.random.Generator) -> Callable[[int], Floats]:
    return lambda n: np.exp(rng.uniform(np.log(0.01), np.log(0.3), n))


def _later_sd(rng: np.random.Generator, turn: int) -> Callable[[int], Floats]:
    return lambda n: 0.15 * 0.5**turn * np.exp(rng.uniform(-1.5, 0.5, n))
