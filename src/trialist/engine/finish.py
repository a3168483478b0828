"""Finding the end: what a study becomes when nothing runs and nothing can be started, and what is left of it then.

Knows the lead, what runs, and the store as far as the commonest failure is asked for; no executor.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from trialist.core import faults
from trialist.core.events import StudyStatusChanged
from trialist.core.records import PERSON, Trial
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine import guards
from trialist.engine.course import Course
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving, end_at_rest
from trialist.engine.runs import Runs


class Finish:
    """Ends a led study.

    Args:
        lead: The study.
        runs: What runs; only parked trials do by now.
        course: Why nothing more was started.
        commit: Makes the end durable, through a store that is away.
        failures: Some failed trials, read after a commit.
        hands_back: A worker leads it; see ``Assembly.hands_back``.
    """

    def __init__(
        self,
        *,
        lead: Lead,
        runs: Runs,
        course: Course,
        commit: Callable[[], None],
        failures: Callable[[], Sequence[Trial]],
        hands_back: bool = False,
    ) -> None:
        self._lead = lead
        self._runs = runs
        self._course = course
        self._commit = commit
        self._failures = failures
        self._hands_back = hands_back

    def reached(self, *, interrupted: bool) -> bool:
        """Nothing runs and nothing can be started: whether that is the end, and what the study becomes."""
        fold = self._lead.fold
        left_alone = self._hands_back and fold.status is StudyStatus.PAUSED and not self._course.stopping
        if fold.status is StudyStatus.CANCELLED or interrupted or left_alone:
            if self._runs.active:  # parked ones
                self._runs.kill_all(Leaving(Errand.YIELD, "engine", "interrupted"))
                return False
            if fold.status is StudyStatus.RUNNING:
                status, why = (
                    (StudyStatus.QUEUED, "its worker left") if self._hands_back else (StudyStatus.PAUSED, "interrupted")
                )
                self._lead.emit(StudyStatusChanged(was=fold.status, status=status, reason=why))
            faults.point("engine.leave.emitted")
            self._commit()
            faults.point("engine.leave.committed")
            return True
        if fold.status is StudyStatus.QUEUED:  # cancelled, and given more to do before the last trial had left
            self._lead.emit(StudyStatusChanged(was=fold.status, status=StudyStatus.RUNNING))
            return False
        if fold.status is StudyStatus.PAUSED and not self._course.stopping:
            return False  # waits for somebody to resume it
        if end_left(self._lead, self._runs, all_of_them=self._course.stopping or self._course.guard()):
            return False
        status, reason = self._verdict()
        self._lead.emit(StudyStatusChanged(was=fold.status, status=status, reason=reason))
        faults.point("engine.end.emitted")
        self._commit()
        faults.point("engine.end.committed")
        return True

    def _verdict(self) -> tuple[StudyStatus, str]:
        fold = self._lead.fold
        left = self._lead.live()
        if left and not self._course.stopping:
            first = left[0]
            what = "is paused" if first.status is TrialStatus.PAUSED else f"is still out ({first.worker})"
            return StudyStatus.PAUSED, f"trial {first.number} {what}"
        why = (
            self._course.stopping
            or self._course.guard()
            or ("" if not guards.trials_left(fold) else self._course.exhausted)
        )
        return guards.final_status(fold, why, self._commonest_failure)

    def _commonest_failure(self) -> str:
        messages = Counter(trial.error.message for trial in self._failures() if trial.error is not None)
        return messages.most_common(1)[0][0] if messages else "no reason is known"


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
        # One that never got anywhere was not stopped at a step: nothing of it counts.
        stopped = known or trial.status is TrialStatus.PAUSED
        status = TrialStatus.STOPPED if stopped else TrialStatus.CANCELLED
        lead.emit(end_at_rest(trial, status, by=trial.paused_by, reason=reason))
        runs.ended(lead.trials[trial.number])
    return bool(runs.active)
