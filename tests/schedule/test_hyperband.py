"""Hyperband: which trial is of which bracket, and each bracket a halving of its own."""

from __future__ import annotations

from collections import Counter

import pytest

from trialist.core.errors import ConfigError
from trialist.core.records import Metric, Mode, Trial
from trialist.core.states import TrialStatus
from trialist.schedule.asha import AshaScheduler
from trialist.schedule.hyperband import HyperbandScheduler, brackets
from trialist.testing.schedulers import Campaign, curves

LOSS = Metric(name="loss", mode=Mode.MIN)


def test_brackets_are_those_of_the_paper():
    assert brackets(min_steps=1, max_steps=81, eta=3) == [[], [27], [9, 27], [3, 9, 27], [1, 3, 9, 27]]
    assert brackets(min_steps=5, max_steps=52, eta=3) == [[], [17], [6, 17]]
    assert brackets(min_steps=1, max_steps=2, eta=4) == [[]]


def test_each_cycle_gives_brackets_the_papers_shares_spread_evenly():
    scheduler = HyperbandScheduler((LOSS,), max_steps=81)
    cycle = [scheduler.bracket_of(number) for number in range(143)]
    assert Counter(cycle) == {4: 81, 3: 34, 2: 15, 1: 8, 0: 5}
    assert [scheduler.bracket_of(number + 143) for number in range(143)] == cycle
    first = Counter(cycle[:30])
    assert set(first) == {0, 1, 2, 3, 4}
    assert first[4] in (16, 17, 18)


def test_a_bracket_is_compared_at_its_own_rungs():
    scheduler = HyperbandScheduler((LOSS,), max_steps=9)
    first = {scheduler.bracket_of(number): number for number in reversed(range(20))}
    bounds = {}
    for bracket, number in first.items():
        trial, step, bounds[bracket] = Trial(number=number, params={}), 0, []
        while (step := scheduler.boundary(trial, step)) is not None:
            bounds[bracket].append(step)
    assert bounds == {0: [], 1: [3], 2: [1, 3]}


def test_every_bracket_runs_one_trial_at_least_to_its_end():
    campaign = Campaign(
        scheduler=HyperbandScheduler((LOSS,), max_steps=9), metric=LOSS, curve=curves(3, steps=9, broken=0), trials=30
    ).run()
    ended = [row for row in campaign.rows.values() if row.status is TrialStatus.COMPLETED]
    assert {campaign.scheduler.bracket_of(row.number) for row in ended} == {0, 1, 2}  # type: ignore[attr-defined]
    left = [row for row in campaign.rows.values() if row.status is TrialStatus.PAUSED]
    assert left
    steps = sum(row.step or 0 for row in campaign.rows.values())
    assert steps < 30 * 9


def test_one_ladder_alone_decides_like_asha():
    """Where only trials of the widest bracket run, Hyperband is ASHA with its rungs."""
    scheduler = HyperbandScheduler((LOSS,), max_steps=9)
    widest = [number for number in range(60) if scheduler.bracket_of(number) == 2]
    curve = curves(5, steps=9)
    ours = Campaign(scheduler=scheduler, metric=LOSS, curve=curve, trials=60, jobs=1).run()
    asha = AshaScheduler((LOSS,), rungs=[1, 3])
    theirs = Campaign(
        scheduler=asha, metric=LOSS, curve=lambda number: curve(widest[number]), trials=len(widest), jobs=1
    ).run()
    steps = {number: ours.rows[number].step for number in widest}
    assert steps == {widest[number]: row.step for number, row in theirs.rows.items()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "max_steps.*missing"),
        ({"max_steps": 3, "min_steps": 3}, "above min_steps"),
        ({"max_steps": 9, "eta": 1}, "at least 2"),
        ({"max_stepps": 9}, "'max_steps'"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        HyperbandScheduler((LOSS,), **options)
