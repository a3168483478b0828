"""Handing a study to workers: what another process needs to know of it, and the one commit that puts it in their line.

Knows stores through the port and objectives by name; starts nothing.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from trialist import registry
from trialist.api.assembling import as_spec, check_executor_options
from trialist.api.naming import describe_objective, importable
from trialist.api.workforce import connected
from trialist.config.template import check_command
from trialist.core.errors import ConfigError, Conflict, NotFound, ObjectiveError, StudyLed, StudyMismatch, UserError
from trialist.core.events import BudgetChanged, RunConfigured, StudyStatusChanged, StudySubmitted
from trialist.core.ports import Clock, Store
from trialist.core.records import Budget, Spec, Study, WorkOrder
from trialist.core.states import StudyStatus
from trialist.engine.control import check_budget
from trialist.engine.guards import trials_left
from trialist.engine.placement import Placement
from trialist.engine.recover import take_up
from trialist.space import SearchSpace
from trialist.train.engine import TrainingEngine

Objective = Callable[..., Any] | str | Sequence[str] | Mapping[str, Any]
"""What another process can run: a function, ``module:function`` or ``file.py:function``, a command, a trainer's config."""
FUNCTION, COMMAND, TRAINER, DOOR = "function", "command", "trainer", "door"
_TRIES = 50


class Submission(NamedTuple):
    """What a study is to do; ``None`` leaves it as it is."""

    objective: Objective | None = None
    budget: Mapping[str, Any] = {}
    """Fields of ``Budget`` to change."""
    executor: str | Mapping[str, Any] | None = None
    """By name, or with options as ``{"name": …, option: value}``."""
    resources: Mapping[str, float] | None = None
    timeout_s: float | None = None
    path: Sequence[str] = ()
    """Directories from which workers import modules, beside the present one."""


class _Wanted(NamedTuple):
    """A submission as the study will record it."""

    configured: RunConfigured
    budget: Budget
    order: WorkOrder


def submit(
    store: Store,
    study_id: str,
    space: SearchSpace,
    given: Submission,
    clock: Clock,
    set_budget: Callable[[Mapping[str, Any]], str],
) -> str:
    """Hand a study to workers; returns what became of it, as a sentence.

    Idempotent: what is queued or running as asked for stays so. A study that has ended is queued again where there is more
    to do.

    Args:
        store: Where the study is.
        study_id: The study.
        space: Its space.
        given: What it is to do.
        clock: Time.
        set_budget: Changes the budget of a study that a worker leads by now; returns what was done.

    Raises:
        ObjectiveError, ConfigError, UnknownName: No other process could run it as asked for; nothing was changed.
        StudyMismatch: The study ran another objective before.
        StudyLed: A person's process leads it.
    """
    for _ in range(_TRIES):
        study = _study(store, study_id)
        wanted = _wanted(study, space, given)
        if _is_led_by_worker(store, study):
            return _change_led(study, given, wanted, set_budget)
        lead = take_up(store=store, lease=None, study=study, searcher=None, scheduler=None, clock=clock)
        fold = lead.fold
        if wanted.configured != _configured(study):
            lead.emit(wanted.configured)
        if wanted.budget != fold.spec.budget:
            lead.emit(BudgetChanged(budget=wanted.budget))
        if study.status is StudyStatus.COMPLETED and not trials_left(fold) and not lead.live():
            return (
                f"study '{study.name}' is completed: all of its {fold.num_suggested} trials have run; "
                "submit it with a larger num_trials for more"
            )
        already = study.status is StudyStatus.QUEUED and study.submitted_at is not None
        if not already or wanted.order != study.spec.order:
            lead.emit(StudySubmitted(order=wanted.order))
        if fold.status is not StudyStatus.QUEUED:
            lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.QUEUED, reason="handed to workers"))
        try:
            lead.commit()
        except Conflict:
            continue  # another process was faster: on top of that
        return queued_text(store, study, already=already, clock=clock)
    raise Conflict("other processes write this study all the time; try again")


