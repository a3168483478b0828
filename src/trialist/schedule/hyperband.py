"""Hyperband: several ladders of successive halving beside each other, from many short trials to few whole ones.

Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18, 2018. The brackets run
asynchronously, as in ASHA. Knows its options and which trial is of which bracket; the algorithm is ``halving``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trialist.core.events import Body, Event
from trialist.core.options import Options
from trialist.core.records import Continue, Decision, Metric, Promotion, Trial
from trialist.schedule.asha import eta_option
from trialist.schedule.halving import Halving
from trialist.schedule.rungs import Rungs


class HyperbandScheduler:
    """Halves in brackets: what one bracket cuts early another one gives time, so that slow starters are not all lost.

    Bracket ``s`` compares its trials at ``max_steps * eta**-s``, then at ``eta`` times as many steps, and so on below
    ``max_steps``; bracket 0 runs its trials whole. A trial's bracket follows from its number: of each cycle of trials a
    bracket gets the share that Hyperband gives it, spread evenly. Within its bracket a trial is paused and promoted as by
    ``asha``, with the same guarantees.

    Args:
        metrics: The study's.
        max_steps: What a whole trial takes.
        eta: 1/eta of a rung go on; at least 2. Also called ``reduction_factor``.
        min_steps: No rung lies below it.
        metric: Name of the metric to compare by, where the study has several.

    Raises:
        ConfigError: An option is unknown, missing or wrong, or the study has no metric.
    """

    name = "hyperband"
    reads: frozenset[type[Body]] = Halving.reads

    def __init__(self, metrics: Sequence[Metric] = (), **options: Any) -> None:
        given = Options("scheduler 'hyperband'", options)
        metric = given.metric(tuple(metrics))
        eta = eta_option(given, options)
        min_steps = given.integer("min_steps", 1, low=1)
        max_steps = given.optional_integer("max_steps", low=2)
        given.done()
        if max_steps is None:
            raise given.wrong("max_steps", "is missing: say how many steps a whole trial takes")
        if max_steps <= min_steps:
            raise given.wrong("max_steps", f"must be above min_steps ({min_steps}), not {max_steps}")
        ladders = brackets(min_steps=min_steps, max_steps=max_steps, eta=eta)
        self._brackets = [Halving(self.name, metric, Rungs(rungs), eta) for rungs in ladders]
        top = len(ladders) - 1
        self._cycle = _spread([math.ceil((top + 1) / (s + 1) * eta**s) for s in range(top + 1)])

    def bracket_of(self, number: int) -> int:
        """The bracket of a trial; 0 runs its trials whole."""
        return self._cycle[number % len(self._cycle)]

    def boundary(self, trial: Trial, step: int) -> int | None:
        return self._of(trial.number).boundary(trial, step)

    def update(self, event: Event, trial: Trial | None) -> None:
        if event.trial is not None:
            self._of(event.trial).update(event, trial)

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        number = self.bracket_of(trial.number)
        decision = self._brackets[number].decide(trial, step, at_boundary=at_boundary)
        if isinstance(decision, Continue) and not decision.reason:
            return decision
        return type(decision)(**{**_fields(decision), "reason": f"bracket {number}: {decision.reason}"})

    def promote(self, *, last: bool = False) -> Promotion | None:
        for final in (False, True)[: 1 + last]:
            for bracket in reversed(self._brackets):
                promotion = bracket.promote(last=final)
                if promotion is not None:
                    return promotion
        return None

    def _of(self, number: int) -> Halving:
        return self._brackets[self.bracket_of(number)]


def _fields(decision: Decision) -> dict[str, Any]:
    return {"to_step": decision.to_step} if isinstance(decision, Continue) else {}


def brackets(*, min_steps: int, max_steps: int, eta: float) -> list[list[int]]:
    """The rungs of each bracket, from bracket 0, which has none.

    >>> brackets(min_steps=1, max_steps=27, eta=3)
    [[], [9], [3, 9], [1, 3, 9]]
    """
    out: list[list[int]] = [[]]
    while True:
        lowest = round(max_steps * eta ** -len(out))
        if lowest < max(1, min_steps) or lowest >= (out[-1][0] if out[-1] else max_steps):
            return out
        out.append([lowest, *out[-1]])


def _spread(shares: Sequence[int]) -> list[int]:
    """A cycle in which each place of ``shares`` comes so often, as evenly as can be; the largest first."""
    total = sum(shares)
    owed = [0] * len(shares)
    cycle = []
    for _ in range(total):
        owed = [due + share for due, share in zip(owed, shares, strict=True)]
        chosen = max(range(len(shares)), key=owed.__getitem__)
        owed[chosen] -= total
        cycle.append(chosen)
    return cycle
