"""Making, finding and deleting studies. The composition root of the Python API; knows no trial's inside."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trialist._version import __version__
from trialist.api.assembling import as_metrics, as_spec, check_heeded, make_scheduler, make_searcher
from trialist.api.knowing import default_params, earlier_studies, sources
from trialist.api.knowing import outcome_constraints as as_outcome_constraints
from trialist.api.naming import artifacts_dir, check_name
from trialist.api.study import Study
from trialist.api.workforce import Staff, workforce
from trialist.core.errors import ConfigError, NotFound, StudyExists, StudyMismatch
from trialist.core.ports import Store
from trialist.core.records import Budget, Params, Spec, StudySpec
from trialist.core.records import Study as StudyRow
from trialist.core.states import StudyStatus
from trialist.engine.control import check_budget
from trialist.engine.placement import Placement
from trialist.space import SearchSpace
from trialist.store.locate import open_store

DEFAULT_SEARCHER = "auto"


def create_study(
    name: str,
    space: Any,
    *,
    metric: str | Sequence[str] | None = None,
    mode: str | Sequence[str] | None = None,
    metric_required: bool = True,
    searcher: str | Mapping[str, Any] | Spec | None = None,
    scheduler: str | Mapping[str, Any] | Spec | None = None,
    seed: int = 0,
    store: str | Store | None = None,
    resume: bool = False,
    constraints: Sequence[str] = (),
    budget: Budget | None = None,
    door: str = "study",
    config: Mapping[str, Any] | None = None,
    objective: Mapping[str, Any] | None = None,
    executor: Spec | None = None,
    resources: Mapping[str, float] | None = None,
    outcome_constraints: Sequence[str] = (),
    default: Mapping[str, Any] | None = None,
    warm_start: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
) -> Study:
    """Make a study, or go on with one.

    Args:
        name: Unique in the store.
        space: What may vary: a mapping of typed dicts, lists and domain objects, nested as you like, or a SearchSpace.
        metric: What is optimised; a list is multi-objective. ``None``: nothing is.
        mode: ``min`` or ``max``, or a list of these.
        metric_required: Whether a trial that ends without telling its metric has failed.
        searcher: By name, or ``{"name": "sobol", …options}``; ``None``: auto.
        scheduler: By name, or ``{"name": "asha", "eta": 3}``; ``None``: every trial runs to its end.
        seed: Equal seeds give equal suggestions.
        store: ``None``: SQLite in the user's data directory; a URL such as ``sqlite:///trials.db``; ``"memory"``.
        resume: Go on with the study of this name where there is one.
        constraints: Expressions over params that must hold, e.g. ``"batch_size * steps <= 4096"``.
        budget: How much it may do; ``run`` sets it too.
        door: Which front door makes it.
        config: The door's own data (JSON).
        objective: What runs, as data.
        executor: Which executor is meant to run it.
        resources: What one trial takes.
        outcome_constraints: What results must keep, e.g. ``["memory_gb <= 8"]``: a metric's name, ``<=`` or ``>=``, and a
            number. A trial that breaks one, or does not tell the metric, is never the best.
        default: The configuration that you would take without a search: ``auto`` tries it first.
        warm_start: Earlier studies to learn from: a name, ``{"study": name, "store": url, "trials": 200}``, or a list of
            these. What is learned from is copied: at most 500 trials in all, 100 of each where you do not say.

    Raises:
        StudyExists: The name is taken, and ``resume`` is off.
        StudyMismatch: Resumed with another space, metric, seed, searcher or scheduler; shows the difference.
        NotFound: There is no such earlier study.
        SpaceError, ConfigError, UnknownName: Something given is wrong.
    """
    check_name(name)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigError(f"must be a whole number, not {seed!r}", path="seed")
    given = SearchSpace.of(space, constraints=constraints)
    chosen = as_spec("searcher", searcher, DEFAULT_SEARCHER)
    assert chosen is not None
    spec = StudySpec(
        id=uuid.uuid4().hex,
        name=name,
        space=given.to_json(),
        metrics=tuple(replace(one, required=metric_required) for one in as_metrics(metric, mode)),
        seed=seed,
        searcher=chosen,
        scheduler=as_spec("scheduler", scheduler, None),
        executor=executor or Spec(name="inline"),
        objective=objective,
        resources=dict(resources or {}),
        budget=budget or Budget(),
        door=door,
        config=dict(config or {}),
        created_at=time.time(),
        version=__version__,
        outcome_constraints=as_outcome_constraints(outcome_constraints),
        default=default_params(default, given),
    )
    earlier = sources(warm_start)
    check_budget(spec.budget)
    Placement(spec.resources, {})  # says what is wrong with them
    check_heeded(spec, make_searcher(spec, given), warm_start=bool(earlier))
    make_scheduler(spec)
    there = _opened(store)
    found = there.find_study(name)
    if earlier and not (found is not None and resume):  # what a study has learned from may be gone when it is resumed
        spec = replace(spec, warm_start=earlier_studies(earlier, there, given, spec))
    if found is None:
        try:
            return Study(there, there.create_study(spec))
        except StudyExists:
            if not resume:
                raise
            found = there.find_study(name)  # made by another process in this moment
    if found is None or not resume:
        raise StudyExists(name, there.url)
    _check_same(found, spec, given, [source.name for source in earlier])
    return Study(there, found)


def _opened(store: str | Store | None) -> Store:
    """The store that is meant; one that is open already is taken as it is."""
    return open_store(store) if store is None or isinstance(store, str) else store


def _check_same(found: StudyRow, given: StudySpec, space: SearchSpace, earlier: Sequence[str]) -> None:
    """Raise StudyMismatch unless a resumed study is what it was."""
    old = found.spec
    differences: dict[str, tuple[Any, Any]] = {}
    if old.space != given.space:
        for path, (was, now) in SearchSpace.from_json(old.space).difference(space).items():
            differences[f"space.{path}"] = (was, now)
        if not differences:
            differences["space"] = ("another order of params or other constraints", "this one")
    settings: tuple[tuple[str, Any, Any], ...] = (
        ("metric", _metrics(old), _metrics(given)),
        ("seed", old.seed, given.seed),
        ("searcher", _name(old.searcher), _name(given.searcher)),
        ("scheduler", _name(old.scheduler), _name(given.scheduler)),
        ("outcome_constraints", _listed(old.outcome_constraints), _listed(given.outcome_constraints)),
        ("default", _default(old.default, space), _default(given.default, space)),
        ("warm_start", _listed(one.name for one in old.warm_start), _listed(earlier)),
    )
    for what, was, now in settings:
        if was != now:
            differences[what] = (was, now)
    if differences:
        raise StudyMismatch(old.name, differences)


def _metrics(spec: StudySpec) -> str:
    return ", ".join(f"{metric.name} ({metric.mode})" for metric in spec.metrics) or "none"


def _listed(things: Iterable[object]) -> str:
    return ", ".join(map(str, things)) or "none"


def _default(params: Params | None, space: SearchSpace) -> str:
    if params is None:
        return "none"
    return ", ".join(f"{path}={value!r}" for path, value in space.flatten(params).items())


def _name(spec: Spec | None) -> str:
    if spec is None:
        return "none"
    options = ", ".join(f"{name}={value!r}" for name, value in spec.options.items())
    return f"{spec.name}({options})" if options else spec.name


def load_study(name: str, *, store: str | Store | None = None) -> Study:
    """The study of this name (or id).

    Raises:
        NotFound: There is none; the nearest name is offered.
    """
    there = _opened(store)
    found = there.find_study(name)
    if found is None:
        known = [study.name for study in there.list_studies(limit=500).studies]
        raise NotFound("study", name, there.url, known)
    return Study(there, found)


def list_studies(
    *,
    store: str | Store | None = None,
    status: str | None = None,
    search: str = "",
    door: str | None = None,
    limit: int = 100,
) -> list[Study]:
    """Studies, newest first.

    Args:
        store: As in ``create_study``.
        status: Only those with this status.
        search: A part of the name.
        door: Only those that this front door made.
        limit: At most so many.
    """
    there = _opened(store)
    wanted = None
    if status is not None:
        if status not in set(StudyStatus):
            raise ConfigError(f"must be one of {', '.join(StudyStatus)}, not {status!r}", path="status")
        wanted = StudyStatus(status)
    found: list[Study] = []
    cursor = None
    while len(found) < limit:
        page = there.list_studies(status=wanted, search=search, limit=min(500, limit), cursor=cursor)
        found += [Study(there, row) for row in page.studies if door is None or row.spec.door == door]
        cursor = page.cursor
        if cursor is None:
            break
    return found[:limit]


def list_workers(*, store: str | Store | None = None) -> list[Staff]:
    """The workers of a store (``trialist worker``), by when they started: each with what it leads, and whether it is there.

    One that died or went silent is ``lost``, and leaves the list after an hour.

    Args:
        store: As in ``create_study``.
    """
    return workforce(_opened(store), time.time())


def delete_study(name: str, *, store: str | Store | None = None) -> None:
    """Remove a study, its trials, and the files that Trialist keeps for it.

    Raises:
        NotFound: There is none.
        StudyLed: A live process leads it.
    """
    study = load_study(name, store=store)
    study.store.delete_study(study.id)
    shutil.rmtree(artifacts_dir(study.store.url, study.id, study.name), ignore_errors=True)
