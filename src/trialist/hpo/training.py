"""One trial of an optimisation: the training engine, run on the configs with the trial's params in their places.

This is what goes to a trial's process, so it is an object that any process can make again: JSON, and beside it what only the
starting process has (model types registered there, an engine of the user's own). Knows no study and no store.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trialist.core.errors import ObjectiveError
from trialist.hpo.record import HPORecord
from trialist.runtime.context import TrialContext
from trialist.train.engine import TrainingEngine
from trialist.train.model_type import ModelType


class Training:
    """The objective of an optimisation: called with a trial, trains, and returns the metrics.

    Args:
        record: What is stored of the optimisation.
        types: Model types that are registered in this process only, by name.
        engine: An engine of the user's own; ``None``: ours.
    """

    def __init__(
        self,
        record: HPORecord,
        types: Mapping[str, Callable[[], ModelType]] | None = None,
        engine: Any = None,
    ) -> None:
        self.record = record
        self.types = dict(types or {})
        self.engine = engine

    def __call__(self, trial: TrialContext) -> dict[str, float]:
        """Train with a trial's params; reports each epoch, and checkpoints as the model type does.

        Raises:
            ConfigError: The params make a config that cannot be trained.
            ObjectiveError: A module that registers a model type is not to be found here.
        """
        import_types(self.record.modules)
        TrainingEngine.adopt(self.types)
        engine = TrainingEngine() if self.engine is None else self.engine
        sections = self.record.sections.laid(self.record.places, trial.params)
        model, data, training = sections
        if "seed" not in training and _reads_seed(engine, model):
            # Each trial has a seed of its own; a config that names one means it.
            training = {**training, "seed": trial.seed}
        _write(trial.dir / "config.yaml", {**sections.tree, "training": training})
        metrics: dict[str, float] = dict(engine.train(model, data, training, report=trial.report, checkpoint=trial))
        return metrics


def import_types(modules: tuple[str, ...]) -> None:
    """Import the modules whose model types are in use; importing one registers them.

    Raises:
        ObjectiveError: One of them is not to be found here.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise ObjectiveError(
                f"the module '{module}', which registers the model type, is not on the path of this process: "
                "install it, or give its directory with --path"
            ) from error


def _reads_seed(engine: Any, model: Mapping[str, Any]) -> bool:
    if not hasattr(engine, "describe"):
        return False
    known = engine.describe(model).training
    return known is None or "seed" in known


def _write(file: Path, config: Mapping[str, Any]) -> None:
    """Leave the trial's config for people, whole or not at all; JSON is YAML too."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)
