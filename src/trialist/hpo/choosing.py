"""The searcher and the scheduler that are meant: by name, with options, or an object of the user's. Knows the registry only."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from trialist import registry
from trialist.api.assembling import as_spec
from trialist.api.given import is_object, spec_of
from trialist.core.errors import ConfigError
from trialist.core.records import Metric, Spec
from trialist.space import Choice, Int, SearchSpace

_OPTUNA = "optuna"
_LENGTH = "max_steps"
_TOLD = frozenset({"asha", "forecast", "hyperband", "pbt"})
"""Schedulers that are told how long a whole trial is, where nobody says otherwise …"""
_NEEDS = frozenset({"hyperband", "pbt"})
"""… and those that cannot do without."""


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


def choose_scheduler(given: Any, epochs: int | None) -> Chosen:
    """The scheduler that is meant: a name, ``{"name": …, option: value}``, an object, or ``None``.

    Args:
        given: What was asked for.
        epochs: How long a whole trial is, where the configs say so.

    Raises:
        ConfigError, UnknownName: There is none such, or nobody says how long a trial is.
    """
    if is_object(given) and callable(getattr(given, "decide", None)):
        return Chosen(spec_of(given), copy.deepcopy(given))
    spec = as_spec("scheduler", given, None)
    if spec is None or spec.name not in _TOLD or _LENGTH in spec.options or "rungs" in spec.options:
        return Chosen(spec)
    if epochs is not None and epochs > 1:
        return Chosen(Spec(name=spec.name, options={**spec.options, _LENGTH: epochs}))
    if spec.name in _NEEDS:
        raise ConfigError(
            f"'{spec.name}' must know how long a whole trial is, of 2 epochs or more: give training_config={{'epochs': 20}}, or "
            f"scheduler={{'name': '{spec.name}', '{_LENGTH}': 20}}",
            path="scheduler",
        )
    return Chosen(spec)


def epochs_of(space: SearchSpace, training: Mapping[str, Any], places: Mapping[str, str]) -> int | None:
    """How many epochs a trial may take at most, as configs or space say; ``None``: neither does."""
    found = [training[name] for name in ("epochs", "num_epochs") if name in training]
    for leaf in space.leaves:
        if places.get(leaf.path) in ("training.epochs", "training.num_epochs"):
            domain = leaf.domain
            found += [domain.high] if isinstance(domain, Int) else []
            found += domain.values if isinstance(domain, Choice) else []
    whole = [value for value in found if isinstance(value, int) and not isinstance(value, bool)]
    return max(whole, default=None)


def _is_sampler(given: Any) -> bool:
    """Whether it is an object of a sampler class of Optuna's, or of one made from it; Optuna is not imported for that."""
    bases = () if isinstance(given, type) else type(given).__mro__
    return any(base.__name__ == "BaseSampler" and base.__module__.startswith("optuna.") for base in bases)
