"""Searchers, schedulers and samplers that are given as objects: they live in this process, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trialist import HPOptimizer, HPOResults, SearchSpace, UserError, load_study
from trialist.api.leading import Turn
from trialist.core.errors import ConfigError, ObjectiveError
from trialist.core.records import Holder, Lease, Metric, Mode
from trialist.hpo.choosing import choose_scheduler, choose_searcher, epochs_of
from trialist.hpo.queued import lead_queued
from trialist.schedule.asha import AshaScheduler
from trialist.search.random import RandomSearcher

Optimise = Callable[..., HPOResults]
X = {"x": {"type": "uniform", "low": -1.0, "high": 1.0}}
LOSS = (Metric(name="loss", mode=Mode.MIN),)


def test_a_searcher_and_a_scheduler_may_be_objects(bowl: Optimise, store: str) -> None:
    searcher = RandomSearcher(SearchSpace.of(X), metrics=LOSS, seed=11)
    scheduler = AshaScheduler(metrics=LOSS, eta=3, min_steps=1, max_steps=9)
    options: dict[str, Any] = {"search_algorithm": searcher, "scheduler": scheduler, "training_config": {"epochs": 9}}
    one = bowl(num_trials=4, study_name="objects", **options)
    assert [trial.params for trial in one.trials] == [searcher.suggest(number).params for number in range(4)]
    assert {trial.step for trial in one.trials} > {9}
    assert len(bowl(num_trials=6, study_name="objects", resume=True, **options)) == 6

    elsewhere = load_study("objects", store=store)
    assert elsewhere.set_budget(num_trials=8)
    with pytest.raises(UserError, match=r"searcher was given as an object \(RandomSearcher\)"):
        elsewhere.ask()
    turn = Turn(
        Lease(study_id=elsewhere.id, epoch=1, holder=Holder(host="h", machine="m", pid=1, pid_started="1"), ttl_s=9), {}
    )
    with pytest.raises(ObjectiveError, match=r"searcher that was given as an object \(trialist\.search\.random"):
        lead_queued(elsewhere, turn)


def test_what_is_neither_is_refused() -> None:
    space = SearchSpace.of(X)
    with pytest.raises(ConfigError, match="give the searcher by name"):
        choose_searcher(3, space, LOSS, 0)
    with pytest.raises(ConfigError, match="give the searcher by name"):
        choose_searcher(AshaScheduler(metrics=LOSS), space, LOSS, 0)
    with pytest.raises(ConfigError, match="give the scheduler by name"):
        choose_scheduler(RandomSearcher(space, metrics=LOSS, seed=0), None)


@pytest.mark.parametrize(
    ("given", "epochs", "options"),
    [
        ("asha", 9, {"max_steps": 9}),
        ("asha", None, {}),
        ({"name": "asha", "max_steps": 5}, 9, {"max_steps": 5}),
        ({"name": "asha", "rungs": [1, 3]}, 9, {"rungs": [1, 3]}),
        ("pbt", 9, {"max_steps": 9}),
        ("median", 9, {}),
    ],
)
def test_a_scheduler_is_told_how_long_a_trial_is(given: Any, epochs: int | None, options: dict[str, Any]) -> None:
    spec = choose_scheduler(given, epochs).spec
    assert spec is not None
    assert dict(spec.options) == options


def test_the_length_of_a_trial_is_what_configs_or_space_say() -> None:
    where = {"n": "training.epochs"}
    assert epochs_of(SearchSpace.of({"n": [3, 9, 5]}), {}, where) == 9
    assert epochs_of(SearchSpace.of({"n": {"type": "randint", "low": 2, "high": 7}}), {}, where) == 7
    assert epochs_of(SearchSpace.of(X), {"num_epochs": 4}, {"x": "model.x"}) == 4
    assert epochs_of(SearchSpace.of(X), {}, {"x": "model.x"}) is None
    with pytest.raises(ConfigError, match=r"scheduler: 'pbt' must know how long.*training_config=\{'epochs': 20\}"):
        choose_scheduler("pbt", None)


@pytest.mark.extras
def test_any_sampler_of_optuna_may_be_given(bowl: Optimise) -> None:
    optuna = pytest.importorskip("optuna")
    sampler = optuna.samplers.RandomSampler(seed=3)
    one = bowl(search_algorithm=sampler, num_trials=4)
    two = bowl(search_algorithm={"name": "optuna", "sampler": sampler}, num_trials=4)
    assert [trial.params for trial in one.trials] == [trial.params for trial in two.trials]
    assert {trial.source for trial in one.trials} == {"optuna"}
    assert one.study.row.spec.searcher.options["class"].endswith("RandomSampler")


@pytest.mark.extras
def test_optuna_by_name(bowl: Optimise) -> None:
    pytest.importorskip("optuna")
    results = bowl(search_algorithm={"name": "optuna", "sampler": "RandomSampler"}, num_trials=3, hpo=HPOptimizer())
    assert len(results.study.trials(status="completed")) == 3
