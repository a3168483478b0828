"""Grid search: every point of a finite space once, in the order of nested loops.

Knows no results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trialist.core.events import Body, Event, TrialSuggested
from trialist.core.options import Options
from trialist.core.records import Exhausted, Metric, Suggestion, Trial
from trialist.search.randomness import Permutation, stable_seed
from trialist.space import SearchSpace

INDEX = "grid_index"
"""Key of a suggestion's note: the number of its point."""


class GridSearcher:
    """Suggests each point of the grid once, then nothing more; points that the constraints forbid are left out.

    The first parameter changes slowest, the last fastest, as in nested loops written in that order. Nothing is expanded:
    a grid may have any size. Trials of other sources neither move it nor take points from it.

    Args:
        space: What varies; all of it finite.
        metrics: Ignored.
        seed: The study's; matters with ``shuffle`` alone.
        shuffle: Take the points in a random order, so that a part of the grid is spread over all of it.

    Raises:
        SpaceError: A domain is continuous; names it.
        ConfigError: An option is unknown or wrong.
    """

    name = "grid"
    reads: frozenset[type[Body]] = frozenset({TrialSuggested})

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        given = Options("searcher 'grid'", options)
        shuffle = given.flag("shuffle", False)
        given.done()
        self._space = space
        self._size = space.grid_size()
        self._order = Permutation(self._size, stable_seed("grid", seed)) if shuffle else None
        self._cursor = 0
        """The first point that may come next."""

    def suggest(self, number: int) -> Suggestion | Exhausted:
        while self._cursor < self._size:
            at = self._cursor
            params = self._space.grid_point(at if self._order is None else self._order[at])
            if params is not None:
                return Suggestion(params=params, note={INDEX: at})
            self._cursor += 1  # forbidden, so it is never next: passing it for good changes no answer
        return Exhausted(reason=f"the grid of {self._size} points is done")

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        if isinstance(body, TrialSuggested) and body.source == self.name and INDEX in body.note:
            self._cursor = max(self._cursor, body.note[INDEX] + 1)
