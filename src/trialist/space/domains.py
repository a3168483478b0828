"""What one parameter may be: ``Float``, ``Int``, ``Choice``, ``Fixed``; and ``Group``, a mapping of these.

All are frozen and checked when they are made. Each knows its values three ways: by a point of [0, 1] (``decoder``,
``position``: sampling and the codec), by number (``size``, ``nth``: grids) and by themselves (``check``). Knows no
constraint, no dialect and no path: errors carry the path that the caller gives, or an empty one.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trialist.core.errors import SpaceError, nearest
from trialist.space.scales import Cells, Line, LogCells, LogLine, Scale, decimal_cells
from trialist.space.values import as_float, as_int, as_json, at, copy_json, identity, join, short

TYPES = (
    "uniform", "loguniform", "quniform", "qloguniform", "randint", "lograndint", "qrandint", "qlograndint", "choice",
    "fixed",
)  # fmt: skip
"""The words that a typed dict's ``type`` may say."""
MAX_BITS = 1000
"""Integers of a range stay below 2**1000, so that they have a place on the float line."""


class Domain(ABC):
    """What one parameter may be. Domains are equal when their JSON is."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """How many values there are; ``None``: a continuum."""

    @abstractmethod
    def nth(self, index: int) -> Any:
        """Value number ``index`` of a finite domain, 0 … ``size - 1``, in order."""

    @abstractmethod
    def check(self, value: Any, path: str = "") -> Any:
        """The value as this domain spells it; SpaceError, with the path, where it is none of the domain's."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """As a typed dict."""

    def contains(self, value: Any) -> bool:
        try:
            self.check(value)
        except SpaceError:
            return False
        return True

    @cached_property
    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Domain) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class Scalar(Domain):
    """A domain with an order or a numbering, which therefore has a place on [0, 1]."""

    @abstractmethod
    def decoder(self) -> Callable[[float], Any]:
        """[0, 1] to values, onto: equal lengths (on the scale: logarithmic for ``log``) are equally likely."""

    @abstractmethod
    def position(self, value: Any) -> float:
        """Where in [0, 1] a value of the domain lies: ``decoder()(position(v))`` is ``v``."""


@dataclass(frozen=True, eq=False)
class Float(Scalar):
    """Floats from ``low`` to ``high``, both included.

    Args:
        low: Smallest.
        high: Largest, not below ``low``.
        log: Spread evenly over the logarithm; ``low`` is then above 0.
        q: Only ``low``, ``low + q``, ``low + 2 q`` … up to ``high``, exact in decimal: 0.1 steps give 0.3.
    """

    low: float
    high: float
    log: bool = False
    q: float | None = None

    def __post_init__(self) -> None:
        low, high = as_float(self.low, "low"), as_float(self.high, "high")
        _ordered(low, high)
        if _flag(self.log, "log") and low <= 0:
            raise SpaceError("", f"low must be above 0 on a log scale; got {low!r}.")
        if self.q is not None:
            q = as_float(self.q, "q")
            if q <= 0:
                raise SpaceError("", f"q must be above 0; got {q!r}.")
            object.__setattr__(self, "q", q)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        self.scale  # noqa: B018 - a step that is too fine is an error now, not at the first sample

    @cached_property
    def scale(self) -> Scale:
        if self.q is None:
            return LogLine(self.low, self.high) if self.log else Line(self.low, self.high)
        cells = decimal_cells(self.low, self.high, self.q)
        return LogCells(cells) if self.log else cells

    @property
    def size(self) -> int | None:
        return self.scale.size

    def nth(self, index: int) -> float:
        return float(self.scale.nth(index))

    def decoder(self) -> Callable[[float], Any]:
        return self.scale.decoder()

    def position(self, value: Any) -> float:
        return self.scale.position(value)

    def check(self, value: Any, path: str = "") -> float:
        with at(path):
            number = as_float(value, "the value")
            # What was computed as 0.1 * 3 is 0.3; half a step away it is another value.
            slack = 0.0 if self.q is None else min(max(1e-9 * self.q, 4 * math.ulp(number)), self.q / 4)
            if not self.low - slack <= number <= self.high + slack:
                raise SpaceError("", f"must be from {self.low!r} to {self.high!r}; got {number!r}.")
            near = float(self.scale.nearest(number))
            if abs(near - number) > slack:
                raise SpaceError("", f"must be {self.low!r} plus a multiple of {self.q!r}; got {number!r}.")
            return near

    def to_json(self) -> dict[str, Any]:
        kind = ("q" if self.q is not None else "") + ("log" if self.log else "") + "uniform"
        return {"type": kind, "low": self.low, "high": self.high, **({} if self.q is None else {"q": self.q})}


