"""Bayesian optimisation with a Gaussian process over the whole conditional space.

Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions", 1998, with hyperparameters by MAP and
log-EI over ranked candidates. Knows one metric, and no curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trialist.core.events import Body, Event, Reported
from trialist.core.options import Options
from trialist.core.records import Exhausted, Metric, Suggestion, Trial
from trialist.search.acquisition import DEFAULT_PLAN, Candidates, Plan, Score, log_ei
from trialist.search.cube import Bools, Cube, Floats
from trialist.search.gp_model import DEFAULT_PRIOR, Features, Posterior, Prior, fit, standardised
from trialist.search.observations import READS, Observations, Standing
from trialist.search.randomness import stable_seed
from trialist.search.sobol import SobolSearcher
from trialist.space import SearchSpace

MAX_LISTED = 2048
"""Finite spaces of up to so many points are ranked whole."""
MAX_PENDING = 64
"""Pending trials that are kept away from; the newest ones."""
MIN_SCORED = 2
FORBIDDING = 1e6
"""Taken from the logarithm of what is worth nothing here, so that it comes last."""
LONG = 100
"""From so many ended trials on, fits are cheap ones that begin where the last one ended."""
BOUNDED_PLAN = Plan(uniform=512, moves=48, rounds=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the searcher is made of; the defaults are what measured best (``docs/design/004-gp.md``)."""

    prior: Prior = DEFAULT_PRIOR
    plan: Plan = DEFAULT_PLAN
    bounded_plan: Plan = BOUNDED_PLAN
    """Beyond ``exact``."""
    exact: int = 200
    """Up to so many trials all are in the model; beyond, ``kept``."""
    kept: tuple[int, int, int] = (64, 32, 32)
    """Best, newest and random trials."""
    anchors: int = 6
    """Best trials around which candidates are made."""
    rough_each: int = 2
    """One suggestion in so many counts on the roughness of what is sought."""
    explore_each: int = 6
    """One suggestion in so many goes to the branch tried least, as long as that was tried too little."""
    explore_share: float = 0.5
    """Too little: below this times the root of the number of trials."""


class Data(NamedTuple):
    """What the model is fitted to."""

    rows: NDArray[np.int64]
    """Rows of the observations."""
    values: Floats
    """Standardised losses; lower is better."""


