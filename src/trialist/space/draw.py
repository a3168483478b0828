"""Random params of a tree of domains, as closures made once: drawing is on the way of every suggestion.

Knows domains; no constraint. Randomness comes from the ``random.Random`` of the caller alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trialist.space.choices import Choice
from trialist.space.domains import Domain, Fixed, Group, Int, Scalar
from trialist.space.values import copy_json

Uniform = Callable[[], float]
"""Gives floats in [0, 1), e.g. the bound method ``random.Random(0).random``."""
Draw = Callable[[Uniform], Any]


def drawer(domain: Domain) -> Draw:
    """A closure that draws values of a domain."""
    if isinstance(domain, Group):
        return _group(domain)
    if isinstance(domain, Choice) and domain.branches:
        return _branches(domain)
    if isinstance(domain, Fixed):
        value = domain.value
        return (lambda _: copy_json(value)) if isinstance(value, dict | list) else (lambda _: value)
    if isinstance(domain, Int) and not domain.log and domain.size > 2**32:
        return _wide(domain)
    assert isinstance(domain, Scalar)
    decode = domain.decoder()
    return lambda uniform: decode(uniform())


def _group(group: Group) -> Draw:
    draws = [(key, drawer(domain)) for key, domain in group.params.items()]
    return lambda uniform: {key: draw(uniform) for key, draw in draws}


def _branches(choice: Choice) -> Draw:
    draws: list[Draw] = [drawer(option if isinstance(option, Group) else Fixed(option)) for option in choice.values]
    count, last = len(draws), len(draws) - 1
    return lambda uniform: draws[min(int(uniform() * count), last)](uniform)


def _wide(domain: Int) -> Draw:
    """Integers from more than one float's worth of values: 53 bits a draw, and 53 more than needed, so no value is left out."""
    low, step, size = domain.low, domain.step, domain.size
    rounds = size.bit_length() // 53 + 2

    def draw(uniform: Uniform) -> int:
        bits = 0
        for _ in range(rounds):
            bits = bits << 53 | int(uniform() * 9007199254740992)
        return low + (bits * size >> 53 * rounds) * step

    return draw
