"""Variations given beside the file: ``training.learning_rate=1e-3,1e-4`` on the command line, a mapping in Python.

``path=v1,v2`` replaces what the file has at that path; ``+path=v1,v2`` adds a path. Values are YAML, and commas inside
brackets or quotes do not split. Knows no config: whether a path is there is asked by whoever applies these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from trialist.config.paths import Path, format_path, parse_path
from trialist.config.yaml import parse_values
from trialist.core.errors import ConfigError
from trialist.sweep.walk import Found, choice, distribution, is_distribution


class Variation(NamedTuple):
    """What a person wants at one path."""

    keys: Path
    found: Found
    """What varies there; a single value is a choice of one."""
    adds: bool
    """Whether the path is new: ``+path=…``."""

    @property
    def path(self) -> str:
        return format_path(self.keys)


def parse_variations(given: Iterable[str] | Mapping[str, Any]) -> list[Variation]:
    """Variations as the command line has them (``["path=v1,v2"]``) or as Python has them (``{"path": [v1, v2]}``).

    Raises:
        ConfigError: One is no variation, or two are about one path.
        SpaceError: A value is none that a run can have.
    """
    if isinstance(given, str):
        given = [given]
    parsed = (
        [_from_python(path, value) for path, value in given.items()]
        if isinstance(given, Mapping)
        else [_from_text(text) for text in given]
    )
    for place, one in enumerate(parsed):
        for other in parsed[:place]:
            if one.keys == other.keys:
                raise ConfigError("is varied twice; give all its values at once.", path=one.path)
            if one.keys[: len(other.keys)] == other.keys or other.keys[: len(one.keys)] == one.keys:
                raise ConfigError(f"lies within '{other.path}' or holds it, and both vary; give one.", path=one.path)
    return parsed


def _from_text(text: str) -> Variation:
    name, equals, values = text.partition("=")
    if not equals or not name.strip("+ "):
        raise ConfigError(f"the variation '{text}' is not of the form path=value,value (or +path=… for a new path).")
    keys, adds = _keys(name)
    path = format_path(keys)
    try:
        parsed = parse_values(values)
    except ConfigError as error:
        raise ConfigError(error.problem, path=path) from error
    if not parsed:
        raise ConfigError(f"'{text}' has no value after the '='; for empty text write ''.", path=path)
    return Variation(keys, _found(path, parsed), adds)


def _from_python(name: object, value: Any) -> Variation:
    if not isinstance(name, str) or not name.strip("+ "):
        raise ConfigError(f"a variation's path must be a text such as 'training.learning_rate', not {name!r}.")
    keys, adds = _keys(name)
    path = format_path(keys)
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        return Variation(keys, _found(path, [value]), adds)
    values = list(value)
    if not values:
        raise ConfigError("has no values to vary over.", path=path)
    return Variation(keys, _found(path, values), adds)


def _keys(name: str) -> tuple[Path, bool]:
    name = name.strip()
    return parse_path(name.removeprefix("+").strip()), name.startswith("+")


def _found(path: str, values: Sequence[Any]) -> Found:
    if len(values) == 1 and is_distribution(values[0]):
        return distribution(path, values[0])
    return choice(path, values)
