"""From a work order to running trials: what a worker's process does with what was submitted. Knows no line and no worker."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trialist import registry
from trialist.api.assembling import objective_executor
from trialist.api.leading import Turn
from trialist.api.naming import artifacts_dir, trial_dir
from trialist.api.queueing import COMMAND, DOOR, FUNCTION, TRAINER
from trialist.api.study import Study
from trialist.config import as_path, get_path, set_path
from trialist.config.template import TRAINING_COMMAND, fill, program
from trialist.core.errors import InternalError, ObjectiveError, TrialistError, UserError
from trialist.core.ports import Executor
from trialist.core.records import Segment, StudySpec, WorkOrder
from trialist.execute.command import CommandExecutor, Launch
from trialist.runtime.call import load
from trialist.space import SearchSpace

Lead = Callable[[Turn], None]
"""Leads a study for as long as it is a worker's turn."""


def ready(study: Study) -> Lead:
    """Everything that can be wrong with an objective before a trial runs is found here.

    This process takes over the submitter's directory and module path, which is why it leads one study only.

    Raises:
        TrialistError: Its objective cannot be run here; a sentence that says why.
    """
    spec = study.row.spec
    order = spec.order
    if order is None:
        raise InternalError(f"study '{study.name}' was claimed, and nobody submitted it")
    _take_place(order)
    if DOOR in order.run:
        lead_queued: Callable[[Study, Turn], None] = registry.load("door", order.run[DOOR])
        return lambda turn: lead_queued(study, turn)
    executor = _executor(order, spec)
    root = artifacts_dir(study.store.url, study.id, study.name)

    def lead(turn: Turn) -> None:
        study.lead(executor, run_dir=lambda trial: trial_dir(root, trial.number), timeout_s=order.timeout_s, turn=turn)

    return lead


def _take_place(order: WorkOrder) -> None:
    """Be where the study was submitted, as far as that is there."""
    if order.cwd and Path(order.cwd).is_dir():
        os.chdir(order.cwd)
    for place in reversed((*order.path, str(Path.cwd()))):
        if place not in sys.path:
            sys.path.insert(0, place)


def _executor(order: WorkOrder, spec: StudySpec) -> Executor:
    run = order.run
    if FUNCTION in run:
        return objective_executor(spec.executor, _function(run[FUNCTION], order), spec, spec.budget.jobs).executor
    if COMMAND in run:
        return CommandExecutor(_command_launch(run[COMMAND], {}, SearchSpace.from_json(spec.space)))
    if TRAINER in run:
        return CommandExecutor(_command_launch(TRAINING_COMMAND, run[TRAINER], SearchSpace.from_json(spec.space)))
    raise UserError(
        f"a newer Trialist submitted study '{spec.name}' ({', '.join(run)}): pip install --upgrade trialist"
    )


def _function(target: str, order: WorkOrder) -> Callable[..., Any]:
    """The objective, imported.

    Raises:
        ObjectiveError: It cannot be; whatever its module raised is in the sentence.
    """
    try:
        return load(target)
    except TrialistError as error:
        there = (
            ""
            if not order.cwd or Path(order.cwd).is_dir()
            else f" ('{order.cwd}', where it was submitted, is not here)"
        )
        raise ObjectiveError(f"its objective '{target}' cannot be loaded: {error}{there}") from error
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())
        raise ObjectiveError(
            f"its objective '{target}' cannot be loaded: {type(error).__name__}{': ' if said else ''}{said[:300]}"
        ) from error


def _command_launch(command: Sequence[str], base: Mapping[str, Any], space: SearchSpace) -> Callable[[Segment], Launch]:
    """What starts a command as a trial: its params stand in the command, and in ``{config}`` over a base.

    Args:
        command: The template.
        base: The config over which params are laid.
        space: Knows the params' paths.
    """
    cwd = Path.cwd()

    def prepare(segment: Segment) -> Launch:
        run_dir = Path(segment.run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        config = run_dir / "config.yaml"
        tree: Any = base
        for path, value in space.flatten(segment.params).items():
            tree = set_path(tree, path, value, create=True)
        _write(config, json.dumps(tree, indent=2) + "\n")  # which is YAML too
        built_in = {"config": str(config), "run_dir": str(run_dir), "trial": segment.trial}

        def value_of(name: str) -> Any:
            return built_in[name] if name in built_in else get_path(tree, as_path(name))

        return Launch(
            argv=program(fill(command, value_of)),
            cwd=cwd,
            stdout=run_dir / "stdout.log",
            metrics_file=run_dir / "metrics.json",
        )

    return prepare


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
