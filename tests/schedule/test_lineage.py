"""What a forked trial has gone through."""

from __future__ import annotations

import pytest

from trialist.core.errors import ConfigError
from trialist.core.records import Trial, WarmStart, WarmStartFrom
from trialist.schedule.lineage import Held, lineage, params_at


def fork(number, origin, after, step, *, what=WarmStart.RESUME):
    start = WarmStartFrom(trial=origin, checkpoint=f"{origin}-1-{after}", what=what)
    return Trial(number=number, params={"lr": number}, step=step, warm_start_from=start, note={"from_step": after})


ROWS = {
    0: Trial(number=0, params={"lr": 0}, step=30),
    1: fork(1, 0, 10, 20),
    2: fork(2, 1, 20, 30),
    3: fork(3, 0, 10, None),
    4: fork(4, 0, 10, 9, what=WarmStart.WEIGHTS),
}


def test_each_step_is_told_once_under_the_params_that_trained_it():
    held = lineage(2, ROWS.__getitem__)
    assert held == (Held(0, 0, 10, {"lr": 0}), Held(1, 10, 20, {"lr": 1}), Held(2, 20, 30, {"lr": 2}))
    told = [params_at(held, step)["lr"] for step in (1, 10, 11, 20, 21, 30, 99)]
    assert told == [0, 0, 1, 1, 2, 2, 2]


def test_a_trial_of_its_own_is_its_own_lineage_and_so_is_one_that_took_over_weights_alone():
    assert lineage(0, ROWS.__getitem__) == (Held(0, 0, 30, {"lr": 0}),)
    assert [held.trial for held in lineage(4, ROWS.__getitem__)] == [4]
    assert lineage(3, ROWS.__getitem__)[-1] == Held(3, 10, None, {"lr": 3})


def test_no_schedule_says_anything_of_step_0():
    with pytest.raises(ConfigError, match="step 0"):
        params_at(lineage(2, ROWS.__getitem__), 0)
    with pytest.raises(ConfigError, match="0 stretches"):
        params_at((), 1)
