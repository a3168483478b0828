"""Where values lie on an axis, and which ticks it carries. Plain arithmetic, shared by all renderers.

Ticks at 1, 2 and 5 times powers of ten, as in Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from trialist.analysis.series import Axis, Point, Scale, Series
from trialist.core.records import Mode

_STEPS = (1.0, 2.0, 5.0, 10.0)
_FAR = 1e300
"""Nothing lies further out than this, so that spans and ticks stay numbers."""


class Tick(NamedTuple):
    at: float
    """0 … 1 along the axis."""
    label: str


class Extent(NamedTuple):
    """A part of an axis that is shown."""

    scale: Scale
    low: float
    high: float
    ticks: tuple[Tick, ...]

    def place(self, value: float) -> float:
        """Where a value lies, 0 … 1; what is beyond the ends lies on them."""
        at = _forward(self.scale, value)
        low, high = _forward(self.scale, self.low), _forward(self.scale, self.high)
        return 0.5 if high <= low else min(1.0, max(0.0, (at - low) / (high - low)))

    def side(self, value: float) -> int:
        """-1 for a value below the low end, 1 for one above the high end, else 0."""
        return (value > self.high) - (value < self.low)

    def beyond(self, values: Sequence[float]) -> int:
        """How many values lie outside, and are drawn on the edge."""
        return sum(self.side(value) != 0 for value in values)


class Shades(NamedTuple):
    """How values become shades: 0 for the worst that is told apart, 1 for the best."""

    worst: float
    best: float
    clipped: bool
    """Whether some values are worse than ``worst``, and share its shade."""

    def place(self, value: float) -> float:
        if self.worst == self.best:
            return 0.5
        return min(1.0, max(0.0, (value - self.worst) / (self.best - self.worst)))


def shades(values: Sequence[float], mode: Mode) -> Shades:
    """Shades for the cells of a heat map; few that are far worse than the median do not take the shades from the rest."""
    ordered = sorted((min(_FAR, max(-_FAR, value)) for value in values), reverse=mode is Mode.MIN)
    worst, middle, best = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    floor = middle - 4.0 * (best - middle)
    inside = [value for value in ordered if (value >= floor if mode is Mode.MAX else value <= floor)]
    if middle == best or len(inside) == len(ordered):
        return Shades(worst, best, clipped=False)
    return Shades(inside[0], best, clipped=True)


def fit(axis: Axis, values: Sequence[float], most: int = 6, *, clip: Mode | None = None) -> Extent:
    """The extent and ticks that show these values well.

    Args:
        axis: What kind of axis it is.
        values: Finite; may be empty.
        most: At most about so many ticks.
        clip: Let single values that are far worse under this mode fall beyond the end, so that the rest can be told apart.
    """
    if axis.scale is Scale.CATEGORY:
        return _categories(axis, most)
    if not values:
        return Extent(axis.scale, 0.0, 1.0, ())
    # In logarithms for a log axis: what is far there is what looks far.
    shown = sorted(_forward(axis.scale, value) for value in values)
    low, high = (shown[0], shown[-1]) if clip is None else _without_outliers(shown, clip)
    if high - low <= 1e-12 * max(1.0, abs(high)):
        room = max(abs(high) * 0.1, 1e-9) if axis.scale is Scale.LINEAR else 0.5
        room = max(room, 0.5) if axis.whole else room
        low, high = low - room, high + room
    if axis.scale is Scale.LOG:
        return _log(10.0**low, 10.0**high, most)
    return _linear(low, high, most, axis.whole)


def spread(series: Series, points: Sequence[Point]) -> list[Point]:
    """Points moved aside a little where many share a category, so that they can be told apart; else as they are.

    Evenly and always the same: the van der Corput sequence, by place in the layer.
    """
    if series.x.scale is not Scale.CATEGORY or len(points) <= 12 * len(series.x.categories):
        return list(points)
    return [point._replace(x=point.x + 0.6 * (_van_der_corput(k) - 0.5)) for k, point in enumerate(points)]


def number(value: float, decimals: int | None = None) -> str:
    """A value as people write it: few digits, no trailing noise, powers of ten only where they shorten."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        mantissa, _, exponent = f"{value:.3g}".partition("e")
        if not exponent:
            return mantissa
        return f"{mantissa}e{int(exponent)}"
    if decimals is not None:
        return f"{value:.{decimals}f}"
    text = f"{value:.4g}"
    return f"{value:.0f}" if "e" in text else text


def _linear(low: float, high: float, most: int, whole: bool) -> Extent:
    raw = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in _STEPS if step * power >= raw * (1 - 1e-9))
    if whole:
        step = max(1.0, round(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    extent = Extent(Scale.LINEAR, low, high, ())
    ticks = [Tick(extent.place(k * step), number(k * step, decimals)) for k in range(first, last + 1)]
    return extent._replace(ticks=tuple(ticks))


def _log(low: float, high: float, most: int) -> Extent:
    extent = Extent(Scale.LOG, low, high, ())
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / max(1, most)))
    values = [10.0**k for k in range(first, last + 1) if k % every == 0]
    for factors in ((1, 3), (1, 2, 5)):
        if sum(low <= value <= high for value in values) < 3:
            values = [f * 10.0**k for k in range(first, last + 1) for f in factors]
    ticks = [Tick(extent.place(v), number(v)) for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
    return extent._replace(ticks=tuple(ticks))


def _categories(axis: Axis, most: int) -> Extent:
    count = max(1, len(axis.categories))
    extent = Extent(Scale.CATEGORY, -0.5, count - 0.5, ())
    every = max(1, math.ceil(count / max(1, most)))
    ticks = [Tick(extent.place(k), text) for k, text in enumerate(axis.categories) if k % every == 0]
    return extent._replace(ticks=tuple(ticks))


def _without_outliers(ordered: Sequence[float], mode: Mode) -> tuple[float, float]:
    """Ends beyond which only outliers lie, on the worse side: by more than eight times the spread of the middle."""
    low, high = ordered[0], ordered[-1]
    if len(ordered) < 8:
        return low, high
    a, b = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
    room = 8.0 * (b - a)
    if room <= 0:
        return low, high
    if mode is Mode.MIN:
        return low, max(value for value in ordered if value <= b + room)
    return min(value for value in ordered if value >= a - room), high


def _forward(scale: Scale, value: float) -> float:
    value = min(_FAR, max(-_FAR, value))
    return math.log10(max(value, 1.0 / _FAR)) if scale is Scale.LOG else value


def _van_der_corput(k: int) -> float:
    out, part = 0.0, 0.5
    while k:
        out, k, part = out + part * (k & 1), k >> 1, part / 2
    return out
