"""Exploring around params that did well: some of them moved a little, some drawn anew, the others left alone.

Knows the space and its domains; no trial and no result. Randomness comes from the generator that the caller gives.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from trialist.core.errors import ConfigError, SpaceError, nearest
from trialist.core.records import Params
from trialist.space import Choice, Fixed, Float, Int, Leaf, Scalar, SearchSpace
from trialist.space.values import identity

TRIES = 50
"""How often params that the constraints forbid are drawn again; then they stay as they were."""


class Perturbation:
    """Moves params inside their space.

    A number is multiplied by one of ``factors`` (where its range holds 0 or less, it moves by that share of the range
    instead), and at least to the next value its domain has; an option of a choice gives way to one beside it. All stay in
    their domains.

    Args:
        space: What varies.
        names: Dotted paths of the parameters to move; ``None``: all that are floats.
        factors: What numbers are multiplied by, one picked each time.
        resample: The probability that a parameter is drawn anew from its domain instead.
        what: Whose options these are, for the errors.

    Raises:
        ConfigError: A name is none of the space's, or of a parameter that cannot be moved; nothing is left to move.
    """

    def __init__(
        self, space: SearchSpace, names: Sequence[str] | None, factors: Sequence[float], resample: float, what: str
    ) -> None:
        self._space = space
        self._factors = tuple(factors)
        self._resample = resample
        varying = [leaf for leaf in space.leaves if leaf.varies]
        if names is None:
            chosen = [leaf for leaf in varying if isinstance(leaf.domain, Float)]
            if not chosen:
                raise ConfigError(
                    f"{what} moves the floats of a space, and this one has none: name what it may move, as in "
                    f"mutate: [{', '.join(leaf.path for leaf in varying) or 'lr'}]"
                )
        else:
            chosen = [leaf for name in names for leaf in _named(space, name, what)]
        self._leaves = tuple(chosen)
        self.names = tuple(dict.fromkeys(leaf.path for leaf in chosen))

    def moved(self, params: Params, rng: random.Random) -> dict[str, Any]:
        """Params near the given ones; the given ones where nothing near them is allowed."""
        for _ in range(TRIES):
            out: dict[str, Any] = _copy(params)
            for leaf in self._leaves:
                self._move(out, leaf, rng)
            try:
                return self._space.check(out)
            except SpaceError:  # a constraint: the domains hold
                continue
        unmoved: dict[str, Any] = _copy(params)
        return unmoved

    def _move(self, params: dict[str, Any], leaf: Leaf, rng: random.Random) -> None:
        holder: Any = params
        for key in leaf.keys[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if not isinstance(holder, dict) or leaf.keys[-1] not in holder:
            return  # of another branch
        domain, value = leaf.domain, holder[leaf.keys[-1]]
        assert isinstance(domain, Scalar)
        if not domain.contains(value):
            return  # a parameter of this name in another branch
        # Drawn in any case, so that one parameter's luck does not shift another's.
        anew, place, pick = rng.random(), rng.random(), rng.random()
        if anew < self._resample:
            holder[leaf.keys[-1]] = domain.decoder()(place)
        elif isinstance(domain, Choice):
            holder[leaf.keys[-1]] = _beside(domain, value, up=pick < 0.5)
        else:
            assert isinstance(domain, Float | Int)
            factor = self._factors[int(pick * len(self._factors))]
            holder[leaf.keys[-1]] = _multiplied(domain, value, factor)


def _named(space: SearchSpace, name: str, what: str) -> list[Leaf]:
    found = [leaf for leaf in space.leaves if leaf.path == name]
    if not found:
        raise ConfigError(f"{what} is to move '{name}', which is no parameter.{nearest(str(name), space.paths)}")
    for leaf in found:
        if isinstance(leaf.domain, Choice) and leaf.domain.branches:
            raise ConfigError(f"{what} cannot move '{name}': its values have parameters of their own")
        if isinstance(leaf.domain, Fixed):
            raise ConfigError(f"{what} cannot move '{name}': it is fixed")
    return found


def _beside(domain: Choice, value: Any, *, up: bool) -> Any:
    options = domain.values
    at = next(number for number, option in enumerate(options) if identity(option) == identity(value))
    last = len(options) - 1
    at += 1 if (up and at < last) or at == 0 else -1
    return domain.nth(min(max(at, 0), last))


def _multiplied(domain: Float | Int, value: float, factor: float) -> float:
    low, high = domain.low, domain.high
    target = value * factor if low > 0 else value + (factor - 1) * (high - low)
    target = min(max(target, low), high)
    size = domain.size
    if size is None:
        return target
    # The nearest value that the domain has, and not the one it stands at where the factor moves it at all.
    lattice = domain.step if isinstance(domain, Int) else (domain.q or 1.0)
    here, there = round((value - low) / lattice), round((target - low) / lattice)
    if there == here and factor != 1:
        there += 1 if factor > 1 else -1
    return domain.nth(min(max(there, 0), size - 1))


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(item) for name, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
