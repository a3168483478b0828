"""A course: what one searcher did on one task with one seed, trial by trial. Knows neither searchers nor files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tasks import Task

Params = dict[str, Any]


class Enough(Exception):
    """All trials of the budget were made."""


@dataclass(kw_only=True)
class Course:
    """Records trials as they happen; give ``objective`` to whoever searches.

    Args:
        task: What is searched on.
        seed: The search's.
        trials: The budget.
    """

    task: Task
    seed: int
    trials: int
    seen: list[float] = field(default_factory=list)
    """What each trial reported."""
    true: list[float] = field(default_factory=list)
    """What its params are worth: the same, where the task is not noisy."""
    evaluating_s: float = 0.0
    best: Params = field(default_factory=dict)
    """The params of the best trial."""

    def objective(self, params: Params) -> float:
        """Make a trial.

        Raises:
            Enough: The budget is spent; nothing was evaluated.
        """
        if len(self.seen) >= self.trials:
            raise Enough
        began = time.perf_counter()
        params = self.task.space.check(params)
        seen = self.task.evaluate(params, self.seed)
        true = self.task.loss(params) if self.task.noise else seen
        self.evaluating_s += time.perf_counter() - began
        if not self.true or true < min(self.true):
            self.best = params
        self.seen.append(seen)
        self.true.append(true)
        return seen


Search = Callable[[Course], None]
"""Makes the trials of a course; may return early where there is nothing left to try."""
