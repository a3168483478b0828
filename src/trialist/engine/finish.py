"""Ending what is left when a study has nothing else to do. Knows the lead and what runs, no executor."""

from __future__ import annotations

import math

from trialist.core.events import TrialEnded
from trialist.core.states import TrialStatus
from trialist.engine.control import PERSON
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving
from trialist.engine.runs import Runs


def end_left(lead: Lead, runs: Runs, *, all_of_them: str) -> bool:
    """End the trials that will not go on; returns whether some are still on their way out.

    Without ``all_of_them`` these are the paused ones that nobody can promote any more.

    Args:
        lead: The study.
        runs: What runs; parked trials are told to leave, and their ends follow as signals.
        all_of_them: Why also those end that a person paused or that wait for a place: a guard spoke, or a person stopped
            the study.
    """
    for trial in lead.live():
        by_person = trial.status is not TrialStatus.PAUSED or trial.paused_by == PERSON
        if trial.status is TrialStatus.RUNNING or (by_person and not all_of_them):
            continue
        reason = trial.reason or all_of_them or "the study ended before it was promoted"
        if runs.is_active(trial.number):
            runs.leave(trial.number, Leaving(Errand.STOP, trial.paused_by, reason))
            continue
        known = trial.value is not None and math.isfinite(trial.value)
        lead.emit(
            TrialEnded(
                trial=trial.number,
                attempt=trial.attempt,
                # One that never got anywhere was not stopped at a step: nothing of it counts.
                status=TrialStatus.STOPPED if known or trial.status is TrialStatus.PAUSED else TrialStatus.CANCELLED,
                step=trial.step,
                metrics=trial.metrics,
                value=trial.value if known else None,
                by=trial.paused_by,
                reason=reason,
            )
        )
        runs.ended(lead.trials[trial.number])
    return bool(runs.active)
