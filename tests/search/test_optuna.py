"""Optuna's samplers: our space in its words, what it is told of trials, its errors, and what is not promised."""

from __future__ import annotations

import logging
import random
import warnings

import pytest

import trialist
from trialist.core.errors import ConfigError, MissingExtra
from trialist.core.events import AttemptStarted, StudyCreated, TrialEnded
from trialist.core.records import (
    Bound,
    Exhausted,
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
from trialist.testing.searchers import LOSS, SPACES, History

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState  # noqa: E402

from trialist.search.optuna import OptunaSearcher  # noqa: E402

pytestmark = pytest.mark.extras

ALL_KINDS = SearchSpace.of(
    {
        "line": Float(-1.0, 3.0),
        "log": Float(1e-5, 1e-1, log=True),
        "step": Float(0.0, 0.55, q=0.1),
        "log step": Float(0.1, 2.0, log=True, q=0.1),
        "int": Int(-3, 9),
        "int step": Int(1, 12, step=4),
        "int log": Int(1, 1000, log=True),
        "int log step": Int(1, 1000, log=True, step=3),
        "huge": Int(0, 2**80),
        "words": Choice(["a", "b", None, 1.5]),
        "alike": Choice([1, True, "1", 0, False]),
        "lists": Choice([[1, 2], [3], {"deep": 1}]),
        "model": Choice(
            [
                {"name": "tree", "size": Int(1, 5)},
                {
                    "name": "net",
                    "size": Float(0.0, 1.0),
                    "more": Choice([{"name": "x", "rate": Float(0.0, 1.0)}, "no"]),
                },
                "none",
            ]
        ),
    }
)


def searcher(space=SPACES["line"], metrics=(LOSS,), seed=0, **options):
    return OptunaSearcher(space, metrics=metrics, seed=seed, **{"sampler": "RandomSampler", **options})


def end(history: History, number: int, status=TrialStatus.COMPLETED, step=1, **metrics: float) -> None:
    error = Failure(reason=FailureReason.EXCEPTION, message="broke") if status is TrialStatus.FAILED else None
    history.emit(AttemptStarted(trial=number, attempt=1))
    history.emit(TrialEnded(trial=number, attempt=1, status=status, step=step, metrics=metrics, error=error))


def theirs(one: OptunaSearcher):
    assert one._study is not None
    return one._study.get_trials()


def test_every_kind_of_domain_goes_there_and_back():
    rng = random.Random(0)
    history = History(searcher=searcher(ALL_KINDS), space=ALL_KINDS).grow(60)
    for suggestion in history.suggestions():
        assert ALL_KINDS.check(suggestion.params) == suggestion.params
    for _ in range(60):
        params = ALL_KINDS.sample(rng)
        number = history.suggested(Suggestion(params=params), "enqueue")
        trial = theirs(history.searcher)[-1]
        assert trial.state is TrialState.RUNNING
        end(history, number, loss=0.0)
        assert trial.params["line"] == params["line"]
        assert trial.params["step"] == params["step"]
        assert trial.params["int log"] == params["int log"]
        assert ("model.size (where model is {name=tree, size})" in trial.params) == (
            isinstance(params["model"], dict) and params["model"]["name"] == "tree"
        )


@pytest.mark.parametrize("name", ["TPESampler", "QMCSampler", "BruteForceSampler", "NSGAIISampler"])
def test_samplers_search_conditional_spaces(name):
    space = SPACES["conditional finite"]
    history = History(searcher=searcher(space, sampler=name), space=space).grow(8)
    assert {str(one.params["model"]["name"]) for one in history.suggestions()} == {"linear", "tree"}


def test_a_sampler_hears_what_happened():
    history = History(searcher=searcher(), space=SPACES["line"], pending=99).grow(6)
    end(history, 0, loss=0.5)
    end(history, 1, TrialStatus.STOPPED, step=7, loss=0.25)
    end(history, 2, loss=float("nan"))
    end(history, 3, TrialStatus.FAILED)
    end(history, 4, TrialStatus.CANCELLED, loss=0.1)
    states = [trial.state.name for trial in theirs(history.searcher)]
    assert states == ["COMPLETE", "PRUNED", "FAIL", "FAIL", "FAIL", "RUNNING"]
    complete, pruned = theirs(history.searcher)[:2]
    assert (complete.value, pruned.value, pruned.intermediate_values) == (0.5, 0.25, {7: 0.25})
    assert [trial.params["x"] for trial in theirs(history.searcher)] == [s.params["x"] for s in history.suggestions()]


@pytest.mark.parametrize(("sampler", "state"), [("TPESampler", "COMPLETE"), ("RandomSampler", "FAIL")])
def test_outcome_constraints_are_given_to_samplers_that_take_some(sampler, state):
    more = {"n_startup_trials": 2} if sampler == "TPESampler" else {}
    history = History(searcher=searcher(sampler=sampler, **more), space=SPACES["line"], pending=99)
    constraint = OutcomeConstraint(metric="size", bound=Bound.AT_MOST, limit=1.0)
    spec = StudySpec(
        id="0" * 32, name="s", space=SPACES["line"].to_json(), metrics=(LOSS,), searcher=Spec(name="optuna"),
        executor=Spec(name="inline"), outcome_constraints=(constraint,),
    )  # fmt: skip
    history.emit(StudyCreated(spec=spec))
    history.grow(4)
    end(history, 0, loss=1.0, size=0.5)
    end(history, 1, loss=0.0, size=3.0)
    end(history, 2, loss=0.0)
    assert [trial.state.name for trial in theirs(history.searcher)[:3]] == ["COMPLETE", state, "FAIL"]
    if sampler == "TPESampler":
        assert history.searcher._study.best_trial.number == 0
    history.grow(3)


def test_several_metrics_and_their_modes():
    metrics = (Metric(name="loss", mode=Mode.MIN), Metric(name="speed", mode=Mode.MAX))
    history = History(searcher=searcher(metrics=metrics, sampler="TPESampler"), space=SPACES["line"], pending=99).grow(
        3
    )
    end(history, 0, loss=1.0, speed=2.0)
    end(history, 1, TrialStatus.STOPPED, loss=1.0, speed=2.0)
    end(history, 2, loss=1.0)
    assert [trial.state.name for trial in theirs(history.searcher)] == ["COMPLETE", "PRUNED", "FAIL"]
    assert theirs(history.searcher)[0].values == [1.0, 2.0]
    assert [way.name for way in history.searcher._study.directions] == ["MINIMIZE", "MAXIMIZE"]
    history.grow(1)


def test_a_proposal_whose_number_another_trial_takes_is_given_up():
    history = History(searcher=searcher(), space=SPACES["line"])
    proposed = history.searcher.suggest(0)
    history.suggested(Suggestion(params={"x": 0.25}), "enqueue")
    assert [trial.state.name for trial in theirs(history.searcher)] == ["FAIL", "RUNNING"]
    assert theirs(history.searcher)[1].params == {"x": 0.25}
    assert history.searcher.suggest(1) != proposed


def test_it_learns():
    space = SPACES["line"]
    history = History(searcher=searcher(sampler="TPESampler", seed=3), space=space, pending=0).grow(40)
    late = [history.value(number) for number in range(30, 40) if number in history.rows]
    early = [history.value(number) for number in range(10)]
    assert sum(late) < 0.5 * sum(early)


def test_after_an_interruption_it_knows_the_history_and_draws_other_numbers():
    history = History(searcher=searcher(seed=5), space=SPACES["line"]).grow(4)
    later = searcher(seed=5)
    for event, row in history.events:
        if type(event.body) in later.reads:
            later.update(event, row)
    assert [t.params for t in theirs(later)] == [t.params for t in theirs(history.searcher)]
    assert [t.state for t in theirs(later)] == [t.state for t in theirs(history.searcher)]
    assert later.suggest(4).params not in [suggestion.params for suggestion in history.suggestions()]


def test_a_sampler_object_is_taken_as_it_is_and_may_be_exhausted():
    grid = optuna.samplers.GridSampler({"x": [0.5, -0.5]})
    one = OptunaSearcher(SPACES["line"], metrics=(LOSS,), sampler=grid)
    history = History(searcher=one, space=SPACES["line"], pending=0).grow(9)
    assert {suggestion.params["x"] for suggestion in history.suggestions()} == {0.5, -0.5}
    assert history.answers[-1][2] == Exhausted(reason="sampler 'GridSampler' of Optuna has nothing left to try")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "TPESampller"}, "names no sampler of Optuna: 'TPESampller'. Did you mean 'TPESampler'"),
        ({"sampler": "BaseSampler"}, "names no sampler"),
        ({"sampler": 3}, "names no sampler"),
        (
            {"sampler": "TPESampler", "n_startup_trial": 3},
            "no option 'n_startup_trial'.*Did you mean 'n_startup_trials'",
        ),
        ({"sampler": "QMCSampler", "qmc_type": "nonsense"}, "sampler 'QMCSampler' of Optuna says: .*qmc_type"),
    ],
)
def test_a_mistake_in_the_options_is_named(options, words):
    with pytest.raises(ConfigError, match=words):
        searcher(**options)
    with pytest.raises(ConfigError, match="the study has none"):
        searcher(metrics=())


