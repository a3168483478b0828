"""What the trials of a study showed, as arrays that grow: the fold under every searcher that learns.

Losses are lower-is-better whatever the mode. Trials of others count like own ones as long as their params lie in the space.
Knows no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from trialist.core.errors import SpaceError
from trialist.core.events import Body, Event, Reported, StudyCreated, TrialEnded, TrialSuggested
from trialist.core.records import Metric, Metrics, Mode, OutcomeConstraint, Params, Trial
from trialist.core.states import TrialStatus
from trialist.search.cube import Bools, Cube, Floats
from trialist.search.elite import Elite

READS: frozenset[type[Body]] = frozenset({StudyCreated, TrialSuggested, Reported, TrialEnded})
GROWTH = 1.5
"""A report is kept when its step is so many times the last kept one's; the first and the last are always there."""
_FIRST = 64


class Standing(IntEnum):
    """What is known of a trial."""

    PENDING = 0
    """It has not ended; it may have reported."""
    SCORED = 1
    """It ended with a finite value of every metric, at its last step or where it was stopped."""
    FAILED = 2
    """It failed, a metric is not finite or missing, or it breaks an outcome constraint: a region to keep away from."""
    VOID = 3
    """A person cancelled it, or its params lie outside the space: nothing is known."""


class Observations:
    """Arrays over trials by row, in the order in which they were suggested.

    A row is a trial; ``number`` gives its trial's number. All arrays are views of the rows so far: read them, do not keep
    them across ``update``. Memory: about ``8 * (dimension + metrics + 10)`` bytes a trial, and its kept reports.

    Args:
        cube: The space's.
        metrics: What counts; at least one.
        own: What ``source`` says of the searcher's own trials: their params are as the space spells them, and are not checked.
    """

    def __init__(self, cube: Cube, metrics: Sequence[Metric], *, own: str = "") -> None:
        self.cube = cube
        self.metrics = tuple(metrics)
        self._own = own
        self._signs = np.array([1.0 if metric.mode is Mode.MIN else -1.0 for metric in metrics])
        self._names = [metric.name for metric in metrics]
        self._size = 0
        self._points = np.empty((_FIRST, cube.dimension))
        self._losses = np.full((_FIRST, len(self.metrics)), np.nan)
        self._steps = np.zeros(_FIRST, dtype=np.int64)
        self._standing = np.zeros(_FIRST, dtype=np.int8)
        self._order = np.zeros(_FIRST, dtype=np.int64)
        self._numbers = np.zeros(_FIRST, dtype=np.int64)
        self._rows: dict[int, int] = {}
        """Trial number to row."""
        self._keys: set[bytes] = set()
        self._curves: dict[int, list[tuple[int, tuple[float, ...]]]] = {}
        """By row: the kept reports as (step, losses), ascending; the last one may be dropped for the next."""
        self._pending: dict[int, None] = {}
        """Rows that have not ended, in order."""
        self._showing: set[int] = set()
        """Those of them that have reported finite losses."""
        self._elite = Elite(len(self.metrics))
        self.num_ended = 0
        """Trials that have ended, void ones included."""
        self.constraints: tuple[OutcomeConstraint, ...] = ()
        """What results must keep, once ``StudyCreated`` has said so."""
        self.num_scored = 0
        """Trials that have ended with finite losses."""

    # --- reading -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._size

    @property
    def points(self) -> Floats:
        """(n, dimension): legal rows of the cube; 0.5 for trials outside the space."""
        return self._points[: self._size]

    @property
    def losses(self) -> Floats:
        """(n, metrics): what a scored trial showed last; of others, the last report, or NaN."""
        return self._losses[: self._size]

    @property
    def steps(self) -> NDArray[np.int64]:
        """(n,): the last step reported; 0 for none."""
        return self._steps[: self._size]

    @property
    def standing(self) -> NDArray[np.int8]:
        """(n,): ``Standing``."""
        return self._standing[: self._size]

    @property
    def order(self) -> NDArray[np.int64]:
        """(n,): the place in which it ended, from 1; 0 while pending."""
        return self._order[: self._size]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(n,): trial numbers."""
        return self._numbers[: self._size]

    def where(self, standing: Standing) -> Bools:
        """(n,): the rows of one standing."""
        return np.asarray(self.standing == standing)

    @property
    def pending(self) -> NDArray[np.int64]:
        """Rows that have not ended, ascending."""
        return np.fromiter(self._pending, dtype=np.int64, count=len(self._pending))

    @property
    def num_shown(self) -> int:
        """Trials of which losses are known: scored ones, and pending ones that have reported."""
        return self.num_scored + len(self._showing)

    def best(self, count: int) -> NDArray[np.int64]:
        """So many of the best rows, the best first, as ``Elite`` orders them: no history is sorted."""
        return self._elite.best(count)

    def is_new(self, point: Floats) -> bool:
        """Whether no trial has a legal row's params."""
        return point.tobytes() not in self._keys

    def curve(self, row: int) -> list[tuple[int, tuple[float, ...]]]:
        """The kept reports of a row as (step, losses by metric), ascending; finite ones only."""
        return self._curves.get(row, [])

    # --- folding -----------------------------------------------------------------------------------------------------

    def update(self, event: Event, trial: Trial | None) -> None:
        """Fold one event of ``READS`` in."""
        body = event.body
        if isinstance(body, StudyCreated):
            self.constraints = body.spec.outcome_constraints
        elif isinstance(body, TrialSuggested):
            row = self._row(body.params, own=bool(self._own) and body.source == self._own)
            self._numbers[row] = body.trial
            self._rows[body.trial] = row
        elif isinstance(body, Reported):
            self._reported(self._rows[body.trial], body.step, body.metrics if trial is None else trial.metrics)
        elif isinstance(body, TrialEnded):
            self._ended(self._rows[body.trial], body)

    def add(self, params: Params, metrics: Metrics) -> None:
        """A scored trial from elsewhere (an earlier study): it counts, and has no number here."""
        row = self._row(params)
        self._numbers[row] = -1
        self._finish(row, Standing.SCORED, metrics)

    def _row(self, params: Params, *, own: bool = False) -> int:
        row = self._size
        if row == len(self._steps):
            self._double()
        self._size += 1
        self._standing[row] = Standing.PENDING
        try:
            point = self.cube.encode(params if own else self.cube.space.check(params))
        except SpaceError:
            self._points[row], self._standing[row] = 0.5, Standing.VOID
        else:
            self._points[row] = point
            self._keys.add(point.tobytes())
            self._pending[row] = None
        return row

    def _double(self) -> None:
        for name in ("_points", "_losses", "_steps", "_standing", "_order", "_numbers"):
            old = getattr(self, name)
            new = np.full((2 * len(old), *old.shape[1:]), np.nan if old.dtype == np.float64 else 0, dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _reported(self, row: int, step: int, metrics: Metrics) -> None:
        losses = self._of(metrics)
        self._steps[row], self._losses[row] = step, losses
        if not all(map(math.isfinite, losses)):
            return
        if row in self._pending:
            self._showing.add(row)
            self._elite.put(row, losses, step=step, ended=False)
        curve = self._curves.setdefault(row, [])
        while curve and curve[-1][0] >= step:  # a later attempt began again below it
            curve.pop()
        if len(curve) > 1 and curve[-1][0] < GROWTH * curve[-2][0]:
            curve.pop()
        curve.append((step, losses))

    def _ended(self, row: int, end: TrialEnded) -> None:
        if end.step is not None:
            self._steps[row] = end.step
        if end.status is TrialStatus.CANCELLED or self._standing[row] == Standing.VOID:
            self._finish(row, Standing.VOID, {})
        elif end.status is TrialStatus.FAILED:
            self._finish(row, Standing.FAILED, {})
        else:
            cut = int(self._steps[row]) if end.status is TrialStatus.STOPPED else None
            self._finish(row, Standing.SCORED, end.metrics, cut)

    def _finish(self, row: int, standing: Standing, metrics: Metrics, cut: int | None = None) -> None:
        """``cut``: the step at which it was stopped."""
        self.num_ended += 1
        self._pending.pop(row, None)
        self._showing.discard(row)
        self._order[row] = self.num_ended
        losses = self._of(metrics) if standing is Standing.SCORED else (math.nan,) * len(self._names)
        if standing is Standing.SCORED and self._standing[row] == Standing.VOID:
            standing = Standing.VOID
        if standing is Standing.SCORED and not (all(map(math.isfinite, losses)) and self._is_feasible(metrics)):
            standing, losses = Standing.FAILED, (math.nan,) * len(self._names)
        self._losses[row] = losses
        self._standing[row] = standing
        if standing is Standing.SCORED:
            self.num_scored += 1
            self._elite.put(row, losses, step=cut)
        else:
            self._elite.drop(row)

    def _is_feasible(self, metrics: Metrics) -> bool:
        return all(constraint.excess(metrics) == 0 for constraint in self.constraints)

    def _of(self, metrics: Metrics) -> tuple[float, ...]:
        return tuple(
            float(sign * metrics.get(name, math.nan)) for sign, name in zip(self._signs, self._names, strict=True)
        )
