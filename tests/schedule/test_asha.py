"""ASHA: who goes on, who waits, and what its options refuse."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from trialist.core.errors import ConfigError
from trialist.core.events import (
    AttemptEnded,
    AttemptStarted,
    Body,
    Event,
    Reported,
    TrialEnded,
    TrialPaused,
    TrialResumed,
)
from trialist.core.records import Continue, Decision, Metric, Mode, OutcomeKind, Pause, Stop, Trial
from trialist.core.states import TrialStatus
from trialist.schedule.asha import AshaScheduler
from trialist.testing.counting import calls_of
from trialist.testing.schedulers import Campaign, curves

LOSS = Metric(name="loss", mode=Mode.MIN)


class Bench:
    """Feeds an ASHA by hand."""

    def __init__(self, **options: Any) -> None:
        self.asha = AshaScheduler((LOSS,), **options)
        self.seq = 0

    def fold(self, body: Body) -> None:
        self.seq += 1
        self.asha.update(Event(self.seq, 0.0, body), None)

    def report(self, trial: int, step: int, loss: float, attempt: int = 1) -> Decision:
        self.fold(Reported(trial=trial, attempt=attempt, step=step, metrics={"loss": loss}))
        decision = self.asha.decide(Trial(number=trial, params={}), step, at_boundary=True)
        if isinstance(decision, Pause):
            self.fold(TrialPaused(trial=trial, attempt=attempt, step=step, parked=True, by="asha"))
        return decision

    def promote(self) -> tuple[int, int | None] | None:
        promotion = self.asha.promote()
        if promotion is None:
            return None
        self.fold(TrialResumed(trial=promotion.trial, to_step=promotion.to_step, by="asha"))
        return promotion.trial, promotion.to_step

    def end(self, trial: int, status: TrialStatus) -> None:
        self.fold(TrialEnded(trial=trial, attempt=1, status=status))


def test_the_best_third_of_a_rung_goes_on_and_is_promoted_best_first():
    bench = Bench(eta=3)
    assert isinstance(bench.report(0, 1, 0.5), Pause)
    assert isinstance(bench.report(1, 1, 0.4), Pause)
    assert bench.promote() is None
    assert isinstance(bench.report(2, 1, 0.9), Pause)
    assert bench.promote() == (1, 3)
    assert bench.promote() is None
    assert bench.report(3, 1, 0.1) == Continue(to_step=3, reason="rank 1 of 4 at rung 1, where 1 go on")
    for number in (4, 5):
        assert isinstance(bench.report(number, 1, 0.8), Pause)
    # Six at rung 1: two places, both taken by 1 and 3; a seventh to ninth open a third, which is trial 0's.
    assert bench.promote() is None
    for number in (6, 7, 8):
        bench.report(number, 1, 0.85)
    assert bench.promote() == (0, 3)


def test_the_highest_rung_is_promoted_first():
    bench = Bench(eta=2)
    for number, loss in enumerate([0.3, 0.2, 0.4, 0.5]):
        bench.report(number, 1, loss)
    # 1 went on at once (best of two); 0 is now in the top half of four.
    bench.report(1, 2, 0.2)
    assert bench.promote() == (0, 2)
    bench.report(0, 2, 0.3)
    bench.report(4, 1, 0.35)
    bench.report(5, 1, 0.6)
    assert bench.promote() == (1, 4)
    assert bench.promote() == (4, 2)


def test_ties_go_to_the_older_trial():
    bench = Bench(eta=4)
    for number in (1, 0, 2, 3):
        bench.report(number, 1, 0.5)
    assert bench.promote() == (0, 4)


@pytest.mark.parametrize("worst", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_worst_and_stays(worst: float):
    bench = Bench(eta=2)
    for number in range(4):
        assert isinstance(bench.report(number, 1, worst), Pause)
    assert bench.promote() is None
    assert isinstance(bench.report(9, 1, 1e300), Continue)


def test_failed_and_cancelled_trials_leave_the_rung_and_ended_ones_the_queue():
    bench = Bench(eta=2)
    for number, loss in enumerate([0.1, 0.2, 0.3, 0.4]):
        bench.fold(Reported(trial=number, attempt=1, step=1, metrics={"loss": loss}))
        bench.fold(TrialPaused(trial=number, attempt=1, step=1, parked=False, by="asha"))
    bench.end(0, TrialStatus.FAILED)
    bench.end(1, TrialStatus.STOPPED)
    # Three are left at the rung (1, 2, 3), one place, and it is that of trial 1, which has ended.
    assert bench.promote() is None
    bench.report(5, 1, 0.9)
    assert bench.promote() == (2, 2)


def test_a_trial_that_a_person_paused_is_not_promoted():
    bench = Bench(eta=2)
    for number in range(4):
        bench.fold(Reported(trial=number, attempt=1, step=1, metrics={"loss": number}))
        bench.fold(TrialPaused(trial=number, attempt=1, step=1, parked=False, by="person"))
    assert bench.promote() is None


def test_a_lost_trial_that_starts_again_counts_once_with_its_new_value():
    bench = Bench(eta=3)
    bench.report(0, 1, 0.1)
    bench.fold(AttemptEnded(trial=0, attempt=1, outcome=OutcomeKind.LOST, status=TrialStatus.WAITING))
    bench.fold(AttemptStarted(trial=0, attempt=2, from_step=0))
    bench.report(0, 1, 0.9, attempt=2)
    bench.report(1, 1, 0.5)
    assert bench.promote() is None, "two trials, not three, have reached the rung"
    bench.report(2, 1, 0.6)
    assert bench.promote() == (1, 3)


def test_a_promoted_trial_that_starts_again_need_not_wait_at_the_rung_it_has_passed():
    bench = Bench(eta=2)
    bench.report(0, 1, 0.1)
    bench.report(1, 1, 0.2)
    assert bench.promote() == (0, 2)
    bench.fold(AttemptStarted(trial=0, attempt=2, from_step=0, to_step=2))
    assert bench.asha.boundary(Trial(number=0, params={}), 0) == 2
    assert bench.asha.boundary(Trial(number=7, params={}), 0) == 1


def test_an_evicted_trial_stays_in_the_queue_and_a_lost_one_leaves_it():
    bench = Bench(eta=2)
    for number in range(2):
        bench.report(number, 1, 0.1 * number)
    bench.fold(AttemptEnded(trial=0, attempt=1, outcome=OutcomeKind.EVICTED, status=TrialStatus.PAUSED, by="asha"))
    assert bench.asha.promote() is not None
    bench.fold(AttemptEnded(trial=0, attempt=1, outcome=OutcomeKind.LOST, status=TrialStatus.WAITING))
    assert bench.asha.promote() is None


def test_a_report_that_jumps_over_rungs_counts_at_each_of_them():
    bench = Bench(eta=2)
    for number in range(4):
        bench.report(number, 5, 0.1 * number)
    assert [bench.promote(), bench.promote(), bench.promote()] == [(0, 8), (1, 8), None]
    bench.report(9, 1, 0.05)
    assert bench.asha.boundary(Trial(number=9, params={}), 1) == 2


def test_the_metric_may_come_in_the_second_report_of_a_step():
    bench = Bench(eta=2)
    bench.fold(Reported(trial=0, attempt=1, step=1, metrics={"accuracy": 0.9}))
    bench.fold(Reported(trial=0, attempt=1, step=1, metrics={"loss": 0.1}))
    assert isinstance(bench.report(1, 1, 0.2), Pause)
    assert isinstance(bench.asha.decide(Trial(number=0, params={}), 1, at_boundary=True), Continue)


def test_stop_lets_the_best_of_the_first_few_go_on_and_stops_the_rest():
    bench = Bench(variant="stop", reduction_factor=3)
    assert isinstance(bench.report(0, 1, 0.5), Continue)
    assert isinstance(bench.report(1, 1, 0.6), Stop)
    assert isinstance(bench.report(2, 1, 0.4), Continue)
    assert bench.promote() is None


def test_max_steps_ends_the_rungs():
    asha = AshaScheduler((LOSS,), min_steps=2, max_steps=18)
    trial = Trial(number=0, params={})
    assert [asha.boundary(trial, step) for step in (0, 1, 2, 6, 17)] == [2, 2, 6, None, None]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ela": 3}, "no option 'ela'. Did you mean 'eta'?"),
        ({"grace_period": 3}, "no option 'grace_period'"),
        ({"eta": 1}, "'eta' of scheduler 'asha' needs a number of at least 2, not 1"),
        ({"eta": "3"}, "not '3'"),
        ({"eta": 3, "reduction_factor": 3}, "one option"),
        ({"min_steps": 0}, "at least 1, not 0"),
        ({"min_steps": 9, "max_steps": 9}, "must be above min_steps (9)"),
        ({"rungs": [3, 1]}, "ascending"),
        ({"rungs": []}, "ascending"),
        ({"rungs": [1.5]}, "ascending"),
        ({"rungs": [1], "max_steps": 9}, "leave 'min_steps'"),
        ({"variant": "promot"}, "is one of promote, stop, not 'promot'"),
        ({"metric": "los"}, "Did you mean 'loss'?"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError) as caught:
        AshaScheduler((LOSS,), **options)
    assert words in str(caught.value)


def test_it_needs_one_metric():
    with pytest.raises(ConfigError, match="the study has none"):
        AshaScheduler(())
    two = (LOSS, Metric(name="size", mode=Mode.MIN))
    with pytest.raises(ConfigError, match=r"say which .* \(loss, size\)"):
        AshaScheduler(two)
    assert AshaScheduler(two, metric="size").name == "asha"


def test_against_the_definition_on_random_orders():
    """At every question the answer is that of the paper's own wording, computed from scratch."""
    for seed in range(5):
        metric = LOSS
        campaign = Campaign(
            scheduler=AshaScheduler((metric,), eta=3), metric=metric, curve=curves(seed), trials=60, jobs=5, seed=seed
        ).run()
        reported: dict[int, dict[int, float]] = {}
        promoted: set[tuple[int, int]] = set()
        questions = iter(campaign.asked)
        asked = next(questions)
        for count, (event, _) in enumerate([*campaign.events, (Event(0, 0.0, None), None)]):  # type: ignore[arg-type]
            while asked is not None and asked.after == count:
                if asked.at_boundary:
                    values = reported[asked.step]
                    ranked = sorted((v if math.isfinite(v) else math.inf, n) for n, v in values.items())
                    top = [n for v, n in ranked[: len(ranked) // 3] if math.isfinite(v)]
                    assert isinstance(asked.answer, Continue if asked.trial in top else Pause)
                    if asked.trial in top:
                        promoted.add((asked.step, asked.trial))
                elif asked.trial is None:
                    expected = None
                    for step in sorted(reported, reverse=True):
                        values = reported[step]
                        ranked = sorted((v if math.isfinite(v) else math.inf, n) for n, v in values.items())
                        top = [n for v, n in ranked[: len(ranked) // 3] if math.isfinite(v)]
                        able = [n for n in top if (step, n) not in promoted]
                        if able:
                            expected = able[0]
                            promoted.add((step, expected))
                            break
                    assert getattr(asked.answer, "trial", None) == expected
                asked = next(questions, None)  # type: ignore[assignment]
            if isinstance(event.body, Reported) and event.body.step in (1, 3, 9, 27):
                reported.setdefault(event.body.step, {})[event.body.trial] = event.body.metrics["loss"]


class CountedLoss(float):
    """Each comparison of it is a call that can be counted."""

    def __eq__(self, other: object) -> bool:
        return float.__eq__(self, other)  # type: ignore[arg-type]

    def __lt__(self, other: float) -> bool:
        return float.__lt__(self, other)

    def __gt__(self, other: float) -> bool:
        return float.__gt__(self, other)

    __hash__ = float.__hash__


def test_a_decision_among_thirty_thousand_costs_little_more_than_among_a_few():
    bench, rng = Bench(eta=3), random.Random(0)

    def decide(numbers: range, kind: type[float] = float) -> None:
        for number in numbers:
            bench.report(number, 1, kind(rng.random()))
            bench.promote()

    decide(range(300))
    few = calls_of(lambda: decide(range(300, 600), CountedLoss))
    decide(range(600, 30_000))
    many = calls_of(lambda: decide(range(30_000, 30_300), CountedLoss))
    assert many < 2 * few, (few, many)
