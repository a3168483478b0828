"""What varies in a config, found by walking its tree.

The rules, in the order in which they are asked:

- ``!fixed`` keeps what it marks;
- a mapping whose ``type`` names a distribution varies;
- a mapping, a list with one element, and a list with mappings in it are structure: walked through, lists by index;
- any other list varies over its elements, so a list of lists varies over the inner ones;
- ``command``, ``metric`` and, beside it, ``mode`` at the top never vary: they say how to sweep.

Knows trees, not files or search spaces: whether a distribution's bounds make sense is the space's business.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trialist.config.marks import FixedValue
from trialist.config.paths import Path, format_path
from trialist.core.errors import ConfigError, nearest
from trialist.space.dialects import FOREIGN
from trialist.space.domains import TYPES
from trialist.space.values import as_json, at, identity

DISTRIBUTIONS = tuple(name for name in TYPES if name != "fixed")
_BOUNDS = frozenset({"low", "high", "min", "max"})
_DISTRIBUTION_KEYS = _BOUNDS | {"type", "q", "values"}


class Found(NamedTuple):
    """Something that varies."""

    path: str
    domain: Mapping[str, Any]
    """As the search space takes it: ``{"type": "choice", "values": [...]}``, ``{"type": "uniform", …}``."""
    repeated: tuple[Any, ...] = ()
    """Values that the list has more than once; each is tried once."""


def walk(tree: Mapping[str, Any]) -> Iterator[Found]:
    """What varies in a config, in the order of the file.

    Raises:
        ConfigError: A mapping is nearly a distribution.
        SpaceError: A list holds what no run can have: NaN, infinity.
    """
    kept = reserved(tree)
    for key, value in tree.items():
        if key not in kept:
            yield from _walk((key,), value)


def reserved(tree: Mapping[str, Any]) -> frozenset[str]:
    """The top-level keys that say how to sweep; ``mode`` is one only beside ``metric``, else it is the user's own."""
    return frozenset({"command", "metric", "mode"} if tree.get("metric") is not None else {"command", "metric"})


def _walk(keys: Path, node: Any) -> Iterator[Found]:
    if isinstance(node, Mapping):
        if is_distribution(node):
            yield distribution(format_path(keys), node)
            return
        _check_not_nearly(keys, node)
        for key, value in node.items():
            yield from _walk((*keys, key), value)
    elif isinstance(node, list):
        if varies(node):
            yield choice(format_path(keys), node)
        else:
            for index, value in enumerate(node):
                yield from _walk((*keys, str(index)), value)


def varies(node: Sequence[Any]) -> bool:
    """Whether a list is values to try and no structure."""
    return len(node) > 1 and not any(isinstance(item, Mapping | FixedValue) for item in node)


def is_distribution(node: Any) -> bool:
    """Whether a mapping's ``type`` names a distribution."""
    return isinstance(node, Mapping) and isinstance(node.get("type"), str) and node["type"] in DISTRIBUTIONS


def distribution(path: str, node: Mapping[str, Any]) -> Found:
    """A mapping that is a distribution, as the search space takes it."""
    plain = unmarked(node)
    if plain["type"] == "choice" and isinstance(plain.get("values"), list):
        values, repeated = distinct(path, plain["values"])
        return Found(path, {**plain, "values": values}, repeated)
    return Found(path, plain)


def choice(path: str, values: Sequence[Any]) -> Found:
    """A list of values to try."""
    once, repeated = distinct(path, unmarked(list(values)))
    return Found(path, {"type": "choice", "values": once}, repeated)


def distinct(path: str, values: Sequence[Any]) -> tuple[list[Any], tuple[Any, ...]]:
    """The values in order, each once, and those that came again.

    Raises:
        ConfigError, SpaceError: A value is none that a run can have.
    """
    once: dict[Hashable, Any] = {}
    repeated: dict[Hashable, Any] = {}
    for index, value in enumerate(values):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{value} is no number that can be tried; text goes in quotes.", path=f"{path}.{index}")
        with at(f"{path}.{index}"):
            plain = as_json(value)
        (repeated if (key := identity(plain)) in once else once).setdefault(key, plain)
    return list(once.values()), tuple(repeated.values())


def unmarked(node: Any) -> Any:
    """A tree without the ``!fixed`` marks in it."""
    if isinstance(node, FixedValue):
        return unmarked(node.value)
    if isinstance(node, Mapping):
        return {key: unmarked(value) for key, value in node.items()}
    if isinstance(node, list):
        return [unmarked(value) for value in node]
    return node


def is_whole(node: Mapping[str, Any]) -> bool:
    """Whether a mapping has a distribution's own keys and no others, so that nobody can have meant anything else."""
    return set(map(str, node)) <= _DISTRIBUTION_KEYS and bool(
        _BOUNDS & node.keys() or isinstance(node.get("values"), list)
    )


def _check_not_nearly(keys: Path, node: Mapping[str, Any]) -> None:
    """Refuse a mapping that was clearly meant as a distribution: a misspelt one would pass unseen into every run.

    It was, where nothing but a distribution's own keys is in it, and its ``type`` is another tool's word for one, or
    one of ours with a slip in it: ``{type: hard, min: 0, max: 1}`` is somebody's own.
    """
    name = node.get("type")
    if not isinstance(name, str) or not is_whole(node):
        return
    plain = name.strip().lower()
    bare = plain.replace("_", "").replace("-", "")
    if bare in DISTRIBUTIONS:
        offer = f" Did you mean '{bare}'?"
    elif plain in FOREIGN:
        offer = f" Here it is called {FOREIGN[plain]}." if FOREIGN[plain] else f" There are {', '.join(DISTRIBUTIONS)}."
    else:
        offer = nearest(bare, DISTRIBUTIONS)
    if not offer.startswith(" Known:") and offer:
        raise ConfigError(
            f"type '{name}' is no distribution.{offer} A mapping that only looks like one is kept with !fixed.",
            path=format_path(keys),
        )
