"""What is looked over before any directory is made: names, the command, what the TrainingEngine is to train.

Knows the registry and the training engine's checker; makes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from trialist import registry
from trialist.config import format_path, iter_paths, set_path
from trialist.config.template import check_command
from trialist.engine.placement import Placement, machine_resources, visible_devices
from trialist.space import Choice
from trialist.sweep.options import SweepOptions
from trialist.sweep.plan import Plan
from trialist.train.engine import TrainingEngine

_TYPE = "model.type"


def check_names(options: SweepOptions) -> None:
    """Raise UnknownName unless searcher and scheduler are registered; MissingExtra where they need a library."""
    for kind, name in (("searcher", options.search), ("scheduler", options.scheduler)):
        if name is not None:
            registry.load(kind, name)


def check_resources(resources: Mapping[str, float]) -> None:
    """Raise ConfigError unless this machine has what one run takes."""
    Placement(resources, machine_resources(), visible_devices())


def check_executable(plan: Plan, cwd: Path) -> None:
    """Look over what the runs are to execute.

    Raises:
        ConfigError: The command cannot be run, or the config says nothing that can be trained.
        UnknownName: A model type that nobody registered.
    """
    example = plan.values_at(plan.space.sample(random.Random(0)))
    if not plan.trains:
        check_command(plan.command, (format_path(keys) for keys in iter_paths(example)), cwd)
        return
    for path, values in ((param.path, param.domain) for param in plan.params):
        if path == _TYPE and isinstance(values, Choice):
            example = set_path(example, path, list(values.values))
    TrainingEngine.check(example, file=plan.source)
