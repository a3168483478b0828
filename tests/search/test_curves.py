"""The model over params and steps: what it learns from, and that it finds what it should."""

from __future__ import annotations

import random

import numpy as np
import pytest

from trialist.core.errors import ConfigError
from trialist.core.events import AttemptStarted, Reported, TrialEnded, TrialPaused
from trialist.core.records import Metric, Mode, Suggestion
from trialist.core.states import TrialStatus
from trialist.search.curves import MAX_ROWS, CurveSearcher
from trialist.space import Choice, Float, SearchSpace
from trialist.testing.searchers import LOSS, History

SPACE = SearchSpace.of({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0), "k": Choice(["a", "b"])})


def loss(params, step):
    """Falls with the step, to what params are worth."""
    return (params["x"] - 0.7) ** 2 + (params["y"] - 0.2) ** 2 + 0.3 * (params["k"] == "a") + 1.0 / step


def history(seed=0):
    return History(searcher=CurveSearcher(SPACE, metrics=(LOSS,), seed=seed), space=SPACE, pending=10**9)


def paused(told, number, steps):
    told.emit(AttemptStarted(trial=number, attempt=1))
    for step in range(1, steps + 1):
        told.emit(Reported(trial=number, attempt=1, step=step, metrics={"loss": loss(told.rows[number].params, step)}))
    told.emit(TrialPaused(trial=number, attempt=1, step=steps, parked=False, by="asha"))


def test_it_learns_from_trials_of_which_none_has_ended():
    late = []
    for seed in range(2):
        told = history(seed)
        for number in range(24):
            told.grow(1)
            paused(told, number, 9 if number % 3 == 0 else 3)
        late += [loss(told.rows[number].params, 1) - 1.0 for number in range(17, 24)]
    assert np.median(late) < 0.05  # of random params: 0.3


def test_a_replay_suggests_the_same_though_fits_were_never_asked_for():
    told = history()
    for number in range(24):
        told.grow(1)
        paused(told, number, 3)
    for after, number, answer in told.answers[::6]:
        searcher = CurveSearcher(SPACE, metrics=(LOSS,), seed=0)
        for event, row in told.events[:after]:
            if type(event.body) in searcher.reads:
                searcher.update(event, row)
        assert searcher.suggest(number) == answer


def test_trials_that_never_say_how_far_they_are_count_as_whole():
    told = history()
    for number in range(16):
        told.grow(1)
        told.emit(AttemptStarted(trial=number, attempt=1))
        value = loss(told.rows[number].params, 1)
        told.emit(
            TrialEnded(trial=number, attempt=1, status=TrialStatus.COMPLETED, metrics={"loss": value}, value=value)
        )
    assert len({SPACE.key(suggestion.params) for suggestion in told.suggestions()}) == 16


def test_the_model_is_bounded():
    told = history()
    for number in range(300):
        told.suggested(Suggestion(params=SPACE.sample(random.Random(number))), "enqueue")
        paused(told, number, 4)
    data = told.searcher._data(MAX_ROWS)
    assert len(data.rows) <= MAX_ROWS
    assert np.isfinite(data.values).all()
    assert 0.0 <= data.times.min() <= data.times.max() == 1.0


def test_several_metrics_need_a_name():
    metrics = (LOSS, Metric(name="size", mode=Mode.MIN))
    with pytest.raises(ConfigError, match="say which"):
        CurveSearcher(SPACE, metrics=metrics)
    assert CurveSearcher(SPACE, metrics=metrics, metric="size").suggest(0)
