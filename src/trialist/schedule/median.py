"""The median rule: a trial that does worse than half of the others did at the same step is stopped.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.2. Knows reports and ends of
trials; decides at any report.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trialist.core.events import AttemptStarted, Body, Event, Reported, TrialEnded
from trialist.core.options import Options
from trialist.core.records import Continue, Decision, Metric, Mode, Promotion, Stop, Trial
from trialist.schedule.ranking import Entry, loss_of

WINDOW = 1000
"""How many trials are remembered at a step; the newest ones."""


class Against(StrEnum):
    """What of the other trials a trial's best is compared with."""

    BEST = "best"
    """Their best up to that step."""
    AVERAGE = "average"
    """The average of their reports up to that step, as Vizier has it."""


class MedianScheduler:
    """Stops a trial whose best up to a step is strictly worse than the median of the other trials' up to that step.

    The others are all that have come as far, running or ended, but for failed and cancelled ones: of each step at most
    the last 1,000 (above step 127 neighbouring steps share a place: about one percent of resolution). Non-finite reports
    count as worst. A trial that runs again from step 0 counts anew; one that goes on from a checkpoint keeps what
    it reported before. Of a step that is reported twice, the last value counts.

    Args:
        metrics: The study's.
        grace_steps: No trial is stopped at this step or before.
        min_trials: A trial is stopped only where at least so many others came as far.
        against: ``best`` (default: cancels half as many winners as the other) or ``average`` (Vizier's).
        metric: Name of the metric to compare by, where the study has several.

    Raises:
        ConfigError: An option is unknown or wrong, or the study has no metric.
    """

    name = "median"
    reads: frozenset[type[Body]] = frozenset({AttemptStarted, Reported, TrialEnded})

    def __init__(self, metrics: Sequence[Metric] = (), **options: Any) -> None:
        given = Options("scheduler 'median'", options)
        self._metric = given.metric(tuple(metrics))
        self._grace_steps = given.integer("grace_steps", 0)
        self._min_trials = given.integer("min_trials", 5, low=1)
        self._against = Against(given.choice("against", Against.BEST, list(Against)))
        given.done()
        self._curves: dict[int, _Curve] = {}
        """Of trials that have not ended."""
        self._places: dict[int, _Place] = {}
        """By milestone."""

    def boundary(self, trial: Trial, step: int) -> int | None:
        return None

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        match body:
            case Reported():
                if self._metric.name in body.metrics:
                    self._reported(body.trial, body.step, loss_of(self._metric, body.metrics))
            case AttemptStarted():
                if body.from_step == 0:
                    self._curves.pop(body.trial, None)
            case TrialEnded():
                self._curves.pop(body.trial, None)
                if not body.status.counts:
                    for place in self._places.values():
                        place.drop(body.trial)

    def _reported(self, number: int, step: int, loss: float) -> None:
        curve = self._curves.get(number)
        if curve is None:
            curve = self._curves[number] = _Curve()
        if step < curve.step:
            return  # a step that an earlier attempt has reported
        before, last = curve.standing(self._against), curve.step
        curve.add(step, loss)
        here = milestone(step)
        if last >= 0 and last < step:
            # It has come past the milestones between its two reports with what it had at the first of them.
            between = next_milestone(milestone(last))
            while between < here:
                self._place(between).put(number, before)
                between = next_milestone(between)
        self._place(here).put(number, curve.standing(self._against))

    def _place(self, at: int) -> _Place:
        place = self._places.get(at)
        if place is None:
            place = self._places[at] = _Place()
        return place

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        curve, place = self._curves.get(trial.number), self._places.get(milestone(step))
        if step <= self._grace_steps or curve is None or place is None:
            return Continue()
        others = place.others(trial.number)
        if others < self._min_trials:
            return Continue()
        median = place.median(trial.number)
        if curve.best <= median:
            return Continue()
        sign = 1 if self._metric.mode is Mode.MIN else -1
        return Stop(
            reason=f"best {self._metric.name} {sign * curve.best:.6g} up to step {step} is worse than the median "
            f"{sign * median:.6g} of {others} other trials"
        )

    def promote(self, *, last: bool = False) -> Promotion | None:
        return None


def milestone(step: int) -> int:
    """The milestone of a step: itself below 128, else its seven leading binary digits."""
    shift = max(0, step.bit_length() - 7)
    return step >> shift << shift


def next_milestone(at: int) -> int:
    """The milestone after this one."""
    return at + (1 << max(0, at.bit_length() - 7))


@dataclass(slots=True)
class _Curve:
    """What a live trial has reported: the last report apart, as it may be told again."""

    step: int = -1
    loss: float = 0.0
    sum_before: float = 0.0
    count_before: int = 0
    best_before: float = float("inf")

    @property
    def best(self) -> float:
        return min(self.best_before, self.loss)

    def add(self, step: int, loss: float) -> None:
        if step > self.step >= 0:
            self.best_before = self.best
            self.sum_before += self.loss
            self.count_before += 1
        self.step, self.loss = step, loss

    def standing(self, against: Against) -> float:
        if against is Against.BEST:
            return self.best
        return (self.sum_before + self.loss) / (self.count_before + 1)


class _Place:
    """Where trials stand at one milestone: the newest ``WINDOW`` of them, each once, in order."""

    def __init__(self) -> None:
        self._by_trial: OrderedDict[int, float] = OrderedDict()
        self._sorted: list[Entry] = []

    def put(self, number: int, loss: float) -> None:
        self.drop(number)
        self._by_trial[number] = loss
        insort(self._sorted, (loss, number))
        if len(self._sorted) > WINDOW:
            self.drop(next(iter(self._by_trial)))

    def drop(self, number: int) -> None:
        loss = self._by_trial.pop(number, None)
        if loss is not None:
            del self._sorted[bisect_left(self._sorted, (loss, number))]

    def others(self, number: int) -> int:
        """How many trials are here but for this one."""
        return len(self._sorted) - (number in self._by_trial)

    def median(self, number: int) -> float:
        """The median of the others, of which there is at least one."""
        own = self._by_trial.get(number)
        at = len(self._sorted) if own is None else bisect_left(self._sorted, (own, number))
        count = self.others(number)
        low, high = (count - 1) // 2, count // 2
        return (self._sorted[low + (low >= at)][0] + self._sorted[high + (high >= at)][0]) / 2
