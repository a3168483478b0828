"""Model type ``sklearn`` on real, bundled data: real scores, honest errors, exact resumption."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trialist.core.errors import ConfigError
from trialist.train.engine import TrainingEngine

IRIS = {"dataset": "iris"}


def train(
    estimator: str, data: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **values: Any
) -> dict[str, float]:
    return TrainingEngine().train({"type": "sklearn", "estimator": estimator, **values}, data or IRIS, training)


class Keeper:
    """Keeps the last checkpoint in a directory, as a study does for a trial."""

    def __init__(
        self, folder: Path, start: Path | None = None, resume_step: int | None = None, warm_start: str | None = None
    ) -> None:
        self.folder, self.checkpoint, self.resume_step, self.warm_start = folder, start, resume_step, warm_start

    def save_checkpoint(self, write: Callable[[Path], object]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        write(self.folder)


class Enough(Exception):
    pass


@pytest.mark.parametrize(
    ("estimator", "data", "training", "metric", "least"),
    [
        ("LogisticRegression", {"dataset": "iris", "standardize": True}, {}, "val_accuracy", 0.85),
        ("random_forest_classifier", {"dataset": "digits"}, {}, "val_accuracy", 0.9),
        ("sklearn.svm.SVC", {"dataset": "wine", "standardize": True}, {"cv": 5}, "val_accuracy", 0.95),
        ("Ridge", {"dataset": "diabetes"}, {"cv": 4}, "val_r2", 0.35),
        ("GaussianNB", {"dataset": "breast_cancer", "test_size": 0.4, "seed": 3}, {}, "val_accuracy", 0.9),
        ("mlp_classifier", {"dataset": "digits"}, {"lr": 0.01, "batch_size": 64, "epochs": 5}, "val_accuracy", 0.85),
        ("sgd", {"dataset": "digits"}, {"learning_rate": 0.01, "epochs": 3}, "val_accuracy", 0.8),
    ],
)  # fmt: skip
def test_it_learns(estimator: str, data: dict[str, Any], training: dict[str, Any], metric: str, least: float) -> None:
    name = "SGDClassifier" if estimator == "sgd" else estimator
    metrics = train(name, data, training)
    assert metrics[metric] == metrics["score"] > least
    assert math.isfinite(metrics["val_loss"])
    assert metrics == train(name, data, training), "the same job gives the same metrics"


def test_epochs_are_reported_one_by_one() -> None:
    steps: list[int] = []
    TrainingEngine().train(
        {"type": "sklearn", "estimator": "MLPClassifier", "lr": 0.01},
        {"dataset": "digits"}, {"epochs": 4}, report=lambda *, step, **_: steps.append(step),
    )  # fmt: skip
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize("estimator", ["MLPClassifier", "SGDClassifier", "SGDRegressor"])
def test_a_resumed_training_ends_like_a_whole_one(estimator: str, tmp_path: Path) -> None:
    model = {"type": "sklearn", "estimator": estimator, "lr": 0.001}
    data = {"dataset": "diabetes" if "Regressor" in estimator else "digits", "standardize": True}
    engine = TrainingEngine()

    def leave(*, step: int, **_: float) -> None:
        if step == 3:
            raise Enough

    whole = engine.train(model, data, {"epochs": 6})
    with pytest.raises(Enough):
        engine.train(model, data, {"epochs": 6}, report=leave, checkpoint=Keeper(tmp_path / "c"))
    steps: list[int] = []
    resumed = engine.train(
        model, data, {"epochs": 6},
        report=lambda *, step, **_: steps.append(step),
        checkpoint=Keeper(tmp_path / "d", start=tmp_path / "c", resume_step=3),
    )  # fmt: skip
    assert steps == [4, 5, 6]
    assert resumed == whole


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_what_goes_on_from_another_trials_checkpoint_obeys_its_own_learning_rate(solver: str, tmp_path: Path) -> None:
    engine, data = TrainingEngine(), {"dataset": "digits", "standardize": True}
    model = {"type": "sklearn", "estimator": "MLPClassifier", "solver": solver, "momentum": 0.0}
    left = engine.train({**model, "lr": 0.01}, data, {"epochs": 3}, checkpoint=Keeper(tmp_path / "c"))
    told = engine.train(
        {**model, "lr": 1e-12},
        data,
        {"epochs": 4},
        checkpoint=Keeper(tmp_path / "d", start=tmp_path / "c", resume_step=3),
    )
    assert told["val_loss"] == pytest.approx(left["val_loss"], rel=1e-6)


def test_a_warm_start_keeps_what_was_learned_and_takes_the_new_values(tmp_path: Path) -> None:
    engine, data = TrainingEngine(), {"dataset": "digits", "standardize": True}
    model = {"type": "sklearn", "estimator": "SGDClassifier", "loss": "log_loss"}
    cold = engine.train({**model, "lr": 0.001}, data, {"epochs": 1})
    engine.train({**model, "lr": 0.01}, data, {"epochs": 8}, checkpoint=Keeper(tmp_path / "c"))
    steps: list[int] = []
    warm = engine.train(
        {**model, "lr": 0.001}, data, {"epochs": 1},
        report=lambda *, step, **_: steps.append(step), checkpoint=Keeper(tmp_path / "d", start=tmp_path / "c"),
    )  # fmt: skip
    assert steps == [1]
    assert warm["val_loss"] < cold["val_loss"]


@pytest.mark.parametrize("warm_start", ["weights", "optimizer"])
@pytest.mark.parametrize("estimator", ["MLPClassifier", "SGDClassifier"])
def test_a_warm_start_obeys_the_new_learning_rate(estimator: str, warm_start: str, tmp_path: Path) -> None:
    engine, data = TrainingEngine(), {"dataset": "digits", "standardize": True}
    model = {"type": "sklearn", "estimator": estimator}
    learned = engine.train({**model, "lr": 0.01}, data, {"epochs": 3}, checkpoint=Keeper(tmp_path / "c"))
    start = Keeper(tmp_path / "d", start=tmp_path / "c", warm_start=warm_start)
    still = engine.train({**model, "lr": 1e-300}, data, {"epochs": 2}, checkpoint=start)
    assert still["val_loss"] == pytest.approx(learned["val_loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("estimator", "data", "training", "values", "message"),
    [
        ("Rigde", IRIS, {}, {}, r"model\.estimator: scikit-learn has no estimator 'Rigde'.*Did you mean 'Ridge'"),
        ("random_forest", IRIS, {}, {}, "may be RandomForestClassifier or RandomForestRegressor; say which"),
        ("sklearn.cluster.KMeans", IRIS, {}, {}, "neither classifies nor regresses"),
        ("sklearn.svm.SVCC", IRIS, {}, {}, "has no 'SVCC'.*Did you mean 'SVC'"),
        ("nowhere_at_all.Model", IRIS, {}, {}, "no module 'nowhere_at_all'"),
        ("pathlib.Path", IRIS, {}, {}, "no scikit-learn estimator"),
        ("", IRIS, {}, {}, r"model\.estimator: say which estimator"),
        ("SVC", IRIS, {}, {"CC": 1}, r"model\.CC: nothing reads this name.*Did you mean 'C'"),
        ("SVC", IRIS, {}, {"C": -1}, r"model: The 'C' parameter of SVC must be a float in the range"),
        ("SVC", {"dataset": "irris"}, {}, {}, r"data\.dataset: no bundled data set.*Did you mean 'iris'"),
        ("SVC", {"dataset": "diabetes"}, {}, {}, "an amount and no class"),
        ("SVC", {"dataset": "iris", "path": "x.csv"}, {}, {}, "not both"),
        ("SVC", {"dataset": "iris", "test_size": 1.5}, {}, {}, r"data\.test_size: must be a number between 0 and 1"),
        ("SVC", {"dataset": "iris", "seed": -1}, {}, {}, r"data\.seed: must be a whole number"),
        ("SVC", {"dataset": "iris", "standardize": "yes"}, {}, {}, r"data\.standardize: must be true or false"),
        ("Ridge", {"dataset": "diabetes"}, {"batch_size": 4}, {}, r"training\.batch_size: Ridge has no batch size"),
        ("SVC", IRIS, {"num_epochs": 0}, {}, r"training\.num_epochs: must be a whole number from 1"),
        ("GaussianProcessRegressor", {"dataset": "diabetes"}, {"epochs": 3}, {}, "does not learn in epochs"),
        ("SVC", IRIS, {"epochs": 3, "cv": 3}, {}, r"cannot be combined with training\.cv"),
        ("SVC", IRIS, {"cv": 1000}, {}, "cannot cut 150 rows into 1000 folds"),
        ("SGDClassifier", IRIS, {"lr": 1}, {"eta0": 1}, r"training\.lr: sets 'eta0'.*as model\.eta0 does"),
        ("VotingClassifier", IRIS, {}, {}, "needs a value for 'estimators'"),
        ("LogisticRegression", IRIS, {"epochs": 5}, {"max_iter": 9}, "sets 'max_iter' of LogisticRegression"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_was_made(
    estimator: str, data: dict[str, Any], training: dict[str, Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(estimator, data, training, **values)


def test_what_it_declares_depends_on_the_estimator() -> None:
    engine = TrainingEngine()
    forest = engine.describe({"type": "sklearn", "estimator": "RandomForestClassifier"})
    assert (forest.primary.name, forest.primary.mode) == ("val_accuracy", "max")
    assert forest.section_of("max_depth") == "model"
    assert forest.section_of("kernel") is None
    assert engine.describe({"type": "sklearn", "estimator": "Ridge"}).primary.name == "val_r2"


def test_a_diverged_model_is_told_as_infinite_and_not_as_a_number() -> None:
    metrics = train("DummyRegressor", {"dataset": "diabetes"}, strategy="constant", constant=1e300)
    assert metrics["val_loss"] == math.inf
    assert metrics["score"] == -math.inf


@pytest.mark.parametrize(
    ("model", "training", "left", "more"),
    [
        ({"estimator": "RandomForestClassifier", "n_estimators": 5}, {"cv": 4}, 2, [3, 4]),
        ({"estimator": "RandomForestClassifier", "n_estimators": 5}, {"cv": 4}, 4, []),
        ({"estimator": "Ridge", "alpha": 3.0}, {}, 1, []),
    ],
)
def test_folds_and_single_fits_are_not_done_twice(
    model: dict[str, Any], training: dict[str, Any], left: int, more: list[int], trainings: Any
) -> None:
    data = {"dataset": "diabetes" if model["estimator"] == "Ridge" else "wine"}
    sections = ({"type": "sklearn", **model}, data, training)
    steps, whole = trainings.whole(*sections)
    assert steps == list(range(1, training.get("cv", 1) + 1))
    kept = trainings.left_at(left, *sections)
    assert trainings.resumed(kept, left, *sections) == (more, whole)


def test_a_checkpoint_of_another_kind_is_told(tmp_path: Path) -> None:
    model = {"type": "sklearn", "estimator": "SGDClassifier"}
    with pytest.raises(ConfigError, match="holds no estimator that can be read"):
        TrainingEngine().train(model, IRIS, {"epochs": 2}, checkpoint=Keeper(tmp_path / "d", start=tmp_path))
