"""Model type ``mlp`` on real, bundled data: it learns, stops in time, and goes on as if it had never left."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trialist.core.errors import ConfigError
from trialist.train.engine import TrainingEngine
from trialist.train.learning import Learning
from trialist.train.model_type import Job

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

IRIS, DIGITS, DIABETES = ({"dataset": name} for name in ("iris", "digits", "diabetes"))


def mlp(**values: Any) -> dict[str, Any]:
    return {"type": "mlp", **values}


@pytest.mark.parametrize(
    ("data", "model", "training", "metric", "least"),
    [
        (DIGITS, mlp(dropout=0.1), {"epochs": 6}, "val_accuracy", 0.93),
        (DIABETES, mlp(norm="batch"), {"epochs": 15, "lr": 0.003}, "val_r2", 0.3),
        (IRIS, mlp(hidden=[16, 8], activation="tanh", norm="layer"), {"epochs": 30, "lr": 0.01}, "val_accuracy", 0.9),
        (IRIS, mlp(depth=0), {"epochs": 30, "lr": 0.05, "optimizer": "sgd", "batch_size": 7}, "val_accuracy", 0.85),
        (DIGITS, mlp(activation="gelu"), {"epochs": 4, "optimizer": "adamw", "weight_decay": 0.01, "schedule": "cosine",
         "warmup": 0.1, "clip": 1.0, "label_smoothing": 0.1, "betas": [0.9, 0.99], "lr": 0.004}, "val_accuracy", 0.9),
        (DIGITS, mlp(activation="silu", task="classification"), {"epochs": 4, "optimizer": "rmsprop",
         "schedule": "linear", "momentum": 0.5}, "val_accuracy", 0.9),
    ],
)  # fmt: skip
def test_it_learns_and_equal_jobs_give_equal_metrics(
    data: dict[str, Any], model: dict[str, Any], training: dict[str, Any], metric: str, least: float
) -> None:
    engine = TrainingEngine()
    seen: list[dict[str, float]] = []
    metrics = engine.train(model, data, training, report=lambda *, step, **told: seen.append(told))
    assert len(seen) == training["epochs"]
    assert seen[-1] == metrics
    assert metrics[metric] == metrics["score"] > least
    assert math.isfinite(metrics["val_loss"])
    assert set(metrics) <= set(engine.describe(model).metrics)
    if training["epochs"] < 20:
        torch.rand(3)  # whatever others draw in between
        assert engine.train(model, data, training) == metrics
        assert engine.train(model, data, {**training, "seed": 1}) != metrics


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    TrainingEngine().train(mlp(dropout=0.5), IRIS, {"epochs": 1})
    assert torch.equal(torch.rand(2), expected)


HARD = (
    mlp(dropout=0.3, norm="batch", width=16),
    {"dataset": "iris"},
    {"epochs": 6, "schedule": "cosine", "warmup": 0.2, "patience": 6, "batch_size": 16},
)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_a_resumed_training_ends_like_a_whole_one(optimizer: str, trainings: Any) -> None:
    sections = (*HARD[:2], {**HARD[2], "optimizer": optimizer})
    steps, whole = trainings.whole(*sections)
    kept = trainings.left_at(4, *sections)
    assert trainings.resumed(kept, 4, *sections) == (steps[4:], whole)
    done = trainings.left_at(6, *sections)
    assert trainings.resumed(done, 6, *sections) == ([], whole), "nothing is left to train"


def test_a_checkpoint_holds_no_pickle(trainings: Any) -> None:
    kept: Path = trainings.left_at(2, *HARD)
    assert sorted(file.name for file in kept.iterdir()) == ["state.json", "state.npz"]
    assert json.loads((kept / "state.json").read_text())["epochs"] == 2
    with np.load(kept / "state.npz", allow_pickle=False) as arrays:
        assert all(array.dtype.kind in "fiu" for array in arrays.values())


def test_early_stopping_ends_at_the_best_epoch_and_gives_its_metrics(trainings: Any) -> None:
    sections = (mlp(width=128), {"dataset": "wine", "test_size": 0.3}, {"epochs": 60, "lr": 0.03, "patience": 3})
    losses: list[float] = []
    metrics = TrainingEngine().train(*sections, report=lambda *, step, val_loss, **_: losses.append(val_loss))
    assert 4 <= len(losses) < 60
    assert metrics["val_loss"] == min(losses) == losses[-4]
    kept = trainings.left_at(len(losses), *sections)
    assert trainings.resumed(kept, len(losses), *sections) == ([], metrics), "it had ended, and stays so"


@pytest.mark.parametrize(("what", "step"), [("weights", None), ("optimizer", None), ("resume", 3)])
def test_a_fork_trains_with_its_own_learning_rate(what: str, step: int | None, trainings: Any) -> None:
    learned, more = (mlp(width=32), DIGITS, {"epochs": 3}), {"epochs": 6}
    _, before = trainings.whole(*learned)
    kept = trainings.left_at(3, *learned)

    def fork(lr: float) -> tuple[list[int], dict[str, float]]:
        sections = (mlp(width=32), DIGITS, {**more, "lr": lr})
        return trainings.warm(kept, what, *sections) if step is None else trainings.resumed(kept, step, *sections)

    steps, still = fork(0.0)
    assert steps == ([1, 2, 3, 4, 5, 6] if step is None else [4, 5, 6])
    assert still["val_loss"] == before["val_loss"], "a rate of 0 changes no weight"
    _, better = fork(0.003)
    assert better["val_loss"] < 0.9 * before["val_loss"]


def test_weights_alone_leave_the_optimizer_behind(trainings: Any) -> None:
    sections = (mlp(width=32), DIGITS, {"epochs": 3})
    kept = trainings.left_at(3, *sections)
    one = (*sections[:2], {"epochs": 1})
    assert trainings.warm(kept, "weights", *one) != trainings.warm(kept, "optimizer", *one)
    other = (*sections[:2], {"epochs": 1, "optimizer": "sgd"})
    assert trainings.warm(kept, "weights", *other) == trainings.warm(kept, "optimizer", *other)


def test_a_checkpoint_of_another_shape_or_kind_is_told(trainings: Any, tmp_path: Path) -> None:
    kept = trainings.left_at(1, mlp(width=8), IRIS, {"epochs": 2})
    with pytest.raises(ConfigError, match=r"model: .*'0\.weight' has shape 8×4 in it and shape 9×4 in this one"):
        trainings.warm(kept, "weights", mlp(width=9), IRIS, {"epochs": 2})
    with pytest.raises(ConfigError, match=r"'2\.weight' has shape .*|no such weights"):
        trainings.warm(kept, "weights", mlp(width=8, depth=1), IRIS, {"epochs": 2})
    (kept / "state.npz").write_bytes(b"torn")
    with pytest.raises(ConfigError, match="holds no state that can be read"):
        trainings.warm(kept, "weights", mlp(width=8), IRIS, {"epochs": 2})


def test_a_diverged_training_tells_it_and_ends() -> None:
    steps: list[int] = []
    training = {"epochs": 50, "lr": 1e30, "optimizer": "sgd"}
    metrics = TrainingEngine().train(mlp(), DIABETES, training, report=lambda *, step, **_: steps.append(step))
    assert math.isnan(metrics["val_loss"])
    assert len(steps) < 5


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        (mlp(width=0), {}, r"^model\.width: must be a whole number from 1, not 0"),
        (mlp(hyperparameters={"depth": -1}), {}, r"^model\.hyperparameters\.depth: must be a whole number from 0"),
        (mlp(dropout=1.0), {}, r"^model\.dropout: must be a number from 0 and below 1, not 1\.0"),
        (mlp(activation="rellu"), {}, r"^model\.activation: must be one of relu, gelu, tanh.*not 'rellu'"),
        (mlp(hidden=[8, "x"]), {}, r"^model\.hidden: must be a list of layer widths"),
        (mlp(hidden=[8], width=4), {}, r"^model\.hidden: says the same as model\.width"),
        (mlp(task="cluster"), {}, r"^model\.task: must be one of auto"),
        (mlp(task="regression"), {"learning_rate": "fast"}, r"^training\.learning_rate: must be a number from 0"),
        (mlp(), {"num_epochs": 2.5}, r"^training\.num_epochs: must be a whole number"),
        (mlp(), {"betas": [0.9]}, r"^training\.betas: must be two numbers"),
        (mlp(), {"optimizer": "lion"}, r"^training\.optimizer: must be one of adam"),
        (mlp(), {"patience": True}, r"^training\.patience: must be a whole number"),
        (mlp(), {"clip": 0}, r"^training\.clip: must be a number above 0"),
        (mlp(), {"lr": math.nan}, r"^training\.lr: must be a number"),
        (mlp(widht=3), {}, r"^model\.widht: nothing reads this name.*Did you mean 'width'"),
    ],
)
def test_a_mistake_is_named_where_it_was_made(model: dict[str, Any], training: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingEngine().inspect(model, IRIS, training)
    with pytest.raises(ConfigError, match=message):
        TrainingEngine().train(model, IRIS, training)


def test_an_accelerator_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^training\.device: asks for an accelerator"):
        TrainingEngine().train(mlp(), IRIS, {"device": "cuda"})


def test_what_it_declares() -> None:
    declared = TrainingEngine().describe(mlp(task="regression"))
    assert (declared.primary.name, declared.primary.mode) == ("val_loss", "min")
    assert declared.metrics == ("train_loss", "val_loss", "val_r2", "score")
    named = {name: declared.section_of(name) for name in ("width", "lr", "learning_rate", "num_epochs", "missing", "x")}
    assert named == {
        "width": "model", "lr": "training", "learning_rate": "training", "num_epochs": "training", "missing": "data",
        "x": None,
    }  # fmt: skip


def test_rates_climb_and_fall() -> None:
    def rates(**training: Any) -> list[float]:
        job = Job(model={}, data={}, training=training, report=lambda *, step, **_: None)
        learning = Learning.of(job, epochs=1, batch_size=1, lr=1.0)
        return [learning.rate(step, 8) for step in range(8)]

    assert rates() == [1.0] * 8
    assert rates(schedule="linear") == [1 - k / 8 for k in range(8)]
    assert rates(warmup=0.5, lr=2.0) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert rates(schedule="cosine", warmup=0.25)[:3] == [0.5, 1.0, 1.0]
    assert rates(schedule="cosine")[4] == pytest.approx(0.5)
