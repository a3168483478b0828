"""The ordered set of losses against a sorted list, and FIFO's refusal of options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.core.errors import ConfigError
from trialist.schedule import ranking
from trialist.schedule.fifo import FifoScheduler
from trialist.schedule.ranking import Ranking


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.5, 1.0, float("inf")]), st.integers(0, 30))))
def test_it_is_a_sorted_set(steps):
    block, ranking._BLOCK = ranking._BLOCK, 3
    try:
        ranked, model = Ranking(), set()
        for adds, loss, number in steps:
            entry = (loss, number)
            if adds and entry not in model:
                ranked.add(entry)
                model.add(entry)
            elif not adds and entry in model:
                ranked.remove(entry)
                model.remove(entry)
            expected = sorted(model)
            assert list(ranked) == expected
            assert len(ranked) == len(model)
            assert ranked.first() == (expected[0] if expected else None)
            assert ranked.rank(entry) == sum(other < entry for other in model)
    finally:
        ranking._BLOCK = block


def test_fifo_takes_no_options():
    with pytest.raises(ConfigError, match="scheduler 'fifo' has no option 'eta'"):
        FifoScheduler((), eta=3)
