"""Where numbers lie on [0, 1]: a line, a logarithmic line, and both cut into cells.

Every scale maps [0, 1] onto its values (0 and 1 included) and back; values never leave their bounds by rounding. Cells are
of equal width on a line; on a logarithmic one a cell reaches half a step below and above its value, as if the values had
been rounded. Knows numbers only.

Exactness: ``decoder()(position(v)) == v`` for cells as long as there are at most 2**40 of them and, on a log scale, values
stay below 2**40 steps; beyond that, and on lines, it holds to floating-point rounding.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from trialist.core.errors import SpaceError

MAX_CELLS = 2**53
"""More steps than this between two floats are the floats themselves."""

_MAX_LOG = math.log(sys.float_info.max)


class Scale(ABC):
    """Numbers and their places on [0, 1]."""

    size: int | None
    """How many numbers; ``None``: a continuum."""

    @abstractmethod
    def decoder(self) -> Callable[[float], Any]:
        """[0, 1] to numbers, as a closure: it runs for every parameter of every sample."""

    @abstractmethod
    def position(self, value: Any) -> float:
        """The place of a number."""

    @abstractmethod
    def nth(self, index: int) -> Any:
        """Number ``index`` of a finite scale."""

    def nearest(self, value: float) -> Any:
        """The number of the scale next to a value within its bounds."""
        return value


class Line(Scale):
    """``low`` to ``high``, evenly."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.size = 1 if low == high else None

    def decoder(self) -> Callable[[float], float]:
        low, high = self.low, self.high
        span = high - low
        if span == 0:
            return lambda _: low
        if math.isinf(span):  # from -1e308 to 1e308: the difference is no float
            return lambda u: min(max(low * (1.0 - u) + high * u, low), high)

        def decode(u: float) -> float:
            value = low + span * u
            return value if value <= high else high

        return decode

    def position(self, value: float) -> float:
        span = self.high - self.low
        if span == 0:
            return 0.5
        if math.isinf(span):
            return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return (value - self.low) / span

    def nth(self, index: int) -> float:
        return self.low


class LogLine(Line):
    """``low`` to ``high``, evenly in the logarithm; bounds closer than one in a million are a line."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(low, high)
        self.start, self.span = math.log(low), math.log(high) - math.log(low)
        self.narrow = self.span < 1e-6

    def decoder(self) -> Callable[[float], float]:
        if self.narrow:
            return super().decoder()
        low, high, start, span, exp = self.low, self.high, self.start, self.span, math.exp

        def decode(u: float) -> float:
            if u >= 1.0:  # exp(log(high)) may fall short of it, or overflow
                return high
            value = exp(start + span * u)
            return low if value < low or u <= 0.0 else value if value <= high else high

        return decode

    def position(self, value: float) -> float:
        if self.narrow:
            return super().position(value)
        return min(max((math.log(value) - self.start) / self.span, 0.0), 1.0)


class Cells(Scale):
    """``(low + k * step) / unit`` for k = 0 … size - 1, all integers, in cells of equal width.

    ``unit=None`` gives integers; else the division of two integers gives the float nearest to the decimal.
    """

    def __init__(self, low: int, step: int, size: int, unit: int | None = None) -> None:
        self.low, self.step, self.unit = low, step, unit
        self.size, self.last = size, size - 1

    def nth(self, index: int) -> Any:
        value = self.low + index * self.step
        return value if self.unit is None else value / self.unit

    def index(self, value: Any) -> int:
        """The number of the cell whose value is nearest."""
        if self.unit is None and isinstance(value, int):
            place = (value - self.low) // self.step
        else:
            top, bottom = float(value).as_integer_ratio()
            place = _rounded(top * (self.unit or 1) - self.low * bottom, self.step * bottom)
        return min(max(place, 0), self.last)

    def nearest(self, value: float) -> Any:
        return self.nth(self.index(value))

    def decoder(self) -> Callable[[float], Any]:
        low, step, unit, last = self.low, self.step, self.unit, self.last
        size = last + 1
        if unit is not None:
            return lambda u: (low + min(int(u * size), last) * step) / unit
        return lambda u: low + min(int(u * size), last) * step

    def position(self, value: Any) -> float:
        return (self.index(value) + 0.5) / (self.last + 1)


class LogCells(Scale):
    """Cells whose edges lie half a step around their values, on a logarithmic line."""

    def __init__(self, cells: Cells) -> None:
        self.cells, self.size = cells, cells.size
        low, high, step = cells.nth(0), cells.nth(cells.last), cells.step / (cells.unit or 1)
        # Half a step below the lowest value there may be no positive number: then half of that value.
        self.start = math.log(low - min(step, low) / 2)
        self.span = min(math.log(high) + math.log1p(step / 2 / high), _MAX_LOG) - self.start

    def nth(self, index: int) -> Any:
        return self.cells.nth(index)

    def nearest(self, value: float) -> Any:
        return self.cells.nearest(value)

    def decoder(self) -> Callable[[float], Any]:
        start, span, cells, exp = self.start, self.span, self.cells, math.exp
        low, step, last, nth = cells.nth(0), cells.step / (cells.unit or 1), cells.last, cells.nth

        def decode(u: float) -> Any:
            place = int((exp(start + span * u) - low) / step + 0.5)
            return nth(0 if place < 0 else min(place, last))

        return decode

    def position(self, value: Any) -> float:
        return min(max((math.log(value) - self.start) / self.span, 0.0), 1.0)


def decimal_cells(low: float, high: float, step: float) -> Cells:
    """The cells of ``low``, ``low + step`` … up to ``high``, as exact as their decimals.

    Raises:
        SpaceError: There would be more cells than floats.
    """
    decimals = [Decimal(repr(value)) for value in (low, high, step)]
    exponent = min(0, *(int(value.as_tuple().exponent) for value in decimals))
    unit = 10**-exponent
    bottom, top, width = (_scaled(value, exponent) for value in decimals)
    size = (top - bottom) // width + 1
    if size > MAX_CELLS or (size > 1 and step < math.ulp(max(abs(low), abs(high)))):
        raise SpaceError(
            "", f"q={step!r} is too fine: floats from {low!r} to {high!r} do not tell such steps apart; leave it out."
        )
    return Cells(bottom, width, size, unit)


def _scaled(value: Decimal, exponent: int) -> int:
    """``value * 10**-exponent``, exactly: Decimal's own arithmetic rounds to its context."""
    sign, digits, own = value.as_tuple()
    number = int("".join(map(str, digits))) * int(10 ** (int(own) - exponent))
    return -number if sign else number


def _rounded(top: int, bottom: int) -> int:
    """``top / bottom`` to the nearest integer, halves up, exactly."""
    return (2 * top + bottom) // (2 * bottom)
