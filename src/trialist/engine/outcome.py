"""What an attempt's end means for its trial: a pure function of the outcome, the metrics and what was asked of it.

Knows no executor, no store; this is the table that says "NaN is a failure, a stopped trial's value counts".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from trialist.core.errors import nearest
from trialist.core.events import AttemptEnded, TrialEnded
from trialist.core.ports import ExitedSignal
from trialist.core.records import PERSON, Failure, FailureReason, Metric, OutcomeKind, Suggestion, Trial
from trialist.core.states import TrialStatus


class Errand(StrEnum):
    """Why a trial was told to leave."""

    STOP = "stop"
    """To end; its value counts."""
    CANCEL = "cancel"
    """To end; nothing counts."""
    PAUSE = "pause"
    """To go on when somebody says so."""
    YIELD = "yield"
    """To go on when there is a place: the study was paused or interrupted."""


class Leaving(NamedTuple):
    """A trial on its way out."""

    errand: Errand
    by: str
    """A scheduler's name, ``person`` or ``engine``."""
    reason: str = ""
    fork: Suggestion | None = None
    """What a scheduler wants to start from what this trial has learned, once it has ended."""


_FAILED_OUTCOMES = {
    OutcomeKind.RAISED,
    OutcomeKind.EXITED,
    OutcomeKind.SIGNALLED,
    OutcomeKind.TIMED_OUT,
    OutcomeKind.NOT_STARTED,
}


def end_of_attempt(
    trial: Trial, signal: ExitedSignal, leaving: Leaving | None, metrics: Sequence[Metric], message: str = ""
) -> TrialEnded | AttemptEnded:
    """The event that an attempt's end amounts to.

    Args:
        trial: Its row, with the reports folded in.
        signal: How the attempt ended.
        leaving: What it had been told, if anything.
        metrics: What the study optimises.
        message: What is known about a lost worker.
    """
    outcome = signal.outcome
    known = {**signal.printed, **trial.metrics, **signal.metrics}
    if leaving is not None and leaving.errand is Errand.CANCEL:
        return _ended(trial, TrialStatus.CANCELLED, outcome, {}, by=leaving.by, reason=leaving.reason)
    if outcome is OutcomeKind.RETURNED:
        failure = missing_result(known, metrics)
        if failure is not None:
            return _failed(trial, outcome, known, failure)
        return _ended(trial, TrialStatus.COMPLETED, outcome, known, value=_value(known, metrics))
    if outcome in _FAILED_OUTCOMES:
        failure = signal.error or Failure(reason=FailureReason.EXCEPTION, message=f"ended: {outcome}")
        return _failed(trial, outcome, known, failure)
    if leaving is not None and leaving.errand is Errand.STOP:
        value = _value(known, metrics)
        return _ended(trial, TrialStatus.STOPPED, outcome, known, value=value, by=leaving.by, reason=leaving.reason)
    if trial.status is TrialStatus.PAUSED:  # parked in its worker, and now without it
        status, by = TrialStatus.PAUSED, trial.paused_by
    elif leaving is not None and _holds(leaving, outcome):
        status, by = TrialStatus.PAUSED, leaving.by
    else:
        status, by = TrialStatus.WAITING, ""
    return AttemptEnded(
        trial=trial.number,
        attempt=trial.attempt,
        outcome=outcome,
        status=status,
        by=by,
        message=message or (leaving.reason if leaving is not None else ""),
    )


def _holds(leaving: Leaving, outcome: OutcomeKind) -> bool:
    """Whether a pause holds: one that a scheduler meant for a boundary does not where the attempt never got there."""
    return leaving.errand is Errand.PAUSE and (leaving.by == PERSON or outcome is not OutcomeKind.LOST)


def end_at_rest(trial: Trial, status: TrialStatus, *, by: str, reason: str) -> TrialEnded:
    """The end of a live trial of which nothing runs: its value at the step reached counts where such an end counts."""
    counts = status.counts and trial.value is not None and math.isfinite(trial.value)
    return TrialEnded(
        trial=trial.number,
        attempt=trial.attempt,
        status=status,
        step=trial.step,
        metrics=trial.metrics if status.counts else {},
        value=trial.value if counts else None,
        by=by,
        reason=reason,
    )


def missing_result(known: Mapping[str, float], metrics: Sequence[Metric]) -> Failure | None:
    """Why these metrics are no result of the study; ``None`` when they are one."""
    for metric in metrics:
        if metric.name not in known:
            if not metric.required:
                continue
            told = f" It told {', '.join(sorted(known)[:8])}.{nearest(metric.name, known)}" if known else ""
            return Failure(
                reason=FailureReason.NO_METRIC,
                message=f"ended without telling '{metric.name}', which the study optimises: report or return it.{told}",
            )
        value = known[metric.name]
        if not math.isfinite(value):
            return Failure(
                reason=FailureReason.NOT_FINITE,
                message=f"'{metric.name}' ended as {value}, which is no result: only finite numbers are compared",
            )
    return None


def _value(known: Mapping[str, float], metrics: Sequence[Metric]) -> float | None:
    value = known.get(metrics[0].name) if metrics else None
    return value if value is not None and math.isfinite(value) else None


def _failed(trial: Trial, outcome: OutcomeKind, known: Mapping[str, float], failure: Failure) -> TrialEnded:
    return _ended(trial, TrialStatus.FAILED, outcome, known, error=failure)


def _ended(
    trial: Trial,
    status: TrialStatus,
    outcome: OutcomeKind,
    known: Mapping[str, float],
    *,
    value: float | None = None,
    error: Failure | None = None,
    by: str = "",
    reason: str = "",
) -> TrialEnded:
    return TrialEnded(
        trial=trial.number,
        attempt=trial.attempt,
        status=status,
        step=trial.step,
        metrics=dict(known),
        value=value,
        error=error,
        outcome=outcome,
        by=by,
        reason=reason,
    )
