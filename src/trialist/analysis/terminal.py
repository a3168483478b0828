"""A series as text for a terminal: a dot plot in Braille and marks, a heat map in numbers and shades.

Every mark differs in shape as well as in colour, so it can be read without colours. Knows characters and columns only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from trialist.analysis.axes import Extent, fit, number, shades, spread
from trialist.analysis.series import Axis, Point, Role, Series

STYLES = {
    Role.COMPLETED: "cyan",
    Role.STOPPED: "blue",
    Role.FAILED: "red",
    Role.BEST_SO_FAR: "yellow",
    Role.TYPICAL: "bright_black",
    Role.BEST: "bold bright_yellow",
}
MARKS = {Role.COMPLETED: "●", Role.STOPPED: "○", Role.FAILED: "×", Role.TYPICAL: "╌", Role.BEST: "★"}
ASCII_MARKS = {Role.COMPLETED: "o", Role.STOPPED: ".", Role.FAILED: "x", Role.TYPICAL: "-", Role.BEST: "#"}
BEYOND, BEYOND_ASCII = {1: "▴", -1: "▾"}, {1: "^", -1: "v"}
"""Marks of values above and below what is shown."""
SHADES = " ░▒▓█"
ASCII_SHADES = " .:+#"
SPARKS = "▁▂▃▄▅▆▇█"

_MIN_WIDTH, _MAX_WIDTH = 40, 200
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_AXIS = "bright_black"


def render(series: Series, width: int = 80, height: int = 12, *, ascii_only: bool = False) -> Text:
    """A series as text, styled for a terminal with colours; ``.plain`` is for one without.

    Args:
        series: What to show.
        width: Columns, 40 … 200; no line is longer.
        height: Lines of the plot itself, without title and axis.
        ascii_only: For a terminal that shows no other characters.
    """
    width = min(_MAX_WIDTH, max(_MIN_WIDTH, width))
    out = Text(no_wrap=True)
    out.append(_cut(series.title, width) + "\n", style="bold")
    if series.cells:
        _heat_map(out, series, width, ascii_only)
    elif any(layer.points for layer in series.layers):
        _plot(out, series, width, max(4, height), ascii_only)
    if series.note:
        out.append(_cut(series.note, width) + "\n", style=_AXIS)
    if ascii_only:
        plain = out.plain.translate(str.maketrans("│└─┬╌…·–×", "|+-+-.:-x"))
        return Text(plain.encode("ascii", "replace").decode())
    return out


def sparkline(values: Sequence[float], width: int = 20) -> str:
    """Values as one line of bars, the last ``width`` of them; those that are not finite are gaps."""
    shown = list(values)[-width:]
    extent = fit(Axis(label=""), [value for value in shown if abs(value) < float("inf")])
    return "".join(
        SPARKS[round(extent.place(value) * (len(SPARKS) - 1))] if abs(value) < float("inf") else " " for value in shown
    )


def _plot(out: Text, series: Series, width: int, height: int, ascii_only: bool) -> None:
    values = [point.y for role in (Role.COMPLETED, Role.STOPPED) for point in series.layer(role)]
    y = fit(series.y, values, most=max(3, height // 2), clip=series.metric.mode)
    labels = [tick.label for tick in y.ticks]
    margin = max([cell_len(label) for label in labels] or [1]) + 1
    columns = width - margin - 2
    x = fit(series.x, [point.x for layer in series.layers for point in layer.points], most=max(2, columns // 10))
    canvas = _Canvas(columns, height)
    marks = ASCII_MARKS if ascii_only else MARKS
    _draw(canvas, series, x, y, marks, ascii_only)

    rows: dict[int, str] = {}
    for tick in y.ticks:
        rows.setdefault(canvas.row(tick.at), tick.label)
    for row in range(height):
        out.append(rows.get(row, "").rjust(margin), style=_AXIS)
        out.append(" ┤" if row in rows else " │", style=_AXIS)
        out.append_text(canvas.line(row))
        out.append("\n")
    _x_axis(out, series, x, margin, columns)
    _legend(out, series, y, values, width, marks, ascii_only)


def _draw(canvas: _Canvas, series: Series, x: Extent, y: Extent, marks: dict[Role, str], ascii_only: bool) -> None:
    def at(point: Point) -> tuple[float, float]:
        return x.place(point.x), y.place(point.y)

    crowded = not ascii_only and sum(len(layer.points) for layer in series.layers) > canvas.columns * canvas.rows // 4
    for role in (Role.COMPLETED, Role.STOPPED):
        for point in spread(series, series.layer(role)):
            if y.side(point.y):
                canvas.mark(*at(point), (BEYOND_ASCII if ascii_only else BEYOND)[y.side(point.y)], STYLES[role])
            elif crowded:
                canvas.dot(*at(point), STYLES[role])
            else:
                canvas.mark(*at(point), marks[role], STYLES[role])
    if not ascii_only:
        for before, after in pairwise(map(at, series.layer(Role.BEST_SO_FAR))):
            canvas.stairs(*before, *after, STYLES[Role.BEST_SO_FAR])
    for point in series.layer(Role.TYPICAL):
        place_x, place_y = at(point)
        canvas.mark(place_x, place_y, marks[Role.TYPICAL] * 3, STYLES[Role.TYPICAL], over=False)
    for point in spread(series, series.layer(Role.FAILED)):
        canvas.mark(x.place(point.x), 0.0, marks[Role.FAILED], STYLES[Role.FAILED])
    for point in series.layer(Role.BEST):
        canvas.mark(*at(point), marks[Role.BEST], STYLES[Role.BEST])


def _x_axis(out: Text, series: Series, x: Extent, margin: int, columns: int) -> None:
    line, labels = ["─"] * columns, ""
    for tick in x.ticks:
        column = min(columns - 1, round(tick.at * (columns - 1)))
        label = _cut(tick.label, max(6, columns // max(1, len(x.ticks)) - 1))
        start = min(max(0, column - cell_len(label) // 2), columns - cell_len(label))
        if labels and start <= cell_len(labels):
            continue
        line[column] = "┬"
        labels = set_cell_size(labels, start) + label
    out.append(" " * (margin + 1) + "└" + "".join(line) + "\n", style=_AXIS)
    out.append(" " * (margin + 2) + labels + "\n", style=_AXIS)
    out.append(" " * (margin + 2) + _cut(series.x.label, columns).center(columns).rstrip() + "\n")


def _legend(
    out: Text,
    series: Series,
    y: Extent,
    values: Sequence[float],
    width: int,
    marks: dict[Role, str],
    ascii_only: bool,
) -> None:
    parts: list[tuple[str, Role]] = []
    best = series.layer(Role.BEST)
    if best:
        parts.append((f"{marks[Role.BEST]} best {number(best[0].y)} ({best[0].label})", Role.BEST))
    ended = [(role, len(series.layer(role))) for role in (Role.STOPPED, Role.FAILED)]
    parts += [(f"{marks[role]} {count} {role}", role) for role, count in ended if count]
    if series.layer(Role.TYPICAL):
        parts.append((f"{marks[Role.TYPICAL]} median", Role.TYPICAL))
    used = 0
    for text, role in parts:
        if used and used + cell_len(text) + 3 <= width:
            out.append("   ")
            used += 3
        elif used:
            out.append("\n")
            used = 0
        out.append(_cut(text, width), style=STYLES[role])
        used += cell_len(text)
    if used:
        out.append("\n")
    beyond = y.beyond(values)
    if beyond:
        shown = "/".join(
            dict.fromkeys((BEYOND_ASCII if ascii_only else BEYOND)[y.side(v)] for v in values if y.side(v))
        )
        said = "value lies" if beyond == 1 else "values lie"
        out.append(_cut(f"{shown} {beyond} {said} far outside", width) + "\n", style=_AXIS)


def _heat_map(out: Text, series: Series, width: int, ascii_only: bool) -> None:
    ramp, star = (ASCII_SHADES, "#") if ascii_only else (SHADES, MARKS[Role.BEST])
    values = [cell.value for cell in series.cells]
    colours = shades(values, series.metric.mode)
    texts = {(cell.column, cell.row): (number(cell.value), cell.value) for cell in series.cells}
    margin = min(max(cell_len(text) for text in [*series.y.categories, series.y.label]), width // 4)
    widest = max(cell_len(text) for text in [*series.x.categories, *(text for text, _ in texts.values())])
    size = min(max(widest + 5, 9), 20)
    shown = max(1, (width - margin - 1) // size)
    columns = range(min(shown, len(series.x.categories)))
    out.append(_cut(series.y.label, margin).rjust(margin) + " ")
    out.append(_cut(series.x.label, size * len(columns)).center(size * len(columns)).rstrip() + "\n")
    out.append(
        " " * (margin + 1)
        + "".join(f"    {_cut(series.x.categories[c], size - 5)}".ljust(size) for c in columns).rstrip()
        + "\n",
        style=_AXIS,
    )
    for row, name in enumerate(series.y.categories):
        out.append(_cut(name, margin).rjust(margin) + " ", style=_AXIS)
        for column in columns:
            text, value = texts.get((column, row), ("·", None))
            if value is None:
                out.append(f"    {text}".ljust(size), style=_AXIS)
                continue
            good, is_best = colours.place(value), value == colours.best
            shade = ramp[round(good * (len(ramp) - 1))] * 2
            text = (star if is_best else " ") + text
            out.append(f" {shade}{text}".ljust(size), style=STYLES[Role.BEST] if is_best else _ramp(good))
        out.append("\n")
    if len(columns) < len(series.x.categories):
        out.append(f"… {len(series.x.categories) - len(columns)} more columns need a wider terminal\n", style=_AXIS)


def _ramp(good: float) -> str:
    return ("blue", "cyan", "green", "yellow")[min(3, int(good * 4))]


class _Canvas:
    """Cells of a plot: Braille dots under marks. ``at`` 0 … 1 counts from the left and from the bottom."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._dots = [[0] * columns for _ in range(rows)]
        self._marks: list[list[str]] = [[""] * columns for _ in range(rows)]
        self._styles: list[list[str]] = [[""] * columns for _ in range(rows)]

    def row(self, at: float) -> int:
        return min(self.rows - 1, round((1.0 - at) * (self.rows - 1)))

    def mark(self, x: float, y: float, text: str, style: str, *, over: bool = True) -> None:
        row = self.row(y)
        start = min(self.columns - 1, round(x * (self.columns - 1))) - len(text) // 2
        for column, char in enumerate(text, start):
            if 0 <= column < self.columns and (over or not self._marks[row][column]):
                self._marks[row][column], self._styles[row][column] = char, style

    def dot(self, x: float, y: float, style: str) -> None:
        self._set(round(x * (self.columns * 2 - 1)), round((1.0 - y) * (self.rows * 4 - 1)), style)

    def stairs(self, x0: float, y0: float, x1: float, y1: float, style: str) -> None:
        """Level from (x0, y0) to x1, then straight to y1."""
        left, right = round(x0 * (self.columns * 2 - 1)), round(x1 * (self.columns * 2 - 1))
        upper, lower = sorted(round((1.0 - y) * (self.rows * 4 - 1)) for y in (y0, y1))
        level = round((1.0 - y0) * (self.rows * 4 - 1))
        for column in range(left, right + 1):
            self._set(column, level, style)
        for row in range(upper, lower + 1):
            self._set(right, row, style)

    def _set(self, x: int, y: int, style: str) -> None:
        row, column = y // 4, x // 2
        self._dots[row][column] |= _BRAILLE[y % 4][x % 2]
        if not self._marks[row][column]:
            self._styles[row][column] = style

    def line(self, row: int) -> Text:
        out = Text()
        for column in range(self.columns):
            dots = self._dots[row][column]
            char = self._marks[row][column] or (chr(0x2800 + dots) if dots else " ")
            out.append(char, style=self._styles[row][column] or None)
        out.rstrip()
        return out


def _cut(text: str, width: int) -> str:
    """A text in at most so many columns; a long one keeps its tail, where dotted paths say most."""
    text = " ".join(text.split())
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > width - 1:
        text = text[max(1, (cell_len(text) - width) // 2) :]
    return set_cell_size("…" + text, width).rstrip()
