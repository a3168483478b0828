"""Ending what is still paused when a study has nothing else to do. Knows the lead and what runs, no executor."""

from __future__ import annotations

import math

from trialist.core.events import TrialEnded
from trialist.core.states import TrialStatus
from trialist.engine.control import PERSON
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving
from trialist.engine.runs import Runs


def end_paused(lead: Lead, runs: Runs, *, people_too: bool) -> bool:
    """Stop the paused trials that nobody can promote any more; returns whether some are still on their way out.

    Args:
        lead: The study.
        runs: What runs; parked trials are told to leave, and their ends follow as signals.
        people_too: Also those that a person paused: the study was told to stop.
    """
    for trial in lead.live():
        if trial.status is not TrialStatus.PAUSED or (trial.paused_by == PERSON and not people_too):
            continue
        by = trial.paused_by
        reason = trial.reason or "the study ended before it was promoted"
        if runs.is_active(trial.number):
            runs.leave(trial.number, Leaving(Errand.STOP, by, reason))
            continue
        known = trial.value is not None and math.isfinite(trial.value)
        lead.emit(
            TrialEnded(
                trial=trial.number,
                attempt=trial.attempt,
                status=TrialStatus.STOPPED,
                step=trial.step,
                metrics=trial.metrics,
                value=trial.value if known else None,
                by=by,
                reason=reason,
            )
        )
    return bool(runs.active)
