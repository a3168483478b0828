"""The unit cube of a space for models: which coordinates are categories, which are cells, which mean something at a point.

All of it vectorised over rows of points. The codec turns params into points and back; this knows what a model may do with
points. Knows no result and no searcher.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialist.core.records import Params
from trialist.space import Codec, SearchSpace
from trialist.space.choices import Choice
from trialist.space.codec import INACTIVE
from trialist.space.domains import Int
from trialist.space.leaves import Leaf

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAX_TABLE = 4096
"""Cells of unequal width are looked up in a table up to this many; beyond, they are as good as a line."""


class Cube:
    """Points of a space as arrays, one column for each parameter that varies (``codec.leaves``).

    A row is *legal* when each cell coordinate lies at its cell's centre (what the codec makes of the params) and inactive
    ones at 0.5. Equal params have equal legal rows.

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.codec = Codec(space)
        leaves = self.codec.leaves
        self.dimension = len(leaves)
        self.options = np.array([_options(leaf) for leaf in leaves], dtype=np.int64)
        """By column: how many options a choice has; 0: a number."""
        self.is_choice: Bools = self.options > 0
        self.cells = np.array([_cells(leaf) for leaf in leaves], dtype=np.float64)
        """By column: how many values there are; infinite for a line."""
        self.parents: tuple[tuple[tuple[int, int], ...], ...] = tuple(self._parents(leaf) for leaf in leaves)
        """By column: the columns and options that must hold for it to mean something."""
        self.is_conditional = any(self.parents)

    @cached_property
    def _tables(self) -> dict[int, Floats]:
        """Columns whose cells are of unequal width: the centres."""
        tables = {}
        for column, leaf in enumerate(self.codec.leaves):
            domain = leaf.domain
            if not self.is_choice[column] and self.cells[column] <= MAX_TABLE and getattr(domain, "log", False):
                values = range(int(self.cells[column]))
                tables[column] = np.array([domain.position(domain.nth(k)) for k in values])  # type: ignore[union-attr]
        return tables

    def _parents(self, leaf: Leaf) -> tuple[tuple[int, int], ...]:
        """The condition of a leaf by columns; a choice that does not vary always holds."""
        out = []
        for depth, condition in enumerate(leaf.condition):
            for column, other in enumerate(self.codec.leaves):
                if other.path == condition.path and other.condition == leaf.condition[:depth]:
                    out.append((column, condition.option))
        return tuple(out)

    def encode(self, params: Params) -> Floats:
        """The legal row of params that lie in the space."""
        return np.array(self.codec.encode(params), dtype=np.float64)

    def decode(self, point: Floats) -> dict[str, Any]:
        """The params of a row."""
        return self.codec.decode(point.tolist())

    def option(self, points: Floats, column: int) -> NDArray[np.int64]:
        """The option that each row takes in a choice's column."""
        count = int(self.options[column])
        # not np.clip, which takes several times as long for integers
        return np.maximum(np.minimum((points[:, column] * count).astype(np.int64), count - 1), 0)

    def active(self, points: Floats) -> Bools:
        """Which coordinates of each row mean something."""
        out = np.ones(points.shape, dtype=np.bool_)
        held: dict[tuple[int, int], Bools] = {}
        for column, parents in enumerate(self.parents):
            for parent, option in parents:
                if (parent, option) not in held:
                    held[parent, option] = out[:, parent] & (self.option(points, parent) == option)
                out[:, column] &= held[parent, option]
        return out

    def snap(self, points: Floats) -> Floats:
        """The rows made legal: clipped, at the centres of their cells, inactive ones at 0.5."""
        out = np.clip(points, 0.0, 1.0)
        even = np.flatnonzero(self._is_even)
        count = self.cells[even]
        out[:, even] = (np.minimum(np.floor(out[:, even] * count), count - 1) + 0.5) / count
        for column, centres in self._tables.items():
            edges = (centres[1:] + centres[:-1]) / 2
            out[:, column] = centres[np.searchsorted(edges, out[:, column])]
        if self.is_conditional:
            out[~self.active(out)] = INACTIVE
        return out

    @cached_property
    def _is_even(self) -> Bools:
        """Columns of cells of one width that are worth rounding to."""
        log = np.array([bool(getattr(leaf.domain, "log", False)) for leaf in self.codec.leaves], dtype=np.bool_)
        return (self.cells < 2**40) & (self.is_choice | ~log)


def _options(leaf: Leaf) -> int:
    return len(leaf.domain.values) if isinstance(leaf.domain, Choice) else 0


def _cells(leaf: Leaf) -> float:
    domain = leaf.domain
    if isinstance(domain, Choice):
        return len(domain.values)
    if isinstance(domain, Int):
        return float(domain.size)
    return float("inf") if domain.size is None else float(domain.size)
