"""The best trials so far, kept in order as results come in, so that nobody sorts a long history.

With one loss the order is: complete trials by loss; then those that were stopped or have not ended, the furthest first, by
the loss at their last step. With several: non-dominated rank, and within a rank what covers most volume; trials that have
ended only. Knows losses by row and nothing of trials.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

from trialist.search.domination import ranks, reference_point, spread

Ints = NDArray[np.int64]
KEPT = 128
"""How many of the best are kept."""


class Elite:
    """The best rows.

    What is kept is a function of the calls in their order, and so are the answers. It is exact as long as no row that was
    among the best is dropped (a trial that had reported fails) after worse ones were let go: these do not come back.

    Memory, and time a call, are bounded.

    Args:
        objectives: How many losses a row has.
    """

    def __init__(self, objectives: int) -> None:
        self._ladder = _Ladder() if objectives == 1 else None
        self._fronts = _Fronts()

    def put(self, row: int, losses: tuple[float, ...], *, step: int | None = None, ended: bool = True) -> None:
        """A row showed these losses; what was known of it before is replaced.

        Args:
            row: Which.
            losses: Finite.
            step: The step that it has reached, where it did not run to its end.
            ended: Whether no more of it will come.
        """
        if self._ladder is not None:
            self._ladder.put(row, losses[0], step)
        elif ended:
            self._fronts.put(row, losses)

    def drop(self, row: int) -> None:
        """A row that has not ended no longer counts; one that is not kept is passed over."""
        if self._ladder is not None:
            self._ladder.drop(row)

    def best(self, count: int) -> Ints:
        """So many of the best rows, the best first; fewer where there are fewer. At most ``KEPT``."""
        return self._ladder.best(count) if self._ladder is not None else self._fronts.best(count)


class _Ladder:
    def __init__(self) -> None:
        self._keys: list[tuple[bool, int, float, int]] = []
        """Whether it is incomplete, minus its step if so, its loss, its row."""
        self._of: dict[int, tuple[bool, int, float, int]] = {}

    def put(self, row: int, loss: float, step: int | None) -> None:
        self.drop(row)
        key = (step is not None, -(step or 0), loss, row)
        if len(self._keys) == KEPT:
            if key > self._keys[-1]:
                return
            del self._of[self._keys.pop()[-1]]
        insort(self._keys, key)
        self._of[row] = key

    def drop(self, row: int) -> None:
        key = self._of.pop(row, None)
        if key is not None:
            del self._keys[bisect_left(self._keys, key)]

    def best(self, count: int) -> Ints:
        return np.array([key[-1] for key in self._keys[:count]], dtype=np.int64)


class _Fronts:
    def __init__(self) -> None:
        self._rows: list[int] = []
        self._losses: list[tuple[float, ...]] = []
        self._cached: tuple[int, Ints] | None = None
        """A count and its answer, until the next row comes."""

    def put(self, row: int, losses: tuple[float, ...]) -> None:
        self._rows.append(row)
        self._losses.append(losses)
        self._cached = None
        if len(self._rows) == 2 * KEPT:
            kept = self._chosen(KEPT)
            self._rows = [self._rows[place] for place in kept]
            self._losses = [self._losses[place] for place in kept]

    def best(self, count: int) -> Ints:
        if self._cached is None or self._cached[0] != count:
            places = self._chosen(min(count, KEPT))
            self._cached = count, np.array([self._rows[place] for place in places], dtype=np.int64)
        return self._cached[1]

    def _chosen(self, count: int) -> list[int]:
        if not self._rows:
            return []
        losses = np.array(self._losses)
        rank = ranks(losses, enough=count)
        places: list[int] = []
        for level in range(int(rank.max()) + 1):
            if len(places) >= count:
                break
            on_front = np.flatnonzero(rank == level)
            chosen = spread(losses[on_front], count - len(places), reference_point(losses))
            places += on_front[chosen].tolist()
        return places
