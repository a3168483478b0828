"""What all renderers work out alike: the part of each axis that is shown, the grid of panels, the legend, short labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from trialist.analysis.axes import Extent, Tick, fit
from trialist.analysis.plots.record import Ink, Mark, Panel, Plot, Shape
from trialist.analysis.series import Axis, Scale
from trialist.core.records import Mode

_BARS = (Shape.SPANS, Shape.COLUMNS)


class Frame(NamedTuple):
    """The shown part of a panel."""

    x: Extent
    y: Extent
    beyond: int
    """How many points lie far outside, and are drawn on the edge."""


class Entry(NamedTuple):
    """A line of the legend."""

    label: str
    shape: Shape
    ink: Ink
    faint: bool


def frame(panel: Panel, letters: int = 80, most_y: int = 6) -> Frame:
    """The extents of a panel that show its marks well.

    Args:
        panel: What to show.
        letters: How many letters fit side by side along x.
        most_y: About so many ticks fit along y.
    """
    xs = _finite(value for mark in panel.marks for value in (*mark.x, *mark.base))
    longest = max((len(name) for name in panel.x.categories), default=7)
    most_x = len(panel.x.categories) if panel.rulers else max(4, letters // (min(longest, 12) + 2))
    x = _fewer(_fit(panel.x, xs, most_x, panel, along_x=True), max(2, letters // 8))
    if panel.rulers:
        return Frame(Extent(Scale.CATEGORY, -0.35, len(panel.x.categories) - 0.65, x.ticks), _flat(), 0)
    ys = _finite(value for mark in panel.marks for value in mark.y)
    y = _fit(panel.y, ys, most_y, panel, along_x=False)
    points = [mark for mark in panel.marks if mark.shape in (Shape.DOTS, Shape.RINGS)]
    return Frame(x, y, y.beyond(_finite(value for mark in points for value in mark.y)))


def grid_of(plot: Plot) -> tuple[int, int]:
    """Columns and rows of panels."""
    count = len(plot.panels)
    columns = 1 if count == 1 else 2 if count in (2, 4) else 3
    return columns, math.ceil(count / columns)


def legend(plot: Plot) -> list[Entry]:
    """What marks mean, each once; one entry of several alone says nothing, so it is left out."""
    entries: dict[str, Entry] = {}
    for panel in plot.panels:
        for mark in panel.marks:
            if mark.label:
                ink = mark.ink
                entries.setdefault(mark.label, Entry(mark.label, mark.shape, ink, mark.faint))
    bests = [label for label in entries if entries[label].shape is Shape.STAR]
    for label in bests[1:]:
        del entries[label]
    return list(entries.values()) if len(entries) > 1 else []


def notes(plot: Plot, frames: Iterable[Frame]) -> str:
    """The line under a plot: its note, and how many points lie outside."""
    beyond = max((one.beyond for one in frames), default=0)
    far = f"{beyond:,} {'value lies' if beyond == 1 else 'values lie'} far outside, drawn on the edge" if beyond else ""
    return "; ".join(filter(None, (plot.note, far)))


def lines(mark: Mark) -> list[tuple[int, int]]:
    """Each line of a mark as a pair of places: from, up to."""
    starts = [*mark.starts, len(mark.x)] if mark.starts else [0, len(mark.x)]
    return [(a, b) for a, b in pairwise(starts) if b > a]


def short(text: str, most: int) -> str:
    """A label of at most so many characters, cut in the middle: the tail of dotted paths says most."""
    plain = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(plain.split())
    if len(text) <= most:
        return text
    head = max(1, (most - 1) // 3)
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def _fit(axis: Axis, values: list[float], most: int, panel: Panel, *, along_x: bool) -> Extent:
    shapes = {mark.shape for mark in panel.marks}
    if axis.scale is Scale.CATEGORY:
        return fit(axis, values, most if along_x else max(most, len(axis.categories)))
    upright, level = Shape.COLUMNS in shapes, Shape.SPANS in shapes
    if (upright and not along_x) or (level and along_x):  # bars stand on zero, and their tags need room
        tagged = any(mark.tags for mark in panel.marks)
        high = max(values, default=0.0) or 1.0
        return fit(axis, [0.0, high * (1.12 if tagged else 1.04)], most)
    if level:  # rows of bars
        rows = int(max(values, default=0.0)) + 1
        extent = Extent(Scale.LINEAR, -0.6, rows - 0.4, ())
        every = math.ceil(rows / most)
        return extent._replace(ticks=tuple(Tick(extent.place(k), str(k + 1)) for k in range(every - 1, rows, every)))
    if panel.clip is not None and not along_x:
        values = _reined(values, panel.clip, log=axis.scale is Scale.LOG)
    extent = fit(axis, values, most)
    return _roomy(extent, axis, most) if not (upright and along_x) else extent


def _reined(values: list[float], mode: Mode, *, log: bool) -> list[float]:
    """The values without those that are far worse than the others, by the rule of box plots.

    Only where these are few, and where leaving them out shows the others twice as large.
    """
    placed = sorted(math.log(value) for value in values if value > 0) if log else sorted(values)
    count = len(placed)
    if count < 8:
        return values
    low, high = placed[count // 4], placed[-1 - count // 4]
    room = 1.5 * (high - low)
    kept = [v for v in placed if (v <= high + room if mode is Mode.MIN else v >= low - room)]
    few = count - len(kept) <= count // 8
    if not few or len(kept) == count or 2.0 * (kept[-1] - kept[0]) > placed[-1] - placed[0] or kept[0] == kept[-1]:
        return values
    return [math.exp(value) for value in kept] if log else kept


def _fewer(extent: Extent, most: int) -> Extent:
    """On a log axis that has too many ticks, powers of ten alone, and only so many of them."""
    if extent.scale is not Scale.LOG or len(extent.ticks) <= most:
        return extent
    values = tick_values(extent)
    powers = [k for k, (value, _) in enumerate(values) if abs(math.log10(value) - round(math.log10(value))) < 1e-6]
    kept = powers if len(powers) > 1 else list(range(len(values)))
    kept = kept[:: math.ceil(len(kept) / most)]
    return extent._replace(ticks=tuple(extent.ticks[k] for k in kept))


def wrapped(text: str, most: int) -> list[str]:
    """A name on one line or two, broken after a dot or an underscore where there is one."""
    name = short(text, 2 * most)
    if len(name) <= most:
        return [name]
    ends = [k + 1 for k, char in enumerate(name) if char in "._-/ " and k + 1 < len(name)]
    at = min(ends, key=lambda k: abs(k - len(name) / 2), default=most)
    at = at if at <= most and len(name) - at <= most else most
    return [name[:at].strip(), short(name[at:].strip(), most)]


def _roomy(extent: Extent, axis: Axis, most: int) -> Extent:
    """A little wider, so that no mark lies on the frame; the ticks stay on whole places."""
    if extent.high <= extent.low:
        return extent
    if extent.scale is Scale.LOG:
        ratio = (extent.high / extent.low) ** 0.04
        low, high = extent.low / ratio, extent.high * ratio
    else:
        room = 0.04 * (extent.high - extent.low)
        low, high = extent.low - room, extent.high + room
    if (
        not (math.isfinite(low) and math.isfinite(high))
        or low == extent.low
        or (extent.scale is Scale.LOG and low <= 0)
    ):
        return extent
    wider = Extent(extent.scale, low, high, ())
    values = [(_value(extent, tick.at), tick.label) for tick in extent.ticks]
    return wider._replace(
        ticks=tuple(tick._replace(at=wider.place(value)) for (value, _), tick in zip(values, extent.ticks, strict=True))
    )


def _value(extent: Extent, at: float) -> float:
    """The value at a place of an extent: the other way round than ``place``."""
    if extent.scale is Scale.LOG:
        low, high = math.log10(extent.low), math.log10(extent.high)
        return float(10.0 ** (low + at * (high - low)))
    return extent.low + at * (extent.high - extent.low)


def tick_values(extent: Extent) -> list[tuple[float, str]]:
    """Ticks as values of the axis, for renderers that place them by themselves."""
    return [(_value(extent, tick.at), tick.label) for tick in extent.ticks]


def _flat() -> Extent:
    return Extent(Scale.LINEAR, -0.04, 1.04, ())


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


__all__ = ["Entry", "Frame", "frame", "grid_of", "legend", "lines", "notes", "short", "tick_values", "wrapped"]
