"""The first points of a search, spread evenly and drawn without any library: a Latin hypercube, block after block.

McKay, Beckman and Conover, "A comparison of three methods for selecting values of input variables", Technometrics 21, 1979;
of several such designs the one whose nearest points are farthest apart. Knows no result.
"""

from __future__ import annotations

import random

from trialist.search.randomness import stable_rng

BLOCK = 8
"""Points of one design; in each coordinate, each eighth of the range holds one of them."""
DESIGNS = 16
"""Designs drawn for a block, of which the best is taken."""
Point = tuple[float, ...]


class Start:
    """Points of [0, 1]^d by index: any may be asked for, and none depends on another's being asked for.

    The first few of a block are spread too: each is the one farthest from those before it.

    Args:
        dimension: How many coordinates.
        seed: Other seeds give other points.
    """

    def __init__(self, dimension: int, seed: int) -> None:
        self._dimension, self._seed = dimension, seed
        self._block = -1
        self._points: list[Point] = []

    def __getitem__(self, index: int) -> Point:
        block, place = divmod(index, BLOCK)
        if block != self._block:
            rng = stable_rng("start", self._seed, block)
            designs = [_hypercube(self._dimension, rng) for _ in range(DESIGNS)]
            self._points, self._block = _ordered(max(designs, key=_nearest)), block
        return self._points[place]


def _hypercube(dimension: int, rng: random.Random) -> list[Point]:
    columns = []
    for _ in range(dimension):
        cells = list(range(BLOCK))
        rng.shuffle(cells)
        columns.append([(cell + rng.random()) / BLOCK for cell in cells])
    return [tuple(column[row] for column in columns) for row in range(BLOCK)]


def _nearest(points: list[Point]) -> float:
    """The squared distance of the two points that are nearest to each other."""
    return min(_squared(a, b) for place, a in enumerate(points) for b in points[:place])


def _ordered(points: list[Point]) -> list[Point]:
    out, left = points[:1], points[1:]
    while left:
        farthest = max(left, key=lambda point: min(_squared(point, one) for one in out))
        left.remove(farthest)
        out.append(farthest)
    return out


def _squared(a: Point, b: Point) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
