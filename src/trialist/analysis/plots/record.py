"""What a plot shows, as plain data: panels with axes and marks. Every renderer draws the same record.

Richer than ``series.Series``, which terminals and Pillow draw. Knows nothing of pixels, colours or libraries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from trialist.analysis.series import Axis
from trialist.core.records import Mode


class Shape(StrEnum):
    DOTS = "dots"
    RINGS = "rings"
    CROSSES = "crosses"
    """On the lower edge where ``y`` is NaN."""
    STAR = "star"
    LINE = "line"
    """One line or several, each from a place in ``starts`` on."""
    STEPS = "steps"
    """A staircase: level up to the next point."""
    DASHES = "dashes"
    """Short level lines, one a category."""
    SPANS = "spans"
    """Level bars from ``base`` to ``x`` at height ``y``."""
    COLUMNS = "columns"
    """Upright bars from ``base`` to ``x``, of height ``y``."""


class Ink(StrEnum):
    """What a colour says; palettes turn it into one."""

    MAIN = "main"
    SECOND = "second"
    BAD = "bad"
    BEST = "best"
    STRONG = "strong"
    QUIET = "quiet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Points, lines or bars that look alike."""

    shape: Shape
    ink: Ink
    x: tuple[float, ...]
    y: tuple[float, ...]
    label: str = ""
    """In the legend; empty: not there."""
    base: tuple[float, ...] = ()
    """Where bars begin."""
    thickness: float = 0.7
    """Of spans and dashes, in units of their axis."""
    starts: tuple[int, ...] = ()
    """Where each line begins; empty: one line."""
    shade: tuple[float, ...] = ()
    """0 … 1 by point, or by line: takes the colour from the ramp."""
    text: tuple[str, ...] = ()
    """What each point or line is, for whoever points at it."""
    tags: tuple[str, ...] = ()
    """Written beside each bar."""
    faint: bool = False
    """In the background: thin and pale."""


class Tick(NamedTuple):
    """A place of an axis of its own inside a panel."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruler:
    """An upright axis at a place along x, with ticks of its own: parallel coordinates have one a parameter."""

    x: float
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One pair of axes."""

    x: Axis
    y: Axis
    marks: tuple[Mark, ...] = ()
    title: str = ""
    rulers: tuple[Ruler, ...] = ()
    """Where there are any, y runs from 0 to 1 and has no axis."""
    clip: Mode | None = None
    """Single values that are far worse under this mode may lie on the edge, so that the rest can be told apart."""
    note: str = ""
    """What the reader should know, e.g. why it is empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ramp:
    """What shades mean."""

    label: str
    low: str
    high: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """One plot of one or several panels."""

    kind: str
    title: str
    subtitle: str = ""
    panels: tuple[Panel, ...]
    ramp: Ramp | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As strict JSON: what is not finite is ``None``, and empty fields are left out."""
        out = _json(self)
        assert isinstance(out, dict)
        return out


def _json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        named = ((one.name, _json(getattr(value, one.name))) for one in fields(value))
        return {name: one for name, one in named if one not in ((), [], "", None)}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Tick):
        return {"at": value.at, "label": value.label}
    if isinstance(value, tuple):
        return [_json(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _json(one) for name, one in value.items()}
    return value
