"""The halving that ASHA and Hyperband share: trials are ranked at rungs, and the best 1/eta of each rung go on.

Knows reports and what became of trials; no option, and not how trials are paused or moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Body,
    Event,
    Reported,
    TrialEnded,
    TrialPaused,
    TrialResumed,
)
from trialist.core.records import Continue, Decision, Metric, Pause, Promotion, Stop, Trial
from trialist.core.states import TrialStatus
from trialist.schedule.ranking import Entry, Ranking, loss_of
from trialist.schedule.rungs import Rungs


class Variant(StrEnum):
    """What happens to a trial that is not among the best of its rung."""

    PROMOTE = "promote"
    """It is paused, and goes on once enough others have done worse: the algorithm of the paper."""
    STOP = "stop"
    """It is stopped for good: needs no checkpoints, and wrongs trials that come early."""


class _Mark(NamedTuple):
    """What a trial showed at a rung."""

    loss: float
    step: int
    """The step at which it reported: the rung's, or the first one above it."""


@dataclass(slots=True)
class _Course:
    """How far a live trial has come."""

    marks: list[_Mark] = field(default_factory=list)
    """By rung, from the lowest."""
    reached: int = 0
    """Rungs reached in the present attempt; marks from there on are an earlier attempt's."""
    passed: int = 0
    """Rungs after which it went on, in any attempt."""
    waits_at: int | None = None
    """The rung at which it is paused and may be promoted."""
    to_the_end: bool = False
    """Whether it was promoted past all rungs."""


