"""When a study has done enough: each guard is a question to the study's fold, answered with a sentence or nothing.

A guard that speaks ends the starting of trials; what runs may end. Knows nothing of how trials run.
"""

from __future__ import annotations

from collections.abc import Callable

from trialist.core.fold import StudyFold
from trialist.core.states import StudyStatus, TrialStatus

Guard = Callable[[StudyFold, float], "str | None"]
"""``(fold, active_s)`` to why no more trials may start; ``None``: go on."""


def time_guard(fold: StudyFold, active_s: float) -> str | None:
    """The time budget is spent."""
    limit = fold.spec.budget.time_budget_s
    return f"the time budget of {limit:g} s is spent" if limit is not None and active_s >= limit else None


def failures_guard(fold: StudyFold, active_s: float) -> str | None:
    """More trials failed than the budget allows."""
    limit, failed = fold.spec.budget.max_failures, fold.counts[TrialStatus.FAILED]
    return f"{failed} trials failed, and max_failures is {limit}" if limit is not None and failed > limit else None


GUARDS: tuple[Guard, ...] = (time_guard, failures_guard)


def trials_left(fold: StudyFold) -> bool:
    """Whether the budget has room for another suggestion."""
    limit = fold.spec.budget.num_trials
    return limit is None or fold.num_suggested < limit


def final_status(fold: StudyFold, why: str, commonest_failure: Callable[[], str]) -> tuple[StudyStatus, str]:
    """What a study that has nothing left to do becomes, and why.

    Args:
        fold: The study.
        why: Why nothing more was started; empty where the budget or the space was simply used up.
        commonest_failure: Finds the message that most failed trials share; asked where nothing succeeded.
    """
    failed = fold.counts[TrialStatus.FAILED]
    if failures_guard(fold, 0.0):
        return StudyStatus.FAILED, why or f"{failed} trials failed"
    if failed and not fold.counts[TrialStatus.COMPLETED] + fold.counts[TrialStatus.STOPPED]:
        return StudyStatus.FAILED, f"no trial succeeded: {commonest_failure()}"
    return StudyStatus.COMPLETED, why
