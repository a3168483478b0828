"""First in, first out: every trial runs to its end. Knows nothing and folds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trialist.core.events import Body, Event
from trialist.core.options import Options
from trialist.core.records import Continue, Decision, Metric, Promotion, Trial


class FifoScheduler:
    """Lets every trial run to its end.

    Args:
        metrics: Ignored; a study without a metric may use it.
        options: None are known.

    Raises:
        ConfigError: An option was given.
    """

    name = "fifo"
    reads: frozenset[type[Body]] = frozenset()

    def __init__(self, metrics: Sequence[Metric] = (), **options: Any) -> None:
        Options("scheduler 'fifo'", options).done()

    def boundary(self, trial: Trial, step: int) -> int | None:
        return None

    def update(self, event: Event, trial: Trial | None) -> None:
        pass

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        return Continue()

    def promote(self, *, last: bool = False) -> Promotion | None:
        return None
