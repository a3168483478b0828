"""Random search on finite spaces: rounds, and no point twice in one; and what it costs."""

from __future__ import annotations

from collections import Counter

import pytest

from trialist.core.errors import SpaceError
from trialist.core.events import Event, TrialSuggested
from trialist.core.records import Suggestion
from trialist.search import tried
from trialist.search.random import RandomSearcher
from trialist.space import SearchSpace
from trialist.testing.searchers import SPACES, History


def test_it_goes_round_and_round_a_finite_space():
    for name in ("finite", "conditional finite", "constrained finite", "one point"):
        space = SPACES[name]
        count = space.count()
        assert count is not None
        history = History(searcher=RandomSearcher(space, seed=5), space=space).grow(3 * count)
        keys = [space.key(suggestion.params) for suggestion in history.suggestions()]
        for turn in range(3):
            assert len(set(keys[turn * count : (turn + 1) * count])) == count, (name, turn)


def test_what_people_tried_is_not_suggested_again():
    space = SPACES["finite"]
    history = History(searcher=RandomSearcher(space), space=space)
    points = list(space.grid())
    for params in points[:-1]:
        history.suggested(Suggestion(params=params), "enqueue")
    assert history.searcher.suggest(len(history.rows)) == Suggestion(params=points[-1])


def test_points_tried_often_by_people_come_last_in_each_round():
    space = SPACES["finite"]
    history = History(searcher=RandomSearcher(space), space=space)
    favourite = next(space.grid())
    for _ in range(3):
        history.suggested(Suggestion(params=favourite), "enqueue")
    history.grow(3 * 12 - 3)
    counts = Counter(space.key(row.params) for row in history.rows.values())
    assert set(counts.values()) == {3}


def test_whether_the_list_was_made_before_makes_no_difference():
    """A searcher that saw all events at once, and one that was asked all the time, agree from then on."""
    space = SPACES["constrained finite"]
    history = History(searcher=RandomSearcher(space, seed=1), space=space).grow(40)
    late = RandomSearcher(space, seed=1)
    for event, row in history.events:
        if type(event.body) in late.reads:
            late.update(event, row)
    for number in range(40, 80):
        assert late.suggest(number) == history.searcher.suggest(number)


def test_left_points_are_all_equally_likely():
    space = SPACES["finite"]
    searcher = RandomSearcher(space)
    for at, params in enumerate(list(space.grid())[:9]):
        searcher.update(Event(at, 0.0, TrialSuggested(trial=at, params=params, seed=0, source="x", seen_seq=0)), None)
    counts = Counter(space.key(searcher.suggest(number).params) for number in range(9, 3009))  # type: ignore[union-attr]
    assert len(counts) == 3
    assert min(counts.values()) > 850


def test_large_and_infinite_spaces_ignore_history(monkeypatch: pytest.MonkeyPatch):
    assert RandomSearcher(SPACES["mixed"]).reads == frozenset()
    assert RandomSearcher(SPACES["finite"]).reads == {TrialSuggested}
    monkeypatch.setattr(tried, "MAX_POINTS", 11)
    assert RandomSearcher(SPACES["finite"]).reads == frozenset()


def test_a_space_without_a_point_says_so():
    space = SearchSpace.of({"a": [1, 2], "b": [1, 2]}, constraints=["a + b > 9"])
    with pytest.raises(SpaceError, match="a \\+ b > 9"):
        RandomSearcher(space).suggest(0)


def test_suggestions_stay_what_they_were():
    """Stored studies are replayed by later versions: a change of these values breaks the promise."""
    space = SearchSpace.of({"x": {"type": "uniform", "low": 0.0, "high": 1.0}})
    values = [RandomSearcher(space, seed=7).suggest(number).params["x"] for number in range(3)]  # type: ignore[union-attr]
    assert values == [0.5542444767655367, 0.6540054616629735, 0.8137074676062668]
