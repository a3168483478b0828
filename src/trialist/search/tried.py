"""Which points of a finite space have been tried how often, and one of those tried least.

Knows no searcher; the caller says which params count.
"""

from __future__ import annotations

import json
import random
from itertools import islice
from typing import Any

from trialist.core.errors import SpaceError
from trialist.core.records import Params
from trialist.space import SearchSpace

MAX_POINTS = 1_000_000
"""Larger spaces are treated like infinite ones: repeats are rare there, and remembering is dear."""
_key = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""Params as the space spells them, to a text: much faster than ``SearchSpace.key``, which takes anything."""


class Tried:
    """The points of a finite space in rounds: none is tried again until all have been.

    All answers depend on the space and on the params that were added, in any order; what is cached is a function of
    these. Memory: a key for each point that was tried, and for all that are left once few are.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._times: dict[str, int] = {}
        self._at_least: list[int] = []
        """How many points were tried at least 1, 2, 3 … times."""
        self._points: list[int] | None = None
        """Grid indices of all points that the constraints allow, once they were needed."""
        self._left: dict[str, int] | None = None
        """In grid order the points that were tried ``_round`` times at most, with their indices."""
        self._round = 0

    @staticmethod
    def is_for(space: SearchSpace) -> bool:
        """Whether a space is finite and small enough to keep books about it."""
        size = space.root.size
        return size is not None and size <= MAX_POINTS

    def add(self, params: Params, *, own: bool) -> None:
        """Count params as tried once more; those that do not lie in the space are passed over.

        Args:
            params: As a trial has them.
            own: Whether they came from this space, so that there is nothing to check.
        """
        if not own:
            try:
                params = self._space.check(params)
            except SpaceError:
                return
        key = _key(params)
        times = self._times[key] = self._times.get(key, 0) + 1
        if times > len(self._at_least):
            self._at_least.append(0)
        self._at_least[times - 1] += 1
        if self._left is not None and times > self._round:
            self._left.pop(key, None)

    def is_new(self, params: Params) -> bool:
        """Whether params have never been tried."""
        return _key(params) not in self._times

    @property
    def is_spent(self) -> bool:
        """Whether it is known that all points were tried; may be False before ``pick`` was first called."""
        return self._points is not None and bool(self._at_least) and self._at_least[0] == len(self._points)

    def pick(self, rng: random.Random) -> dict[str, Any] | None:
        """One of the points that were tried least, all equally likely; ``None``: there are no points at all."""
        if self._points is None:
            grid = range(self._space.grid_size())
            self._points = [index for index in grid if self._space.grid_point(index) is not None]
        if not self._points:
            return None
        done = 0
        while done < len(self._at_least) and self._at_least[done] == len(self._points):
            done += 1
        if self._left is None or self._round != done:
            keys = ((_key(self._space.root.nth(index)), index) for index in self._points)
            self._left, self._round = {key: at for key, at in keys if self._times.get(key, 0) <= done}, done
        index = next(islice(self._left.values(), rng.randrange(len(self._left)), None))
        return self._space.grid_point(index)