class GpSearcher:
    """Models all of the space, and suggests where improvement is expected most.

    Begins with a scrambled Sobol sequence. Failed trials count like the worst one; pending ones as if they showed what is
    expected of them. Nothing is suggested twice unless a finite space has been tried whole, which then comes again in
    rounds. Beyond ``exact`` trials the model holds a bounded part of them, so that an ask costs the same for ever.

    Args:
        space: What varies.
        metrics: The study's.
        seed: The study's.
        initial: Trials, of whatever source, before the model is asked.
        metric: The one to optimise, where the study has several.

    Raises:
        ConfigError: An option is unknown or wrong; several metrics, and none named.
    """

    name = "gp"
    reads: frozenset[type[Body]] = READS - {Reported}

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        given = Options("searcher 'gp'", options)
        self._initial = given.integer("initial", 5, low=1)
        given.value("metric")
        given.done()
        self._metric = given.metric(tuple(metrics))
        self.settings = Settings()
        self._space, self._seed = space, seed
        self._cube = Cube(space)
        self._features = Features(self._cube)
        self._seen = Observations(self._cube, (self._metric,), own=self.name)
        self._sobol = SobolSearcher(space, seed=seed)
        self._sobol.name = self.name  # its points are our trials
        size = space.root.size
        self._listed = size is not None and size <= MAX_LISTED
        self._points: Floats | None = None
        """All points of a small finite space, once they were needed."""
        self._branching = sorted({parents[0][0] for parents in self._cube.parents if len(parents) == 1})
        """Columns of choices at the root whose options bring parameters along."""
        self._chain = Chain(self._fit_at)

    def suggest(self, number: int) -> Suggestion | Exhausted:
        """Params for trial ``number``.

        Raises:
            SpaceError: The constraints leave nothing, or too little to find.
        """
        seen = self._seen
        known = len(seen) - int(seen.where(Standing.VOID).sum())
        scored = int(seen.where(Standing.SCORED).sum())
        if known < self._initial or scored < MIN_SCORED or not self._cube.dimension:
            return self._sobol.suggest(number)
        point = self._model_point(number)
        if point is None:
            return self._sobol.suggest(number)
        return Suggestion(params=self._cube.decode(point))

    def update(self, event: Event, trial: Trial | None) -> None:
        self._seen.update(event, trial)
        self._sobol.update(event, trial)

    # --- the model ---------------------------------------------------------------------------------------------------

    def data(self, ended: int) -> Data:
        """What is modelled once so many trials have ended: a function of these trials."""
        seen, settings = self._seen, self.settings
        rows = np.flatnonzero((seen.order > 0) & (seen.order <= ended) & (seen.standing != Standing.VOID))
        losses = seen.losses[rows, 0]
        if len(rows) > settings.exact:
            rows = rows[self._chosen(np.where(np.isnan(losses), np.inf, losses), seen.order[rows], ended)]
            losses = seen.losses[rows, 0]
        return Data(rows, standardised(losses))

    def _chosen(self, losses: Floats, order: NDArray[np.int64], ended: int) -> NDArray[np.int64]:
        """Places of the best, the newest and some random trials."""
        best, newest, others = self.settings.kept
        rng = np.random.default_rng(stable_seed("gp rows", self._seed, ended))
        parts = [
            np.argpartition(losses, best)[:best],
            np.argpartition(-order, newest)[:newest],
            rng.integers(len(losses), size=others),
        ]
        return np.unique(np.concatenate(parts))

    def _fit_at(self, ended: int, before: Floats | None) -> Floats:
        """Hyperparameters for what was known when so many trials had ended."""
        prior, features = self.settings.prior, self._features
        centre, data = prior.centre(features.num_groups), self.data(ended)
        if len(data.rows) < MIN_SCORED or not data.values.any():
            return centre
        starts = [centre if before is None else before]
        if before is not None and ended < LONG and ended % 10 < 2:
            starts.append(centre)
        rows = features.of(self._seen.points[data.rows])
        turns = 25 if ended < LONG else 8
        return fit(rows, data.values, features.groups, starts, prior=prior, max_iterations=turns)

    def _model_point(self, number: int) -> Floats | None:
        """The best new point; ``None``: there is none."""
        seen, settings = self._seen, self.settings
        data = self.data(seen.num_ended)
        score = self._score(data, number)
        if self._listed:
            return self._best_listed(score)
        anchors = seen.points[data.rows[np.argsort(data.values, kind="stable")[: settings.anchors]]]
        rng = np.random.default_rng(stable_seed("gp", self._seed, number))
        plan = settings.plan if seen.num_ended <= settings.exact else settings.bounded_plan
        is_allowed = self._is_allowed if self._space.constraints else None
        for point in Candidates(self._cube, rng, plan).search(score, anchors, is_allowed):
            if seen.is_new(point):
                return point
        return None

    def _score(self, data: Data, number: int) -> Score:
        """What points are worth: the log of the improvement that a trial is expected to show.

        In every other suggestion what the model takes for noise is counted in: where results are rough, each new point
        draws anew, and those of the best region draw from the best. The others look where the function itself may be
        lower.
        """
        seen, groups = self._seen, self._features.groups
        rows = self._features.of(seen.points[data.rows])
        posterior = Posterior(rows, data.values, groups, self._chain.at(seen.num_ended))
        best = float(data.values.min())
        roughness = float(np.exp(posterior.theta[-1])) if number % self.settings.rough_each else 0.0
        pending = seen.pending[-MAX_PENDING:]
        if len(pending):
            posterior = posterior.believing(self._features.of(seen.points[pending]))
        neglected = self._neglected(number)

        def score(points: Floats) -> Floats:
            mean, sd = posterior.predict(self._features.of(points))
            worth = log_ei(mean, np.sqrt(sd * sd + roughness), best)
            return worth if neglected is None else np.where(neglected(points), worth, worth - FORBIDDING)

        return score

    def _neglected(self, number: int) -> Callable[[Floats], Bools] | None:
        """Which points lie in the branch tried least, where it is its turn.

        A branch whose first trials were bad looks hopeless to a model that has seen no more of it, and may be the best.
        """
        each = self.settings.explore_each
        if not self._branching or number % each:
            return None
        column = self._branching[number // each % len(self._branching)]
        known = self._seen.points[self._seen.standing != Standing.VOID]
        counts = np.bincount(self._cube.option(known, column), minlength=int(self._cube.options[column]))
        least = int(np.argmin(counts))
        if counts[least] >= self.settings.explore_share * len(known) ** 0.5:
            return None
        return lambda points: self._cube.option(points, column) == least

    def _is_allowed(self, point: Floats) -> bool:
        return self._space.allows(self._cube.decode(point))

    def _best_listed(self, score: Score) -> Floats | None:
        """The best of all new points of a small finite space."""
        if self._points is None:
            grid = (self._space.grid_point(index) for index in range(self._space.grid_size()))
            self._points = np.array([self._cube.encode(params) for params in grid if params is not None])
        new = np.array([self._seen.is_new(point) for point in self._points], dtype=np.bool_)
        if not new.any():
            return None
        points = self._points[new]
        return np.asarray(points[int(np.argmax(score(points)))])


class Chain:
    """Hyperparameters by the number of ended trials: each fit begins where the one before ended.

    A function of the trials alone: the fits come at fixed counts, each over what was known then. Only the last is kept;
    a searcher that has just folded a long history makes up for all of them, so they become rare.

    Args:
        fit_at: The hyperparameters for a count, given those of the fit before (``None``: it is the first).
    """

    def __init__(self, fit_at: Callable[[int, Floats | None], Floats]) -> None:
        self._fit_at = fit_at
        self._at = 0
        self._theta: Floats | None = None

    def at(self, ended: int) -> Floats:
        """The hyperparameters when so many trials have ended; ``ended`` never falls."""
        while self._theta is None or next_fit(self._at) <= ended:
            self._at = next_fit(self._at)
            self._theta = self._fit_at(self._at, self._theta)
        return self._theta


def next_fit(ended: int) -> int:
    """The count of ended trials at which the next fit comes."""
    if ended < LONG:
        return ended + 2
    if ended < 2 * LONG:
        return ended + 4
    return ended + ended // 16
