"""``Choice``: one of several values, of which some may be branches with parameters of their own.

Knows how to tell branches apart, since params do not say which branch they are of. Knows no constraint, no dialect and no
path but the one the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from trialist.core.errors import SpaceError
from trialist.space.domains import TYPES, Domain, Fixed, Float, Group, Int, Scalar
from trialist.space.values import MAX_DEPTH, as_json, at, copy_json, identity, join, short


@dataclass(frozen=True, eq=False)
class Choice(Scalar):
    """One of several values, in order: any JSON, or mappings that hold domains (conditional branches).

    Args:
        values: At least one; no two alike (``1`` and ``1.0`` are alike, ``1`` and ``true`` are not). A mapping that holds
            a domain somewhere becomes a ``Group``: its parameters exist only where it is chosen. Branches must differ
            in their names or in a value that cannot be the same, so that params always tell which one they are of.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        unordered = isinstance(self.values, str | bytes | Mapping | Set)
        if unordered or not hasattr(self.values, "__iter__") or not hasattr(self.values, "__len__"):
            raise SpaceError("", f"values must be a list; got {short(self.values)}.")
        options = tuple(_option(value, number) for number, value in enumerate(self.values))
        if not options:
            raise SpaceError("", "a choice needs at least one value.")
        object.__setattr__(self, "values", options)
        _refuse_twins(options)

    @cached_property
    def branches(self) -> tuple[tuple[int, Group], ...]:
        """The options that hold parameters of their own, with their numbers."""
        return tuple((number, option) for number, option in enumerate(self.values) if isinstance(option, Group))

    @cached_property
    def _numbers(self) -> dict[Any, int]:
        return {identity(v): number for number, v in enumerate(self.values) if not isinstance(v, Group)}

    @cached_property
    def _ends(self) -> tuple[int, ...] | None:
        """Running totals of the options' sizes."""
        sizes = [option.size if isinstance(option, Group) else 1 for option in self.values]
        return None if None in sizes else tuple(accumulate(sizes))  # type: ignore[arg-type]

    @property
    def size(self) -> int | None:
        return None if self._ends is None else self._ends[-1]

    def nth(self, index: int) -> Any:
        assert self._ends is not None, "only finite choices are numbered"
        if not self.branches:
            return copy_json(self.values[index])
        # Branches may be huge, so the totals are plain integers and the search is by halves.
        low, high = 0, len(self._ends) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._ends[middle] <= index else (low, middle)
        option = self.values[low]
        return (
            option.nth(index - (self._ends[low - 1] if low else 0)) if isinstance(option, Group) else copy_json(option)
        )

    def decoder(self) -> Callable[[float], Any]:
        """[0, 1] to the option: a copy of its value, or its ``Group``."""
        options, last = self.values, len(self.values) - 1
        count = last + 1
        if all(not isinstance(option, dict | list) for option in options):
            return lambda u: options[min(int(u * count), last)]
        return lambda u: copy_json(options[min(int(u * count), last)])

    def position(self, value: Any) -> float:
        return (self.option(value)[0] + 0.5) / len(self.values)

    def option(self, value: Any, path: str = "") -> tuple[int, Any]:
        """The number of the option that a value is of, and the value as the option spells it."""
        with at(path):
            plain = as_json(value)
        number = self._numbers.get(identity(plain))
        if number is not None:
            return number, copy_json(self.values[number])
        if not self.branches or not isinstance(plain, dict):
            raise SpaceError(path, f"must be one of {describe_values(self)}; got {short(value)}.")
        return self._branch(plain, path)

    def _branch(self, value: dict[str, Any], path: str) -> tuple[int, dict[str, Any]]:
        found: list[tuple[int, dict[str, Any]]] = []
        errors: list[tuple[Group, SpaceError]] = []
        for number, group in self.branches:
            try:
                found.append((number, group.check(value, path)))
            except SpaceError as error:
                errors.append((group, error))
        if len(found) == 1:
            return found[0]
        if found:
            raise SpaceError(path, f"{short(value)} does not say which of {describe_values(self)} it is of.")
        # The branch that the fixed values point at knows best what is wrong.
        meant = [error for group, error in errors if _fixed_agree(group, value)]
        if len(meant) == 1 or len(errors) == 1:
            raise (meant or [errors[0][1]])[0]
        raise SpaceError(path, f"fits none of {describe_values(self)}; got {short(value)}.")

    def check(self, value: Any, path: str = "") -> Any:
        return self.option(value, path)[1]

    def to_json(self) -> dict[str, Any]:
        return {"type": "choice", "values": [_option_json(option) for option in self.values]}


def is_typed(value: Any) -> bool:
    """Whether a mapping is a typed dict, by the word that its ``type`` says."""
    return isinstance(value, Mapping) and isinstance(value.get("type"), str) and value["type"] in TYPES


def looks_varied(value: Any, depth: int = 0) -> bool:
    """Whether a mapping holds a domain or a typed dict somewhere, through mappings only: lists are values there."""
    if isinstance(value, Domain) or is_typed(value):
        return True
    if not isinstance(value, Mapping) or depth >= MAX_DEPTH:
        return False
    return any(looks_varied(item, depth + 1) for item in value.values())


