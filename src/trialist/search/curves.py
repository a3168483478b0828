"""Bayesian optimisation over params and steps at once: a Gaussian process that learns from trials that have not ended.

Each trial's kept reports are data, with the logarithm of their step as one more parameter; what is looked for is the
improvement expected at the last step that any trial has reached. After Swersky, Snoek and Adams, "Freeze-thaw Bayesian
optimization", 2014, with one kernel for params and steps. Knows one metric, and no scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trialist.core.events import AttemptEnded, Body, Event, TrialEnded, TrialPaused
from trialist.core.options import Options
from trialist.core.records import Exhausted, Metric, Suggestion, Trial
from trialist.search.acquisition import Candidates, log_ei
from trialist.search.cube import Cube, Floats
from trialist.search.gp_model import Features, Posterior, Prior, fit
from trialist.search.observations import READS, Observations, Standing
from trialist.search.randomness import stable_rng, stable_seed
from trialist.search.sobol import SobolSearcher
from trialist.space import SearchSpace

START = 10
"""Trials that have reported before the model is asked."""
RANDOM_EACH = 10
"""One suggestion in so many is drawn at random."""
MAX_ROWS = 160
"""Reports in the model: half of them the best trials' last ones, the others at random."""
MAX_FITTED = 120
"""Of these, so many for its hyperparameters."""
MAX_PENDING = 64
FIRST_FITS = 4
"""Hyperparameters are fitted anew when so many more trials have paused or ended, or a sixteenth of those so far."""
PRIOR = Prior(length=-0.5, noise=-4.0, noise_sd=1.5)


class Data(NamedTuple):
    """Reports as a model takes them."""

    rows: NDArray[np.int64]
    """By report: the trial's row."""
    times: Floats
    """The logarithm of the step, 1 at the last one."""
    values: Floats
    """Standardised; lower is better."""


