"""Random search: every trial drawn by itself, from its number and the study's seed alone.

Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13, 2012. Knows no results.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from trialist.core.events import Body, Event, TrialSuggested
from trialist.core.options import Options
from trialist.core.records import Exhausted, Metric, Suggestion, Trial
from trialist.search.randomness import stable_rng, stable_seed
from trialist.search.tried import Tried
from trialist.space import SearchSpace

DRAWS = 64
"""Draws that may hit tried points of a finite space before one of those left is picked from a list."""


class RandomSearcher:
    """Draws params at random, as the domains say; never ends.

    On a finite space of up to a million points nothing is suggested twice, whoever suggested it first, until every point
    was tried; then a new round begins. On other spaces history is ignored.

    Args:
        space: What varies.
        metrics: Ignored.
        seed: The study's.
        options: None are known.

    Raises:
        ConfigError: An option was given.
    """

    name = "random"
    reads: frozenset[type[Body]] = frozenset()

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        Options("searcher 'random'", options).done()
        self._space = space
        self._seed = seed
        self._rng = random.Random(0)
        """Seeded anew for every suggestion, which is cheaper than a new one."""
        self._tried = Tried(space) if Tried.is_for(space) else None
        if self._tried is not None:
            self.reads = frozenset({TrialSuggested})

    def suggest(self, number: int) -> Suggestion | Exhausted:
        """Params for trial ``number``.

        Raises:
            SpaceError: The constraints leave nothing, or too little to find.
        """
        rng = self._rng
        rng.seed(stable_seed("random", self._seed, number))
        if self._tried is None:
            return Suggestion(params=self._space.sample(rng))
        # The list is picked from with a generator of its own: whether it was known beforehand that all points were
        # tried, so that drawing was left out, then makes no difference.
        for _ in range(0 if self._tried.is_spent else DRAWS):
            params = self._space.sample(rng)
            if self._tried.is_new(params):
                return Suggestion(params=params)
        params_left = self._tried.pick(stable_rng("random", self._seed, number, "left"))
        return Suggestion(params=self._space.sample(rng) if params_left is None else params_left)

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        if self._tried is not None and isinstance(body, TrialSuggested):
            self._tried.add(body.params, own=body.source == self.name)