def test_a_sampler_that_cannot_search_the_study_says_so(monkeypatch: pytest.MonkeyPatch):
    one = searcher(sampler="GPSampler", metrics=(LOSS,))

    def missing(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(type(one._factory.make(0)), "infer_relative_search_space", missing)
    with pytest.raises(MissingExtra, match=r"trialist\[torch\]"):
        one.suggest(0)

    def refuse(*args, **kwargs):
        raise ValueError("not for me")

    two = searcher()
    monkeypatch.setattr(type(two._factory.make(0)), "sample_independent", refuse)
    with pytest.raises(ConfigError, match="sampler 'RandomSampler' of Optuna says: not for me"):
        two.suggest(0)


def test_optunas_log_and_warnings_stay_as_they_are(caplog: pytest.LogCaptureFixture):
    optuna.logging.enable_propagation()
    before = optuna.logging.get_verbosity()
    try:
        with caplog.at_level(logging.INFO), warnings.catch_warnings():
            warnings.simplefilter("error")
            History(searcher=searcher(sampler="QMCSampler"), space=SPACES["line"]).grow(3)
    finally:
        optuna.logging.disable_propagation()
    assert optuna.logging.get_verbosity() == before
    assert not caplog.records


def test_a_study_runs_and_fsck_says_what_is_not_promised(tmp_path):
    store = f"sqlite:///{tmp_path}/trials.db"
    study = trialist.create_study(
        "theirs", {"x": Float(0.0, 1.0)}, metric="loss", mode="min", store=store,
        searcher={"name": "optuna", "sampler": "RandomSampler"},
    )  # fmt: skip
    study.run(lambda x: x, num_trials=5)
    found = trialist.fsck(store=store, replay=True)
    assert found.ok
    assert found.replayed == 0
    assert [finding.problem for finding in found.findings] == [
        "searcher 'optuna' does not promise that its suggestions can be drawn again. All else was checked."
    ]
