"""A series as a PNG, drawn by Pillow alone: no plotting library, no display, no fonts of the system.

Drawn at three times the size and scaled down, which gives smooth edges. Colours are those of Okabe and Ito ("Color
Universal Design", 2008) and, for heat maps, of viridis: told apart by colour-blind readers, and every mark by its shape too.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from trialist.analysis.axes import Extent, Shades, fit, number, shades, spread
from trialist.analysis.series import Point, Role, Series
from trialist.core.records import Mode

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (31, 41, 51)
QUIET: Colour = (107, 119, 133)
GRID: Colour = (233, 236, 240)
COLOURS: dict[Role, Colour] = {
    Role.COMPLETED: (0, 114, 178),
    Role.STOPPED: (86, 180, 233),
    Role.FAILED: (213, 94, 0),
    Role.BEST_SO_FAR: (31, 41, 51),
    Role.TYPICAL: (107, 119, 133),
    Role.BEST: (240, 180, 0),
}
VIRIDIS: tuple[Colour, ...] = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
    (170, 220, 50), (253, 231, 37),
)  # fmt: skip

SCALE = 3
_TITLE, _TEXT, _SMALL = 19, 15, 13
_PANEL = (680, 430)
_GAP = 28


def save_picture(plots: Sequence[Series], path: Path, *, title: str = "", subtitle: str = "", columns: int = 2) -> Path:
    """Draw plots into one PNG file, side by side; the file is replaced only once the new one is complete.

    Args:
        plots: What to show; a single one gets the whole width.
        path: Ends in ``.png``.
        title: Over all plots.
        subtitle: Under the title, in grey.
        columns: How many plots stand side by side.

    Raises:
        OSError: The file cannot be written.
    """
    image = picture(plots, title=title, subtitle=subtitle, columns=columns)
    temporary = path.with_name(f".{path.name}.tmp")
    image.save(temporary, format="PNG", optimize=True, dpi=(144, 144))
    temporary.replace(path)
    return path


def picture(plots: Sequence[Series], *, title: str = "", subtitle: str = "", columns: int = 2) -> Image.Image:
    """The picture that ``save_picture`` saves."""
    columns = max(1, min(columns, len(plots)))
    rows = math.ceil(len(plots) / columns)
    wide, high = (920, 520) if len(plots) == 1 else _PANEL
    top = (16 + 34 * bool(title) + 24 * bool(subtitle)) if title or subtitle else 0
    width = columns * wide + (columns + 1) * _GAP
    height = top + rows * high + (rows + 1) * _GAP
    pen = _Pen(width, height)
    y = float(_GAP)
    if title:
        pen.text(_GAP, y, _fit_text(pen, title, width - 2 * _GAP, 26), 26, INK)
        y += 36
    if subtitle:
        pen.text(_GAP, y, _fit_text(pen, subtitle, width - 2 * _GAP, _TEXT), _TEXT, QUIET)
    for k, series in enumerate(plots):
        left = _GAP + (k % columns) * (wide + _GAP)
        # A last plot that stands alone gets the row.
        alone = k == len(plots) - 1 and k % columns == 0 and columns > 1
        box = _Box(left, top + _GAP + (k // columns) * (high + _GAP), wide * columns + _GAP if alone else wide, high)
        _panel(pen, series, box)
    return pen.finished()


class _Box(NamedTuple):
    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place inside: 0 … 1 from the left, 0 … 1 from the bottom."""
        return self.left + x * self.width, self.bottom - y * self.height


def _panel(pen: _Pen, series: Series, box: _Box) -> None:
    pen.text(box.left, box.top, _fit_text(pen, series.title, box.width, _TITLE), _TITLE, INK)
    inner = _Box(box.left, box.top + 36, box.width, box.height - 36)
    if series.cells:
        _heat_map(pen, series, inner)
    elif any(layer.points for layer in series.layers):
        _plot(pen, series, inner)
    if series.note:
        middle = inner.top + inner.height * 0.45
        pen.text(inner.left + inner.width / 2, middle, series.note, _TEXT, QUIET, anchor="mm")


# --- points ----------------------------------------------------------------------------------------------------------