@dataclass(frozen=True, eq=False)
class Int(Scalar):
    """Integers from ``low`` to ``high``, both included.

    Args:
        low: Smallest.
        high: Largest, not below ``low``.
        log: Spread over the logarithm; ``low`` is then at least 1.
        step: Only ``low``, ``low + step`` … up to ``high``.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        low, high, step = as_int(self.low, "low"), as_int(self.high, "high"), as_int(self.step, "the step")
        _ordered(low, high)
        if max(low.bit_length(), high.bit_length(), step.bit_length()) > MAX_BITS:
            raise SpaceError("", f"integers must stay below 2**{MAX_BITS}; got {short(low)} … {short(high)}.")
        if _flag(self.log, "log") and low < 1:
            raise SpaceError("", f"low must be at least 1 on a log scale; got {low}.")
        if step < 1:
            raise SpaceError("", f"the step (q) must be at least 1; got {step}.")
        for name, value in (("low", low), ("high", high), ("step", step)):
            object.__setattr__(self, name, value)

    @cached_property
    def scale(self) -> Scale:
        cells = Cells(self.low, self.step, (self.high - self.low) // self.step + 1)
        return LogCells(cells) if self.log else cells

    @property
    def size(self) -> int:
        return (self.high - self.low) // self.step + 1

    def nth(self, index: int) -> int:
        return self.low + index * self.step

    def decoder(self) -> Callable[[float], Any]:
        return self.scale.decoder()

    def position(self, value: Any) -> float:
        return self.scale.position(value)

    def check(self, value: Any, path: str = "") -> int:
        with at(path):
            number = as_int(value, "the value")
            if not self.low <= number <= self.high:
                raise SpaceError("", f"must be from {self.low} to {self.high}; got {short(number)}.")
            if (number - self.low) % self.step:
                raise SpaceError("", f"must be {self.low} plus a multiple of {self.step}; got {number}.")
            return number

    def to_json(self) -> dict[str, Any]:
        kind = ("q" if self.step > 1 else "") + ("log" if self.log else "") + "randint"
        return {"type": kind, "low": self.low, "high": self.high, **({"q": self.step} if self.step > 1 else {})}


@dataclass(frozen=True, eq=False)
class Fixed(Domain):
    """One value, any JSON: a list that is a value, or a mapping that only looks like a distribution."""

    value: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", as_json(self.value))

    @property
    def size(self) -> int:
        return 1

    def nth(self, index: int) -> Any:
        return copy_json(self.value)

    def check(self, value: Any, path: str = "") -> Any:
        with at(path):
            if identity(as_json(value)) != identity(self.value):
                raise SpaceError("", f"is fixed to {short(self.value)}; got {short(value)}.")
            return copy_json(self.value)

    def to_json(self) -> dict[str, Any]:
        return {"type": "fixed", "value": copy_json(self.value)}


@dataclass(frozen=True, eq=False)
class Group(Domain):
    """Parameters by name: a nested part of a space, or one branch of a choice."""

    params: Mapping[str, Domain]

    def __post_init__(self) -> None:
        for key, domain in self.params.items():
            if not isinstance(key, str):
                raise SpaceError("", f"the name {short(key)} is not text: quote it.")
            if not key:
                raise SpaceError("", "a parameter has an empty name.")
            as_json(key)
            if not isinstance(domain, Domain):
                raise SpaceError(
                    "", f"'{key}' is {short(domain)}, which is no domain: give Float, Int, Choice, Fixed or Group."
                )
        # An empty mapping is a value like any other, so it has a path and survives JSON as one.
        params = {key: Fixed({}) if isinstance(d, Group) and not d.params else d for key, d in self.params.items()}
        object.__setattr__(self, "params", params)

    @cached_property
    def _sizes(self) -> tuple[tuple[str, Domain, int], ...] | None:
        sizes = [(key, domain, domain.size) for key, domain in self.params.items()]
        return None if any(size is None for *_, size in sizes) else tuple(sizes)  # type: ignore[arg-type]

    @cached_property
    def size(self) -> int | None:
        return None if self._sizes is None else math.prod(size for *_, size in self._sizes)

    def nth(self, index: int) -> dict[str, Any]:
        """Mixed radix: the last parameter changes fastest."""
        assert self._sizes is not None, "only finite groups are numbered"
        out: dict[str, Any] = dict.fromkeys(self.params)
        for key, domain, size in reversed(self._sizes):
            index, digit = divmod(index, size)
            out[key] = domain.nth(digit)
        return out

    def check(self, value: Any, path: str = "") -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise SpaceError(path, f"must be a mapping with {_names(self.params)}; got {short(value)}.")
        for key in value:
            if key not in self.params:
                raise SpaceError(join(path, str(key)), f"no parameter has this name.{nearest(str(key), self.params)}")
        out: dict[str, Any] = {}
        missing: list[str] = []
        for key, domain in self.params.items():
            if key in value:
                out[key] = domain.check(value[key], join(path, key))
            elif isinstance(domain, Fixed):
                out[key] = domain.nth(0)
            else:
                missing.append(key)
        if missing:
            raise SpaceError(path, f"no value is given for {_names(missing)}.")
        return out

    def to_json(self) -> dict[str, Any]:
        return {key: domain.to_json() for key, domain in self.params.items()}


def _ordered(low: float, high: float) -> None:
    if low > high:
        raise SpaceError("", f"low must not be above high; got low={short(low)}, high={short(high)}.")


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise SpaceError("", f"{what} must be true or false; got {short(value)}.")
    return value


def _names(names: Mapping[str, Any] | list[str]) -> str:
    shown = [f"'{name}'" for name in names]
    return ", ".join(shown[:12]) + (f", … ({len(shown)} in all)" if len(shown) > 12 else "")