class Halving:
    """One ladder of rungs and the trials on it; a scheduler by itself, and a part of one.

    Args:
        name: Whose pauses and promotions are its own.
        metric: What trials are ranked by.
        rungs: Where.
        eta: 1/eta of a rung go on.
        variant: What happens to the others.
    """

    reads: frozenset[type[Body]] = frozenset(
        {AttemptStarted, AttemptContinued, AttemptEnded, Reported, TrialPaused, TrialResumed, TrialEnded}
    )

    def __init__(self, name: str, metric: Metric, rungs: Rungs, eta: float, variant: Variant = Variant.PROMOTE) -> None:
        self.name = name
        self._metric = metric
        self._rungs = rungs
        self._eta = eta
        self._variant = variant
        self._courses: dict[int, _Course] = {}
        """Of trials that have not ended."""
        self._marked: list[Ranking] = []
        """By rung: all that count there."""
        self._waiting: list[Ranking] = []
        """By rung: those that may be promoted."""

    def boundary(self, trial: Trial, step: int) -> int | None:
        course = self._courses.get(trial.number)
        if course is not None and course.to_the_end:
            return None
        return self._rungs.step(max(self._rungs.reached(step), 0 if course is None else course.passed))

    # --- folding ---

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        match body:
            case Reported():
                self._reported(body, trial)
            case AttemptStarted():
                course = self._course(body.trial)
                self._leave_queue(body.trial, course)
                course.reached = sum(mark.step <= body.from_step for mark in course.marks)
            case AttemptContinued() | TrialResumed():
                course = self._course(body.trial)
                self._leave_queue(body.trial, course)
                course.passed = max(course.passed, course.reached)
                if isinstance(body, TrialResumed) and body.by == self.name and body.to_step is None:
                    course.to_the_end = True
            case TrialPaused():
                self._paused(body.trial, body.by)
            case AttemptEnded(status=TrialStatus.PAUSED):
                if body.by:  # nobody's: it stays paused by whoever paused it
                    self._paused(body.trial, body.by)
            case AttemptEnded():
                self._leave_queue(body.trial, self._course(body.trial))
            case TrialEnded():
                self._ended(body)

    def _course(self, number: int) -> _Course:
        course = self._courses.get(number)
        if course is None:
            course = self._courses[number] = _Course()
        return course

    def _reported(self, report: Reported, trial: Trial | None) -> None:
        course, step = self._course(report.trial), report.step
        if course.reached:
            last = course.marks[course.reached - 1].step
            if step > last:
                course.passed = max(course.passed, course.reached)
            elif step == last and self._metric.name in report.metrics:  # the same step told in two reports
                course.reached = sum(mark.step < step for mark in course.marks[: course.reached])
        goal = self._rungs.reached(step)
        if goal <= course.reached:
            return
        known = report.metrics if trial is None or self._metric.name in report.metrics else trial.metrics
        mark, waits_at = _Mark(loss_of(self._metric, known), step), course.waits_at
        self._leave_queue(report.trial, course)
        for rung in range(course.reached, goal):
            self._put(report.trial, course, rung, mark)
        course.reached = goal
        if waits_at is not None:
            self._queue(report.trial, course)

    def _put(self, number: int, course: _Course, rung: int, mark: _Mark) -> None:
        while len(self._marked) <= rung:
            self._marked.append(Ranking())
            self._waiting.append(Ranking())
        if rung < len(course.marks):
            self._marked[rung].remove((course.marks[rung].loss, number))
            course.marks[rung] = mark
        else:
            course.marks.append(mark)
        self._marked[rung].add((mark.loss, number))

    def _paused(self, number: int, by: str) -> None:
        course = self._course(number)
        self._leave_queue(number, course)
        if by == self.name and course.reached:
            self._queue(number, course)

    def _queue(self, number: int, course: _Course) -> None:
        course.waits_at = course.reached - 1
        self._waiting[course.waits_at].add(self._entry(number, course, course.waits_at))

    def _leave_queue(self, number: int, course: _Course) -> None:
        if course.waits_at is not None:
            self._waiting[course.waits_at].remove(self._entry(number, course, course.waits_at))
            course.waits_at = None

    def _ended(self, end: TrialEnded) -> None:
        course = self._courses.pop(end.trial, None)
        if course is None:
            return
        self._leave_queue(end.trial, course)
        if not end.status.counts:
            for rung in range(len(course.marks)):
                self._marked[rung].remove(self._entry(end.trial, course, rung))

    @staticmethod
    def _entry(number: int, course: _Course, rung: int) -> Entry:
        return course.marks[rung].loss, number

    # --- deciding ---

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        if not at_boundary:
            return Continue()
        course = self._courses.get(trial.number)
        to_step = self.boundary(trial, step)
        if course is None or course.reached <= course.passed:
            return Continue(to_step=to_step)
        rung = course.reached - 1
        entry, size, places = self._entry(trial.number, course, rung), len(self._marked[rung]), self._places(rung)
        if self._variant is Variant.STOP:
            places = max(1, places)
        rank = self._marked[rung].rank(entry)
        reason = f"rank {rank + 1} of {size} at rung {self._rungs.step(rung)}, where {places} go on"
        if rank < places and entry[0] != float("inf"):
            return Continue(to_step=to_step, reason=reason)
        return Stop(reason=reason) if self._variant is Variant.STOP else Pause(reason=reason)

    def promote(self, *, last: bool = False) -> Promotion | None:
        for rung in reversed(range(len(self._waiting))):
            entry = self._waiting[rung].first()
            if entry is None or entry[0] == float("inf"):
                continue
            rank, places, size = self._marked[rung].rank(entry), self._places(rung), len(self._marked[rung])
            at = f"rank {rank + 1} of {size} at rung {self._rungs.step(rung)}"
            if rank < places:
                to_step = self._rungs.step(rung + 1)
                return Promotion(trial=entry[1], to_step=to_step, reason=f"{at}, where {places} go on")
            if last and rank == 0:  # it waited for others to compare with, and there will be none
                return Promotion(trial=entry[1], to_step=None, reason=f"{at}, and no others come")
        return None

    def _places(self, rung: int) -> int:
        return int(len(self._marked[rung]) / self._eta)
