"""The searcher and the scheduler that are meant: by name, with options, or an object of the user's. Knows the registry only."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from trialist import registry
from trialist.api.assembling import as_spec
from trialist.api.given import is_object, spec_of
from trialist.core.records import Metric, Spec
from trialist.space import SearchSpace

_OPTUNA = "optuna"


class Chosen(NamedTuple):
    """What a study records, and the object where it was given as one."""

    spec: Spec | None
    object: Any = None


def choose_searcher(given: Any, space: SearchSpace, metrics: tuple[Metric, ...], seed: int) -> Chosen:
    """The searcher that is meant.

    Args:
        given: A name, ``{"name": …, option: value}``, a searcher object, or a sampler object of Optuna.
        space: What is searched.
        metrics: What is optimised.
        seed: The study's.

    Raises:
        ConfigError, UnknownName: There is none such.
        MissingExtra: Its library is not installed.
    """
    sampler = given.get("sampler") if isinstance(given, Mapping) and given.get("name") == _OPTUNA else given
    if _is_sampler(sampler):
        searcher = registry.load("searcher", _OPTUNA)(space, metrics=metrics, seed=seed, sampler=copy.deepcopy(sampler))
        return Chosen(spec_of(sampler), searcher)
    if is_object(given) and callable(getattr(given, "suggest", None)):
        return Chosen(spec_of(given), copy.deepcopy(given))  # what it learns here must not meet it in the next study
    return Chosen(as_spec("searcher", given, "random"))


def choose_scheduler(given: Any) -> Chosen:
    """The scheduler that is meant: a name, ``{"name": …, option: value}``, an object, or ``None``.

    Raises:
        ConfigError, UnknownName: There is none such.
    """
    if is_object(given) and callable(getattr(given, "decide", None)):
        return Chosen(spec_of(given), copy.deepcopy(given))
    return Chosen(as_spec("scheduler", given, None))


def _is_sampler(given: Any) -> bool:
    """Whether it is an object of a sampler class of Optuna's, or of one made from it; Optuna is not imported for that."""
    bases = () if isinstance(given, type) else type(given).__mro__
    return any(base.__name__ == "BaseSampler" and base.__module__.startswith("optuna.") for base in bases)
