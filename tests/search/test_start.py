"""The first points of a search."""

from __future__ import annotations

import itertools

import pytest

from trialist.search.start import BLOCK, Start


@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_each_block_has_one_point_in_each_part_of_each_range(dimension):
    start = Start(dimension, seed=3)
    for block in range(3):
        points = [start[block * BLOCK + place] for place in range(BLOCK)]
        for column in zip(*points, strict=True):
            assert sorted(int(u * BLOCK) for u in column) == list(range(BLOCK))


def test_a_point_depends_on_its_index_and_the_seed_alone():
    one, other = Start(3, seed=1), Start(3, seed=1)
    backwards = [other[index] for index in reversed(range(20))]
    assert [one[index] for index in range(20)] == backwards[::-1]
    assert Start(3, seed=2)[0] != one[0]


def test_the_first_points_lie_apart():
    nearest = []
    for seed in range(20):
        points = [Start(2, seed)[index] for index in range(4)]
        nearest.append(
            min(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) for a, b in itertools.combinations(points, 2))
        )
    assert min(nearest) > 0.25**2
