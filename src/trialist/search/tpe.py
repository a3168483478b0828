"""TPE: suggests where good trials are dense and others are not.

Bergstra and others, "Algorithms for hyper-parameter optimization", NeurIPS 2011, with the settings of Watanabe,
"Tree-structured Parzen estimator", 2023, and one density over the whole conditional space. Knows no step but the last one
of each trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialist.core.errors import ConfigError
from trialist.core.events import Body, Event
from trialist.core.options import Options
from trialist.core.records import Exhausted, Metric, Suggestion, Trial
from trialist.search.cube import Cube, Floats
from trialist.search.observations import READS, Observations, Standing
from trialist.search.parzen import Axes, Mixture
from trialist.search.randomness import stable_seed
from trialist.search.sobol import SobolSearcher
from trialist.space import SearchSpace

Ints = NDArray[np.int64]

START = 10
"""Trials of which losses must be known before densities say anything."""
GOOD_SHARE = 0.1
MAX_GOOD = 25
"""Good trials: a tenth of all, and at most so many."""
MAX_OTHERS = 400
"""Others that their density is made of; of more, as many are drawn at random."""
FAILED_WEIGHT = 4.0
"""How many others a failed trial counts like."""
PENDING_WEIGHT = 0.5
"""How much of a good trial's weight a pending one has among the others, so that those that run at once keep apart."""
MAX_PENDING = 64
"""Pending trials that have this weight; the newest."""
CANDIDATES = 64
"""Points drawn from the density of the good ones, of which the most promising is taken."""
WIDTH = 0.2
"""Standard deviation of one trial's gaussian, as a part of the range."""


class _Start(SobolSearcher):
    """The points to begin with; as its trials are this searcher's, they bear its name."""

    name = "tpe"


class TpeSearcher:
    """Tree-structured Parzen estimator over all parameters at once; never ends.

    Mixed and conditional spaces, several metrics, constraints on params. The first ``start`` trials fill the space evenly.
    Failed and pending trials count among those to keep away from; of trials that were stopped, paused or have not ended,
    the loss at their last step counts after those that ran to their end. No params are suggested twice as long as there
    are others.

    Time an ask is bounded and does not grow with history; memory is some hundred bytes a trial.

    Args:
        space: What varies.
        metrics: What is optimised; two or more: by non-dominated rank, then by the volume that they cover.
        seed: The study's.
        options: ``start`` (10): trials of which losses must be known before they guide the search.

    Raises:
        SpaceError: There are too many parameters.
        ConfigError: There is no metric, or an option is unknown or wrong.
    """

    name = "tpe"
    reads: frozenset[type[Body]] = READS

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        given = Options("searcher 'tpe'", options)
        self._num_start = given.integer("start", START, low=1)
        given.done()
        if not metrics:
            raise ConfigError(
                "searcher 'tpe' compares trials by a metric, and the study has none: name one (metric=…)."
            )
        self._space = space
        self._seed = seed
        self._start = _Start(space, seed=seed)
        self._cube = Cube(space)
        self._axes = Axes(self._cube)
        self._seen = Observations(self._cube, metrics, own=self.name)

    def update(self, event: Event, trial: Trial | None) -> None:
        self._seen.update(event, trial)
        self._start.update(event, trial)

    def suggest(self, number: int) -> Suggestion | Exhausted:
        """Params for trial ``number``.

        Raises:
            SpaceError: The constraints leave nothing, or too little to find.
        """
        if self._seen.num_shown < self._num_start or not self._cube.dimension:
            return self._start.suggest(number)
        rng = np.random.default_rng(stable_seed("tpe", self._seed, number))
        for point in self._promising(rng):
            if self._seen.is_new(point):
                params = self._cube.decode(point)
                if self._space.allows(params):
                    return Suggestion(params=params)
        return self._start.suggest(number)

    def _promising(self, rng: np.random.Generator) -> Floats:
        """Legal rows, the best first."""
        seen = self._seen
        good = seen.best(min(math.ceil(GOOD_SHARE * seen.num_shown), MAX_GOOD))
        near = self._mixture(good, _rank_weights(len(good)))
        far = self._mixture(*self._others(rng, good))
        points = near.sample(rng, CANDIDATES)
        features = self._axes.features(points, self._cube.active(points))
        gain = near.log_density(features) - far.log_density(features)
        return np.asarray(points[np.argsort(-gain, kind="stable")])

    def _mixture(self, rows: Ints, weights: Floats) -> Mixture:
        width = WIDTH * max(len(rows), 1) ** (-1.0 / (self._cube.dimension + 4))
        return Mixture(self._axes, self._seen.points[rows], weights, prior=1.0, width=width)

    def _others(self, rng: np.random.Generator, good: Ints) -> tuple[Ints, Floats]:
        """Rows that are not good, and how much each counts."""
        seen, wanted, count = self._seen, MAX_OTHERS + len(good), len(self._seen)
        rows = np.arange(count) if count <= wanted else rng.choice(count, wanted, replace=False, shuffle=False)
        pending = seen.pending[-MAX_PENDING:]
        rows = rows[(seen.standing[rows] != Standing.VOID) & ~np.isin(rows, np.concatenate([good, pending]))]
        weights = np.where(seen.standing[rows] == Standing.FAILED, FAILED_WEIGHT, 1.0)
        if count > wanted:
            weights *= count / wanted  # for so many each stands
        pending = pending[~np.isin(pending, good)]
        apart = np.full(len(pending), max(1.0, PENDING_WEIGHT * (weights.sum() + 1.0) / len(good)))
        return np.concatenate([rows, pending]), np.concatenate([weights, apart])


def _rank_weights(count: int) -> Floats:
    """Weights of the good ones, the best first; they add up to their number."""
    weights = math.log(count + 1.5) - np.log(np.arange(1, count + 1))
    return np.asarray(weights * (count / weights.sum()))
