"""Params as points of [0, 1]^d and back: what searchers and surrogates compute with.

One dimension for each parameter that varies, conditional ones included; those that are not active lie at 0.5. Pure Python;
knows no constraint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trialist.core.errors import SpaceError
from trialist.space.choices import Choice
from trialist.space.domains import Domain, Group, Scalar
from trialist.space.leaves import Leaf
from trialist.space.space import SearchSpace
from trialist.space.values import copy_json

INACTIVE = 0.5
Point = Sequence[float]
_Decode = Callable[[Point], Any]
_Encode = Callable[[Any, list[float], list[bool]], None]


class Codec:
    """The map between the params of a space and points of [0, 1]^d.

    Guarantee: ``decode(encode(p)) == p`` for all params of the space (lines to floating-point rounding, integers exactly
    up to 2**40 values), and every point decodes to params of the space, constraints excepted. Integers and steps take
    cells of equal width; on a log scale, of equal width in the logarithm of ``low - 1/2`` to ``high + 1/2``.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.leaves: tuple[Leaf, ...] = tuple(leaf for leaf in space.leaves if leaf.varies)
        """The parameter of each dimension."""
        self.dimension = len(self.leaves)
        self._places = {(leaf.keys, leaf.condition): place for place, leaf in enumerate(self.leaves)}
        self._decode, self._encode = self._group(space.root, (), ())

    def encode(self, params: Mapping[str, Any]) -> list[float]:
        """The point of params that lie in the space; what is not active is 0.5."""
        return self._run(params)[0]

    def active(self, params: Mapping[str, Any]) -> list[bool]:
        """Which dimensions mean something for these params."""
        return self._run(params)[1]

    def encode_active(self, params: Mapping[str, Any]) -> tuple[list[float], list[bool]]:
        """What ``encode`` and ``active`` give, for the price of one of them."""
        return self._run(params)

    def decode(self, point: Point) -> dict[str, Any]:
        """The params of a point; coordinates beyond [0, 1] count as its ends.

        Raises:
            SpaceError: The point has another dimension, or a coordinate is NaN.
        """
        if len(point) != self.dimension:
            raise SpaceError("", f"a point of this space has {self.dimension} coordinates; got {len(point)}.")
        clean = [0.0 if u < 0.0 else 1.0 if u > 1.0 else float(u) for u in point]
        if any(u != u for u in clean):
            raise SpaceError("", "a coordinate of the point is NaN.")
        params: dict[str, Any] = self._decode(clean)
        return params

    def _run(self, params: Mapping[str, Any]) -> tuple[list[float], list[bool]]:
        point, active = [INACTIVE] * self.dimension, [False] * self.dimension
        self._encode(params, point, active)
        return point, active

    def _group(self, group: Group, keys: tuple[str, ...], condition: tuple[Any, ...]) -> tuple[_Decode, _Encode]:
        parts = [(key, *self._domain(domain, (*keys, key), condition)) for key, domain in group.params.items()]
        decodes = [(key, decode) for key, decode, _ in parts]
        encodes = [(key, encode) for key, _, encode in parts if encode is not None]

        def encode_group(params: Any, point: list[float], active: list[bool]) -> None:
            for key, encode in encodes:
                encode(params[key], point, active)

        return (lambda point: {key: decode(point) for key, decode in decodes}), encode_group

    def _domain(
        self, domain: Domain, keys: tuple[str, ...], condition: tuple[Any, ...]
    ) -> tuple[_Decode, _Encode | None]:
        if isinstance(domain, Group):
            return self._group(domain, keys, condition)
        if isinstance(domain, Choice) and domain.branches:
            return self._branches(domain, keys, condition)
        place = self._places.get((keys, condition))
        if place is None:
            return (lambda _: domain.nth(0)), None
        assert isinstance(domain, Scalar)
        decode, position = domain.decoder(), domain.position

        def encode(value: Any, point: list[float], active: list[bool]) -> None:
            point[place] = position(value)
            active[place] = True

        return (lambda point: decode(point[place])), encode

    def _branches(
        self, choice: Choice, keys: tuple[str, ...], condition: tuple[Any, ...]
    ) -> tuple[_Decode, _Encode | None]:
        place, path, count = self._places.get((keys, condition)), ".".join(keys), len(choice.values)
        decodes: list[_Decode] = []
        encodes: dict[int, _Encode] = {}
        for number, option in enumerate(choice.values):
            if isinstance(option, Group):
                decode, encodes[number] = self._group(option, keys, (*condition, (path, number)))
                decodes.append(decode)
            else:
                decodes.append(_constant(option))

        def decode_option(point: Point) -> Any:
            number = 0 if place is None else min(int(point[place] * count), count - 1)
            return decodes[number](point)

        def encode_option(value: Any, point: list[float], active: list[bool]) -> None:
            number, normal = choice.option(value, path)
            if place is not None:
                point[place] = (number + 0.5) / count
                active[place] = True
            if number in encodes:
                encodes[number](normal, point, active)

        return decode_option, encode_option


def _constant(value: Any) -> _Decode:
    return lambda _: copy_json(value)
