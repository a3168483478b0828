"""The forecaster by hand, and in campaigns of curves with a known best."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from trialist.core.errors import ConfigError
from trialist.core.events import AttemptStarted, Event, Reported, TrialEnded, TrialSuggested
from trialist.core.records import Continue, Decision, Metric, Mode, Stop, Trial
from trialist.core.states import TrialStatus
from trialist.schedule.curves import MAX_POINTS
from trialist.schedule.forecast import MAX_PROJECTIONS, PEERS, ForecastScheduler, tolerance

STEPS = 30


class Bench:
    def __init__(self, mode: Mode = Mode.MIN, **options: Any) -> None:
        self.metric = Metric(name="y", mode=mode)
        self.forecast = ForecastScheduler((self.metric,), **options)
        self.sign = 1 if mode is Mode.MIN else -1

    def fold(self, body: Any) -> None:
        self.forecast.update(Event(1, 0.0, body), None)

    def begin(self, number: int) -> None:
        self.fold(TrialSuggested(trial=number, params={}, seed=0, source="test", seen_seq=0))
        self.fold(AttemptStarted(trial=number, attempt=1))

    def report(self, number: int, step: int, loss: float) -> Decision:
        self.fold(Reported(trial=number, attempt=1, step=step, metrics={"y": self.sign * loss}))
        return self.forecast.decide(Trial(number=number, params={}), step, at_boundary=False)

    def end(self, number: int, step: int, loss: float, status: TrialStatus = TrialStatus.COMPLETED) -> None:
        value = self.sign * loss
        self.fold(TrialEnded(trial=number, attempt=1, status=status, step=step, metrics={"y": value}, value=value))

    def run(self, number: int, losses: list[float]) -> Stop | None:
        """A trial to its end, or to where it is stopped."""
        self.begin(number)
        for step, loss in enumerate(losses, 1):
            decision = self.report(number, step, loss)
            if isinstance(decision, Stop) and step < len(losses):
                self.end(number, step, loss, TrialStatus.STOPPED)
                return decision
        self.end(number, len(losses), losses[-1])
        return None


def curve(floor: float, steps: int = STEPS) -> list[float]:
    return [floor + math.exp(-step / 4) for step in range(1, steps + 1)]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("options", [{}, {"max_steps": STEPS}], ids=["learned", "told"])
def test_a_hopeless_trial_is_stopped_and_told_why(mode, options):
    bench = Bench(mode, **options)
    for number in range(6):
        assert bench.run(number, curve(0.15 - 0.01 * number)) is None
    stopped = bench.run(6, curve(3.0))
    best = bench.sign * curve(0.1)[-1]
    assert stopped is not None
    assert stopped.reason.endswith(f"at step {STEPS}, best {best:.4g}")
    assert stopped.reason.startswith(f"forecast {'' if mode is Mode.MIN else '-'}3.")


def test_one_that_comes_from_behind_is_forecast_at_the_end_and_not_where_it_stands():
    bench = Bench(max_steps=STEPS)
    for number in range(6):
        bench.run(number, curve(0.5))
    slow = [2.0 - 1.9 * step / STEPS for step in range(1, STEPS + 1)]
    assert bench.run(6, slow) is None


def test_nothing_is_stopped_before_enough_trials_have_ended_one_of_them_completely():
    bench = Bench(min_trials=3)
    for number in range(2):
        assert bench.run(number, curve(0.1)) is None
    assert bench.run(2, curve(5.0)) is None
    assert bench.run(3, curve(5.0)) is not None
    bench = Bench(max_steps=STEPS, min_trials=2)
    for number in range(4):
        bench.begin(number)
        bench.report(number, 1, 0.1)
        bench.end(number, 1, 0.1, TrialStatus.STOPPED)
    assert bench.run(4, curve(5.0)) is None


def test_no_trial_is_stopped_before_its_reports_or_while_it_stands_best():
    bench = Bench(min_reports=12)
    for number in range(6):
        bench.run(number, curve(0.1))
    bench.begin(6)
    decisions = [bench.report(6, step, loss) for step, loss in enumerate(curve(5.0), 1)]
    assert all(isinstance(one, Continue) for one in decisions[:11])
    assert isinstance(decisions[11], Stop)
    rising = [0.0 + 0.2 * step for step in range(STEPS)]  # soon worse, and better than the best at first
    bench.begin(7)
    assert isinstance(bench.report(7, 1, rising[0]), Continue)


def test_values_that_are_not_finite_are_left_out_of_a_curve():
    bench = Bench()
    for number in range(6):
        bench.run(number, curve(0.1))
    bench.begin(6)
    for step, loss in enumerate(curve(5.0)[:20], 1):
        decision = bench.report(6, step, math.nan if step % 2 else loss)
        assert isinstance(decision, Continue) or step % 2 == 0
    assert isinstance(decision, Stop)


def test_a_trial_that_starts_again_is_judged_by_its_new_curve():
    bench = Bench()
    for number in range(6):
        bench.run(number, curve(0.3))
    bench.begin(6)
    for step, loss in enumerate(curve(0.3)[:10], 1):
        bench.report(6, step, loss)
    bench.fold(AttemptStarted(trial=6, attempt=2, from_step=0))
    stops = [isinstance(bench.report(6, step, loss), Stop) for step, loss in enumerate(curve(5.0)[:12], 1)]
    assert any(stops)
    assert not any(stops[:5])


def test_keep_maps_to_how_far_behind_is_hopeless():
    assert tolerance(0.9) < tolerance(0.95) < tolerance(0.98) < tolerance(0.985) < tolerance(0.999)
    saved = []
    for keep in (0.9, 0.98, 0.999):
        bench, rng, kept = Bench(keep=keep, max_steps=STEPS), random.Random(3), 0
        for number in range(60):
            noisy = [loss + rng.gauss(0, 0.05) for loss in curve(rng.random())]
            kept += bench.run(number, noisy) is None
        saved.append(60 - kept)
    assert saved[0] > saved[1] > saved[2]


def test_the_bar_rises_with_the_number_of_trials():
    bench = Bench(max_steps=STEPS)
    early = bench.forecast._spreads(10)
    for number in range(400):
        bench.begin(number)
    assert bench.forecast._spreads(10) > early + 1


def test_memory_is_bounded_over_long_curves_and_many_trials():
    bench = Bench()
    steps = 700
    for number in range(PEERS + 20):
        bench.begin(number)
        for step in range(1, steps + 1, 1 if number % 40 == 0 else 100):
            bench.report(number, step, 1 / step + number % 7)
        bench.end(number, steps, number % 7)
    scheduler = bench.forecast
    assert not scheduler._curves
    assert len(scheduler._peers) == PEERS
    assert all(len(peer.steps) <= MAX_POINTS for peer in scheduler._peers.values())
    assert len(scheduler._prepared) <= MAX_PROJECTIONS
    assert all(prepared.surprises.keys() <= scheduler._peers.keys() for prepared in scheduler._prepared.values())


@pytest.mark.parametrize("mode", list(Mode))
def test_in_campaigns_steps_are_saved_and_the_best_is_found(mode):
    saved, regrets = [], []
    for seed in range(3):
        rng = random.Random(seed)
        bench = Bench(mode, max_steps=STEPS)
        finals, used, found = [], 0, math.inf
        for number in range(40):
            floor, rate = rng.random(), rng.uniform(2, 8)
            losses = [floor + math.exp(-s / rate) + rng.gauss(0, 0.01) for s in range(1, STEPS + 1)]
            finals.append(losses[-1])
            before = used
            bench.begin(number)
            for step, loss in enumerate(losses, 1):
                used += 1
                if isinstance(bench.report(number, step, loss), Stop):
                    break
            whole = used - before == STEPS
            bench.end(number, used - before, loss, TrialStatus.COMPLETED if whole else TrialStatus.STOPPED)
            found = min(found, loss) if whole else found
        saved.append(1 - used / (40 * STEPS))
        regrets.append(found - min(finals))
    assert min(saved) > 0.3
    assert max(regrets) < 0.02


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": 1.0}, "share from 0.9 to 0.999"),
        ({"keep": 0.5}, "at least 0.9"),
        ({"max_steps": 1}, "at least 2"),
        ({"min_reports": 2}, "at least 5"),
        ({"kep": 0.98}, "'keep'"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        Bench(**options)
