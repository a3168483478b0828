"""Curves stay short, and forecasts carry what shapes there are; one row does not depend on its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.schedule.curves import MAX_POINTS, MIN_POINTS, Curve, Projection, own_spread

HORIZON = 52


def forecast(values, steps=None, horizon=HORIZON):
    values = np.asarray(values, dtype=float)
    steps = np.arange(1.0, len(values) + 1) if steps is None else np.asarray(steps, dtype=float)
    return float(Projection(steps, horizon).forecast(values[None, :]).means[0])


@pytest.mark.parametrize(
    "curve",
    [
        lambda x: 1 - x**-0.5,
        lambda x: 1 - np.exp(-x / 10),
        lambda x: 0.1 * np.log(x),
        lambda x: x / 9,
        lambda x: 0.7 + 0 * x,
    ],
    ids=["power", "exponential", "logarithm", "line", "flat"],
)
def test_simple_shapes_are_carried_to_the_horizon_and_not_kept_at_the_present(curve):
    x = np.arange(1.0, HORIZON + 1)
    whole = curve(x)
    told = forecast(whole[:20])
    left = whole[-1] - whole[19]
    assert abs(told - whole[-1]) <= 0.7 * abs(left) + 1e-9


def test_steps_may_be_any_and_begin_at_zero():
    x = np.arange(0, 200, 10.0)
    values = 1 - np.exp(-x / 60)
    assert forecast(values[:8], x[:8], horizon=190) > values[7]
    shifted = forecast(values[:8], x[:8] + 1000, horizon=1190)
    assert np.isfinite(shifted)


@given(st.integers(MIN_POINTS, 40), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_a_forecast_is_the_same_whoever_is_forecast_beside_it(count, rows, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, count)).cumsum(axis=1)
    projection = Projection(np.arange(1.0, count + 1), 60)
    together = projection.forecast(values)
    for row in range(rows):
        alone = projection.forecast(values[row : row + 1])
        assert [column[row] for column in together] == [column[0] for column in alone]


def test_a_better_curve_has_a_better_forecast_by_as_much():
    values = np.linspace(0, 1, 12) ** 0.5
    assert forecast(values + 3) == pytest.approx(forecast(values) + 3)
    assert forecast(values * 10) == pytest.approx(forecast(values) * 10)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-1e6, 1e6)), min_size=1, max_size=600))
def test_a_curve_stays_short_and_keeps_its_mean(told):
    curve, kept, step = Curve(), {}, 0
    for gap, value in told:
        step += gap
        curve.add(step, value)
        kept[step] = value
    assert len(curve.ends) <= MAX_POINTS
    assert curve.step == step
    assert sum(curve.counts) == len(kept)
    mean = sum(c * v for c, v in zip(curve.counts, curve.values, strict=True)) / len(kept)
    assert mean == pytest.approx(np.mean(list(kept.values())), rel=1e-6, abs=1e-3)
    assert curve.ends == sorted(curve.ends)


def test_a_trial_that_goes_on_from_an_earlier_step_forgets_what_came_after():
    curve = Curve()
    for step in range(1, 11):
        curve.add(step, float(step))
    curve.cut(4)
    assert (curve.values, curve.step, curve.last_value) == ([1.0, 2.0, 3.0, 4.0], 4, 4.0)
    curve.add(3, 99.0)  # told again by an attempt that started earlier still
    assert curve.step == 4
    curve.add(4, 8.0)
    assert curve.values[-1] == 8.0
    curve.cut(-1)
    assert (curve.ends, curve.step) == ([], -1)


def test_how_far_a_curve_has_moved_is_told_between_its_quantiles():
    rng = np.random.default_rng(1)
    values = rng.normal(size=37)
    assert own_spread(values) == pytest.approx(np.quantile(values, 0.9) - np.quantile(values, 0.1))
