"""Each preset runs, shortened; each search space fits the model type that it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trialist import ConfigLoader, HPOResults, SearchSpace, TrainingEngine
from trialist.hpo.planning import make_plan
from trialist.hpo.sections import Sections

PRESET = ConfigLoader().load_config("hpo")
SGD = {"type": "sklearn", "estimator": "SGDClassifier"}
SPACES = [
    ("sklearn", {"type": "sklearn", "estimator": "SVC"}, {"dataset": "iris"}),
    ("sklearn", {"type": "sklearn", "estimator": "LogisticRegression"}, {"dataset": "iris"}),
    ("sgd", SGD, {"dataset": "iris"}),
    ("forest", {"type": "sklearn", "estimator": "RandomForestClassifier"}, {"dataset": "iris"}),
    ("boosting", {"type": "sklearn", "estimator": "HistGradientBoostingClassifier"}, {"dataset": "iris"}),
    pytest.param("mlp", {"type": "mlp"}, {"dataset": "iris"}, marks=pytest.mark.extras),
    pytest.param("ppo", {"type": "ppo"}, {"env": "CartPole-v1"}, marks=pytest.mark.extras),
    pytest.param("text_classifier", {"type": "text_classifier"}, {"dataset": "any"}, marks=pytest.mark.extras),
]


@pytest.mark.parametrize(("name", "model", "data"), SPACES)
def test_a_space_fits_its_model_type(name: str, model: dict[str, Any], data: dict[str, Any]) -> None:
    plan = make_plan(
        TrainingEngine(),
        SearchSpace.of(PRESET["search_spaces"][name]),
        Sections.of(model, data, {}),
        mapping={},
        metric=None,
        mode=None,
        timeout_s=None,
        runs_on="local",
    )
    assert set(plan.record.places) == set(PRESET["search_spaces"][name])


def test_every_space_is_tried_here() -> None:
    named = {getattr(one, "values", one)[0] for one in SPACES}
    assert named == set(PRESET["search_spaces"])


@pytest.mark.parametrize(
    "name",
    ["quick_test", pytest.param("standard", marks=pytest.mark.extras), "extensive", "production"],
)
def test_an_experiment_runs(name: str, bowl: Callable[..., HPOResults]) -> None:
    """On a model that trains in no time; the example runs one on a real one."""
    shortened = {**PRESET["experiments"][name], "num_trials": 6, "max_concurrent_trials": 2}
    results = bowl(training_config={"epochs": 9}, **shortened)
    assert results.status == "completed"
    assert sum(trial.record.counted for trial in results.trials) == 6
    assert results.best_score is not None
    assert results.study.trials(status="failed") == []
