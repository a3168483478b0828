"""``SearchSpace``: what may vary in a study, and the constraints on it. Immutable.

Knows no searcher, no seed and no history: randomness comes from the ``random.Random`` that the caller gives.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from trialist.core.errors import SpaceError, nearest
from trialist.space.choices import Choice
from trialist.space.describe import describe
from trialist.space.dialects import load_json, parse_space
from trialist.space.domains import Domain, Group
from trialist.space.draw import drawer
from trialist.space.leaves import Leaf, find_leaves, flatten
from trialist.space.rules import Rules
from trialist.space.values import short

Params = Mapping[str, Any]
FORMAT = "trialist_space"
"""The key that marks stored spaces; its value is the version of the format."""


class SearchSpace:
    """What may vary: a tree of domains, nested and conditional, with constraints.

    Equal, and hashed, by canonical JSON, the order of names included: equal spaces draw, number and encode alike.
    Immutable, picklable, and safe to share between threads.

        >>> space = SearchSpace.of({"lr": {"type": "loguniform", "low": 1e-5, "high": 0.1}, "depth": [1, 2, 3]})
        >>> space.check({"lr": 1e-3, "depth": 2})
        {'lr': 0.001, 'depth': 2}

    Args:
        root: Domains that are made already; ``SearchSpace.of`` takes all else.
        constraints: Expressions that params must fulfil.

    Raises:
        SpaceError: Two parameters have one path, or a constraint is wrong or names what is not there.
    """

    root: Group
    """The tree of domains."""
    constraints: tuple[str, ...]
    """The expressions that params must fulfil."""
    leaves: tuple[Leaf, ...]
    """All parameters in order: path, domain, and the condition under which each is active."""

    def __init__(self, root: Group, constraints: Sequence[str] = ()) -> None:
        self.root = root
        self.leaves = find_leaves(root)
        self._draw = drawer(root)
        self._rules = Rules(_listed(constraints), root, self.leaves, self._draw)
        self.constraints = self._rules.texts
        self._sealed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if "_sealed" in self.__dict__:
            raise AttributeError(f"a SearchSpace cannot be changed: '{name}'")
        super().__setattr__(name, value)

    @classmethod
    def of(cls, given: Any, constraints: Sequence[str] = ()) -> SearchSpace:
        """A space from anything that describes one.

        Args:
            given: Nested mappings of typed dicts (``{"type": "loguniform", "low": 1e-5, "high": 0.1}``; ``min``/``max``
                are taken for ``low``/``high``), plain lists (a choice), domain objects and scalars (fixed); the JSON of
                ``to_json``, also as text; a SearchSpace.
            constraints: Expressions that params must fulfil, added to those that ``given`` has.

        Raises:
            SpaceError: Names the path and the rule.
        """
        if isinstance(given, SearchSpace):
            more = _listed(constraints)
            return cls(given.root, [*given.constraints, *more]) if more else given
        if isinstance(given, str):
            given = load_json(given)
        if isinstance(given, Mapping) and FORMAT in given and not isinstance(given[FORMAT], Mapping | list | Domain):
            return cls.of(cls.from_json(given), constraints)
        return cls(parse_space(given), constraints)

    # --- as data -----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; ``SearchSpace.from_json(space.to_json()) == space``, through any JSON text too."""
        return {FORMAT: 1, "params": self.root.to_json(), "constraints": list(self.constraints)}

    @classmethod
    def from_json(cls, data: Any) -> SearchSpace:
        """The space that ``to_json`` was called on.

        Raises:
            SpaceError: It is no JSON of a space, or of a newer version.
        """
        if isinstance(data, str):
            data = load_json(data)
        if not isinstance(data, Mapping) or FORMAT not in data:
            raise SpaceError("", f"this is no stored search space (the key '{FORMAT}' is missing); got {short(data)}.")
        if data[FORMAT] != 1:
            raise SpaceError("", f"the search space is stored in format {short(data[FORMAT])}; this Trialist reads 1.")
        unknown = [key for key in data if key not in (FORMAT, "params", "constraints")]
        if unknown:
            raise SpaceError("", f"a stored search space has no {short(unknown[0])}.")
        params = data.get("params", {})
        if not isinstance(params, Mapping):
            raise SpaceError("", f"'params' of a stored search space must be a mapping; got {short(params)}.")
        return cls(parse_space(params), data.get("constraints", ()))

    @cached_property
    def _text(self) -> str:
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[Any, ...]:
        # Closures do not pickle; the tree they are made of does.
        return SearchSpace, (self.root, self.constraints)

    def __copy__(self) -> SearchSpace:
        return self

    def __deepcopy__(self, memo: Any) -> SearchSpace:
        return self

    def __repr__(self) -> str:
        parts = [f"{leaf.label}: {describe(leaf.domain)}" for leaf in self.leaves]
        return f"SearchSpace({'; '.join([*parts, *self.constraints])})"

    @property
    def paths(self) -> tuple[str, ...]:
        """The dotted paths of all parameters, each once."""
        return tuple(dict.fromkeys(leaf.path for leaf in self.leaves))

    def difference(self, other: SearchSpace) -> dict[str, tuple[str, str]]:
        """What a person would call different, as ``{path: (here, there)}`` in short words; the order of names is not."""
        here, there = self._described(), other._described()
        out: dict[str, tuple[str, str]] = {}
        for label in dict.fromkeys([*here, *there]):
            old, new = here.get(label), there.get(label)
            if old != new:
                words = [side[1] if side else "not there" for side in (old, new)]
                # Long lists are cut in words, perhaps to the same words: then the whole is shown.
                full = [side[0] if side else "not there" for side in (old, new)]
                out[label] = (words[0], words[1]) if words[0] != words[1] else (full[0], full[1])
        return out

    def _described(self) -> dict[str, tuple[str, str]]:
        """For each parameter its JSON and its words."""
        out = {leaf.label: (leaf.domain.text, describe(leaf.domain)) for leaf in self.leaves}
        if self.constraints:
            text = " and ".join(sorted(self.constraints))
            out["constraints"] = (text, text)
        return out

    # --- params ------------------------------------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Params at random: nested as the space is, active parameters only, constraints fulfilled.

        Raises:
            SpaceError: The constraints leave nothing, or so little that 10,000 draws did not find it.
        """
        if self._rules:
            return self._rules.sample(rng)
        params: dict[str, Any] = self._draw(rng.random)
        return params

    def check(self, params: Any) -> dict[str, Any]:
        """The params as this space spells them: integers where floats belong become floats, fixed values are filled in.

        Takes nested params, and dotted paths for nested parameters (as ``flatten`` gives them): returns them nested.

        Raises:
            SpaceError: They do not lie in the space; names the path and the rule.
        """
        checked = self._normal(params)
        rule = self._rules.broken(checked)
        if rule is None:
            return checked
        values = {name: value for name, value in self.flatten(checked).items() if name in rule.names}
        told = ", ".join(f"{name}={short(value)}" for name, value in values.items())
        raise SpaceError("", f"the constraint '{rule.text}' does not hold for {told or 'these params'}.")

    def contains(self, params: Any) -> bool:
        """Whether ``check`` takes the params."""
        try:
            self.check(params)
        except SpaceError:
            return False
        return True

    def allows(self, params: Params) -> bool:
        """Whether the constraints hold for params that are otherwise in the space.

        Raises:
            SpaceError: A constraint cannot be computed for them.
        """
        return self._rules.allow(params)

    def flatten(self, params: Params) -> dict[str, Any]:
        """The active parameters by dotted path, in order, for tables; of params that ``check`` takes."""
        return dict(flatten(self.root, params))

    def key(self, params: Any) -> str:
        """Equal for equal params, and only for them; params outside the space have keys too."""
        try:
            return json.dumps(self._normal(params), ensure_ascii=False, separators=(",", ":"))
        except SpaceError:
            pass
        try:
            return "outside " + json.dumps(params, ensure_ascii=False, sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            return f"outside {short(params, 10_000)}"

    def _normal(self, params: Any) -> dict[str, Any]:
        if not isinstance(params, Mapping):
            raise SpaceError("", f"params are a mapping of names to values; got {short(params)}.")
        known = self.root.params
        if any(name not in known for name in params):
            params = self._nested(params)
        return self.root.check(params)

    def _nested(self, params: Params) -> dict[str, Any]:
        """Params of which some are given flat, by dotted path, as the space nests them."""
        out: dict[str, Any] = {}
        keys_of = {leaf.path: leaf.keys for leaf in self.leaves}
        for name, value in params.items():
            keys = (name,) if name in self.root.params else keys_of.get(name)
            if keys is None:
                raise SpaceError(
                    str(name), f"no parameter has this name.{nearest(str(name), [*self.root.params, *self.paths])}"
                )
            node = out
            for depth, key in enumerate(keys[:-1], 1):
                inner = node.setdefault(key, {})
                if not isinstance(inner, Mapping):
                    raise SpaceError(name, f"'{'.'.join(keys[:depth])}' is given as the value {short(inner)} too.")
                inner = dict(inner)
                node[key] = inner
                node = inner
            if keys[-1] in node:
                raise SpaceError(name, "it is given twice, nested and by its dotted path.")
            node[keys[-1]] = value
        return out

    # --- grids -------------------------------------------------------------------------------------------------------

    def count(self) -> int | None:
        """How many different params there are; ``None``: infinitely many. Nothing is expanded without constraints.

        With them the count is exact as long as each set of parameters that constraints tie together has at most 200,000
        combinations; beyond that those are counted as if all were allowed.
        """
        return self._count

    @cached_property
    def _count(self) -> int | None:
        size = self.root.size
        return size if size is None or not self._rules else self._rules.count()

    def grid_size(self) -> int:
        """Points of the grid before constraints; nothing is expanded.

        Raises:
            SpaceError: A domain is continuous; names it.
        """
        size = self.root.size
        if size is not None:
            return size
        leaf = next(leaf for leaf in self.leaves if leaf.domain.size is None and not isinstance(leaf.domain, Choice))
        raise SpaceError(
            leaf.path,
            f"{describe(leaf.domain)} is continuous, so there is no grid of it: give a step (q) or a list of values, or a "
            "number of trials and another searcher.",
        )

    def grid_point(self, index: int) -> dict[str, Any] | None:
        """Point ``index`` of the grid, 0 … ``grid_size() - 1``, the last parameter changing fastest; ``None`` where the
        constraints forbid it. Nothing is expanded.

        Raises:
            SpaceError: A domain is continuous; names it.
            IndexError: There is no such point.
        """
        size = self.grid_size()
        if not 0 <= index < size:
            raise IndexError(f"the grid has the points 0 … {size - 1}, and not {index}")
        params = self.root.nth(index)
        return params if self._rules.allow(params) else None

    def grid(self) -> Iterator[dict[str, Any]]:
        """All params of a finite space, in order, constraints fulfilled; made one by one.

        Raises:
            SpaceError: A domain is continuous; names it. Raised at the call, not at the first step.
        """
        size, nth, allow = self.grid_size(), self.root.nth, self._rules.allow

        def points() -> Iterator[dict[str, Any]]:
            index = 0
            while index < size:  # range() ends at 2**63
                params = nth(index)
                if allow(params):
                    yield params
                index += 1

        return points()


def _listed(constraints: Any) -> list[Any]:
    """The constraints given, one alone included."""
    if isinstance(constraints, str):
        return [constraints]
    if not isinstance(constraints, list | tuple):
        raise SpaceError("", f"constraints must be a list of expressions; got {short(constraints)}.")
    return list(constraints)
