"""The constraints of one space, compiled: which params they allow, and how many there are.

Knows the tree of domains and the expressions; no randomness but the one it is given.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trialist.core.errors import SpaceError
from trialist.space.domains import Group
from trialist.space.draw import Draw
from trialist.space.expressions import Expression, parse_expression, unknown_name
from trialist.space.leaves import Leaf, getter, known_names

Params = Mapping[str, Any]
MAX_ENUMERATED = 200_000
"""Combinations of constrained parameters that are looked at one by one."""
MAX_DRAWS = 10_000
"""Draws that constraints may refuse before one gives up."""
_PROBES = 8


class Rule:
    """One constraint and what it reads.

    Args:
        expression: What must hold.
        known: Every dotted name that may be used, with its keys.
        paths: Dotted paths of the parameters, to offer the nearest.

    Raises:
        SpaceError: It names no parameter, or what is none.
    """

    def __init__(self, expression: Expression, known: Mapping[str, tuple[str, ...]], paths: list[str]) -> None:
        self.text, self.names = expression.text, expression.names
        if not self.names:
            raise SpaceError("", f"the constraint '{self.text}' names no parameter.")
        for name in self.names:
            inside = [path for path in paths if path.startswith(f"{name}.")]
            if name not in known and inside:
                raise SpaceError(
                    "",
                    f"the constraint '{self.text}' names '{name}', which is a group: name one of {', '.join(inside)}.",
                )
            if name not in known:
                raise unknown_name(self.text, name, paths)
        self.keys = frozenset(known[name][0] for name in self.names)
        """First keys of the parameters that it names."""
        self.holds: Callable[[Params], bool] = expression.compile({name: getter(known[name]) for name in self.names})


class Rules:
    """All constraints of a space.

    Args:
        constraints: Expressions; one that stands twice counts once.
        root: The tree of domains.
        leaves: Its parameters.
        draw: Draws params without regard to constraints.

    Raises:
        SpaceError: A constraint is wrong, or cannot be computed for params of the space.
    """

    def __init__(self, constraints: Iterable[Any], root: Group, leaves: tuple[Leaf, ...], draw: Draw) -> None:
        self._root, self._draw = root, draw
        expressions = {expression.text: expression for expression in map(parse_expression, constraints)}
        self.texts = tuple(expressions)
        known = known_names(leaves) if expressions else {}
        paths = list(dict.fromkeys(leaf.path for leaf in leaves))
        self.rules = tuple(Rule(expression, known, paths) for expression in expressions.values())
        # What cannot be computed is an error now, not in the middle of a study.
        uniform = random.Random(0).random
        for _ in range(_PROBES if self.rules else 0):
            self.allow(draw(uniform))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def allow(self, params: Params) -> bool:
        """Whether all hold."""
        return all(rule.holds(params) for rule in self.rules)

    def broken(self, params: Params) -> Rule | None:
        """The first that does not hold."""
        return next((rule for rule in self.rules if not rule.holds(params)), None)

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Params that all constraints allow, by rejection; of a small grid that hides them, by looking at all of it.

        Raises:
            SpaceError: None were found; names the constraint that refuses most.
        """
        uniform = rng.random
        for _ in range(MAX_DRAWS):
            params: dict[str, Any] = self._draw(uniform)
            if self.allow(params):
                return params
        size, loosen = self._root.size, "loosen it, or narrow the space to it."
        if size is None or size > MAX_ENUMERATED:
            raise SpaceError(
                "", f"no params were found that fulfil {self._blame(rng)}, in {MAX_DRAWS:,} draws: {loosen}"
            )
        allowed = [index for index in range(size) if self.allow(self._root.nth(index))]
        if not allowed:
            raise SpaceError("", f"no params fulfil {self._blame(rng)}: all {size:,} combinations were tried; {loosen}")
        return self._root.nth(allowed[rng.randrange(len(allowed))])

    def _blame(self, rng: random.Random) -> str:
        draws = [self._draw(rng.random) for _ in range(200)]
        worst = max(self.rules, key=lambda rule: sum(not rule.holds(params) for params in draws))
        others = len(self.rules) - 1
        return f"the constraint '{worst.text}'" + (f" and the {others} other{'s' * (others > 1)}" if others else "")

    def count(self) -> int:
        """Params of a finite space that are allowed; parameters that no constraint ties together are counted apart."""
        parts = [frozenset({key}) for key in self._root.params]
        for rule in self.rules:
            tied = [part for part in parts if part & rule.keys]
            parts = [part for part in parts if not part & rule.keys] + [frozenset().union(*tied)]
        return math.prod(self._count_part(keys) for keys in parts)

    def _count_part(self, keys: frozenset[str]) -> int:
        group = Group({key: domain for key, domain in self._root.params.items() if key in keys})
        rules = [rule for rule in self.rules if rule.keys <= keys]
        size = group.size
        assert size is not None, "asked for finite spaces only"
        if not rules or size > MAX_ENUMERATED:
            return size
        return sum(all(rule.holds(params) for rule in rules) for params in map(group.nth, range(size)))
