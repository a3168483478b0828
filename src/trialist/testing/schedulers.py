"""The contract of schedulers as tests: subclass ``SchedulerContract``, say how yours is made, and run pytest.

    class TestMine(SchedulerContract):
        def make(self, metrics):
            return MyScheduler(metrics=metrics)          # one that makes params takes SPACE and a seed too

``Campaign`` is a study in miniature that runs learning curves against a scheduler; it knows no engine and no store.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Body,
    Checkpointed,
    CheckpointFreed,
    Event,
    Reported,
    TrialEnded,
    TrialPaused,
    TrialResumed,
    TrialSuggested,
)
from trialist.core.fold import fold_trial
from trialist.core.ports import Scheduler
from trialist.core.records import (
    Continue,
    Decision,
    Failure,
    FailureReason,
    Fork,
    Metric,
    Mode,
    OutcomeKind,
    Pause,
    Promotion,
    Stop,
    Suggestion,
    Trial,
    WarmStart,
)
from trialist.core.states import TrialStatus
from trialist.space import SearchSpace

SPACE = SearchSpace.of(
    {"curve": {"type": "randint", "low": 0, "high": 10**6}, "rate": {"type": "uniform", "low": 0, "high": 1}}
)
"""What varies in a ``Campaign``: nothing depends on it but the forks of a scheduler that makes params."""
Curve = Callable[[int], Sequence[float]]
"""The values that a trial reports at steps 1, 2, 3 …, by its number."""


def curves(seed: int, *, steps: int = 12, broken: float = 0.1) -> Curve:
    """Learning curves that fall to a floor of their own; a share of ``broken`` turns NaN or infinite on the way."""

    def curve(number: int) -> list[float]:
        rng = random.Random(f"{seed}/{number}")
        floor, start, rate = rng.random(), 1 + rng.random(), rng.uniform(0.1, 1)
        values = [floor + start * math.exp(-rate * step) + rng.gauss(0, 0.02) for step in range(1, steps + 1)]
        if rng.random() < broken:
            values[rng.randrange(steps) :] = [rng.choice([math.nan, math.inf, -math.inf])] * steps
        if rng.random() < 0.2:  # ties
            values = [round(value, 1) for value in values]
        return values[:steps]

    return curve


class Asked(NamedTuple):
    """A question to the scheduler, and its answer."""

    after: int
    """How many events it had seen."""
    trial: int | None
    """``None``: it was asked for a promotion."""
    step: int
    at_boundary: bool
    answer: Decision | Promotion | None
    last: bool = False
    """Of a promotion: whether nothing ran and nothing new was to come."""


@dataclass
class Campaign:
    """Runs ``trials`` trials, ``jobs`` at once, reports coming in a random order.

    Args:
        scheduler: What decides.
        metric: The metric that is reported.
        curve: What trials report; values are negated under ``max``.
        trials: How many are suggested; forks come on top.
        jobs: How many run at once.
        seed: Of the order in which things happen.
        mishaps: The probability, at each report, that the attempt is lost, and a tenth of it that the trial fails.
        checkpoints: Whether a promoted or lost trial goes on where it was; otherwise it starts again.
        twin: A second scheduler that sees the events and is asked nothing by the campaign.
    """

    scheduler: Scheduler
    metric: Metric
    curve: Curve
    trials: int = 30
    jobs: int = 4
    seed: int = 0
    mishaps: float = 0.0
    checkpoints: bool = True
    twin: Scheduler | None = None
    events: list[tuple[Event, Trial | None]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    rows: dict[int, Trial] = field(default_factory=dict)
    saved: dict[str, int] = field(default_factory=dict)
    """Steps of the checkpoints that are kept."""

    def run(self) -> Campaign:
        """Run to the end: nothing runs or waits, and nobody is promoted any more."""
        rng = random.Random(self.seed)
        running: list[int] = []
        waiting: deque[int] = deque()
        suggested = 0
        while True:
            while len(running) < self.jobs:
                if waiting:
                    number = waiting.popleft()
                elif (promotion := self._promote()) is not None:
                    number = promotion.trial if promotion.fork is None else len(self.rows) - 1
                elif suggested < self.trials:
                    number, suggested = self._suggest(), suggested + 1
                elif not running and (promotion := self._promote(last=True)) is not None:
                    number = promotion.trial if promotion.fork is None else len(self.rows) - 1
                else:
                    break
                self._start(number)
                running.append(number)
            if not running:
                return self
            number = running[rng.randrange(len(running))]
            chance = rng.random()
            if chance < self.mishaps:
                self._mishap(number, failed=chance < self.mishaps / 10)
            else:
                self._report(number)
            if self.rows[number].status is not TrialStatus.RUNNING:
                running.remove(number)
            if self.rows[number].status is TrialStatus.WAITING:
                waiting.append(number)

    def emit(self, body: Body) -> None:
        """Make an event happen."""
        event = Event(len(self.events) + 1, float(len(self.events)), body)
        row = None
        if event.trial is not None:
            row = self.rows[event.trial] = fold_trial(self.rows.get(event.trial), event, (self.metric.name,))
        self.events.append((event, row))
        for scheduler in (self.scheduler, self.twin):
            if scheduler is not None and type(body) in scheduler.reads:
                scheduler.update(event, row)

    def _suggest(self, **more: Any) -> int:
        number = len(self.rows)
        given = {"params": {"curve": number, "rate": 0.5}, "source": "campaign", **more}
        self.emit(TrialSuggested(trial=number, seed=number, seen_seq=0, **given))
        return number

    def _fork(self, suggestion: Suggestion) -> int:
        assert SPACE.check(suggestion.params) == suggestion.params
        start = suggestion.warm_start_from
        if start is not None:
            assert start.trial == suggestion.parent
            assert start.checkpoint in self.saved, f"{start} is not kept"
        return self._suggest(
            params=suggestion.params,
            source=self.scheduler.name,
            counted=False,
            parent=suggestion.parent,
            warm_start_from=start,
            note=suggestion.note,
        )

    def _promote(self, *, last: bool = False) -> Promotion | None:
        promotion = self.scheduler.promote(last=last)
        self.asked.append(Asked(len(self.events), None, 0, False, promotion, last))
        if promotion is None:
            return None
        row = self.rows[promotion.trial]
        assert row.status is TrialStatus.PAUSED, f"promoted trial {row.number}, which is {row.status}"
        assert row.paused_by == self.scheduler.name, f"promoted trial {row.number}, which {row.paused_by} paused"
        assert promotion.to_step is None or promotion.to_step > (row.step or 0), promotion
        if promotion.fork is not None:
            assert not row.parked, f"forked trial {row.number}, which sits in its worker"
            self._end(row.number, TrialStatus.STOPPED, by=self.scheduler.name)
            self._fork(promotion.fork)
            return promotion
        self.emit(TrialResumed(trial=row.number, to_step=promotion.to_step, by=self.scheduler.name))
        return promotion

    def _start(self, number: int) -> None:
        row = self.rows[number]
        from_step = (row.step or 0) if self.checkpoints else 0
        origin = row.warm_start_from
        if origin is not None and row.attempt == 0 and origin.what is WarmStart.RESUME:
            from_step = self.saved[origin.checkpoint]
        to_step = row.to_step
        if to_step is None or to_step <= from_step:
            to_step = self.scheduler.boundary(row, from_step)
            assert to_step is None or to_step > from_step, f"boundary {to_step} after step {from_step}"
        metrics = row.metrics if from_step else {}
        self.emit(
            AttemptStarted(
                trial=number, attempt=row.attempt + 1, from_step=from_step, to_step=to_step, metrics=dict(metrics)
            )
        )

    def _report(self, number: int) -> None:
        row = self.rows[number]
        values, step = self.curve(number), (row.step or 0) + 1
        if step > len(values):
            self._end(number, TrialStatus.COMPLETED)
            return
        sign = 1 if self.metric.mode is Mode.MIN else -1
        metrics = {self.metric.name: sign * values[step - 1]}
        self.emit(Reported(trial=number, attempt=row.attempt, step=step, metrics=metrics))
        at_boundary = row.to_step is not None and step >= row.to_step
        decision = self.scheduler.decide(self.rows[number], step, at_boundary=at_boundary)
        self.asked.append(Asked(len(self.events), number, step, at_boundary, decision))
        self._apply(self.rows[number], step, decision, at_boundary)

    def _apply(self, row: Trial, step: int, decision: Decision, at_boundary: bool) -> None:
        by = self.scheduler.name
        match decision:
            case Continue():
                assert decision.to_step is None or decision.to_step > step, f"{decision} at step {step}"
                if at_boundary:
                    to_step = decision.to_step or self.scheduler.boundary(row, step)
                    self.emit(
                        AttemptContinued(trial=row.number, attempt=row.attempt, from_step=step, to_step=to_step, by=by)
                    )
            case Pause():
                assert at_boundary, f"trial {row.number} was paused at step {step}, which is no boundary"
                if decision.leaves:
                    self._leave(row, step, by)
                else:
                    self.emit(TrialPaused(trial=row.number, attempt=row.attempt, step=step, parked=True, by=by))
            case Stop():
                self._end(row.number, TrialStatus.STOPPED)
            case Fork():
                self._end(row.number, TrialStatus.STOPPED)
                self._fork(decision.suggestion)

    def _leave(self, row: Trial, step: int, by: str) -> None:
        """A paused trial leaves its worker, and its checkpoint behind where it makes any."""
        key: dict[str, Any] = {"trial": row.number, "attempt": row.attempt}
        if self.checkpoints:
            name = f"{row.number}-{row.attempt}-{step}"
            self.emit(Checkpointed(**key, step=step, checkpoint=name, path=f"/{name}"))
            self.saved[name] = step
            if row.checkpoint is not None and not self._is_needed(row.checkpoint):
                del self.saved[row.checkpoint]
                self.emit(CheckpointFreed(trial=row.number, checkpoint=row.checkpoint))
        self.emit(AttemptEnded(**key, outcome=OutcomeKind.EVICTED, status=TrialStatus.PAUSED, by=by))

    def _is_needed(self, checkpoint: str) -> bool:
        """Whether a live trial started from it, and may again."""
        live = (row for row in self.rows.values() if not row.status.is_terminal)
        return any(row.warm_start_from is not None and row.warm_start_from.checkpoint == checkpoint for row in live)

    def _end(self, number: int, status: TrialStatus, error: Failure | None = None, by: str = "") -> None:
        row = self.rows[number]
        self.emit(
            TrialEnded(
                trial=number,
                attempt=row.attempt,
                status=status,
                step=row.step,
                metrics=row.metrics,
                value=None if error else row.value,
                error=error,
                by=by,
            )
        )

    def _mishap(self, number: int, *, failed: bool) -> None:
        if failed:
            self._end(number, TrialStatus.FAILED, Failure(reason=FailureReason.EXCEPTION, message="broke"))
            return
        row = self.rows[number]
        lost = AttemptEnded(trial=number, attempt=row.attempt, outcome=OutcomeKind.LOST, status=TrialStatus.WAITING)
        self.emit(lost)


class SchedulerContract:
    """What every scheduler keeps; subclass it and override ``make``."""

    settings: tuple[dict[str, Any], ...] = (
        {"seed": 1},
        {"seed": 2, "jobs": 1},
        {"seed": 3, "jobs": 9, "mishaps": 0.05},
        {"seed": 4, "mishaps": 0.1, "checkpoints": False},
    )

    def make(self, metrics: tuple[Metric, ...]) -> Scheduler:
        """A new scheduler."""
        raise NotImplementedError

    def campaign(self, mode: Mode = Mode.MIN, **settings: Any) -> Campaign:
        """A campaign that has not run."""
        metric = Metric(name="loss", mode=mode)
        scheduler = self.make((metric,))
        return Campaign(scheduler=scheduler, metric=metric, curve=curves(settings.get("seed", 0)), **settings)

    def replayed(self, campaign: Campaign, events: int) -> Scheduler:
        """A new scheduler that has seen the first events of a campaign."""
        scheduler = self.make((campaign.metric,))
        for event, row in campaign.events[:events]:
            if type(event.body) in scheduler.reads:
                scheduler.update(event, row)
        return scheduler

    def test_every_trial_ends_or_is_left_paused(self) -> None:
        for settings in self.settings:
            campaign = self.campaign(**settings).run()
            for row in campaign.rows.values():
                assert row.status.is_terminal or row.status is TrialStatus.PAUSED, row
            assert campaign.scheduler.promote() is None

    def test_replayed_events_give_every_decision_again(self) -> None:
        for settings in self.settings:
            campaign = self.campaign(**settings).run()
            for asked in campaign.asked[:: max(1, len(campaign.asked) // 60)]:
                scheduler = self.replayed(campaign, asked.after)
                assert _ask(scheduler, campaign, asked) == asked.answer

    def test_asking_changes_nothing(self) -> None:
        for settings in self.settings:
            plain = self.campaign(**settings).run()
            scheduler = self.make((plain.metric,))
            questions = iter(plain.asked)
            asked = next(questions, None)
            for count in range(len(plain.events) + 1):
                while asked is not None and asked.after == count:
                    assert _ask(scheduler, plain, asked) == _ask(scheduler, plain, asked) == asked.answer
                    asked = next(questions, None)
                if count < len(plain.events) and type(plain.events[count][0].body) in scheduler.reads:
                    scheduler.update(*plain.events[count])

    def test_boundaries_rise(self) -> None:
        campaign = self.campaign(seed=5).run()
        for row in campaign.rows.values():
            step, seen = 0, 0
            while (boundary := campaign.scheduler.boundary(row, step)) is not None and seen < 20:
                assert boundary > step
                for between in range(step, min(boundary, step + 50)):
                    assert campaign.scheduler.boundary(row, between) == boundary
                step, seen = boundary, seen + 1

    def test_max_mirrors_min(self) -> None:
        for settings in self.settings:
            low = self.campaign(Mode.MIN, **settings).run()
            high = self.campaign(Mode.MAX, **settings).run()
            assert [_kind(asked) for asked in low.asked] == [_kind(asked) for asked in high.asked]

    def test_what_is_not_finite_is_never_promoted(self) -> None:
        campaign = self.campaign(seed=6, mishaps=0.02)
        healthy = campaign.curve
        campaign.curve = lambda number: [math.nan] * 12 if number % 3 == 0 else healthy(number)
        campaign.run()
        promotions = [asked.answer for asked in campaign.asked if isinstance(asked.answer, Promotion)]
        assert not [one.trial for one in promotions if one.fork is None and one.trial % 3 == 0]
        copied = {one.fork.parent for one in promotions if one.fork is not None}
        assert not [number for number in copied if number is not None and number % 3 == 0]

    def test_a_study_of_one_trial_ends(self) -> None:
        campaign = self.campaign(trials=1, jobs=1).run()
        assert len(campaign.rows) == 1

    def test_reads_is_enough(self) -> None:
        assert self.make((Metric(name="loss", mode=Mode.MIN),)).name
        campaign = self.campaign(seed=7, mishaps=0.05)
        campaign.twin = self.make((campaign.metric,))
        campaign.run()
        assert campaign.twin.promote() == campaign.scheduler.promote()


def _ask(scheduler: Scheduler, campaign: Campaign, asked: Asked) -> Decision | Promotion | None:
    if asked.trial is None:
        return scheduler.promote(last=asked.last)
    row = next(row for _, row in reversed(campaign.events[: asked.after]) if row and row.number == asked.trial)
    return scheduler.decide(row, asked.step, at_boundary=asked.at_boundary)


def _kind(asked: Asked) -> tuple[Any, ...]:
    answer = asked.answer
    to_step = getattr(answer, "to_step", None)
    return asked.after, asked.trial, asked.step, type(answer), getattr(answer, "trial", None), to_step
