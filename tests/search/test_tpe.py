"""TPE: it learns, on mixed and conditional spaces, of several metrics, and from failed, pending, stopped and foreign trials."""

from __future__ import annotations

import random

import numpy as np
import pytest

from trialist.core.errors import ConfigError
from trialist.core.events import AttemptStarted, Reported, StudyCreated, TrialEnded
from trialist.core.records import (
    Bound,
    Failure,
    FailureReason,
    Metric,
    Mode,
    OutcomeConstraint,
    Spec,
    StudySpec,
    Suggestion,
)
from trialist.core.states import TrialStatus
from trialist.search import tpe
from trialist.search.domination import hypervolume
from trialist.search.tpe import TpeSearcher
from trialist.space import Choice, Float, Int, SearchSpace
from trialist.testing.searchers import LOSS, SPACES, History

LINE = SearchSpace.of({"x": Float(0.0, 1.0)})
SQUARE = SearchSpace.of({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
DEEP = SearchSpace.of(
    {
        "model": Choice(
            [
                {"name": "linear", "c": Float(1e-3, 1e3, log=True)},
                {"name": "tree", "depth": Int(1, 20), "grow": Choice([{"name": "best"}, {"name": "leafwise", "leaves": Int(2, 64)}])},
                {"name": "net", "lr": Float(1e-5, 1e-1, log=True), "layers": Int(1, 6)},
            ]
        )
    }
)  # fmt: skip


def searcher(space=SQUARE, seed=0, metrics=(LOSS,), **options) -> TpeSearcher:
    return TpeSearcher(space, metrics=metrics, seed=seed, **options)


def end(history: History, number: int, status=TrialStatus.COMPLETED, step=1, **metrics: float) -> None:
    error = Failure(reason=FailureReason.EXCEPTION, message="broke") if status is TrialStatus.FAILED else None
    if history.rows[number].status is TrialStatus.WAITING:
        history.emit(AttemptStarted(trial=number, attempt=1))
    history.emit(TrialEnded(trial=number, attempt=1, status=status, step=step, metrics=metrics, error=error))


def seen(space, points, ends, **more) -> History:
    """A history of trials that somebody enqueued, each with what became of it."""
    history = History(searcher=searcher(space, **more), space=space, pending=10**9)
    for number, (params, told) in enumerate(zip(points, ends, strict=True)):
        history.suggested(Suggestion(params=params), "enqueue")
        if told is not None:
            end(history, number, **told)
    return history


def asks(history: History, count: int = 40) -> list[dict]:
    """What it would suggest under different numbers: as many draws of one state."""
    return [dict(history.searcher.suggest(number).params) for number in range(1000, 1000 + count)]


def run(space, objective, trials: int, seed: int = 0, **more) -> list[float]:
    history = History(searcher=searcher(space, seed, **more), space=space, pending=10**9)
    losses = []
    for number in range(trials):
        history.grow(1)
        losses.append(objective(history.rows[number].params))
        end(history, number, loss=losses[-1])
    return losses


def test_it_comes_much_closer_than_random_draws():
    def objective(p):
        return (p["x"] - 0.7) ** 2 + (p["y"] - 0.2) ** 2

    rng = random.Random(0)
    best = [min(run(SQUARE, objective, 60, seed)) for seed in range(5)]
    drawn = [min(objective(SQUARE.sample(rng)) for _ in range(60)) for _ in range(5)]
    assert np.median(best) < 0.3 * np.median(drawn)


def test_it_learns_inside_of_branches():
    def objective(p):
        m = p["model"]
        if m["name"] != "tree":
            return 2.0
        inner = abs(m["grow"]["leaves"] - 40) / 62 if m["grow"]["name"] == "leafwise" else 0.9
        return inner + abs(m["depth"] - 12) / 20

    best = [min(run(DEEP, objective, 80, seed)) for seed in range(5)]
    assert np.median(best) < 0.15


def test_the_first_trials_fill_the_space_evenly():
    history = History(searcher=searcher(LINE, start=16), space=LINE).grow(16)
    cells = {int(16 * suggestion.params["x"]) for suggestion in history.suggestions()}
    assert len(cells) == 16


def scattered(count: int, seed: int = 0) -> list[dict]:
    rng = random.Random(seed)
    return [SQUARE.sample(rng) for _ in range(count)]


def test_a_region_of_failures_repels():
    """The loss falls towards a half of the square in which everything fails."""
    points = scattered(80)

    def inside(told) -> int:
        ends = [told if p["x"] < 0.4 else {"loss": p["x"] + p["y"]} for p in points]
        return sum(params["x"] < 0.4 for params in asks(seen(SQUARE, points, ends), 60))

    assert inside({"status": TrialStatus.FAILED}) < 12
    assert inside({"status": TrialStatus.CANCELLED}) > 30, "nothing is known of cancelled ones"


def test_pending_trials_repel():
    points = scattered(60)
    ends = [{"loss": (p["x"] - 0.5) ** 2 + (p["y"] - 0.5) ** 2} for p in points]
    crowd = [{"x": 0.5 + k / 100, "y": 0.5 - k / 100} for k in range(6)]

    def distance(history) -> float:
        return float(np.mean([abs(p["x"] - 0.5) + abs(p["y"] - 0.5) for p in asks(history)]))

    free, busy = seen(SQUARE, points, ends), seen(SQUARE, [*points, *crowd], [*ends, *[None] * 6])
    assert distance(busy) > 1.3 * distance(free)


def test_stopped_and_running_trials_count_after_complete_ones():
    """A stopped trial with a lower loss does not beat a complete one; without complete ones the furthest lead."""
    low, high = (
        [{"x": 0.1 + k / 1000, "y": 0.5} for k in range(10)],
        [{"x": 0.9 + k / 1000, "y": 0.5} for k in range(10)],
    )
    stopped, done = {"status": TrialStatus.STOPPED, "step": 2, "loss": 0.0}, {"step": 9, "loss": 1.0}
    history = seen(SQUARE, [*low, *high], [*[stopped] * 10, *[done] * 10])
    assert np.mean([params["x"] for params in asks(history)]) > 0.6

    history = seen(SQUARE, [*low, *high], [None] * 20)
    for number in range(20):
        history.emit(AttemptStarted(trial=number, attempt=1))
        for step in (1, 3) if number < 10 else (1,):
            history.emit(Reported(trial=number, attempt=1, step=step, metrics={"loss": 5.0 if number < 10 else 0.0}))
    assert np.mean([params["x"] for params in asks(history)]) < 0.4


def test_results_that_break_a_constraint_repel():
    history = History(searcher=searcher(), space=SQUARE, pending=10**9)
    constraint = OutcomeConstraint(metric="size", bound=Bound.AT_MOST, limit=1.0)
    spec = StudySpec(
        id="0" * 32, name="s", space=SQUARE.to_json(), metrics=(LOSS,), searcher=Spec(name="tpe"),
        executor=Spec(name="inline"), outcome_constraints=(constraint,),
    )  # fmt: skip
    history.emit(StudyCreated(spec=spec))
    for number, params in enumerate(scattered(80)):
        history.suggested(Suggestion(params=params), "enqueue")
        end(history, number, loss=params["x"] + params["y"], size=2.0 if params["x"] < 0.4 else 0.5)
    assert sum(params["x"] < 0.4 for params in asks(history, 60)) < 12


def test_several_metrics_spread_over_the_front():
    metrics = (Metric(name="loss", mode=Mode.MIN), Metric(name="score", mode=Mode.MAX))

    def objectives(p):
        return {"loss": p["x"] ** 2 + p["y"], "score": -((p["x"] - 1) ** 2) - p["y"]}

    def volume(results):
        return hypervolume(np.array([[r["loss"], -r["score"]] for r in results]), np.array([1.5, 1.5]))

    history = History(searcher=searcher(metrics=metrics), space=SQUARE, pending=10**9)
    told = []
    for number in range(80):
        history.grow(1)
        told.append(objectives(history.rows[number].params))
        end(history, number, **told[-1])
    rng = random.Random(0)
    assert volume(told) > 1.05 * volume([objectives(SQUARE.sample(rng)) for _ in range(80)])
    late = [history.rows[number].params["x"] for number in range(40, 80)]
    assert min(late) < 0.3
    assert max(late) > 0.7


def test_what_others_are_drawn_from_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """Of a long history a part is drawn; the suggestion stays a function of the events and the number."""
    monkeypatch.setattr(tpe, "MAX_OTHERS", 20)
    rng = random.Random(0)
    points = [SPACES["mixed"].sample(rng) for _ in range(300)]
    ends = [{"loss": rng.random()} for _ in points]
    one, again = (seen(SPACES["mixed"], points, ends) for _ in range(2))
    assert asks(one, 5) == asks(again, 5)
    rows, weights = one.searcher._others(np.random.default_rng(0), one.searcher._seen.best(25))
    assert 15 <= len(rows) <= 45
    assert weights.sum() == pytest.approx(275, rel=0.1)


def test_constraints_on_params_hold_and_a_finite_space_is_tried_whole():
    space = SPACES["constrained finite"]
    history = History(searcher=searcher(space, start=3), space=space).grow(space.count())
    assert len({space.key(suggestion.params) for suggestion in history.suggestions()}) == space.count()


def test_options_and_metrics():
    with pytest.raises(ConfigError, match="'start'"):
        searcher(start=0)
    with pytest.raises(ConfigError, match="the study has none"):
        searcher(metrics=())
