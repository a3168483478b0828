"""Forecasting: a trial whose curve will not come near the best by the end of training is stopped.

Each curve is carried to the last step by a mixture of shapes (``curves``); how far to trust that is learned from the trials
of this study that ran to their end: how much better each of them became than it was forecast to be. Knows reports and what
became of trials, and no metric's meaning.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trialist.core.events import AttemptStarted, Body, Event, Reported, TrialEnded, TrialSuggested
from trialist.core.options import Options
from trialist.core.records import Continue, Decision, Metric, Mode, Promotion, Stop, Trial
from trialist.core.states import TrialStatus
from trialist.schedule.curves import MIN_POINTS, Curve, Floats, Projection, own_spread
from trialist.schedule.ranking import loss_of

KEEP = 0.98
TOLERANCES = ((0.9, 1.5), (0.95, 1.9), (0.97, 2.4), (0.98, 2.9), (0.99, 3.7), (0.995, 4.7), (0.999, 7.5))
"""``keep`` to how many spreads a forecast must lie behind the best. Found by running campaigns on learning curves, with about
a third of what may be lost left as a reserve: the tail of a forecast is no bell curve, so no quantile of one says it."""
CAMPAIGN = 40
"""The number of trials that ``TOLERANCES`` is for; from there on each doubling of trials adds ``GROWTH``."""
GROWTH = 0.5
PEERS = 64
"""How many trials that ran to their end, the newest, tell how far forecasts are to be trusted."""
MAX_PROJECTIONS = 160
"""How many sets of steps are kept prepared."""
_MIN_REPORTS = 6
_DISTANCE = 0.7
"""How much wider the tail of a forecast is at the start than at the end of training."""
_OWN_SHARE = 0.3
_OWN_WEIGHT = 2
"""The trial's own movement counts like so many trials."""


class _Peer(NamedTuple):
    """A trial that ran to its end."""

    steps: Floats
    values: Floats
    final: float


class _Prepared:
    """What is known at some steps: the projection, and how much better peers became than it forecast for them."""

    def __init__(self, steps: Floats, horizon: int) -> None:
        self.steps = steps
        self.projection = Projection(steps, horizon)
        self.surprises: dict[int, float] = {}
        """By number of the peer: the square of what it gained over its forecast."""


