"""CMA-ES: generations from events in any order, mixed spaces, failures, restarts, and that it finds what it should."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trialist.core.errors import ConfigError
from trialist.core.events import AttemptStarted, Reported, StudyCreated, TrialEnded, TrialPaused
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
from trialist.space import Choice, Float, Int, SearchSpace
from trialist.testing.searchers import LOSS, History

pytest.importorskip("cmaes")

from trialist.search import cmaes
from trialist.search.cmaes import NOTE, CmaEsSearcher

pytestmark = pytest.mark.extras

BOWL = SearchSpace.of({name: Float(-5.0, 5.0) for name in "abcd"})
MIXED = SearchSpace.of(
    {
        "x": Float(0.0, 1.0),
        "lr": Float(1e-5, 1e-1, log=True),
        "n": Int(1, 9),
        "two": Int(0, 1),
        "k": Choice(["a", "b", "c"]),
    }
)


def searcher(space=BOWL, seed=0, **options):
    return CmaEsSearcher(space, metrics=(LOSS,), seed=seed, **options)


def end(history: History, number: int, loss: float = 0.0, status=TrialStatus.COMPLETED, step=1) -> None:
    error = Failure(reason=FailureReason.EXCEPTION, message="broke") if status is TrialStatus.FAILED else None
    if history.rows[number].status is TrialStatus.WAITING:
        history.emit(AttemptStarted(trial=number, attempt=1))
    metrics = {} if status is TrialStatus.FAILED else {"loss": loss}
    history.emit(TrialEnded(trial=number, attempt=1, status=status, step=step, metrics=metrics, error=error))


def run(space, objective, trials: int, seed: int = 0, **options) -> list[float]:
    history = History(searcher=searcher(space, seed, **options), space=space, pending=10**9)
    losses = []
    for number in range(trials):
        history.grow(1)
        losses.append(objective(history.rows[number].params))
        end(history, number, losses[-1])
    return losses


def generation(history: History) -> int:
    return history.searcher.suggest(len(history.rows)).note[NOTE][0]


def test_it_finds_the_middle_of_a_bowl():
    best = [min(run(BOWL, lambda p: sum((x - 1.5) ** 2 for x in p.values()), 200, seed)) for seed in range(3)]
    assert np.median(best) < 0.01


def test_it_finds_its_way_in_a_mixed_space():
    def objective(p):
        far = (p["x"] - 0.7) ** 2 + ((math.log10(p["lr"]) + 3) / 4) ** 2
        return far + abs(p["n"] - 6) / 8 + (p["two"] == 0) + (p["k"] != "b")

    best = [min(run(MIXED, objective, 200, seed)) for seed in range(3)]
    assert np.median(best) < 0.02


def test_a_generation_ends_when_enough_of_its_trials_have_and_late_ones_are_of_no_account():
    history = History(searcher=searcher(population=4), space=BOWL, pending=99).grow(6)
    end(history, 5, 1.0)
    end(history, 2, 3.0, TrialStatus.CANCELLED)
    end(history, 0, 2.0)
    end(history, 1, status=TrialStatus.FAILED)
    assert generation(history) == 0, "three results, one replaced"
    end(history, 3, math.nan)
    assert generation(history) == 1
    before = history.searcher.suggest(6)
    end(history, 4, -1.0)
    assert history.searcher.suggest(6) == before, "of an old generation"


def test_the_order_is_complete_then_the_furthest_then_failed():
    def after(*ends) -> Suggestion:
        history = History(searcher=searcher(population=4), space=BOWL, pending=99).grow(4)
        for number, loss, status, step in ends:
            end(history, number, loss, status, step)
        assert generation(history) == 1
        return history.searcher.suggest(4)

    done, stopped, failed = TrialStatus.COMPLETED, TrialStatus.STOPPED, TrialStatus.FAILED
    told = after((3, 0.0, failed, 9), (2, -9.0, stopped, 2), (1, -5.0, stopped, 3), (0, 7.0, done, 1))
    assert told == after((0, 1.0, done, 1), (1, 2.0, done, 1), (2, 3.0, done, 1), (3, 4.0, done, 1))


def test_results_that_break_constraints_rank_by_how_much():
    def after(*told) -> Suggestion:
        history = History(searcher=searcher(population=4), space=BOWL, pending=99)
        constraint = OutcomeConstraint(metric="size", bound=Bound.AT_MOST, limit=1.0)
        spec = StudySpec(
            id="0" * 32, name="s", space=BOWL.to_json(), metrics=(LOSS,), searcher=Spec(name="cmaes"),
            executor=Spec(name="inline"), outcome_constraints=(constraint,),
        )  # fmt: skip
        history.emit(StudyCreated(spec=spec))
        history.grow(4)
        for number, metrics in enumerate(told):
            history.emit(AttemptStarted(trial=number, attempt=1))
            history.emit(TrialEnded(trial=number, attempt=1, status=TrialStatus.COMPLETED, metrics=metrics))
        return history.searcher.suggest(4)

    broken = [{"loss": -9.0}, {"loss": -5.0, "size": 4.0}, {"loss": 0.0, "size": 2.0}, {"loss": 5.0, "size": 1.0}]
    assert after(*broken) == after(*({"loss": loss, "size": 0.0} for loss in (4.0, 3.0, 2.0, 1.0)))


def test_a_paused_trial_counts_with_what_it_has_shown():
    history = History(searcher=searcher(population=4), space=BOWL, pending=99).grow(4)
    for number in range(4):
        history.emit(AttemptStarted(trial=number, attempt=1))
        history.emit(Reported(trial=number, attempt=1, step=1, metrics={"loss": float(number)}))
        by = "person" if number == 0 else "asha"
        history.emit(TrialPaused(trial=number, attempt=1, step=1, parked=True, by=by))
    assert generation(history) == 0, "what a person paused will go on"
    history.grow(1)
    end(history, 4, 0.0)
    assert generation(history) == 1


def test_trials_of_others_are_no_members():
    history = History(searcher=searcher(population=4), space=BOWL, pending=99)
    for number in range(8):
        history.suggested(Suggestion(params=dict.fromkeys("abcd", 0.0), note={NOTE: [0, 0]}), "enqueue")
        end(history, number, 0.0)
    assert generation(history) == 0


def test_all_alike_begins_again_elsewhere_with_a_larger_population(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cmaes, "FLAT", 3)
    one = searcher(population=4)
    history = History(searcher=one, space=BOWL, pending=99)
    for number in range(11):
        history.grow(1)
        end(history, number, 1.0)
    assert one._optimizer.population_size == 4
    history.grow(1)
    end(history, 11, 1.0)
    assert one._optimizer.population_size == 8
    assert generation(history) == 3, "draws go on from other seeds"


def test_a_converged_one_begins_again():
    losses = run(
        SearchSpace.of({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)}), lambda p: (p["x"] - 0.3) ** 2 + p["y"] ** 2, 900
    )
    assert min(losses) < 1e-6
    assert max(losses[-300:]) > 1e-3, "it looks elsewhere"


def test_modes_and_metrics():
    high = Metric(name="score", mode=Mode.MAX)
    one = CmaEsSearcher(BOWL, metrics=(LOSS, high), metric="score")
    assert one._metric is high
    with pytest.raises(ConfigError, match="the study has 2"):
        CmaEsSearcher(BOWL, metrics=(LOSS, high))
    with pytest.raises(ConfigError, match="the study has none"):
        CmaEsSearcher(BOWL)
    with pytest.raises(ConfigError, match="population"):
        searcher(population=3)


def test_a_space_of_choices_alone():
    space = SearchSpace.of({name: Choice(["a", "b", "c", "d"]) for name in "pqr"})
    losses = run(space, lambda p: sum(value != "c" for value in p.values()), 60)
    assert min(losses) == 0
