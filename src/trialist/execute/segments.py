"""What a segment says to the trial's side: its state as the fields of a ``TrialContext``.

Knows records and the runtime's words, and no process.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from trialist.core.records import FromCheckpoint, OutcomeKind, Segment, WarmStart
from trialist.runtime.protocol import Order

OUTCOME_OF_ORDER = {Order.STOP: OutcomeKind.STOPPED, Order.EVICT: OutcomeKind.EVICTED}


class Start(NamedTuple):
    """Where a trial starts."""

    resume_step: int | None = None
    checkpoint: Path | None = None
    warm_start: str | None = None


_FRESH = Start()


def start_of(segment: Segment) -> Start:
    """Where a segment starts, in the words of ``TrialContext``."""
    state = segment.state
    if not isinstance(state, FromCheckpoint):
        return _FRESH
    return Start(state.step if state.what is WarmStart.RESUME else None, Path(state.path), state.what.value)