def queued_text(store: Store, study: Study, *, already: bool, clock: Clock) -> str:
    """What is said of a study that stands in the line of workers."""
    there = len(connected(store, clock.now()))
    is_queued = f"study '{study.name}' is queued{' already' if already else ''}"
    if not there:
        where = shlex.quote(store.url.removeprefix("sqlite:///"))
        return f"{is_queued}; no worker is connected: start one with 'trialist worker --store {where}'"
    return f"{is_queued}; {there} worker{'s are' if there != 1 else ' is'} connected"


def worker_executor() -> str:
    """The executor that runs functions under workers where nobody says otherwise: each trial in a process of its own."""
    return "pool" if "pool" in registry.names("executor") else "command"


# --- what is to run ---------------------------------------------------------------------------------------------------


class _Described(NamedTuple):
    """An objective as it is recorded, and as a worker finds it."""

    objective: Mapping[str, Any]
    run: Mapping[str, Any]
    path: tuple[str, ...] = ()


def _wanted(study: Study, space: SearchSpace, given: Submission) -> _Wanted:
    spec, before = study.spec, study.spec.order
    cwd = str(Path.cwd())
    if given.objective is not None:
        found = _described(given.objective, study, space)
        if spec.objective is not None and spec.objective != found.objective:
            raise StudyMismatch(study.name, {"objective": (_said(spec.objective), _said(found.objective))})
    elif before is not None:
        found, cwd = _Described(spec.objective or {}, before.run, before.path), before.cwd
    else:
        found = _recorded(study)
    budget = replace(spec.budget, **{name: value for name, value in given.budget.items() if value is not None})
    check_budget(budget)
    resources = spec.resources if given.resources is None else given.resources
    Placement(resources, {})  # says what is wrong with them
    timeout_s = given.timeout_s if given.timeout_s is not None else before.timeout_s if before is not None else None
    asked = tuple(str(Path(entry).expanduser().absolute()) for entry in given.path)
    path = tuple(dict.fromkeys((*asked, *found.path)))
    executor = _executor(given.executor, found, spec.executor, budget.jobs)
    configured = RunConfigured(objective=found.objective, executor=executor, resources=resources)
    return _Wanted(configured, budget, WorkOrder(run=found.run, cwd=cwd, path=path, timeout_s=timeout_s))


def _described(objective: Objective, study: Study, space: SearchSpace) -> _Described:
    """An objective that was given.

    Raises:
        ObjectiveError, ConfigError: No other process could run it.
    """
    if isinstance(objective, str):
        return _by_path(objective)
    if isinstance(objective, Mapping):
        TrainingEngine.check(objective)
        return _Described({TRAINER: dict(objective)}, {TRAINER: dict(objective)})
    if callable(objective):
        return _callable(objective)
    if not isinstance(objective, list | tuple) or not objective:
        raise ObjectiveError(
            "give the objective as a function, as 'module:function', as a command in a list, or as a trainer's config, not "
            f"as {type(objective).__name__}"
        )
    command = [str(word) for word in objective]
    check_command(command, _names(space), Path.cwd())
    return _Described({COMMAND: command}, {COMMAND: command})


def _names(space: SearchSpace) -> list[str]:
    return list(space.paths)


def _by_path(target: str) -> _Described:
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise ObjectiveError(f"'{target}' names no function: give 'module:function' or 'path/to/file.py:function'")
    if not place.endswith(".py"):
        return _Described({FUNCTION: target}, {FUNCTION: target})
    file = Path(place).expanduser().absolute()
    if not file.is_file():
        raise ObjectiveError(f"there is no file {file}")
    return _Described({FUNCTION: f"{file.name}:{name}"}, {FUNCTION: f"{file}:{name}"})


