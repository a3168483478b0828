"""What an engine is made of, and what leading a study ends in. Put together by front doors; knows ports and records only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trialist.core.events import RunConfigured
from trialist.core.ports import Clock, Executor, Replier, Scheduler, Searcher, Sink, Store
from trialist.core.records import Budget, Params, Study, Trial
from trialist.engine.placement import Placement

_log = logging.getLogger("trialist")


class RunEnd(NamedTuple):
    """How leading a study ended."""

    study: Study
    interrupted: bool
    """Whether Ctrl-C or TERM ended it; it can go on later."""


class Assembly(NamedTuple):
    """All that an engine is made of; a front door puts it together."""

    store: Store
    searcher: Searcher
    scheduler: Scheduler
    executor: Executor
    placement: Placement
    clock: Clock
    workspace: Callable[[Trial], Path]
    check_params: Callable[[Params], dict[str, Any]]
    remove_files: Callable[[str], None]
    replier: Replier | None = None
    sinks: Sequence[Sink] = ()
    on_end: Callable[[Trial], None] | None = None
    """Called on the engine's thread for each ended trial, after its commit."""
    say: Callable[[str], None] = _log.warning
    """Tells the person at the terminal something."""
    timeout_s: float | None = None
    artifact_budget_bytes: int | None = None
    configured: RunConfigured | None = None
    """What this run says of objective, executor and resources; recorded where it is new."""
    budget: Budget | None = None
    """What this run says of the budget; recorded where it is new."""
    check_suggestions: bool = False
    """Whether what the searcher suggests is checked as a person's params are: where it comes from elsewhere."""
    hands_back: bool = False
    """A worker leads it: interrupted, it is queued for the next one; paused, it is left to itself instead of waited with."""
