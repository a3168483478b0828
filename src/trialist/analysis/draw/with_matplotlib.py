"""Plot records drawn by matplotlib. Needs the extra ``plots``; uses no global state and no display."""

from __future__ import annotations

from trialist import registry

registry.optional("matplotlib", "a plot")  # where it is missing, this names the line that installs it

import io
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from trialist.analysis.axes import Extent
from trialist.analysis.draw.layout import (
    Entry,
    Frame,
    frame,
    grid_of,
    legend,
    lines,
    notes,
    short,
    tick_values,
    wrapped,
)
from trialist.analysis.draw.palette import LIGHT, Theme
from trialist.analysis.plots.record import Ink, Mark, Panel, Plot, Shape
from trialist.analysis.series import Scale

FONT = "DejaVu Sans"
"""Comes with matplotlib, so plots look alike everywhere."""
_TITLE, _TEXT, _SMALL = 14, 9.5, 8.5
_INSET = 0.32
"""Inches of margin at the sides."""


class Picture(Figure):
    """A figure that notebooks show by itself, without ``pyplot``."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=110)
        return out.getvalue()


def draw(plot: Plot, theme: Theme = LIGHT) -> Figure:
    """The plot as a figure: ``figure.savefig(path)`` saves it."""
    columns, rows = grid_of(plot)
    wide = 8.6 if columns == 1 else 9.4 if columns == 2 else 11.6
    high = _panel_height(plot) * rows
    head = 0.42 + 0.27 * bool(plot.subtitle) + 0.34 * bool(legend(plot) or plot.ramp)
    foot = 0.1 + 0.2 * bool(plot.note or any(panel.clip for panel in plot.panels))
    height = head + high + foot
    figure = Picture(figsize=(wide, height), dpi=110, facecolor=theme.paper)
    FigureCanvasAgg(figure)
    frames = [frame(panel, *_ticks(wide / columns, high / rows)) for panel in plot.panels]
    left = _left(plot, frames, wide / columns)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=left / wide,
        right=1 - _INSET / wide,
        top=1 - (head + 0.12 + (0.2 if any(p.title for p in plot.panels) else 0)) / height,
        bottom=(foot + 0.42) / height,
        wspace=(left + 0.12) / (wide / columns - left) if columns > 1 else 0,
        hspace=0.36,
    )
    for k, (panel, shown) in enumerate(zip(plot.panels, frames, strict=True)):
        axes = figure.add_subplot(grid[k // columns, k % columns])
        _panel(axes, panel, shown, theme, first=k % columns == 0, width=wide / columns)
    _head(figure, plot, theme, wide, height)
    note = notes(plot, frames)
    if note:
        figure.text(_INSET / wide, 0.13 / height, _plain(note, 130), size=_SMALL, color=theme.quiet, family=FONT)
    return figure


def _panel_height(plot: Plot) -> float:
    bars = max((len(mark.x) for panel in plot.panels for mark in panel.marks if mark.tags), default=0)
    if bars:
        return max(1.9, 0.31 * bars + 1.0)
    rows = max(
        (y for panel in plot.panels for mark in panel.marks if mark.shape is Shape.SPANS for y in mark.y), default=-1
    )
    if rows >= 0:
        return min(6.5, max(2.0, 0.3 * (rows + 1) + 1.1))
    return 4.3 if len(plot.panels) == 1 else 2.75


def _ticks(wide: float, high: float) -> tuple[int, int]:
    return int((wide - 0.8) * 11), max(4, int(high / 0.5))


def _left(plot: Plot, frames: list[Frame], wide: float) -> float:
    """Inches beside the panels for the labels of their y axes."""
    labels = [_plain(tick.label, 34) for one in frames for tick in one.y.ticks]
    longest = max((len(label) for label in labels), default=1)
    rulers = any(panel.rulers for panel in plot.panels)
    return 0.5 if rulers else min(0.45 * wide, 0.48 + 0.075 * longest)


def _head(figure: Figure, plot: Plot, theme: Theme, wide: float, height: float) -> None:
    x, y = _INSET / wide, 1 - 0.38 / height
    title = _plain(plot.title, int(wide * 9))
    figure.text(x, y, title, size=_TITLE, weight="bold", color=theme.text, family=FONT)
    if plot.subtitle:
        y -= 0.27 / height
        figure.text(x, y, _plain(plot.subtitle, int(wide * 14)), size=_TEXT, color=theme.quiet, family=FONT)
    entries = legend(plot)
    if entries:
        handles = [_handle(entry, theme) for entry in entries]
        texts = figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(x - 0.004, y - 0.03 / height),
            ncols=len(handles),
            frameon=False,
            prop={"family": FONT, "size": _SMALL},
            handletextpad=0.5,
            columnspacing=1.5,
            borderaxespad=0.3,
        ).get_texts()
        for text in texts:
            text.set_color(theme.text)
    if plot.ramp is not None:
        _ramp(figure, plot, theme, wide, height, right=bool(entries))


def _ramp(figure: Figure, plot: Plot, theme: Theme, wide: float, height: float, *, right: bool) -> None:
    """The key of the shades, in the line of the legend."""
    ramp = plot.ramp
    assert ramp is not None
    y = 1 - (0.38 + 0.27 * bool(plot.subtitle) + 0.24) / height
    words = f"{ramp.label}: {ramp.low}"
    bar, gap = 1.1, 0.08
    length = bar + gap * 2 + 0.062 * (len(words) + len(ramp.high))
    x = wide - _INSET - length if right else _INSET
    figure.text(x / wide, y, _plain(words, 60), size=_SMALL, color=theme.quiet, family=FONT)
    at = x + gap + 0.068 * len(words)
    axes = figure.add_axes((at / wide, y - 0.01 / height, bar / wide, 0.11 / height))
    axes.imshow(np.linspace(0, 1, 64)[None, :], aspect="auto", cmap=ListedColormap(list(theme.ramp)))
    axes.set_axis_off()
    figure.text((at + bar + gap) / wide, y, _plain(ramp.high, 30), size=_SMALL, color=theme.quiet, family=FONT)


def _panel(axes: Axes, panel: Panel, shown: Frame, theme: Theme, *, first: bool, width: float) -> None:
    axes.set_facecolor(theme.paper)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom" and not panel.rulers)
        spine.set_color(theme.quiet)
    for which, extent, scale, limits in (
        (axes.xaxis, shown.x, axes.set_xscale, axes.set_xlim),
        (axes.yaxis, shown.y, axes.set_yscale, axes.set_ylim),
    ):
        if extent.scale is Scale.LOG:
            scale("log")
        limits(extent.low, extent.high)
        which.set_minor_locator(NullLocator())
        which.set_ticks([])
    room = max(5, int(width * (10 if panel.rulers else 11) / max(1, len(shown.x.ticks))))
    if panel.rulers:
        names = [(value, "\n".join(_plain(line, 40) for line in wrapped(name, room))) for value, name in _named(panel)]
        axes.xaxis.set_ticks([value for value, _ in names], labels=[name for _, name in names])
    else:
        _set_ticks(axes.xaxis, shown.x, room)
    if panel.marks or panel.rulers:
        _set_ticks(axes.yaxis, shown.y, 34)
    axes.tick_params(length=0, labelsize=_SMALL, labelcolor=theme.quiet, labelfontfamily=FONT, pad=5)
    if any(mark.shape is Shape.CROSSES for mark in panel.marks):
        axes.tick_params(axis="x", pad=9)  # crosses stand on the line
    bars = any(mark.shape is Shape.SPANS for mark in panel.marks)
    axes.grid(visible=True, axis="x" if bars else "y", color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    label = _plain(panel.x.label, int(width * 11))
    axes.set_xlabel(label, size=_TEXT, color=theme.text, family=FONT, labelpad=6)
    if panel.y.label and first:
        axes.set_ylabel(_plain(panel.y.label, 44), size=_TEXT, color=theme.text, family=FONT, labelpad=7)
    for mark in panel.marks:
        _mark(axes, mark, shown, theme)
    for ruler in panel.rulers:
        _ruler(axes, ruler.x, [(tick.at, tick.label) for tick in ruler.ticks], theme, room=int(80 / len(panel.rulers)))
    if not panel.marks and not panel.rulers:
        axes.set_xticks([])
        axes.grid(visible=False)
    if panel.note:
        axes.text(
            0.5, 0.5, _plain(panel.note, int(width * 11)), transform=axes.transAxes, ha="center", va="center",
            size=_TEXT + 1, color=theme.quiet, family=FONT,
        )  # fmt: skip


def _named(panel: Panel) -> list[tuple[float, str]]:
    return [(float(k), name) for k, name in enumerate(panel.x.categories)]


def _set_ticks(axis: Any, extent: Extent, room: int) -> None:
    ticks = tick_values(extent)
    axis.set_ticks([value for value, _ in ticks], labels=[_plain(label, room) for _, label in ticks])


def _mark(axes: Axes, mark: Mark, shown: Frame, theme: Theme) -> None:
    colour = theme.inks[mark.ink]
    count = len(mark.x)
    size, strength = _size(count)
    if mark.shape is Shape.SPANS:
        _spans(axes, mark, shown, theme, colour)
    elif mark.shape is Shape.COLUMNS:
        widths = [end - start for start, end in zip(mark.base, mark.x, strict=True)]
        alpha = 0.55 if mark.faint else 0.85
        axes.bar(mark.base, mark.y, width=widths, align="edge", color=colour, alpha=alpha, linewidth=0)
    elif mark.shape is Shape.LINE:
        _lines(axes, mark, theme, colour)
    elif mark.shape is Shape.STEPS:
        axes.step(mark.x, mark.y, where="post", color=colour, linewidth=1.6, zorder=3)
    elif mark.shape is Shape.DASHES:
        half = mark.thickness / 2
        for x, y in zip(mark.x, mark.y, strict=True):
            axes.plot([x - half, x + half], [y, y], color=colour, linewidth=2, zorder=4, solid_capstyle="round")
    elif mark.shape is Shape.CROSSES:
        place = [0.0] * count
        axes.scatter(
            mark.x, place, s=size * 1.5, marker="x", color=colour, linewidth=1.1, alpha=max(0.55, strength),
            transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
        )  # fmt: skip
    elif mark.shape is Shape.STAR:
        axes.scatter(
            mark.x,
            mark.y,
            s=190,
            marker="*",
            color=colour,
            edgecolor=theme.paper,
            linewidth=0.9,
            zorder=6,
            clip_on=False,
        )
    else:
        _points(axes, mark, shown, theme, colour)


def _points(axes: Axes, mark: Mark, shown: Frame, theme: Theme, colour: str) -> None:
    size, strength = _size(len(mark.x))
    size = size * 0.45 if mark.faint and len(mark.x) > 50 else size
    x, y = np.array(mark.x), np.array(mark.y)
    colours: Any = np.array([theme.shade(at) for at in mark.shade]) if mark.shade else np.full(len(x), colour)
    for side, marker, edge in ((0, "o", 0.0), (1, "^", shown.y.high), (-1, "v", shown.y.low)):
        rows = np.array([shown.y.side(value) == side for value in y.tolist()], dtype=bool)
        if not rows.any():
            continue
        heights = y[rows] if side == 0 else np.full(rows.sum(), edge)
        ring = mark.shape is Shape.RINGS and side == 0
        axes.scatter(
            x[rows],
            heights,
            s=size if side == 0 else size * 1.6,
            marker=marker,
            facecolor="none" if ring else colours[rows],
            edgecolor=colours[rows] if ring else "none",
            linewidth=1.1 if ring else 0,
            alpha=min(1.0, strength + 0.15) if mark.shade else strength,
            zorder=2 if mark.faint else 2.5,
            clip_on=side == 0,
        )


def _lines(axes: Axes, mark: Mark, theme: Theme, colour: str) -> None:
    parts = lines(mark)
    points = np.column_stack((mark.x, mark.y))
    colours = [theme.shade(at) for at in mark.shade] if mark.shade else colour
    many = len(parts)
    strong = many == 1 or not (mark.faint or mark.shade)
    width = 2.4 if strong and not mark.faint else 1.2 if many < 60 else 0.8
    alpha = 1.0 if strong else 0.8 if many < 40 else 0.55
    made = LineCollection(
        [points[a:b] for a, b in parts], colors=colours, linewidths=width, alpha=alpha, zorder=4 if strong else 2.2
    )
    axes.add_collection(made, autolim=False)
    alone = [a for a, b in parts if b - a == 1]
    if alone:
        axes.scatter(points[alone, 0], points[alone, 1], s=14, color=colour, zorder=3)


def _spans(axes: Axes, mark: Mark, shown: Frame, theme: Theme, colour: str) -> None:
    least = (shown.x.high - shown.x.low) / 600  # a trial of no time is seen
    half = mark.thickness / 2
    corners = [
        [(start, y - half), (max(end, start + least), y - half), (max(end, start + least), y + half), (start, y + half)]
        for start, end, y in zip(mark.base, mark.x, mark.y, strict=True)
    ]
    edge = theme.paper if len(mark.x) < 1500 and not mark.tags else "none"
    # One collection: thousands of bars of their own take seconds.
    bars = PolyCollection(
        corners, facecolors=colour, edgecolors=edge, linewidths=0.5 if edge != "none" else 0, zorder=2
    )
    axes.add_collection(bars, autolim=False)
    for tag, x, y in zip(mark.tags, mark.x, mark.y, strict=False):
        axes.annotate(
            tag,
            (x, y),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            size=_SMALL,
            color=theme.text,
            family=FONT,
        )


def _ruler(axes: Axes, x: float, ticks: list[tuple[float, str]], theme: Theme, room: int) -> None:
    axes.plot([x, x], [0, 1], color=theme.quiet, linewidth=1, zorder=5)
    for at, label in ticks:
        axes.annotate(
            _plain(label, max(6, room)), (x, at), xytext=(4, 0), textcoords="offset points", va="center", size=_SMALL - 0.5,
            color=theme.text, family=FONT, zorder=6,
            bbox={"boxstyle": "round,pad=0.1", "facecolor": theme.paper, "edgecolor": "none", "alpha": 0.75},
        )  # fmt: skip


def _handle(entry: Entry, theme: Theme) -> Line2D | Patch:
    colour, label = theme.inks[entry.ink], _plain(entry.label, 60)
    if entry.shape in (Shape.SPANS, Shape.COLUMNS):
        return Patch(facecolor=colour, label=label, alpha=0.55 if entry.faint and entry.ink is Ink.QUIET else 0.9)
    if entry.shape in (Shape.LINE, Shape.STEPS, Shape.DASHES):
        return Line2D([], [], color=colour, linewidth=2, label=label)
    marker = {Shape.CROSSES: "x", Shape.STAR: "*"}.get(entry.shape, "o")
    face = "none" if entry.shape is Shape.RINGS else colour
    size = 11 if entry.shape is Shape.STAR else 6
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=size, markerfacecolor=face,
        markeredgecolor="none" if entry.shape in (Shape.DOTS, Shape.STAR) else colour, label=label,
    )  # fmt: skip


def _size(count: int) -> tuple[float, float]:
    """Area of a point, and how opaque it is."""
    if count < 150:
        return 30.0, 0.85
    if count < 800:
        return 18.0, 0.6
    return (9.0, 0.45) if count < 4000 else (5.0, 0.3)


def _plain(text: str, most: int) -> str:
    """A label in letters that the font has, in which nothing is taken for a formula."""
    kept = "".join(char if _has_glyph(char) else "?" for char in short(text, most))
    return kept.replace("$", r"\$")


@cache
def _has_glyph(char: str) -> bool:
    return bool(_font().get_char_index(ord(char)))


@cache
def _font() -> Any:
    return font_manager.get_font(font_manager.findfont(FONT))
