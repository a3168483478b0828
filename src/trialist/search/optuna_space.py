"""A search space in Optuna's words: define-by-run, a distribution for each parameter, asked for only where it is active.

Needs the extra ``optuna``. Knows no study and no sampler.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from trialist.core.records import Params
from trialist.space import Codec, SearchSpace
from trialist.space.choices import Choice
from trialist.space.domains import Float, Int
from trialist.space.leaves import Leaf

_SCALAR = (str, int, float, bool, type(None))
_MAX_INT = 2**53
"""Larger integers are given to Optuna as a place on a line: it computes with floats."""


class OptunaSpace:
    """A space both ways.

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._codec = Codec(space)
        leaves = self._codec.leaves
        paths = [leaf.path for leaf in leaves]
        self._parameters = [
            Parameter(leaf, leaf.path if paths.count(leaf.path) == 1 else leaf.label) for leaf in leaves
        ]
        place = {(leaf.path, leaf.condition): at for at, leaf in enumerate(leaves)}
        self._parents = [
            [
                (place[one.path, leaf.condition[:depth]], one.option)
                for depth, one in enumerate(leaf.condition)
                if (one.path, leaf.condition[:depth]) in place
            ]
            for leaf in leaves
        ]

    def ask(self, trial: optuna.Trial) -> dict[str, Any]:
        """Params from a trial's proposals, parents first."""
        point = [0.5] * self._codec.dimension
        options: dict[int, int] = {}
        exact: list[tuple[tuple[str, ...], float]] = []
        for at, parameter in enumerate(self._parameters):
            if any(options.get(parent) != option for parent, option in self._parents[at]):
                continue
            value = parameter.value(trial._suggest(parameter.name, parameter.distribution))
            point[at] = parameter.position(value)
            if parameter.is_choice:
                options[at] = parameter.option(point[at])
            elif parameter.is_line:
                exact.append((parameter.leaf.keys, value))
        params = self._codec.decode(point)
        for keys, value in exact:  # the way over [0, 1] rounds
            _put(params, keys, value)
        return params

    def tell(self, params: Params) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Optuna's values and distributions of params that lie in the space."""
        values: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        active = self._codec.active(params)
        for parameter, u, means in zip(self._parameters, self._codec.encode(params), active, strict=True):
            if means:
                values[parameter.name] = parameter.theirs(u, params)
                distributions[parameter.name] = parameter.distribution
        return values, distributions


class Parameter:
    """One parameter both ways."""

    def __init__(self, leaf: Leaf, name: str) -> None:
        self.leaf, self.name = leaf, name
        domain: Any = leaf.domain
        self._domain = domain
        self.is_choice = isinstance(domain, Choice)
        self.is_line = isinstance(domain, Float) and domain.q is None
        self._by_place = False
        """Whether Optuna sees numbers of options, or places on [0, 1], in place of values."""
        self.distribution = self._distribution()

    def _distribution(self) -> BaseDistribution:
        domain = self._domain
        if isinstance(domain, Choice):
            values = domain.values
            # Optuna takes 1 and True for one value; and knows texts, numbers and None alone.
            self._by_place = len({*map(_hashed, values)}) < len(values) or not all(
                isinstance(v, _SCALAR) for v in values
            )
            return CategoricalDistribution(tuple(range(len(values))) if self._by_place else values)
        if isinstance(domain, Int) and domain.high - domain.low < _MAX_INT and not (domain.log and domain.step > 1):
            return IntDistribution(domain.low, domain.nth(domain.size - 1), log=domain.log, step=domain.step)
        if isinstance(domain, Float) and domain.q is None:
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        if isinstance(domain, Float) and not domain.log and domain.q is not None and domain.size is not None:
            return FloatDistribution(domain.low, domain.nth(domain.size - 1), step=domain.q)
        self._by_place = True
        return FloatDistribution(0.0, 1.0)

    def value(self, theirs: Any) -> Any:
        """Our value; of a choice, or where Optuna sees places, what ``position`` takes."""
        if self.is_choice or self._by_place:
            return theirs
        return self._domain.check(theirs)

    def position(self, value: Any) -> float:
        """The place of ``value``'s result on [0, 1]."""
        if self.is_choice:
            count = len(self._domain.values)
            place = value if self._by_place else self._domain.option(value)[0]
            return float((place + 0.5) / count)
        return float(value if self._by_place else self._domain.position(value))

    def option(self, u: float) -> int:
        count = len(self._domain.values)
        return min(int(u * count), count - 1)

    def theirs(self, u: float, params: Params) -> Any:
        """Optuna's value for params in which this is active."""
        if self.is_choice:
            return self.option(u) if self._by_place else self._domain.values[self.option(u)]
        if self._by_place:
            return u
        node: Any = params
        for key in self.leaf.keys:
            node = node[key]
        return node


def _hashed(value: Any) -> Any:
    return value if isinstance(value, _SCALAR) else id(value)


def _put(params: dict[str, Any], keys: tuple[str, ...], value: float) -> None:
    node = params
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
