"""Model types of the tests' own, so that trials take no time, and a store for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trialist import HPOptimizer, HPOResults, TrainingEngine

X = {"x": {"type": "uniform", "low": -1.0, "high": 1.0}}
Optimise = Callable[..., HPOResults]


@pytest.fixture
def types() -> Iterator[None]:
    """Whatever a test registers is forgotten after it."""
    before = dict(TrainingEngine._added)
    yield
    TrainingEngine._added.clear()
    TrainingEngine._added.update(before)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'hpo.db'}"


@pytest.fixture
def bowl(types: None, store: str) -> Optimise:
    """Optimises a bowl that is trained in epochs; ``fails``, ``diverges`` and ``a`` are settings of it."""

    @TrainingEngine.register("bowl", metric="loss", mode="min")
    def train(model: Any, data: Any, training: Any, report: Any, checkpoint: Any) -> dict[str, float]:
        x, loss = model["x"], float("nan")
        if model.get("fails") and x > model["fails"]:
            raise RuntimeError(f"it went wrong at {x:.1f}")
        for epoch in range(1, training.get("epochs", 2) + 1):
            loss = x**2 + 1 / epoch
            report(step=epoch, loss=loss)
        if model.get("diverges"):
            loss = float("nan")
        return {"loss": loss, "size": abs(x), "seed": training["seed"] % 1000}

    def optimise(model: dict[str, Any] | None = None, /, **options: Any) -> HPOResults:
        hpo = options.pop("hpo", None) or HPOptimizer()
        given = {"param_space": X, "num_trials": 4, "store": store, "progress": False, **options}
        configs = {"data_config": {"dataset": "none"}, "training_config": None, **given}
        return hpo.optimize({"type": "bowl", **(model or {})}, **configs)

    return optimise
