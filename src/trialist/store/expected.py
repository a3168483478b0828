"""What one trial's events leave in the tables of attempts and reports, so that a check can ask whether it is there.

Holds a few numbers a trial however many reports it has: how many reports there are to be, and the sum of their hashes.
Where these do not fit what is stored, ``Reports`` says which report is wrong, from a second reading of the events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from trialist.core.events import AttemptEnded, AttemptStarted, Event, Reported, TrialEnded
from trialist.core.ports import Store
from trialist.core.records import Attempt, Metrics, Report
from trialist.core.wire import to_json

_SHOWN = 5


class _Last(NamedTuple):
    """The last report, since the same step reported again carries the union of both."""

    attempt: int
    step: int
    metrics: Metrics
    hashed: int


class Expected:
    """The attempts and reports of one trial, as its events say."""

    __slots__ = ("_digest", "_last", "attempts", "num_reports")

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.num_reports = 0
        self._digest = 0
        self._last: _Last | None = None

    def add(self, event: Event) -> Iterator[str]:
        """One more event of this trial; what cannot have happened."""
        match event.body:
            case AttemptStarted() as body:
                if self.attempts and body.attempt <= self.attempts[-1].attempt:
                    yield f"attempt {body.attempt} begins after attempt {self.attempts[-1].attempt} did"
                self.attempts.append(
                    Attempt(
                        trial=body.trial,
                        attempt=body.attempt,
                        from_step=body.from_step,
                        started_at=event.at,
                        worker=body.worker,
                        devices=body.devices,
                    )
                )
            case AttemptEnded() as body:
                yield from self._end(event, body, body.message)
            case TrialEnded() as body:
                yield from self._end(event, body, body.reason if body.error is None else body.error.message)
            case Reported() as body:
                if not self.attempts or body.attempt != self.attempts[-1].attempt:
                    yield f"attempt {body.attempt} reports, and is not the one that runs"
                self._report(body, event.at)

    def _end(self, event: Event, body: AttemptEnded | TrialEnded, message: str) -> Iterator[str]:
        if body.attempt == 0 and isinstance(body, TrialEnded):
            return
        if not self.attempts or self.attempts[-1].attempt != body.attempt:
            yield f"attempt {body.attempt} ends, and is not the last that began"
        elif self.attempts[-1].ended_at is None:
            outcome = None if body.outcome is None else body.outcome.value
            self.attempts[-1] = replace(self.attempts[-1], ended_at=event.at, outcome=outcome, message=message)

    def _report(self, body: Reported, at: float) -> None:
        last, metrics = self._last, body.metrics
        if last is not None and (last.attempt, last.step) == (body.attempt, body.step):
            self._digest -= last.hashed
            metrics = {**last.metrics, **metrics}
        else:
            self.num_reports += 1
        hashed = _hash(body.attempt, body.step, at, metrics)
        self._digest += hashed
        self._last = _Last(body.attempt, body.step, metrics, hashed)

    def compare_attempts(self, stored: Sequence[Attempt]) -> Iterator[str]:
        """How the stored attempts differ."""
        rows = {row.attempt: row for row in stored}
        for wanted in self.attempts:
            row = rows.pop(wanted.attempt, None)
            if row is None:
                yield f"attempt {wanted.attempt} has events and no row"
            elif row != wanted:
                names = ", ".join(_differing(row, wanted))
                yield f"the row of attempt {wanted.attempt} is not what its events add up to ({names})"
        for number in rows:
            yield f"attempt {number} has a row and no events"

    def fits(self, stored: Sequence[Report]) -> bool:
        """Whether these are the reports that were made, superseded ones included."""
        digest = 0
        for row in stored:
            digest += _hash(row.attempt, row.step, row.at, row.metrics)
            if row.superseded != self._superseded(row.attempt, row.step):
                return False
        return (self.num_reports, self._digest) == (len(stored), digest)

    def _superseded(self, attempt: int, step: int) -> bool:
        """A later attempt began below this step; one that began at 0 began from nothing."""
        later = (row.from_step for row in self.attempts if row.attempt > attempt)
        return any(floor < step or floor == 0 for floor in later)

    def compare_reports(self, wanted: Reports, stored: Sequence[Report]) -> Iterator[str]:
        """How the stored reports differ from those that the events made, one by one; the first few of them."""
        rows = {(row.attempt, row.step): row for row in stored}
        problems: list[str] = []
        for (attempt, step), (at, metrics) in wanted.made.items():
            row = rows.pop((attempt, step), None)
            what = f"the report of attempt {attempt} at step {step}"
            if row is None:
                problems.append(f"{what} has an event and no row")
            elif _hash(attempt, step, row.at, row.metrics) != _hash(attempt, step, at, metrics):
                problems.append(f"{what} says {dict(row.metrics)}, and its events {dict(metrics)}")
            elif row.superseded != self._superseded(attempt, step):
                problems.append(f"{what} is {'' if row.superseded else 'not '}superseded, and should be the opposite")
        problems += [f"the report of attempt {attempt} at step {step} has a row and no event" for attempt, step in rows]
        yield from problems[:_SHOWN]
        if len(problems) > _SHOWN:
            yield f"{len(problems) - _SHOWN} more of its reports are wrong"


class Reports:
    """All reports of one trial: for the few trials of which the sums do not fit."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, int], tuple[float, Metrics]] = {}

    def add(self, event: Event) -> None:
        """One more report."""
        assert isinstance(event.body, Reported)
        key = (event.body.attempt, event.body.step)
        known: Metrics = self.made[key][1] if key in self.made else {}
        self.made[key] = (event.at, {**known, **event.body.metrics})


def check_attempts_and_reports(store: Store, study_id: str, number: int, expected: Expected) -> Iterator[str]:
    """What is wrong with a trial's attempts; an empty sentence says that its reports must be looked at one by one."""
    yield from expected.compare_attempts(store.attempts(study_id, number))
    if not expected.fits(store.reports(study_id, number)):
        yield ""


def _hash(attempt: int, step: int, at: float, metrics: Metrics) -> int:
    # repr, since NaN differs from itself; metrics are floats by name and may come in any order
    return hash((attempt, step, at, repr(sorted(metrics.items()))))


def _differing(row: Attempt, wanted: Attempt) -> list[str]:
    stored, made = to_json(row), to_json(wanted)
    return [name for name in sorted({*stored, *made}) if stored.get(name) != made.get(name)]
