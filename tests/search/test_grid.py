"""Grid search: order, constraints, whose trials move it, and shuffling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.core.errors import ConfigError, SpaceError
from trialist.core.records import Exhausted, Suggestion
from trialist.search.grid import GridSearcher
from trialist.search.randomness import Permutation
from trialist.space import SearchSpace
from trialist.testing.searchers import SPACES, History


def grown(space: SearchSpace, trials: int = 1000, **options: object) -> History:
    return History(searcher=GridSearcher(space, **options), space=space).grow(trials)


def test_the_last_parameter_changes_fastest():
    space = SearchSpace.of({"lr": [0.1, 0.01], "depth": [1, 2, 3]})
    points = [(s.params["lr"], s.params["depth"]) for s in grown(space).suggestions()]
    assert points == [(0.1, 1), (0.1, 2), (0.1, 3), (0.01, 1), (0.01, 2), (0.01, 3)]


def test_it_ends_after_the_last_point_and_says_how_many_there_were():
    history = grown(SPACES["finite"])
    assert len(history.suggestions()) == 12
    assert history.answers[-1][2] == Exhausted(reason="the grid of 12 points is done")


def test_constraints_leave_points_out():
    space = SPACES["constrained finite"]
    assert [s.params for s in grown(space).suggestions()] == list(space.grid())


def test_trials_of_others_do_not_move_it():
    space = SPACES["finite"]
    history = History(searcher=GridSearcher(space), space=space)
    history.suggested(Suggestion(params=next(space.grid()), note={"grid_index": 9}), "clone")
    assert [s.params for s in history.grow(100).suggestions()] == list(space.grid())


def test_shuffled_it_takes_every_point_in_another_order():
    for name in ("finite", "constrained finite"):
        space = SPACES[name]
        plain, mixed = grown(space).suggestions(), grown(space, shuffle=True, seed=3).suggestions()
        keys = [[space.key(s.params) for s in suggestions] for suggestions in (plain, mixed)]
        assert sorted(keys[0]) == sorted(keys[1])
        assert keys[0] != keys[1]


def test_a_grid_may_have_any_size():
    space = SearchSpace.of({f"p{at}": {"type": "randint", "low": 1, "high": 10**6} for at in range(20)})
    for options in ({}, {"shuffle": True}):
        history = grown(space, trials=3, **options)
        assert len({space.key(s.params) for s in history.suggestions()}) == 3


def test_a_continuous_domain_is_named():
    with pytest.raises(SpaceError, match=r"^optimizer\.lr: .* is continuous.* another searcher"):
        GridSearcher(SPACES["mixed"])


def test_shuffle_is_true_or_false():
    with pytest.raises(ConfigError, match="'shuffle' of searcher 'grid' is true or false, not 'yes'"):
        GridSearcher(SPACES["finite"], shuffle="yes")


@given(st.integers(1, 600), st.integers())
def test_a_permutation_has_every_number_once(size: int, seed: int):
    permutation = Permutation(size, seed)
    assert sorted(permutation[at] for at in range(size)) == list(range(size))


def test_permutations_differ_by_seed_and_look_random():
    ways = {tuple(Permutation(4, seed)[at] for at in range(4)) for seed in range(400)}
    assert len(ways) == 24
