"""Several losses at once: ranks, hypervolume and what points add to it, against counting by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialist.search import domination
from trialist.search.domination import contributions, front, hypervolume, ranks, reference_point, spread

CORNER = 6


def losses(objectives: int, most: int = 9):
    """Points on a small grid, so that there are ties and duplicates, and volumes can be counted."""
    row = st.tuples(*[st.integers(0, CORNER - 1)] * objectives)
    return st.lists(row, min_size=1, max_size=most).map(lambda rows: np.array(rows, dtype=np.float64))


some_losses = st.integers(1, 4).flatmap(losses)


def dominates(a, b) -> bool:
    return bool((a <= b).all() and (a < b).any())


def counted(points) -> float:
    """Cells of the grid below the corner that some point covers."""
    cells = np.array(list(itertools.product(range(CORNER), repeat=points.shape[1])))
    return float((points[:, None, :] <= cells[None, :, :]).all(axis=2).any(axis=0).sum())


@given(some_losses)
def test_a_rank_is_the_longest_chain_of_points_that_dominate(points):
    expected: dict[int, int] = {}
    for row in sorted(range(len(points)), key=lambda row: points[row].sum()):
        above = [expected[other] for other in expected if dominates(points[other], points[row])]
        expected[row] = max(above, default=-1) + 1
    assert ranks(points).tolist() == [expected[row] for row in range(len(points))]
    assert front(points).tolist() == [row for row in range(len(points)) if expected[row] == 0]


@given(some_losses, st.integers(1, 9))
def test_ranks_may_stop_early(points, enough):
    full, early = ranks(points), ranks(points, enough=enough)
    level = early.max()
    known = full < level
    assert (early[known] == full[known]).all()
    assert (early[~known] == level).all()
    assert (early <= full).all()
    assert known.sum() + (full == level).sum() >= min(enough, len(points))


def test_many_points_are_ranked_block_by_block(monkeypatch: pytest.MonkeyPatch):
    points = np.random.default_rng(0).random((300, 3))
    whole = ranks(points)
    monkeypatch.setattr(domination, "_BLOCK", 3 * 300 * 7)
    assert ranks(points).tolist() == whole.tolist()


@settings(deadline=None)
@given(some_losses)
def test_the_volume_is_what_counting_says(points):
    corner = np.full(points.shape[1], float(CORNER))
    assert hypervolume(points, corner) == pytest.approx(counted(points))
    for row, own in enumerate(contributions(points, corner)):
        others = np.delete(points, row, axis=0)
        assert own == pytest.approx(counted(points) - (counted(others) if len(others) else 0.0))


def test_points_beyond_the_reference_cover_nothing():
    points = np.array([[0.0, 9.0], [9.0, 0.0], [6.0, 6.0]])
    assert hypervolume(points, np.array([6.0, 6.0])) == 0.0
    assert contributions(points, np.array([6.0, 6.0])).tolist() == [0.0, 0.0, 0.0]
    assert hypervolume(np.empty((0, 2)), np.array([6.0, 6.0])) == 0.0


@settings(deadline=None)
@given(some_losses, st.integers(1, 9))
def test_a_spread_covers_as_much_as_greed_can(points, count):
    corner = np.full(points.shape[1], float(CORNER))
    chosen = spread(points, count, corner)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, len(points))
    covered = 0.0
    for place, row in enumerate(chosen):
        free = [other for other in range(len(points)) if other not in chosen[:place]]
        gains = {other: counted(points[[*chosen[:place], other]]) - covered for other in free}
        if points.shape[1] <= 2:
            assert gains[row] == pytest.approx(max(gains.values()))
        else:  # volumes are counted over random points
            assert gains[row] >= max(gains.values()) - 0.1 * CORNER ** points.shape[1]
        covered += gains[row]


def test_the_reference_point_is_beyond_all_also_without_a_range():
    for points in (np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[0.0, 5.0]]), np.array([[-2.0, -2.0]])):
        assert (reference_point(points) > points.max(axis=0)).all()
