"""Which trial the calling code belongs to, and the functions of scripts that act on it.

A function's trial is bound to its thread's context; a thread that the function started belongs to the trial too as long as
the process holds no other; a process may itself be a trial by its environment. Outside a trial everything works and does
nothing harmful.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar, Token
from pathlib import Path
from typing import Any

from trialist.core.errors import ObjectiveError
from trialist.runtime.context import TrialContext, numbers
from trialist.runtime.process import own_trial

_bound: ContextVar[TrialContext | None] = ContextVar("trial", default=None)
_live: list[TrialContext] = []
_live_lock = threading.Lock()
"""Keeps ``_live`` whole when several threads enter and leave trials at once."""


class Bound:
    """``with Bound(trial):`` code in it, on this thread, belongs to the trial."""

    __slots__ = ("_token", "_trial")

    def __init__(self, trial: TrialContext) -> None:
        self._trial = trial

    def __enter__(self) -> TrialContext:
        self._token: Token[TrialContext | None] = _bound.set(self._trial)
        with _live_lock:
            _live.append(self._trial)
        return self._trial

    def __exit__(self, *_: object) -> None:
        with _live_lock:
            _live[:] = [trial for trial in _live if trial is not self._trial]
        _bound.reset(self._token)


def current_trial() -> TrialContext | None:
    """The trial that the caller runs in; ``None`` outside of any.

    Raises:
        ObjectiveError: This process holds several trials, and the calling thread belongs to none of them.
    """
    trial = _bound.get()
    if trial is not None:
        return trial
    with _live_lock:
        live = list(_live)
    if len(live) > 1:
        raise ObjectiveError(
            f"{len(live)} trials run in this process, and thread '{threading.current_thread().name}' belongs to none of "
            "them: hand it the function's own 'trial'."
        )
    return live[0] if live else own_trial()


def params() -> dict[str, Any]:
    """The trial's params, as a dict of the caller's own; ``{}`` outside a trial."""
    trial = current_trial()
    return {} if trial is None else dict(trial.params)


def report(*given: Any, step: int | None = None, **metrics: Any) -> None:
    """``TrialContext.report`` of the current trial; outside a trial nothing happens.

    Raises:
        ObjectiveError: A metric is no number, or the step none; names it.
        Stopped: The trial is told to end.
        Paused: The trial is told to leave and go on later.
    """
    trial = current_trial()
    if trial is not None:
        trial.report(*given, step=step, **metrics)


def emit_progress(
    *, step: int | None = None, step_target: int | None = None, metrics: Mapping[str, Any] | None = None
) -> None:
    """``report`` for scripts that know how far they will go.

    Args:
        step: Whole number from 0 on; left out: one more than the last.
        step_target: The step at which training will end, where known.
        metrics: Numbers by name.

    Raises:
        ObjectiveError: A metric is no number, or the step none; names it.
        Stopped: The trial is told to end.
        Paused: The trial is told to leave and go on later.
    """
    trial = current_trial()
    if trial is not None:
        trial.send_report(step, numbers(metrics or {}), step_target)


def checkpoint_dir() -> Path:
    """Where this trial keeps its checkpoints, made where it is missing; ``./checkpoints`` outside a trial.

    For scripts that save on their own. ``current_trial().save_checkpoint`` also tells the study, so that the trial can go
    on from there; ``current_trial().checkpoint`` is the one to start from.
    """
    trial = current_trial()
    path = (Path() if trial is None else trial.dir) / "checkpoints"
    path.mkdir(parents=True, exist_ok=True)
    return path