def _callable(objective: Callable[..., Any]) -> _Described:
    described = describe_objective(objective)
    target = importable(objective)
    if target is None:
        raise ObjectiveError(
            f"{getattr(objective, '__qualname__', objective)!r} cannot be found by another process: define it at the top level "
            "of a module or script (a worker imports it by that path), or run the study here with study.run"
        )
    return _Described(described, {FUNCTION: target}, _root_of(objective.__module__))


def _root_of(module: str) -> tuple[str, ...]:
    """The directory from which a module was imported, so that a worker imports the same one."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or file is None:
        return ()
    up = module.count(".") + (Path(file).name == "__init__.py")
    return (str(Path(file).absolute().parents[up]),)


def _recorded(study: Study) -> _Described:
    """What a study ran before, where another process can run that.

    Raises:
        ObjectiveError: It ran nothing, or what no other process finds.
    """
    spec = study.spec
    objective = spec.objective or {}
    if spec.door in registry.names("door"):
        return _Described(objective, {DOOR: spec.door})
    function = spec.executor.options.get("function") or objective.get(FUNCTION)
    if function is not None:
        if Path(str(function).rpartition(":")[0]).is_absolute() or ".py:" not in str(function):
            return _Described(objective, {FUNCTION: function})
        raise ObjectiveError(
            f"study '{study.name}' ran {function}, and nobody recorded where that file lies: name the objective by its path, "
            "as 'path/to/file.py:function'"
        )
    if objective.get(COMMAND):
        return _Described(objective, {COMMAND: list(objective[COMMAND])})
    if objective.get(TRAINER):
        return _Described(objective, {TRAINER: objective[TRAINER]})
    raise ObjectiveError(
        f"study '{study.name}' has no objective that another process could run: give one, as 'module:function' or a command"
    )


def _executor(asked: str | Mapping[str, Any] | None, found: _Described, recorded: Spec, jobs: int) -> Spec:
    given = as_spec("executor", asked, worker_executor())
    assert given is not None
    if FUNCTION not in found.run:
        if asked is not None and (given.name != "command" or given.options):
            raise UserError(f"executor '{given.name}' is for functions: leave it out, or use 'command' without options")
        return recorded if DOOR in found.run else Spec(name="command")
    target = {FUNCTION: found.run[FUNCTION]}
    if asked is None:
        return recorded if recorded.options.get(FUNCTION) == target[FUNCTION] else replace(given, options=target)
    check_executor_options(given.name, given.options)
    if given.name == "inline" and jobs > 1:
        raise ConfigError(f"'inline' runs one trial at a time, and jobs is {jobs}", path="executor")
    return replace(given, options={**target, **given.options})


# --- where it stands --------------------------------------------------------------------------------------------------


def _is_led_by_worker(store: Store, study: Study) -> bool:
    """Whether a worker leads it now.

    Raises:
        StudyLed: A person's process does.
    """
    leader = store.leader(study.id)
    if leader is None:
        return False
    if study.submitted_at is None:
        raise StudyLed(study.name, str(leader))
    return True


def _change_led(
    study: Study, given: Submission, wanted: _Wanted, set_budget: Callable[[Mapping[str, Any]], str]
) -> str:
    """A worker leads it already: only how much it is to do can change."""
    running = f"study '{study.name}' is running already" + (f", on worker {study.worker}" if study.worker else "")
    if wanted.budget == study.spec.budget:
        return running
    return f"{running}; {set_budget({name: value for name, value in given.budget.items() if value is not None})}"


def _configured(study: Study) -> RunConfigured:
    spec = study.spec
    return RunConfigured(objective=spec.objective, executor=spec.executor, resources=spec.resources)


def _study(store: Store, study_id: str) -> Study:
    study = store.find_study(study_id)
    if study is None:
        raise NotFound("study", study_id, store.url)
    return study


def _said(objective: Mapping[str, Any]) -> str:
    return str(objective.get(FUNCTION) or objective.get(COMMAND) or dict(objective))
