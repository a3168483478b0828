"""The steps at which trials are compared: given one by one, or growing geometrically.

Knows no trial.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any

from trialist.core.errors import ConfigError
from trialist.core.options import Options


class Rungs:
    """Ascending steps, numbered from 0; without an end unless ``steps`` or ``max_steps`` say so.

    >>> rungs = Rungs.geometric(min_steps=1, eta=3, max_steps=20)
    >>> [rungs.step(k) for k in range(4)]
    [1, 3, 9, None]
    >>> rungs.reached(8)
    2
    """

    def __init__(self, steps: list[int], *, first: int = 1, eta: float = 0.0) -> None:
        self._steps = steps
        """All of them, or those known so far."""
        self._first = first
        self._eta = eta
        """0: ``steps`` are all."""

    @classmethod
    def geometric(cls, *, min_steps: int, eta: float, max_steps: int | None) -> Rungs:
        """Rungs at ``min_steps * eta**k``, rounded, below ``max_steps``."""
        rungs = cls([], first=min_steps, eta=eta)
        if max_steps is None:
            return rungs
        rungs.reached(max_steps)
        return cls([step for step in rungs._steps if step < max_steps])

    @classmethod
    def from_options(cls, options: Options, eta: float) -> Rungs:
        """Rungs as the options ``rungs``, ``min_steps`` and ``max_steps`` ask for them.

        Raises:
            ConfigError: They are wrong, or contradict each other.
        """
        rungs: Any = options.value("rungs")
        min_steps, max_steps = (
            options.optional_integer("min_steps", low=1),
            options.optional_integer("max_steps", low=2),
        )
        if rungs is None:
            first = 1 if min_steps is None else min_steps
            if max_steps is not None and max_steps <= first:
                raise options.wrong("max_steps", f"must be above min_steps ({first}), not {max_steps}")
            return cls.geometric(min_steps=first, eta=eta, max_steps=max_steps)
        if min_steps is not None or max_steps is not None:
            raise ConfigError(f"{options.what}: 'rungs' says it all: leave 'min_steps' and 'max_steps' out.")
        whole = isinstance(rungs, list | tuple) and all(isinstance(s, int) and not isinstance(s, bool) for s in rungs)
        if not whole or not rungs or rungs[0] < 1 or any(b <= a for a, b in pairwise(rungs)):
            raise options.wrong("rungs", f"needs ascending whole numbers from 1 on, such as [1, 3, 9], not {rungs!r}")
        return cls(list(rungs))

    def step(self, rung: int) -> int | None:
        """The step of a rung; ``None``: there is no such rung."""
        while self._eta and len(self._steps) <= rung:
            self._grow()
        return self._steps[rung] if rung < len(self._steps) else None

    def reached(self, step: int) -> int:
        """How many rungs lie at or below a step."""
        while self._eta and (not self._steps or self._steps[-1] <= step):
            self._grow()
        return bisect_right(self._steps, step)

    def _grow(self) -> None:
        self._steps.append(round(self._first * self._eta ** len(self._steps)))
