"""Giving work: waiting trials first, then promotions, then new suggestions, as long as there is room.

Knows searcher and scheduler; what a given trial starts from is ``starting``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trialist.core.errors import ConfigError, InternalError, SpaceError
from trialist.core.events import Decided, TrialResumed
from trialist.core.ports import Scheduler, Searcher
from trialist.core.records import Exhausted, NeedsReply, Params, Promotion, Suggestion, Trial
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine import guards
from trialist.engine.course import Course
from trialist.engine.lead import Lead
from trialist.engine.outcome import end_at_rest
from trialist.engine.replies import Replies
from trialist.engine.runs import Runs
from trialist.engine.starting import Starting


class Giving:
    """Fills the places of a led study.

    Args:
        lead: The study.
        runs: Says whether there is room.
        starting: Begins trials.
        searcher: Suggests.
        scheduler: Promotes.
        replies: What a searcher waits for.
        course: Whether anything is to be started at all.
        check_params: Normalises what is suggested or raises SpaceError; ``None``: the searcher is trusted.
    """

    def __init__(
        self,
        *,
        lead: Lead,
        runs: Runs,
        starting: Starting,
        searcher: Searcher,
        scheduler: Scheduler,
        replies: Replies,
        course: Course,
        check_params: Callable[[Params], dict[str, Any]] | None = None,
    ) -> None:
        self._lead = lead
        self._runs = runs
        self._starting = starting
        self._searcher = searcher
        self._scheduler = scheduler
        self._replies = replies
        self._course = course
        self._check_params = check_params

    def fill(self) -> None:
        """Begin trials until there is no room or nothing to begin."""
        fold = self._lead.fold
        while fold.status is StudyStatus.RUNNING and not self._course.interrupted and not self._course.guard():
            stopping = bool(fold.stopping)
            waiting = self._begun() if stopping else self._lead.next_waiting()
            if not self._runs.has_room(fold.spec.budget.jobs, None if waiting is None else waiting.number):
                return
            trial = waiting or (None if stopping else self._next())
            if trial is None:
                return
            if not self._runs.has_room(fold.spec.budget.jobs, trial.number):
                return  # promoted where it sits parked, and that device is busy: it waits for it
            self._starting.begin(trial)

    def _begun(self) -> Trial | None:
        """Of a study that is being stopped, the next trial that has run already and lost its place: it runs to its end."""
        rows = self._lead.live()
        return next((trial for trial in rows if trial.status is TrialStatus.WAITING and trial.attempt), None)

    def _next(self) -> Trial | None:
        return self._promoted() or self._new_trial() or self._promoted_last()

    def _promoted_last(self) -> Trial | None:
        """Whoever waited for others that will not come."""
        if self._runs.running or self._replies.outstanding:
            return None
        return self._promoted(last=True)

    def _promoted(self, *, last: bool = False) -> Trial | None:
        promotion = self._scheduler.promote(last=last)
        if promotion is None or promotion.trial not in self._lead.trials:
            return None
        if promotion.fork is not None:
            return self._forked(promotion, promotion.fork)
        self._lead.emit(
            TrialResumed(
                trial=promotion.trial,
                to_step=promotion.to_step,
                by=self._scheduler.name,
                reason=promotion.reason,
            )
        )
        return self._lead.trials[promotion.trial]

    def _forked(self, promotion: Promotion, fork: Suggestion) -> Trial:
        """A paused trial ends, and what starts in its place is there: both or neither, also after a crash."""
        by, trial, lead = self._scheduler.name, self._lead.trials[promotion.trial], self._lead
        if self._runs.is_active(trial.number):
            raise InternalError(f"scheduler '{by}' forks trial {trial.number}, which still sits in its worker")
        with lead.lock:
            body = Decided(
                trial=trial.number,
                attempt=trial.attempt,
                step=trial.step,
                decision="fork",
                by=by,
                reason=promotion.reason,
            )
            lead.emit(body)
            lead.emit(end_at_rest(trial, TrialStatus.STOPPED, by=by, reason=promotion.reason))
            number = lead.suggested(fork, source=by, counted=False)
            self._runs.ended(lead.trials[trial.number])
            return lead.trials[number]

    def _new_trial(self) -> Trial | None:
        fold = self._lead.fold
        if self._course.exhausted or not guards.trials_left(fold) or self._replies.outstanding:
            return None
        answer = self._searcher.suggest(fold.num_trials)
        if isinstance(answer, Exhausted):
            self._course.exhausted = answer.reason
            return None
        if isinstance(answer, NeedsReply):
            self._replies.request(answer)
            return None
        if self._check_params is not None:
            answer = replace(answer, params=self._checked(answer.params, self._check_params))
        return self._lead.trials[self._lead.suggested(answer, source=self._searcher.name)]

    def _checked(self, params: Params, check: Callable[[Params], dict[str, Any]]) -> dict[str, Any]:
        try:
            return check(params)
        except SpaceError as error:
            raise ConfigError(
                f"searcher '{self._searcher.name}' suggested what does not lie in the space: {error}"
            ) from error
