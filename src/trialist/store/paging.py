"""Cursors of pages, and the order of trials by value: shared by all stores, so that they page alike.

By value, trials are ranked best first: the value itself where the study minimises, its negative where it maximises.
Ties go by number in that direction, and backwards in the other, so that one index serves both. Trials without a finite
value, and those that break an outcome constraint, come last either way, by number. A cursor names the last trial of the page before, so pages stay put while trials
are added.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from trialist.core.errors import UserError
from trialist.core.ports import TrialOrder
from trialist.core.records import Metrics, Mode, StudySpec


class ValueCursor(NamedTuple):
    """The last trial of a page by value."""

    rank: float | None
    """``None``: the page ended among the trials that come last."""
    number: int


def sign_of(spec: StudySpec) -> int:
    """1 where a lower value is better, or where there is no metric; -1 where a higher one is."""
    return -1 if spec.metrics and spec.metrics[0].mode is Mode.MAX else 1


class Ranking:
    """What trials of a study are sorted by."""

    def __init__(self, spec: StudySpec) -> None:
        self._sign = sign_of(spec)
        self._is_feasible = spec.is_feasible if spec.outcome_constraints else None

    def __call__(self, value: float | None, metrics: Metrics) -> float | None:
        """A trial's place, ascending from the best; ``None`` for those that come last."""
        if value is None or not math.isfinite(value):
            return None
        if self._is_feasible is not None and not self._is_feasible(metrics):
            return None
        return self._sign * float(value) + 0.0  # no -0.0: SQLite keeps none, and a cursor must name what is kept


def best_first(order: TrialOrder, sign: int) -> bool:
    """Whether this order by value begins with the best trial."""
    return order.descending == (sign < 0)


def check_order(order: TrialOrder) -> None:
    """Raise UserError unless trials can be ordered so."""
    if order.by not in ("number", "value"):
        raise UserError(f"trials are ordered by 'number' or by 'value', not by '{order.by}'.")


def number_cursor(number: int) -> str:
    """The cursor after a trial, study or anything else that is paged by an integer."""
    return str(number)


def read_number_cursor(cursor: str | None) -> int | None:
    """The inverse of ``number_cursor``.

    Raises:
        UserError: It is no such cursor.
    """
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise _bad(cursor)
    return int(cursor)


def value_cursor(last: ValueCursor) -> str:
    """The cursor after a trial in an order by value."""
    return f"{'' if last.rank is None else float(last.rank).hex()}@{last.number}"


def read_value_cursor(cursor: str | None) -> ValueCursor | None:
    """The inverse of ``value_cursor``.

    Raises:
        UserError: It is no such cursor.
    """
    if cursor is None:
        return None
    text, at, number = cursor.partition("@")
    last = read_number_cursor(number)
    if not at or last is None:
        raise _bad(cursor)
    try:
        value = float.fromhex(text) if text else None
    except (ValueError, OverflowError) as error:
        raise _bad(cursor) from error
    if value is not None and not math.isfinite(value):
        raise _bad(cursor)
    return ValueCursor(value, last)


def _bad(cursor: str) -> UserError:
    return UserError(f"'{cursor[:60]}' is no cursor of this list: give back the one that came with the last page.")