def _plot(pen: _Pen, series: Series, box: _Box) -> None:
    values = [point.y for role in (Role.COMPLETED, Role.STOPPED) for point in series.layer(role)]
    places = [point.x for layer in series.layers for point in layer.points]
    y = fit(series.y, values, most=6, clip=series.metric.mode)
    left = max([pen.width_of(tick.label, _SMALL) for tick in y.ticks] or [10]) + 16
    inside = _Box(box.left + left, box.top + 8, box.width - left - 8, box.height - 8 - 86)
    x = fit(series.x, places, most=max(2, int(inside.width // 85)))
    _grid(pen, series, inside, x, y)
    # Marks keep clear of the frame.
    area = _Box(inside.left + 12, inside.top + 12, inside.width - 24, inside.height - 24)
    _marks(pen, series, area, x, y)
    _legend(pen, series, inside, y.beyond(values))


def _grid(pen: _Pen, series: Series, box: _Box, x: Extent, y: Extent) -> None:
    area = _Box(box.left + 12, box.top + 12, box.width - 24, box.height - 24)
    for tick in y.ticks:
        _, at = area.at(0, tick.at)
        pen.line([(box.left, at), (box.right, at)], GRID, 1)
        pen.text(box.left - 8, at, tick.label, _SMALL, QUIET, anchor="rm")
    room = area.width / max(1, len(x.ticks)) - 6
    taken = -math.inf
    for tick in x.ticks:
        at, _ = area.at(tick.at, 0)
        label = _fit_text(pen, tick.label, max(room, 36), _SMALL)
        if at - pen.width_of(label, _SMALL) / 2 < taken:
            continue
        taken = at + pen.width_of(label, _SMALL) / 2 + 6
        pen.line([(at, box.bottom), (at, box.bottom + 5)], QUIET, 1)
        pen.text(at, box.bottom + 10, label, _SMALL, QUIET, anchor="ma")
    pen.line([(box.left, box.bottom), (box.right, box.bottom)], QUIET, 1)
    label = _fit_text(pen, series.x.label, box.width, _SMALL)
    pen.text(box.left + box.width / 2, box.bottom + 31, label, _SMALL, INK, anchor="ma")


def _marks(pen: _Pen, series: Series, box: _Box, x: Extent, y: Extent) -> None:
    def at(point: Point) -> tuple[float, float]:
        return box.at(x.place(point.x), y.place(point.y))

    total = sum(len(layer.points) for layer in series.layers)
    radius = 5.5 if total < 150 else 4.0 if total < 800 else 2.6 if total < 4000 else 1.8
    strength = 0.85 if total < 150 else 0.6 if total < 800 else 0.35
    for before, after in pairwise(map(at, series.layer(Role.BEST_SO_FAR))):
        pen.line([before, (after[0], before[1]), after], COLOURS[Role.BEST_SO_FAR], 2)
    for role, draw in ((Role.COMPLETED, pen.disc), (Role.STOPPED, pen.ring)):
        for point in spread(series, series.layer(role)):
            if y.side(point.y):
                pen.arrow(*at(point), radius * 1.3, y.side(point.y), COLOURS[role])
            else:
                draw(*at(point), radius, COLOURS[role], strength)
    half = 0.36 * box.width / max(1, len(series.x.categories))
    for point in series.layer(Role.TYPICAL):
        middle, height = at(point)
        pen.line([(middle - half, height), (middle + half, height)], COLOURS[Role.TYPICAL], 2)
    for point in spread(series, series.layer(Role.FAILED)):
        place, _ = box.at(x.place(point.x), 0)
        pen.cross(place, box.bottom, max(radius, 3.0), COLOURS[Role.FAILED])
    for point in series.layer(Role.BEST):
        pen.star(*at(point), 11, COLOURS[Role.BEST])


def _legend(pen: _Pen, series: Series, box: _Box, beyond: int) -> None:
    x, y = box.left, box.bottom + 66
    best = series.layer(Role.BEST)
    if best:
        pen.star(x + 8, y, 8, COLOURS[Role.BEST])
        x = pen.text(x + 22, y, f"best {number(best[0].y)} ({best[0].label})", _SMALL, INK, anchor="lm") + 20
    if len(series.layer(Role.BEST_SO_FAR)) > 1:
        pen.line([(x, y), (x + 20, y)], COLOURS[Role.BEST_SO_FAR], 2)
        x = pen.text(x + 27, y, "best so far", _SMALL, QUIET, anchor="lm") + 20
    for role in (Role.COMPLETED, Role.STOPPED, Role.FAILED, Role.TYPICAL):
        points = series.layer(role)
        if not points:
            continue
        text = "median" if role is Role.TYPICAL else f"{len(points)} {role}"
        if x + 22 + pen.width_of(text, _SMALL) > box.right:
            break
        if role is Role.COMPLETED:
            pen.disc(x + 6, y, 5, COLOURS[role], 0.85)
        elif role is Role.STOPPED:
            pen.ring(x + 6, y, 5, COLOURS[role], 1.0)
        elif role is Role.FAILED:
            pen.cross(x + 6, y, 5, COLOURS[role])
        else:
            pen.line([(x, y), (x + 12, y)], COLOURS[role], 2)
        x = pen.text(x + 18, y, text, _SMALL, QUIET, anchor="lm") + 20
    text = f"{beyond} far outside"
    if beyond and x + 18 + pen.width_of(text, _SMALL) <= box.right:
        pen.arrow(x + 6, y, 6, 1, QUIET)
        pen.text(x + 18, y, text, _SMALL, QUIET, anchor="lm")


# --- heat map --------------------------------------------------------------------------------------------------------


def _heat_map(pen: _Pen, series: Series, box: _Box) -> None:
    columns, rows = len(series.x.categories), len(series.y.categories)
    left = min(max(pen.width_of(text, _SMALL) for text in series.y.categories) + 34, box.width * 0.3)
    area = _Box(box.left + left, box.top + 8, box.width - left - 8, box.height - 8 - 86)
    wide, high = area.width / columns, area.height / rows
    values = [cell.value for cell in series.cells]
    colours = shades(values, series.metric.mode)
    for column in range(columns):
        for row in range(rows):
            pen.block(area.left + column * wide + 1, area.top + row * high + 1, wide - 2, high - 2, (243, 245, 247))
    size = min(_TEXT, int(high * 0.6))
    legible = size >= 8 and wide > 34
    for cell in series.cells:
        colour = _viridis(colours.place(cell.value))
        x, y = area.left + cell.column * wide, area.top + cell.row * high
        pen.block(x + 1, y + 1, wide - 2, high - 2, colour)
        ink = PAPER if _luminance(colour) < 0.5 else INK
        text = number(cell.value)
        if legible and pen.width_of(text, size) < wide - 8:
            pen.text(x + wide / 2, y + high / 2, text, size, ink, anchor="mm")
        if cell.value == colours.best:
            pen.frame(x + 1, y + 1, wide - 2, high - 2, INK, 3)
            if legible and wide > 70:
                pen.star(x + 15, y + 15, 8, COLOURS[Role.BEST])
    _names(pen, series, box, area)
    _ramp(pen, series, area, colours)


def _names(pen: _Pen, series: Series, box: _Box, area: _Box) -> None:
    wide, high = area.width / len(series.x.categories), area.height / len(series.y.categories)
    for row, name in enumerate(series.y.categories):
        text = _fit_text(pen, name, area.left - box.left - 28, _SMALL)
        pen.text(area.left - 8, area.top + (row + 0.5) * high, text, _SMALL, QUIET, anchor="rm")
    for column, name in enumerate(series.x.categories):
        text = _fit_text(pen, name, wide - 4, _SMALL)
        pen.text(area.left + (column + 0.5) * wide, area.bottom + 8, text, _SMALL, QUIET, anchor="ma")
    label = _fit_text(pen, series.x.label, area.width, _SMALL)
    pen.text(area.left + area.width / 2, area.bottom + 31, label, _SMALL, INK, anchor="ma")
    side = _fit_text(pen, series.y.label, area.height, _SMALL)
    pen.upright(box.left + 8, area.top + area.height / 2, side, _SMALL, INK)


def _ramp(pen: _Pen, series: Series, area: _Box, colours: Shades) -> None:
    """The key to the colours: from worse to better."""
    y, width = area.bottom + 66, 160.0
    beyond = "" if not colours.clipped else " or less" if series.metric.mode is Mode.MAX else " or more"
    worse, better = number(colours.worst) + beyond, number(colours.best)
    x = pen.text(area.left, y, worse, _SMALL, QUIET, anchor="lm") + 8
    for k in range(80):
        pen.block(x + k * width / 80, y - 5, width / 80 + 0.5, 10, _viridis(k / 79))
    pen.text(x + width + 8, y, f"{better}  {series.metric.name}", _SMALL, QUIET, anchor="lm")


def _viridis(at: float) -> Colour:
    place = min(1.0, max(0.0, at)) * (len(VIRIDIS) - 1)
    k = min(len(VIRIDIS) - 2, int(place))
    a, b = VIRIDIS[k], VIRIDIS[k + 1]
    r, g, b_ = (round(p + (q - p) * (place - k)) for p, q in zip(a, b, strict=True))
    return r, g, b_


def _luminance(colour: Colour) -> float:
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


def _fit_text(pen: _Pen, text: str, width: float, size: int) -> str:
    """A text cut to a width in the middle of which an ellipsis stands; the tail of dotted paths says most."""
    text = " ".join(text.split())
    if pen.width_of(text, size) <= width:
        return text
    keep = len(text)
    while keep > 1 and pen.width_of(_cut(text, keep), size) > width:
        keep -= 1
    return _cut(text, keep)


def _drawable(text: str) -> str:
    """The text in letters that the font has: it knows Latin ones without accents, and little else."""
    plain = "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))
    return "".join(char if char.isascii() or char in "…·" else "?" for char in plain)


def _cut(text: str, keep: int) -> str:
    head = keep // 3
    return f"{text[:head]}…{text[len(text) - (keep - head) :]}"


class _Pen:
    """Draws in plain coordinates on a canvas that is three times as large."""

    def __init__(self, width: float, height: float) -> None:
        self._size = (round(width), round(height))
        self._image = Image.new("RGB", (self._size[0] * SCALE, self._size[1] * SCALE), PAPER)
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}

    def finished(self) -> Image.Image:
        return self._image.resize((self._size[0] * 3 // 2, self._size[1] * 3 // 2), Image.Resampling.LANCZOS)

    def text(self, x: float, y: float, text: str, size: int, colour: Colour, anchor: str = "la") -> float:
        """Write, and return where the text ends."""
        self._draw.text((x * SCALE, y * SCALE), _drawable(text), fill=colour, font=self._font(size), anchor=anchor)
        return x + self.width_of(text, size)

    def upright(self, x: float, y: float, text: str, size: int, colour: Colour) -> None:
        """Write from bottom to top, centred on a place."""
        wide, high = round(self.width_of(text, size) * SCALE) + 4, size * SCALE * 2
        strip = Image.new("L", (wide, high), 0)
        ImageDraw.Draw(strip).text((wide / 2, high / 2), _drawable(text), fill=255, font=self._font(size), anchor="mm")
        strip = strip.rotate(90, expand=True)
        corner = (round(x * SCALE - strip.width / 2), round(y * SCALE - strip.height / 2))
        self._image.paste(Image.new("RGB", strip.size, colour), corner, strip)

    def width_of(self, text: str, size: int) -> float:
        return float(self._font(size).getlength(_drawable(text))) / SCALE

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(width * SCALE), joint="curve")

    def block(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        self._draw.rectangle((x * SCALE, y * SCALE, (x + width) * SCALE, (y + height) * SCALE), fill=colour)

    def frame(self, x: float, y: float, width: float, height: float, colour: Colour, line: float) -> None:
        box = (x * SCALE, y * SCALE, (x + width) * SCALE, (y + height) * SCALE)
        self._draw.rectangle(box, outline=colour, width=round(line * SCALE))

    def disc(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        self._draw.ellipse(self._around(x, y, radius), fill=(*colour, round(255 * strength)))

    def ring(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        width = max(1, round(min(2.0, radius * 0.6) * SCALE))
        self._draw.ellipse(self._around(x, y, radius), outline=(*colour, round(255 * max(strength, 0.6))), width=width)

    def arrow(self, x: float, y: float, radius: float, side: int, colour: Colour) -> None:
        """A triangle that points up (1) or down (-1)."""
        corners = [(x, y - side * radius), (x - radius, y + side * radius * 0.7), (x + radius, y + side * radius * 0.7)]
        self._draw.polygon([(a * SCALE, b * SCALE) for a, b in corners], fill=colour)

    def cross(self, x: float, y: float, radius: float, colour: Colour) -> None:
        reach = radius * 0.85
        self.line([(x - reach, y - reach), (x + reach, y + reach)], colour, 2)
        self.line([(x - reach, y + reach), (x + reach, y - reach)], colour, 2)

    def star(self, x: float, y: float, radius: float, colour: Colour) -> None:
        corners = [
            (
                (x + (radius if k % 2 == 0 else radius * 0.45) * math.sin(k * math.pi / 5)) * SCALE,
                (y - (radius if k % 2 == 0 else radius * 0.45) * math.cos(k * math.pi / 5)) * SCALE,
            )
            for k in range(10)
        ]
        self._draw.polygon(corners, fill=colour)
        self._draw.line([*corners, corners[0], corners[1]], fill=INK, width=round(1.2 * SCALE), joint="curve")

    def _around(self, x: float, y: float, radius: float) -> tuple[float, float, float, float]:
        return (x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE

    def _font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        if size not in self._fonts:
            self._fonts[size] = ImageFont.load_default(size * SCALE)
        return self._fonts[size]
