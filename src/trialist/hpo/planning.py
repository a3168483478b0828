"""An optimisation from what was asked for, looked over before anything is made: places, goals, the default configuration.

Knows the training engine by what it declares; creates no study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from trialist.config import get_path
from trialist.core.errors import ConfigError, SpaceError
from trialist.core.records import Metric, Mode
from trialist.hpo.goals import Goals, choose_goals
from trialist.hpo.places import Placed, examples, find_places
from trialist.hpo.record import HPORecord
from trialist.hpo.sections import Sections, placed
from trialist.hpo.training import Training
from trialist.space import SearchSpace
from trialist.train.engine import TrainingEngine
from trialist.train.model_type import Declaration

_MISSING = object()
_READS_ANYTHING = Declaration(
    model=None, data=None, training=None, metrics=(), primary=Metric(name="score", mode=Mode.MAX)
)
"""What is assumed of a training engine that says nothing of itself."""
_BRANCH = (
    " Where it belongs to some of the searched models only, give each its own in a choice of mappings: "
    '{"type": "choice", "values": [{"estimator": "SVC", "C": …}, {"estimator": "RandomForestClassifier", "max_depth": …}]}.'
)


class Plan(NamedTuple):
    """An optimisation that could be started."""

    space: SearchSpace
    record: HPORecord
    goals: Goals
    training: Training
    default: dict[str, Any] | None
    """What the configs say of the searched parameters already, where they say it of all and it lies in the space."""
    model_types: list[str]


def make_plan(
    engine: Any,
    space: SearchSpace,
    sections: Sections,
    *,
    mapping: Mapping[str, str],
    metric: str | Sequence[str] | None,
    mode: str | Sequence[str] | None,
    timeout_s: float | None,
    runs_on: str,
) -> Plan:
    """Look over an optimisation.

    Args:
        engine: The training engine: ours, one of the user's own, or anything with its ``train``.
        space: What is searched.
        sections: The configs.
        mapping: ``param_mapping``.
        metric: What to optimise; ``None``: the model type's primary metric.
        mode: Which way.
        timeout_s: Limit of one attempt.
        runs_on: Name of the engine that runs trials.

    Raises:
        ConfigError, UnknownName, MissingExtra: It cannot be; says what and where.
    """
    if hasattr(engine, "describe") and hasattr(engine, "inspect"):
        found = find_places(space, sections, mapping, engine.describe)
        _check_examples(engine, space, sections, found)
        told = found.declarations
    else:  # anything that trains: it says nothing of itself
        found = find_places(space, sections, mapping, lambda _: _READS_ANYTHING)
        told = []
        if metric is None:
            raise ConfigError(
                "this training engine does not say what it reports: give metric= and mode=", path="metric"
            )
    own = type(engine) is not TrainingEngine
    types = TrainingEngine.added(found.model_types)
    record = HPORecord(
        model=sections.model,
        data=sections.data,
        training=sections.training,
        places=found.places,
        modules=tuple(sorted({made.__module__ for made in types.values()} - {"__main__"})),
        engine=runs_on,
        own_engine=f"{type(engine).__module__}.{type(engine).__qualname__}" if own else "",
        timeout_s=timeout_s,
    )
    return Plan(
        space=space,
        record=record,
        goals=choose_goals(metric, mode, told),
        training=Training(replace(record, modules=()), types, engine if own else None),
        default=default_of(space, sections, found.places),
        model_types=found.model_types,
    )


def _check_examples(engine: Any, space: SearchSpace, sections: Sections, found: Placed) -> None:
    """Whatever some params would make the training engine refuse is refused now."""
    for params in examples(space):
        taken: list[str] = []
        for place, _ in placed(found.places, params):
            if any(_overlap(one, place) for one in taken):
                raise ConfigError("two parameters are written there: keep one of them", path=place)
            taken.append(place)
        try:
            model, data, training = sections.laid(found.places, params)
        except ConfigError as error:
            raise ConfigError(f"no parameter can be written there: {error.problem}", path=error.path) from error
        try:
            engine.inspect(model, data, training)
        except ConfigError as error:
            searched = _searched_at(error.path, found.places, params)
            if not searched:
                raise
            hint = "" if len(found.declarations) == 1 else _BRANCH
            raise ConfigError(f"{error.problem}{hint}", path=f"param_space.{searched}") from error


def _searched_at(path: str, places: Mapping[str, str], params: Mapping[str, Any]) -> str:
    """The parameter that is written to a path; empty where the user's own config has it."""
    present = {place for place, _ in placed(places, params)}
    return next((name for name, place in places.items() if place in present and _overlap(place, path)), "")


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def default_of(space: SearchSpace, sections: Sections, places: Mapping[str, str]) -> dict[str, Any] | None:
    """What the configs say of the searched parameters, as params; ``None`` where they do not say all, or lie outside."""
    flat: dict[str, Any] = {}
    for leaf in space.leaves:
        if leaf.path in places and not leaf.condition:
            flat[leaf.path] = get_path(sections.tree, places[leaf.path], _MISSING)
    if any(value is _MISSING for value in flat.values()):
        return None
    try:
        return space.check(flat)
    except SpaceError:
        return None