def describe_values(choice: Choice, width: int = 60) -> str:
    """The values of a choice for a message or a plan, cut to about ``width`` characters, with their number."""
    shown: list[str] = []
    for option in choice.values:
        shown.append(describe_option(option) if isinstance(option, Group) else _bare(option))
        if len(", ".join(shown)) > width and len(shown) < len(choice.values):
            return f"{', '.join(shown[:-1] or shown)}, … ({len(choice.values)} values)"
    return ", ".join(shown)


def _bare(value: Any) -> str:
    return value if isinstance(value, str) and value.isidentifier() else short(value, 40)


def describe_option(group: Group) -> str:
    """A branch in short: its fixed values and the names of the rest."""
    parts = [
        f"{key}={_bare(domain.value)}" if isinstance(domain, Fixed) else key for key, domain in group.params.items()
    ]
    return "{" + ", ".join(parts[:4]) + (", …" if len(parts) > 4 else "") + "}"


def _option(value: Any, number: int) -> Any:
    """One value of a choice: plain JSON, or the ``Group`` of a branch."""
    try:
        if isinstance(value, Fixed):
            return copy_json(value.value)
        if isinstance(value, Group):
            return value if value.params else {}
        if isinstance(value, Domain):
            raise SpaceError("", 'a distribution cannot be a value by itself: put it under a name, {"name": …}.')
        if isinstance(value, Mapping) and looks_varied(value):
            return _branch_group(value, "", 0)
        return as_json(value)
    except SpaceError as error:
        raise SpaceError(error.path, f"value number {number}: {error.rule}" if not error.path else error.rule) from None


def _branch_group(value: Mapping[str, Any], path: str, depth: int) -> Group:
    if is_typed(value):
        raise SpaceError(
            path,
            f"the typed dict {short(dict(value))} belongs into SearchSpace.of; here give Float(…), Int(…) or Choice(…).",
        )
    if depth >= MAX_DEPTH:
        raise SpaceError(path, f"the space is nested more than {MAX_DEPTH} levels deep.")
    params: dict[str, Domain] = {}
    for key, item in value.items():
        inner = join(path, str(key))
        if isinstance(item, Domain):
            params[key] = item
        elif isinstance(item, Mapping) and looks_varied(item):
            params[key] = _branch_group(item, inner, depth + 1)
        else:
            with at(inner):
                params[key] = Fixed(item)
    return Group(params)


def _option_json(option: Any) -> Any:
    """An option such that the typed-dict dialect reads it back as what it is."""
    if isinstance(option, Group):
        return option.to_json()
    return {"type": "fixed", "value": copy_json(option)} if looks_varied(option) else copy_json(option)


def _refuse_twins(options: tuple[Any, ...]) -> None:
    seen: dict[Any, int] = {}
    for number, option in enumerate(options):
        if isinstance(option, Group):
            continue
        first = seen.setdefault(identity(option), number)
        if first != number:
            raise SpaceError("", f"the value {short(option)} stands twice, as number {first} and {number}.")
    branches = [(number, option) for number, option in enumerate(options) if isinstance(option, Group)]
    for place, (number, group) in enumerate(branches):
        for other, option in enumerate(options):
            if isinstance(option, dict) and group.contains(option):
                raise SpaceError("", f"value number {other} is also one of branch number {number}.")
        for later, twin in branches[place + 1 :]:
            if not disjoint(group, twin):
                raise SpaceError(
                    "",
                    f"the branches number {number} and {later} can be the same, so params would not say which they are "
                    'of: give each a fixed name of its own, such as {"name": "sgd", …} and {"name": "adam", …}.',
                )


def disjoint(a: Domain, b: Domain) -> bool:
    """Whether no value is of both; may be False for two that are, never True for two that are not."""
    if isinstance(a, Group) and isinstance(b, Group):
        # Fixed values may be left out of params, so a name tells branches apart only where it must be given.
        told = [key for one, other in ((a, b), (b, a)) for key in one.params if _must_be_given(one, key, other)]
        common = [key for key in a.params if key in b.params]
        return bool(told) or any(disjoint(a.params[key], b.params[key]) for key in common)
    if isinstance(a, Group) or isinstance(b, Group):
        group, other = (a, b) if isinstance(a, Group) else (b, a)
        if isinstance(other, Choice):
            return all(
                disjoint(group, option) if isinstance(option, Group) else not group.contains(option)
                for option in other.values
            )
        return not (isinstance(other, Fixed) and group.contains(other.value))
    if isinstance(a, Choice) and isinstance(b, Choice):
        groups = [option for option in a.values if isinstance(option, Group)]
        plain = [option for option in a.values if not isinstance(option, Group)]
        return not any(b.contains(option) for option in plain) and all(disjoint(group, b) for group in groups)
    if isinstance(a, Choice | Fixed):
        values = a.values if isinstance(a, Choice) else (a.value,)
        return not any(b.contains(value) for value in values if not isinstance(value, Group))
    if isinstance(b, Choice | Fixed):
        return disjoint(b, a)
    if isinstance(a, Float | Int) and isinstance(b, Float | Int):
        return a.high < b.low or b.high < a.low
    return False


def _must_be_given(group: Group, key: str, other: Group) -> bool:
    return key not in other.params and not isinstance(group.params[key], Fixed)


def _fixed_agree(group: Group, value: dict[str, Any]) -> bool:
    fixed = [(key, domain) for key, domain in group.params.items() if isinstance(domain, Fixed) and key in value]
    return bool(fixed) and all(domain.contains(value[key]) for key, domain in fixed)