class ForecastScheduler:
    """Stops a trial when its forecast at the last step lies far behind the best trial that ran to its end.

    Decides at every report, with no boundaries. Stops nothing before ``min_trials`` trials have ended, one of them
    completely, before a trial has made ``min_reports`` reports, or while it stands better than the best. Values that are
    not finite are left out of a curve. Pure: a decision depends on the folded reports alone. Keeps at most 128 points a
    running trial and the curves of the newest 64 completed ones; a decision costs well under a millisecond, but for one
    in about a hundred.

    Args:
        metrics: The study's.
        keep: The share of would-be winners (trials that would have become the best, had they run on) that are not to be
            stopped: 0.9 to 0.999. More of them kept, fewer steps saved. How far behind a forecast must lie is found from
            it by table, and grows with the number of trials, as a long study has more chances to lose its winner.
        max_steps: The last step of a whole trial. Without it, the last step that a completed trial has reported.
        min_trials: How many trials must have ended.
        min_reports: No trial is stopped before it has made so many reports; at least 5.
        metric: Name of the metric to compare by, where the study has several.

    Raises:
        ConfigError: An option is unknown or wrong, or the study has no metric.
    """

    name = "forecast"
    reads: frozenset[type[Body]] = frozenset({TrialSuggested, AttemptStarted, Reported, TrialEnded})

    def __init__(self, metrics: Sequence[Metric] = (), **options: Any) -> None:
        given = Options("scheduler 'forecast'", options)
        self._metric = given.metric(tuple(metrics))
        keep = given.number("keep", KEEP, low=TOLERANCES[0][0])
        if keep > TOLERANCES[-1][0]:
            raise given.wrong("keep", f"is a share from {TOLERANCES[0][0]:g} to {TOLERANCES[-1][0]:g}, not {keep:g}")
        self._tolerance = tolerance(keep)
        self._max_steps = given.optional_integer("max_steps", low=2)
        self._min_trials = given.integer("min_trials", 5, low=1)
        self._min_reports = given.integer("min_reports", _MIN_REPORTS, low=MIN_POINTS)
        given.done()
        self._curves: dict[int, Curve] = {}
        """Of trials that have not ended; larger is better."""
        self._reports: dict[int, int] = {}
        self._peers: OrderedDict[int, _Peer] = OrderedDict()
        self._suggested = 0
        self._ended = 0
        self._best = -math.inf
        """Of those that ran to their end."""
        self._longest = 0
        self._prepared: OrderedDict[tuple[float, ...], _Prepared] = OrderedDict()
        """A cache: what is in it follows from the rest."""

    def boundary(self, trial: Trial, step: int) -> int | None:
        return None

    # --- folding ---

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        match body:
            case Reported():
                value = -loss_of(self._metric, body.metrics)
                if math.isfinite(value):
                    self._curve(body.trial).add(body.step, value)
            case AttemptStarted():
                self._curve(body.trial).cut(body.from_step if body.from_step else -1)
            case TrialSuggested():
                self._suggested += 1
            case TrialEnded():
                curve = self._curves.pop(body.trial, None)
                self._ended += body.status.counts
                if body.status is TrialStatus.COMPLETED and curve is not None:
                    self._completed(body, curve)

    def _curve(self, number: int) -> Curve:
        curve = self._curves.get(number)
        if curve is None:
            curve = self._curves[number] = Curve()
        return curve

    def _completed(self, end: TrialEnded, curve: Curve) -> None:
        final = -loss_of(self._metric, end.metrics)
        if not math.isfinite(final):
            return
        self._best = max(self._best, final)
        if not curve.ends:
            return
        if curve.step > self._longest:
            self._longest = curve.step
            if self._max_steps is None:
                self._prepared.clear()  # they were carried to another step
        self._peers[end.trial] = _Peer(np.array(curve.steps), np.array(curve.values), final)
        if len(self._peers) > PEERS:
            gone, _ = self._peers.popitem(last=False)
            for prepared in self._prepared.values():
                prepared.surprises.pop(gone, None)

    # --- deciding ---

    @property
    def horizon(self) -> int:
        """The step at which trials are compared; 0: not known yet."""
        return self._longest if self._max_steps is None else self._max_steps

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        curve = self._curves.get(trial.number)
        if curve is None or len(curve.ends) < self._min_reports or not curve.is_whole or curve.step != step:
            return Continue()
        if self._ended < self._min_trials or step >= self.horizon or curve.last_value >= self._best:
            return Continue()
        prepared = self._prepare(curve)
        values = np.array(curve.values)
        means, variances, noises = prepared.projection.forecast(values[None, :])
        mean = float(means[0])
        behind = self._best - mean
        if behind <= 0:
            return Continue()
        own = _OWN_SHARE * own_spread(values) * (self.horizon - step) / self.horizon
        surprises = self._surprises(prepared)
        floor = (_OWN_WEIGHT * own**2 + sum(surprises)) / (_OWN_WEIGHT + len(surprises))
        spread = math.sqrt(float(variances[0]) + floor + float(noises[0]))
        if behind <= self._spreads(step) * spread:
            return Continue()
        sign = -1 if self._metric.mode is Mode.MIN else 1
        return Stop(
            reason=f"forecast {sign * mean:.4g} +- {spread:.2g} at step {self.horizon}, best {sign * self._best:.4g}"
        )

    def _spreads(self, step: int) -> float:
        """How many spreads behind the best is hopeless, with as many trials as there are: the more, the longer the way."""
        spreads = self._tolerance + GROWTH * math.log2(max(1.0, self._suggested / CAMPAIGN))
        return spreads * (1 + _DISTANCE * (1 - step / self.horizon))

    def _prepare(self, curve: Curve) -> _Prepared:
        key = tuple(curve.steps)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._prepared[key] = _Prepared(np.array(curve.steps), self.horizon)
            if len(self._prepared) > MAX_PROJECTIONS:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(key)
        return prepared

    def _surprises(self, prepared: _Prepared) -> list[float]:
        """For each peer, the square of how much better it became than was to be forecast at these steps."""
        known, steps = prepared.surprises, prepared.steps
        new = [number for number in self._peers if number not in known]
        if new:
            peers = [self._peers[number] for number in new]
            values = np.array([_at(steps, peer) for peer in peers])
            means = prepared.projection.forecast(values).means
            for number, peer, mean in zip(new, peers, means.tolist(), strict=True):
                known[number] = max(0.0, peer.final - mean) ** 2
        return [known[number] for number in self._peers]

    def promote(self, *, last: bool = False) -> Promotion | None:
        return None


def tolerance(keep: float) -> float:
    """How many spreads behind the best a forecast must lie in a campaign of 40 trials, for a share of winners kept.

    >>> tolerance(0.98)
    2.9
    """
    shares, spreads = zip(*TOLERANCES, strict=True)
    losses = [math.log(1 - share) for share in reversed(shares)]
    return float(np.interp(math.log(1 - keep), losses, list(reversed(spreads))))


def _at(steps: Floats, peer: _Peer) -> Floats:
    """A peer's values at some steps: its own where they are its steps, else between them."""
    if len(peer.steps) >= len(steps) and np.array_equal(peer.steps[: len(steps)], steps):
        return peer.values[: len(steps)]
    return np.interp(steps, peer.steps, peer.values)
