"""Sobol search: points that fill the space evenly, scrambled by the seed.

Sobol, "On the distribution of points in a cube", 1967; scrambling after Owen, "Scrambling Sobol' and Niederreiter-Xing
points", 1998, as in ``scipy.stats.qmc``. Knows no results.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import qmc

from trialist.core.errors import SpaceError
from trialist.core.events import Body, Event, TrialSuggested
from trialist.core.options import Options
from trialist.core.records import Exhausted, Metric, Suggestion, Trial
from trialist.search.randomness import stable_rng, stable_seed
from trialist.search.tried import Tried
from trialist.space import Codec, SearchSpace

INDEX = "sobol_index"
"""Key of a suggestion's note: the number of its point in the sequence."""
BLOCK = 64
"""Points made at a time; a power of two, as the sequence is balanced over these."""
MAX_SKIPS = 10_000
"""Points in a row that constraints may forbid before params are drawn at random."""
_SEED_KEYWORD = "rng" if "rng" in inspect.signature(qmc.Sobol.__init__).parameters else "seed"


class SobolSearcher:
    """Goes along a scrambled Sobol sequence; never ends.

    Each of its own trials takes the next point, so that trials of other sources leave no holes. Points that the
    constraints forbid are passed over; on a finite space of up to a million points also those that were tried, until all
    were.

    Args:
        space: What varies; at most 21,201 parameters.
        metrics: Ignored.
        seed: The study's; other seeds give other sequences.
        options: None are known.

    Raises:
        SpaceError: There are too many parameters.
        ConfigError: An option was given.
    """

    name = "sobol"
    reads: frozenset[type[Body]] = frozenset({TrialSuggested})

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        Options("searcher 'sobol'", options).done()
        self._space = space
        self._codec = Codec(space)
        self._seed = seed
        self._tried = Tried(space) if Tried.is_for(space) else None
        self._cursor = 0
        """The first point that may come next."""
        self._points = _Points(self._codec.dimension, stable_seed("sobol", seed))

    def suggest(self, number: int) -> Suggestion | Exhausted:
        """Params for trial ``number``, which is of no account: the place in the sequence is.

        Raises:
            SpaceError: The constraints leave nothing, or too little to find.
        """
        at = self._cursor
        if self._tried is None:
            for at in range(self._cursor, self._cursor + MAX_SKIPS):
                params = self._codec.decode(self._points[at])
                if self._space.allows(params):
                    return Suggestion(params=params, note={INDEX: at})
            return Suggestion(params=self._space.sample(stable_rng("sobol", self._seed, at)), note={INDEX: at})
        for at in range(self._cursor, self._cursor + (1 if self._tried.is_spent else BLOCK)):
            params = self._codec.decode(self._points[at])
            if self._space.allows(params) and self._tried.is_new(params):
                return Suggestion(params=params, note={INDEX: at})
        rng = stable_rng("sobol", self._seed, self._cursor)
        left = self._tried.pick(rng)
        return Suggestion(params=self._space.sample(rng) if left is None else left, note={INDEX: self._cursor})

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        if not isinstance(body, TrialSuggested):
            return
        own = body.source == self.name
        if own and INDEX in body.note:
            self._cursor = max(self._cursor, body.note[INDEX] + 1)
        if self._tried is not None:
            self._tried.add(body.params, own=own)


class _Points:
    """The sequence by index: a block at a time is kept, and going on from one to the next is cheap."""

    def __init__(self, dimension: int, seed: int) -> None:
        if dimension > qmc.Sobol.MAXDIM:
            raise SpaceError(
                "", f"sobol fills at most {qmc.Sobol.MAXDIM} parameters, and {dimension} vary: use searcher 'random'."
            )
        self._dimension = dimension
        self._seed = seed
        self._sequence: Any = None
        self._next_block = 0
        """The block that ``_sequence`` gives next."""
        self._block = -1
        self._points: list[list[float]] = []

    def __getitem__(self, index: int) -> list[float]:
        if self._dimension == 0:
            return []
        block = index // BLOCK
        if block != self._block:
            if self._sequence is None or block != self._next_block:
                rng = np.random.default_rng(self._seed)
                self._sequence = qmc.Sobol(self._dimension, scramble=True, **{_SEED_KEYWORD: rng})
                if block:
                    self._sequence.fast_forward(block * BLOCK)
            self._points = self._sequence.random(BLOCK).tolist()
            self._block, self._next_block = block, block + 1
        return self._points[index % BLOCK]
