"""Sobol search: the sequence itself, blocks, constraints and finite spaces."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import qmc

from trialist.core.errors import SpaceError
from trialist.core.records import Suggestion
from trialist.search.randomness import stable_seed
from trialist.search.sobol import BLOCK, SobolSearcher, _Points
from trialist.space import SearchSpace
from trialist.testing.searchers import SPACES, History

CUBE = SearchSpace.of({name: {"type": "uniform", "low": 0.0, "high": 1.0} for name in "abc"})


def test_it_is_the_sequence_of_scipy():
    history = History(searcher=SobolSearcher(CUBE, seed=4), space=CUBE).grow(3 * BLOCK)
    points = np.array([list(suggestion.params.values()) for suggestion in history.suggestions()])
    expected = qmc.Sobol(3, scramble=True, rng=np.random.default_rng(stable_seed("sobol", 4))).random(4 * BLOCK)
    np.testing.assert_array_equal(points, expected[: 3 * BLOCK])


@pytest.mark.parametrize("indices", [[200, 0, 64, 63, 128, 500], [64], [63, 64, 65]])
def test_points_come_out_alike_in_any_order(indices: list[int]):
    straight, jumping = _Points(5, 1), _Points(5, 1)
    expected = [straight[at] for at in range(512)]
    assert [jumping[at] for at in indices] == [expected[at] for at in indices]


def test_it_fills_better_than_random():
    history = History(searcher=SobolSearcher(CUBE), space=CUBE).grow(64)
    points = np.array([list(suggestion.params.values()) for suggestion in history.suggestions()])
    assert qmc.discrepancy(points) < 0.5 * qmc.discrepancy(np.random.default_rng(0).random((64, 3)))


def test_trials_of_others_leave_no_holes():
    alone = History(searcher=SobolSearcher(CUBE), space=CUBE).grow(10)
    mixed = History(searcher=SobolSearcher(CUBE), space=CUBE)
    for _ in range(10):
        mixed.suggested(Suggestion(params={"a": 0.5, "b": 0.5, "c": 0.5}), "enqueue")
        mixed.grow(1)
    assert mixed.suggestions() == alone.suggestions()


def test_a_finite_space_is_gone_through_in_rounds():
    for name in ("finite", "constrained finite", "one point"):
        space = SPACES[name]
        count = space.count()
        assert count is not None
        history = History(searcher=SobolSearcher(space), space=space).grow(2 * count)
        keys = [space.key(suggestion.params) for suggestion in history.suggestions()]
        assert len(set(keys[:count])) == len(set(keys[count:])) == count, name


def test_constraints_that_leave_nothing_are_named():
    space = SearchSpace.of({"x": {"type": "uniform", "low": 0.0, "high": 1.0}}, constraints=["x > 2"])
    with pytest.raises(SpaceError, match="x > 2"):
        SobolSearcher(space).suggest(0)


def test_too_many_parameters_are_refused():
    with pytest.raises(SpaceError, match="at most 21201 parameters, and 21202 vary"):
        _Points(21_202, 0)


def test_other_searchers_do_not_pay_for_numpy():
    code = "import sys, trialist.search.random, trialist.search.grid; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
