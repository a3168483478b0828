"""The median rule, by hand and against its definition."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest

from trialist.core.errors import ConfigError
from trialist.core.events import AttemptStarted, Event, Reported, TrialEnded
from trialist.core.records import Continue, Decision, Metric, Mode, Stop, Trial
from trialist.core.states import TrialStatus
from trialist.schedule.median import WINDOW, MedianScheduler, milestone, next_milestone

LOSS = Metric(name="loss", mode=Mode.MIN)


class Bench:
    def __init__(self, metric: Metric = LOSS, **options: Any) -> None:
        self.median = MedianScheduler((metric,), **options)

    def fold(self, body: Any) -> None:
        self.median.update(Event(1, 0.0, body), None)

    def report(self, trial: int, step: int, value: float) -> Decision:
        self.fold(Reported(trial=trial, attempt=1, step=step, metrics={"loss": value}))
        return self.median.decide(Trial(number=trial, params={}), step, at_boundary=False)


def test_a_trial_worse_than_the_median_of_enough_others_is_stopped():
    bench = Bench(min_trials=3)
    for number, loss in enumerate([0.1, 0.2, 0.3]):
        assert bench.report(number, 1, loss) == Continue()
    assert bench.report(3, 1, 0.2) == Continue()
    decision = bench.report(4, 1, 0.9)
    assert decision == Stop(reason="best loss 0.9 up to step 1 is worse than the median 0.2 of 4 other trials")


def test_its_best_so_far_is_judged_not_its_last():
    bench = Bench(min_trials=2)
    for number in range(3):
        for step in (1, 2):
            bench.report(number, step, 0.5)
    assert isinstance(bench.report(3, 1, 0.1), Continue)
    assert isinstance(bench.report(3, 2, 9.0), Continue)


def test_average_compares_with_running_averages():
    bench = Bench(min_trials=1, against="average")
    bench.report(0, 1, 1.0)
    bench.report(0, 2, 0.0)
    assert isinstance(bench.report(1, 2, 0.4), Continue)
    bench = Bench(min_trials=1, against="best")
    bench.report(0, 1, 1.0)
    bench.report(0, 2, 0.0)
    assert isinstance(bench.report(1, 2, 0.4), Stop)


def test_grace_steps_are_safe():
    bench = Bench(min_trials=1, grace_steps=2)
    for step in (1, 2, 3):
        bench.report(0, step, 0.1)
    assert [type(bench.report(1, step, 0.9)) for step in (1, 2, 3)] == [Continue, Continue, Stop]


@pytest.mark.parametrize("worst", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", list(Mode))
def test_what_is_not_finite_is_worst(worst: float, mode: Mode):
    bench = Bench(Metric(name="loss", mode=mode), min_trials=1)
    bench.report(0, 1, worst)
    assert isinstance(bench.report(1, 1, worst), Continue)
    for number in (2, 3, 4):
        assert isinstance(bench.report(number, 1, 0.5), Continue)
    assert isinstance(bench.report(5, 1, worst), Stop)


def test_failed_trials_leave_and_stopped_ones_stay():
    bench = Bench(min_trials=2)
    bench.report(0, 1, 0.1)
    bench.report(1, 1, 0.1)
    bench.fold(TrialEnded(trial=0, attempt=1, status=TrialStatus.STOPPED))
    assert isinstance(bench.report(2, 1, 0.9), Stop)
    bench.fold(TrialEnded(trial=1, attempt=1, status=TrialStatus.FAILED))
    bench.fold(TrialEnded(trial=2, attempt=1, status=TrialStatus.CANCELLED))
    assert isinstance(bench.report(3, 1, 0.9), Continue)


def test_a_trial_that_starts_again_counts_anew():
    bench = Bench(min_trials=1)
    bench.report(0, 1, 0.1)
    bench.fold(AttemptStarted(trial=0, attempt=2, from_step=0))
    bench.report(0, 1, 0.8)
    assert isinstance(bench.report(1, 1, 0.5), Continue)
    assert isinstance(bench.report(0, 2, 0.8), Continue), "nobody else has come to step 2"


def test_a_trial_that_reports_seldom_counts_at_the_steps_between():
    bench = Bench(min_trials=1)
    bench.report(0, 10, 0.1)
    assert isinstance(bench.report(1, 15, 0.5), Continue)
    bench.report(0, 20, 0.05)
    assert isinstance(bench.report(1, 16, 0.5), Stop)


def test_reports_without_the_metric_are_passed_over():
    bench = Bench(min_trials=1)
    bench.fold(Reported(trial=0, attempt=1, step=1, metrics={"accuracy": 1.0}))
    assert isinstance(bench.report(1, 1, 0.5), Continue)


@pytest.mark.parametrize("against", ["best", "average"])
def test_against_the_definition(against: str):
    rng = random.Random(3)
    bench, curves = Bench(min_trials=3, against=against), {n: [rng.random() for _ in range(8)] for n in range(25)}
    told: dict[int, list[float]] = {n: [] for n in curves}
    stops = 0
    order = [n for n in curves for _ in range(8)]
    rng.shuffle(order)
    for number in order:
        told[number].append(curves[number][len(told[number])])
        step = len(told[number])
        decision = bench.report(number, step, told[number][-1])
        stand = min if against == "best" else statistics.fmean
        others = [stand(values[:step]) for n, values in told.items() if n != number and len(values) >= step]
        worse = len(others) >= 3 and min(told[number]) > statistics.median(others) + 1e-12
        assert isinstance(decision, Stop) == worse
        stops += worse
    assert 0 < stops < 150


def test_memory_is_bounded():
    bench = Bench()
    for number in range(3 * WINDOW):
        bench.report(number, 1, random.Random(number).random())
        bench.fold(TrialEnded(trial=number, attempt=1, status=TrialStatus.COMPLETED))
    assert bench.median._places[1].others(-1) == WINDOW
    assert not bench.median._curves


def test_milestones_rise_and_stay_close():
    at, seen = 0, 0
    while at < 10**6:
        following = next_milestone(at)
        assert milestone(at) == at < following
        assert milestone(following - 1) == at
        assert following - at <= max(1, following / 64)
        at, seen = following, seen + 1
    assert seen < 1000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grace_step": 1}, "Did you mean 'grace_steps'?"),
        ({"min_trials": 0}, "at least 1, not 0"),
        ({"grace_steps": 1.5}, "whole number"),
        ({"against": "worst"}, "one of best, average"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError) as caught:
        MedianScheduler((LOSS,), **options)
    assert words in str(caught.value)
