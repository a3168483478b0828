"""The mixture: who suggests when, and that it is a function of the events."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from trialist import registry
from trialist.core.errors import ConfigError
from trialist.core.events import AttemptEnded, AttemptStarted, Reported, StudyCreated, TrialEnded, TrialPaused
from trialist.core.records import (
    Bound,
    Budget,
    EarlierStudy,
    EarlierTrial,
    Metric,
    Mode,
    OutcomeConstraint,
    OutcomeKind,
    Spec,
    StudySpec,
    Suggestion,
)
from trialist.core.states import TrialStatus
from trialist.search.auto import AutoSearcher
from trialist.space import SearchSpace
from trialist.testing.searchers import LOSS, SPACES, History

PLANE = SearchSpace.of(
    {"x": {"type": "uniform", "low": 0.0, "high": 1.0}, "y": {"type": "uniform", "low": 0.0, "high": 1.0}}
)
SIZE = OutcomeConstraint(metric="size", bound=Bound.AT_MOST, limit=1.0)


class Plane(History):
    """The loss falls with ``x + y``; the size is that sum, so the best trials are too large."""

    def end(self, number):
        params = self.rows[number].params
        size = params["x"] + params["y"]
        told = {"loss": 2.0 - size, "size": size, "other": params["x"]}
        self.emit(AttemptStarted(trial=number, attempt=1))
        self.emit(TrialEnded(trial=number, attempt=1, status=TrialStatus.COMPLETED, metrics=told, value=told["loss"]))


def plane(*, metrics=(LOSS,), pending=0, searcher="auto", **spec):
    made_one = registry.load("searcher", searcher)(PLANE, metrics=metrics, seed=0)
    history = Plane(searcher=made_one, space=PLANE, pending=pending)
    history.emit(StudyCreated(spec=made(metrics=metrics, **spec)))
    return history


def made(**changes):
    settings = {
        "id": "0" * 32,
        "name": "study",
        "space": PLANE.to_json(),
        "searcher": Spec(name="auto"),
        "executor": Spec(name="inline"),
        "budget": Budget(num_trials=20),
    }
    return StudySpec(**{**settings, **changes})


def parts(history):
    return [suggestion.note["by"] for suggestion in history.suggestions()]


def replays(history):
    """Whether a new searcher that sees the stored events suggests everything again."""
    metrics = history.events[0][0].body.spec.metrics
    for after, number, answer in history.answers:
        searcher = AutoSearcher(PLANE, metrics=metrics, seed=0)
        for event, row in history.events[:after]:
            if type(event.body) in searcher.reads:
                searcher.update(event, row)
        assert searcher.suggest(number) == answer


def test_points_that_fill_the_space_come_before_the_model():
    history = plane().grow(9)
    assert parts(history) == ["start"] * 5 + ["gp"] * 4
    replays(history)


def test_the_default_comes_first_then_the_best_of_earlier_studies():
    told = [({"x": 0.5, "y": at / 10}, float(at)) for at in range(6)]
    earlier = tuple(
        EarlierStudy(
            name=name,
            trials=tuple(
                EarlierTrial(params={**params, "x": x}, metrics={"loss": sign * loss}) for params, loss in told
            ),
        )
        for name, x, sign in (("one", 0.25, 1.0), ("other", 0.75, -1.0))
    )
    default = {"x": 0.25, "y": 0.0}  # which is the best of the first study, too
    history = plane(default=default, warm_start=earlier).grow(7)
    assert parts(history) == ["default"] + ["earlier"] * 4 + ["gp"] * 2
    assert [suggestion.params for suggestion in history.suggestions()[:5]] == [
        default,
        {"x": 0.75, "y": 0.5},
        {"x": 0.25, "y": 0.1},
        {"x": 0.75, "y": 0.4},
        {"x": 0.25, "y": 0.2},
    ]
    replays(history)


def test_what_a_person_enqueued_is_not_tried_again_as_the_default():
    history = plane(default={"x": 0.5, "y": 0.5})
    history.suggested(Suggestion(params={"x": 0.5, "y": 0.5}), "enqueue")
    assert parts(history.grow(3)) == ["start"] * 3


def test_without_a_metric_it_is_random_search():
    assert parts(plane(metrics=()).grow(8)) == ["random"] * 8


def test_several_metrics_are_for_the_estimator():
    metrics = (LOSS, Metric(name="other", mode=Mode.MIN))
    history = plane(metrics=metrics).grow(8)
    assert parts(history) == ["start"] * 5 + ["tpe"] * 3
    replays(history)


def test_where_a_scheduler_pauses_trials_the_model_learns_from_what_they_reported():
    history = plane(pending=10**9)
    for number in range(12):
        history.grow(1)
        history.emit(AttemptStarted(trial=number, attempt=1))
        history.emit(Reported(trial=number, attempt=1, step=1, metrics={"loss": float(number)}))
        history.emit(TrialPaused(trial=number, attempt=1, step=1, parked=False, by="asha"))
    assert parts(history) == ["start"] * 5 + ["curves"] * 7
    replays(history)


def test_a_trial_that_left_at_a_boundary_is_paused_too():
    history = plane(pending=10**9).grow(5)
    for by, part in (("person", "start"), ("asha", "curves")):
        number = len(history.rows) - 1
        history.emit(AttemptStarted(trial=number, attempt=1))
        history.emit(
            AttemptEnded(trial=number, attempt=1, outcome=OutcomeKind.EVICTED, status=TrialStatus.PAUSED, by=by)
        )
        assert parts(history.grow(1))[-1] == part


def test_what_a_person_pauses_changes_nothing():
    history = plane().grow(5)
    history.suggested(Suggestion(params={"x": 0.5, "y": 0.5}), "enqueue")
    history.emit(TrialPaused(trial=5, attempt=0, step=None, parked=False, by="person"))
    assert parts(history.grow(1))[-1] == "gp"


def test_where_nothing_is_feasible_the_search_is_for_what_is():
    tiny = OutcomeConstraint(metric="size", bound=Bound.AT_MOST, limit=0.2)
    history = plane(outcome_constraints=(tiny,)).grow(20)
    seen = parts(history)
    assert seen[:6] == ["start"] * 5 + ["feasible"]
    assert seen[-1] == "gp"
    sizes = [row.metrics["size"] for row in history.rows.values() if row.metrics]
    assert min(sizes[:5]) > 0.2 > min(sizes)
    replays(history)


@pytest.mark.parametrize("searcher", ["auto", "gp", "tpe", pytest.param("cmaes", marks=pytest.mark.extras)])
def test_an_infeasible_region_is_kept_away_from(searcher):
    if searcher == "cmaes":
        pytest.importorskip("cmaes")
    history = plane(searcher=searcher, outcome_constraints=(SIZE,)).grow(60 if searcher == "cmaes" else 30)
    late = [row.metrics["size"] for number, row in history.rows.items() if number >= len(history.rows) - 15]
    assert sum(size <= 1.0 for size in late) >= 7
    feasible = [row.metrics["size"] for row in history.rows.values() if row.metrics["size"] <= 1.0]
    assert max(feasible) > 0.9


def test_many_at_once_get_different_points():
    history = plane(pending=12).grow(12)
    assert parts(history) == ["start"] * 12
    assert len({PLANE.key(suggestion.params) for suggestion in history.suggestions()}) == 12


def test_pending_trials_are_kept_away_from_by_the_model():
    history = plane(pending=4).grow(11)
    keys = {PLANE.key(suggestion.params) for suggestion in history.suggestions()}
    assert len(keys) == 11
    replays(history)


def test_events_before_the_models_are_loaded_are_bounded():
    history = plane()
    for _ in range(1500):
        history.suggested(Suggestion(params={"x": 0.5, "y": 0.5}), "clone")
        history.end(len(history.rows) - 1)
    assert len(history.searcher._models._waiting) < 2001


def test_a_finite_space_is_tried_whole_before_anything_comes_again():
    space = SPACES["constrained finite"]
    history = History(searcher=AutoSearcher(space, metrics=(LOSS,), seed=5), space=space).grow(space.count())
    assert len({space.key(suggestion.params) for suggestion in history.suggestions()}) == space.count()


def test_it_takes_no_options():
    with pytest.raises(ConfigError, match="searcher 'auto' has no option 'start'"):
        AutoSearcher(PLANE, metrics=(LOSS,), start=3)


def test_nothing_heavy_is_loaded_before_the_model_is_asked():
    code = """
import json, sys, trialist
study = trialist.create_study("s", {"x": {"type": "uniform", "low": 0, "high": 1}}, metric="y", mode="min", store="memory")
study.run(lambda x: x, num_trials=5)
print(json.dumps([study.row.spec.searcher.name, [name for name in ("numpy", "scipy") if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["auto", []]
