"""The best trials so far: the order, what is let go, and several losses."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trialist.search.domination import ranks
from trialist.search.elite import KEPT, Elite

results = st.lists(st.tuples(st.integers(-5, 5), st.one_of(st.none(), st.integers(1, 4))), min_size=1, max_size=40)


@given(results)
def test_complete_ones_come_first_then_the_furthest(rows):
    elite = Elite(1)
    for row, (loss, step) in enumerate(rows):
        elite.put(row, (float(loss),), step=step)
    expected = sorted(range(len(rows)), key=lambda r: (rows[r][1] is not None, -(rows[r][1] or 0), rows[r][0], r))
    assert elite.best(len(rows)).tolist() == expected
    assert elite.best(3).tolist() == expected[:3]


def test_what_is_known_of_a_row_is_replaced_and_dropped():
    elite = Elite(1)
    elite.put(0, (1.0,), step=1, ended=False)
    elite.put(1, (5.0,), step=2, ended=False)
    assert elite.best(9).tolist() == [1, 0]
    elite.put(0, (7.0,))
    assert elite.best(9).tolist() == [0, 1]
    elite.drop(1)
    elite.drop(99)
    assert elite.best(9).tolist() == [0]


def test_the_best_of_many_are_kept():
    losses = np.random.default_rng(0).permutation(10 * KEPT).astype(float)
    elite = Elite(1)
    for row, loss in enumerate(losses):
        elite.put(row, (loss,))
    assert losses[elite.best(KEPT)].tolist() == list(range(KEPT))
    assert len(elite.best(10 * KEPT)) == KEPT


def test_several_losses_by_rank_and_the_whole_front_among_them():
    points = np.random.default_rng(1).random((5 * KEPT, 2))
    elite = Elite(2)
    for row, losses in enumerate(points):
        elite.put(row, tuple(losses))
    rank = ranks(points)
    best = elite.best(40)
    assert len(set(best.tolist())) == 40
    assert (np.diff(rank[best]) >= 0).all()
    assert set(np.flatnonzero(rank == 0)) <= set(best.tolist())
    assert elite.best(40) is best, "nothing has come, so nothing is computed again"


def test_trials_that_have_not_ended_say_nothing_of_several_losses():
    elite = Elite(2)
    elite.put(0, (0.0, 0.0), step=3, ended=False)
    elite.drop(0)
    assert elite.best(5).tolist() == []
