"""The parameters of a space as a flat list: each with its dotted path, its domain and when it is active.

A choice with branches is a parameter itself (which branch), and each branch's parameters follow it. Dotted paths join the
keys plainly, so a key that holds dots is one parameter whose path is that key; two parameters may not share a path unless
they are of different branches of one choice. Knows domains only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from trialist.core.errors import SpaceError
from trialist.space.choices import Choice, describe_option
from trialist.space.domains import Domain, Fixed, Group, Scalar
from trialist.space.expressions import Inactive
from trialist.space.values import copy_json


class Condition(NamedTuple):
    """Active where the choice at ``path`` took option number ``option``."""

    path: str
    option: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """One parameter."""

    path: str
    """Dotted; unique but for the branches of one choice."""
    keys: tuple[str, ...]
    """The keys that lead to it in nested params."""
    domain: Scalar | Fixed
    condition: tuple[Condition, ...]
    """All must hold; empty: always active."""
    label: str
    """The path, and the condition in words where there is one: unique in the space, and fit for a person."""

    @property
    def varies(self) -> bool:
        """Whether it has more than one value, so that a searcher has something to decide."""
        if isinstance(self.domain, Choice):
            return len(self.domain.values) > 1
        return self.domain.size != 1


def find_leaves(root: Group) -> tuple[Leaf, ...]:
    """All parameters in order, a choice before those of its branches.

    Raises:
        SpaceError: Two have one path.
    """
    leaves = tuple(_leaves(root, (), (), ""))
    owners: dict[str, tuple[str, ...]] = {}
    for leaf in leaves:
        for length in range(1, len(leaf.keys) + 1):
            path = ".".join(leaf.keys[:length])
            if owners.setdefault(path, leaf.keys[:length]) != leaf.keys[:length]:
                raise SpaceError(path, "two parameters have this path: one nested, one with dots in its name.")
    return leaves


def _leaves(group: Group, keys: tuple[str, ...], condition: tuple[Condition, ...], words: str) -> Iterator[Leaf]:
    for key, domain in group.params.items():
        inner = (*keys, key)
        if isinstance(domain, Group):
            yield from _leaves(domain, inner, condition, words)
            continue
        assert isinstance(domain, Scalar | Fixed)
        path = ".".join(inner)
        yield Leaf(path, inner, domain, condition, f"{path}{words}")
        if isinstance(domain, Choice):
            for number, branch in domain.branches:
                told = f"{words.removesuffix(')')}{', ' if words else ' (where '}{path} is {describe_option(branch)})"
                yield from _leaves(branch, inner, (*condition, Condition(path, number)), told)


def flatten(group: Group, params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The active parameters of valid params by path; of a branch, its parameters stand for the choice."""
    for key, domain in group.params.items():
        path = f"{prefix}{key}"
        if key not in params:
            continue
        value = params[key]
        if isinstance(domain, Group):
            yield from flatten(domain, value, f"{path}.")
            continue
        if isinstance(domain, Choice) and domain.branches and isinstance(value, Mapping):
            option = domain.values[domain.option(value, path)[0]]
            if isinstance(option, Group):
                yield from flatten(option, value, f"{path}.")
                continue
        yield path, copy_json(value)


def known_names(leaves: tuple[Leaf, ...]) -> dict[str, tuple[str, ...]]:
    """Every dotted name that a constraint may use, with its keys: parameters, and what lies inside values that are
    mappings or lists."""
    names: dict[str, tuple[str, ...]] = {}
    for leaf in leaves:
        names[leaf.path] = leaf.keys
    for leaf in leaves:
        for value in _values(leaf.domain):
            for keys in _inside(value, 0):
                full = (*leaf.keys, *keys)
                names.setdefault(".".join(full), full)
    return names


def _values(domain: Domain) -> tuple[Any, ...]:
    if isinstance(domain, Fixed):
        return (domain.value,)
    return domain.values if isinstance(domain, Choice) else ()


def _inside(value: Any, depth: int) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        items: list[tuple[str, Any]] = list(value.items())
    elif isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(value[:100])]
    else:
        return
    for key, item in items:
        yield (key,)
        for keys in _inside(item, depth + 1):
            yield (key, *keys)


def getter(keys: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    """Reads the value at these keys from params; raises Inactive where it is not there."""
    if len(keys) == 1:
        only = keys[0]

        def read_flat(params: Mapping[str, Any]) -> Any:
            try:
                return params[only]
            except KeyError:
                raise Inactive from None

        return read_flat

    def read(params: Mapping[str, Any]) -> Any:
        node: Any = params
        for key in keys:
            if isinstance(node, list):
                if not key.isdecimal() or int(key) >= len(node):
                    raise Inactive
                node = node[int(key)]
            elif isinstance(node, Mapping) and key in node:
                node = node[key]
            else:
                raise Inactive
        return node

    return read