class CurveSearcher:
    """Models losses over params and steps: for schedulers that pause trials, so that few run to their end; never ends.

    Begins with a scrambled Sobol sequence, until ten trials have reported. Later one suggestion in ten is drawn at random.
    Pending trials without a report count as if they showed what is expected of them, failed ones like bad ones. Nothing is
    suggested twice as long as there is something else. The model holds a bounded number of reports, so that an ask costs the
    same for ever.

    Args:
        space: What varies.
        metrics: What is optimised; of several, the one that the option ``metric`` names.
        seed: The study's.
        options: ``metric``.

    Raises:
        ConfigError: An option is unknown or wrong; there is no metric, or several and none named.
    """

    name = "curves"
    reads: frozenset[type[Body]] = READS | {TrialPaused, AttemptEnded}

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        given = Options("searcher 'curves'", options)
        given.value("metric")
        given.done()
        self._space, self._seed = space, seed
        self._cube = Cube(space)
        self._features = Features(self._cube, extra=1)
        self._seen = Observations(self._cube, (given.metric(tuple(metrics)),))
        self._sobol = SobolSearcher(space, seed=seed)
        self._sobol.name = self.name
        self._rests = 0
        """How often a trial paused or ended."""
        self._next_fit = START
        self._snapshot: tuple[Floats, Floats] | None = None
        """Features and values that the present hyperparameters are to be fitted to."""
        self._theta: Floats | None = None

    def suggest(self, number: int) -> Suggestion | Exhausted:
        """Params for trial ``number``.

        Raises:
            SpaceError: The constraints leave nothing, or too little to find.
        """
        if self._seen.num_shown < START or not self._cube.dimension:
            return self._sobol.suggest(number)
        if stable_seed("curves explores", self._seed, number) % RANDOM_EACH == 0:
            return Suggestion(params=self._space.sample(stable_rng("curves", self._seed, number)))
        for point in self._promising(number):
            if self._seen.is_new(point):
                return Suggestion(params=self._cube.decode(point))
        return self._sobol.suggest(number)

    def update(self, event: Event, trial: Trial | None) -> None:
        if not isinstance(event.body, TrialPaused | AttemptEnded):
            self._seen.update(event, trial)
        self._sobol.update(event, trial)
        if isinstance(event.body, TrialPaused | AttemptEnded | TrialEnded):
            self._rests += 1
            if self._rests >= self._next_fit:
                self._next_fit = self._rests + max(FIRST_FITS, self._rests // 16)
                data = self._data(MAX_FITTED)
                if len(data.rows) > 1:
                    self._snapshot = self._rows(data), data.values

    # --- the model ---------------------------------------------------------------------------------------------------

    def _data(self, most: int) -> Data:
        """Reports as they are known now: at most so many."""
        seen = self._seen
        shown = np.flatnonzero(np.isfinite(seen.losses[:, 0]) & (seen.standing != Standing.VOID))
        failed = np.flatnonzero(seen.standing == Standing.FAILED)
        rng = np.random.default_rng(stable_seed("curves rows", self._seed, len(seen), self._rests))
        order = shown[np.lexsort((seen.losses[shown, 0], -seen.steps[shown]))][:most]
        best = shown[np.argsort(seen.losses[shown, 0], kind="stable")][: most // 2]
        lasts = np.unique(np.concatenate([best, order, failed[-(most // 8) :]]))
        if len(lasts) > most:
            others = np.setdiff1d(lasts, best)
            lasts = np.concatenate([best, rng.choice(others, most - len(best), replace=False)])
        rows, steps, losses = [lasts], [seen.steps[lasts]], [seen.losses[lasts, 0]]
        inner = [(row, step, loss[0]) for row in lasts for step, loss in seen.curve(int(row))[:-1]]
        if inner and len(lasts) < most:
            few = inner
            if len(inner) > most - len(lasts):
                few = [inner[at] for at in np.sort(rng.choice(len(inner), most - len(lasts), replace=False))]
            more = np.array(few)
            rows.append(more[:, 0].astype(np.int64))
            steps.append(more[:, 1].astype(np.int64))
            losses.append(more[:, 2])
        reached = np.concatenate(steps)
        last = max(int(seen.steps.max(initial=1)), 2)
        times = np.where(
            reached > 0, np.log(np.maximum(reached, 1)) / np.log(last), 1.0
        )  # 0: it never said how far it is
        return Data(np.concatenate(rows), times, _standardised(np.concatenate(losses)))

    def _rows(self, data: Data) -> Floats:
        return self._features.of(self._seen.points[data.rows], data.times[:, None])

    def _fitted(self) -> Floats:
        """Hyperparameters for the last snapshot, and for nothing else: no fit begins where another one ended."""
        if self._snapshot is not None:
            rows, values = self._snapshot
            centre = PRIOR.centre(self._features.num_groups)
            self._theta = fit(rows, values, self._features.groups, [centre], prior=PRIOR, max_iterations=20)
            self._snapshot = None
        return PRIOR.centre(self._features.num_groups) if self._theta is None else self._theta

    def _promising(self, number: int) -> Any:
        """Legal rows, the most promising first."""
        seen, data = self._seen, self._data(MAX_ROWS)
        posterior = Posterior(self._rows(data), data.values, self._features.groups, self._fitted())
        silent = np.flatnonzero((seen.standing == Standing.PENDING) & (seen.steps == 0))[-MAX_PENDING:]
        if len(silent):
            posterior = posterior.believing(self._at_end(seen.points[silent]))
        best = float(data.values.min())

        def score(points: Floats) -> Floats:
            mean, sd = posterior.predict(self._at_end(points))
            return log_ei(mean, sd, best)

        anchors = np.unique(data.rows[np.argsort(data.values, kind="stable")[:12]])[:6]
        rng = np.random.default_rng(stable_seed("curves", self._seed, number))
        is_allowed = self._is_allowed if self._space.constraints else None
        return Candidates(self._cube, rng).search(score, seen.points[anchors], is_allowed)

    def _at_end(self, points: Floats) -> Floats:
        return self._features.of(points, np.ones((len(points), 1)))

    def _is_allowed(self, point: Floats) -> bool:
        return self._space.allows(self._cube.decode(point))


def _standardised(losses: Floats) -> Floats:
    """Losses with mean 0 and deviation 1; bad ones are cut off, and NaN counts like the worst that is left."""
    values = np.array(losses)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    low, middle = float(values[known].min()), float(np.median(values[known]))
    top = min(float(values[known].max()), middle + (middle - low)) if middle > low else float(values[known].max())
    values = np.minimum(np.where(known, values, top), top)
    sd = float(values.std())
    return np.asarray((values - values.mean()) / sd) if sd > 0.0 and np.isfinite(sd) else np.zeros(len(values))
