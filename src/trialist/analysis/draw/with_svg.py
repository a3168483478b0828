"""Plot records as inline SVG for a web page: no library, no script, colours by the page's own style sheet.

Text stays text, marks tell what they are when pointed at, and light or dark is the page's business: every colour is a
class. Many points share one path, so that ten thousand trials make a small file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from trialist.analysis.draw.layout import Entry, Frame, frame, grid_of, legend, lines, notes, short, wrapped
from trialist.analysis.draw.palette import DARK, LIGHT, Theme
from trialist.analysis.plots.record import Mark, Panel, Plot, Shape

TOLD = 600
"""Up to so many points of a mark each say what they are; more become one path."""
_WIDTH = 860.0
_LETTER = 6.3
"""Width of an average letter at 12 px."""


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


def style(theme: Theme) -> str:
    """The custom properties that the classes of plots read."""
    inks = [f"--{ink.value}:{colour}" for ink, colour in theme.inks.items()]
    ramp = [f"--r{k}:{colour}" for k, colour in enumerate(theme.ramp)]
    plain = [f"--paper:{theme.paper}", f"--text:{theme.text}", f"--soft:{theme.quiet}", f"--grid:{theme.grid}"]
    return ";".join([*plain, *inks, *ramp])


def style_sheet() -> str:
    """The rules that plots need: light by default, dark where the reader prefers it."""
    inks = "".join(f".plot .{ink.value}{{--c:var(--{ink.value})}}" for ink in LIGHT.inks)
    ramp = "".join(f".plot .r{k}{{--c:var(--r{k})}}" for k in range(len(LIGHT.ramp)))
    return (
        f":root{{color-scheme:light dark;{style(LIGHT)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{style(DARK)}}}}}"
        f"{inks}{ramp}"
        ".plot{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;"
        "font-variant-numeric:tabular-nums}"
        ".plot text{fill:var(--soft)}.plot .t{fill:var(--text)}.plot .n{font-size:14px}"
        ".plot .g{stroke:var(--grid);fill:none}.plot .ax{stroke:var(--soft);fill:none}"
        ".plot .p{fill:var(--c)}.plot .o{fill:none;stroke:var(--c);stroke-width:1.4}"
        ".plot .x{fill:none;stroke:var(--c);stroke-width:1.4;stroke-linecap:round}"
        ".plot .l{fill:none;stroke:var(--c);stroke-linejoin:round;stroke-linecap:round}"
        ".plot .d{fill:none;stroke:var(--c);stroke-linecap:round}"
        ".plot .star{fill:var(--c);stroke:var(--paper);stroke-width:1.5}"
        ".plot .halo{paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round;fill:var(--text);"
        "font-size:11px}"
        ".plot .hit:hover{stroke:var(--text);stroke-width:2}.plot .line:hover{stroke-width:3;opacity:1}"
    )


def draw(plot: Plot) -> str:
    """The plot as one ``<svg>`` element, without its title and subtitle, which are the page's."""
    columns, rows = grid_of(plot)
    gap = 18.0
    wide = (_WIDTH - gap * (columns - 1)) / columns
    high = _height(plot)
    entries = legend(plot)
    top = 30.0 if entries or plot.ramp else 8.0
    frames = [frame(panel, int((wide - 70) / _LETTER), max(4, int(high / 42))) for panel in plot.panels]
    note = notes(plot, frames)
    height = top + rows * high + (rows - 1) * gap + (24 if note else 4)
    out = [
        f'<svg class="plot" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{_text(plot.title, 200)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    out += _legend(entries)
    out += _ramp(plot)
    for k, (panel, shown) in enumerate(zip(plot.panels, frames, strict=True)):
        box = _Box((k % columns) * (wide + gap), top + (k // columns) * (high + gap), wide, high)
        out += _panel(panel, shown, box)
    if note:
        out.append(_label(0, height - 6, note, 140))
    return "".join([*out, "</svg>"])


def _height(plot: Plot) -> float:
    bars = max((len(mark.x) for panel in plot.panels for mark in panel.marks if mark.tags), default=0)
    if bars:
        return max(110.0, 27.0 * bars + 60)
    rows = max(
        (y for panel in plot.panels for mark in panel.marks if mark.shape is Shape.SPANS for y in mark.y), default=-1
    )
    if rows >= 0:
        return min(520.0, max(150.0, 24.0 * (rows + 1) + 70))
    return 360.0 if len(plot.panels) == 1 else 300.0 if len(plot.panels) == 2 else 250.0


def _panel(panel: Panel, shown: Frame, box: _Box) -> Iterable[str]:
    if not panel.marks and not panel.rulers:
        yield f'<rect class="g" x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
        yield _label(box.left + box.width / 2, box.top + box.height / 2, panel.note, 90, "middle", "n")
        return
    most = int(0.36 * box.width / _LETTER)
    labels = [short(tick.label, most) for tick in shown.y.ticks]
    left = 26.0 if panel.rulers else 12 + 6.9 * max((len(label) for label in labels), default=1)
    left += 18 if panel.y.label else 0
    right = 60.0 if panel.rulers else 10.0
    inside = _Box(
        box.left + left, box.top + 10, box.width - left - right, box.height - 10 - (44 if panel.x.label else 26)
    )
    bars = any(mark.shape is Shape.SPANS for mark in panel.marks)
    yield from _axes(panel, shown, box, inside, labels, upright=bars)
    for mark in panel.marks:
        yield from _mark(mark, shown, inside)
    for ruler in panel.rulers:
        x = inside.left + shown.x.place(ruler.x) * inside.width
        yield f'<path class="ax" d="M{x:.1f} {_y(shown, inside, 0):.1f}V{_y(shown, inside, 1):.1f}"/>'
        room = max(6, int(inside.width / len(panel.rulers) / _LETTER) - 2)
        for tick in ruler.ticks:
            label = _text(tick.label, room)
            yield f'<text class="halo" x="{x + 5:.1f}" y="{_y(shown, inside, tick.at) + 4:.1f}">{label}</text>'
    if panel.note:
        yield _label(inside.left + inside.width / 2, inside.top + inside.height / 2, panel.note, 90, "middle", "n")


def _axes(
    panel: Panel, shown: Frame, box: _Box, inside: _Box, labels: Sequence[str], *, upright: bool
) -> Iterable[str]:
    for tick, label in zip(shown.y.ticks, labels, strict=True):
        y = inside.bottom - tick.at * inside.height
        if not upright:
            yield f'<path class="g" d="M{inside.left:.1f} {y:.1f}H{inside.right:.1f}"/>'
        yield _label(inside.left - 8, y + 4, label, 80, "end")
    room = max(4, int(inside.width / max(1, len(shown.x.ticks)) / _LETTER) - 1)
    taken = -math.inf
    for tick in shown.x.ticks:
        x = inside.left + tick.at * inside.width
        if panel.rulers:
            for row, line in enumerate(wrapped(tick.label, room)):
                yield _label(x, inside.bottom + 14 + 13 * row, line, 80, "middle", "t")
            continue
        if upright:
            yield f'<path class="g" d="M{x:.1f} {inside.top:.1f}V{inside.bottom:.1f}"/>'
        half = len(short(tick.label, room)) * _LETTER / 2
        if x - half > taken:
            taken = x + half + 4
            yield _label(x, inside.bottom + 20, tick.label, room, "middle")
    if not panel.rulers:
        yield f'<path class="ax" d="M{inside.left:.1f} {inside.bottom:.1f}H{inside.right:.1f}"/>'
    if panel.x.label:
        middle = inside.left + inside.width / 2
        yield _label(middle, inside.bottom + 38, panel.x.label, int(inside.width / _LETTER), "middle", "t")
    if panel.y.label:
        x, y = box.left + 11, inside.top + inside.height / 2
        label = _text(panel.y.label, int(inside.height / _LETTER))
        yield f'<text class="t" x="{x:.1f}" y="{y:.1f}" text-anchor="middle" transform="rotate(-90 {x:.1f} {y:.1f})">{label}</text>'


def _mark(mark: Mark, shown: Frame, box: _Box) -> Iterable[str]:
    if mark.shape is Shape.SPANS:
        yield from _spans(mark, shown, box)
    elif mark.shape is Shape.COLUMNS:
        yield from _columns(mark, shown, box)
    elif mark.shape is Shape.LINE:
        yield from _lines(mark, shown, box)
    elif mark.shape is Shape.STEPS:
        points = [_at(shown, box, x, y) for x, y in zip(mark.x, mark.y, strict=True)]
        path = "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:])
        yield f'<path class="l {mark.ink}" stroke-width="2" d="M{points[0][0]:.1f} {points[0][1]:.1f}{path}"/>'
    elif mark.shape is Shape.DASHES:
        half = mark.thickness / 2
        for x, y in zip(mark.x, mark.y, strict=True):
            (a, height), (b, _) = _at(shown, box, x - half, y), _at(shown, box, x + half, y)
            yield f'<path class="l {mark.ink}" stroke-width="2.4" d="M{a:.1f} {height:.1f}H{b:.1f}"/>'
    else:
        yield from _points(mark, shown, box)


def _points(mark: Mark, shown: Frame, box: _Box) -> Iterable[str]:
    count = len(mark.x)
    radius = 4.5 if count < 150 else 3.4 if count < 800 else 2.4 if count < 4000 else 1.7
    opacity = 0.85 if count < 150 else 0.6 if count < 800 else 0.4
    groups: dict[tuple[str, int], list[tuple[float, float, str]]] = {}
    for k, (x, y) in enumerate(zip(mark.x, mark.y, strict=True)):
        side = shown.y.side(y) if math.isfinite(y) else 0
        look = f"r{min(7, max(0, int(mark.shade[k] * 8)))}" if mark.shade else mark.ink.value
        px, py = _at(shown, box, x, y)
        groups.setdefault((look, side), []).append((px, py, mark.text[k] if k < len(mark.text) else ""))
    for (look, side), points in groups.items():
        yield f'<g class="{look}" opacity="{opacity}">'
        if side or mark.shape in (Shape.CROSSES, Shape.STAR):
            yield from (_symbol(mark.shape, side, radius, *point) for point in points[:TOLD])
            if len(points) > TOLD:
                yield _strokes((x, y) for x, y, _ in points[TOLD:])
        elif count <= TOLD:
            look_of = "o" if mark.shape is Shape.RINGS else "p"
            for x, y, text in points:
                yield f'<circle class="{look_of} hit" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"><title>{_text(text, 120)}</title></circle>'
        else:
            dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y, _ in points)
            yield f'<path class="d" stroke-width="{2 * radius:g}" d="{dots}"/>'
        yield "</g>"


def _symbol(shape: Shape, side: int, radius: float, x: float, y: float, text: str) -> str:
    title = f"<title>{_text(text, 120)}</title>"
    if shape is Shape.STAR:
        corners = []
        for k in range(10):
            size, turn = (11.0 if k % 2 == 0 else 4.6), math.pi * (k / 5 - 0.5)
            corners.append(f"{x + size * math.cos(turn):.1f},{y + size * math.sin(turn):.1f}")
        return f'<polygon class="star hit" points="{" ".join(corners)}">{title}</polygon>'
    if side:
        size = radius * 1.3
        return f'<path class="p hit" d="M{x - size:.1f} {y + side * size:.1f}h{2 * size:.1f}l{-size:.1f} {-2 * side * size:.1f}z">{title}</path>'
    size = max(2.6, radius * 0.8)
    return f'<path class="x" d="M{x - size:.1f} {y - size:.1f}l{2 * size:.1f} {2 * size:.1f}m0 {-2 * size:.1f}l{-2 * size:.1f} {2 * size:.1f}">{title}</path>'


def _strokes(points: Iterable[tuple[float, float]]) -> str:
    return f'<path class="x" d="{"".join(f"M{x:.1f} {y - 3:.1f}v6" for x, y in points)}"/>'


def _lines(mark: Mark, shown: Frame, box: _Box) -> Iterable[str]:
    parts = lines(mark)
    strong = len(parts) == 1 or not (mark.faint or mark.shade)
    width, opacity = (2.6, 1.0) if strong else (1.3, 0.8) if len(parts) < 60 else (1.0, 0.55)
    for k, (a, b) in enumerate(parts):
        look = f"r{min(7, int(mark.shade[k] * 8))}" if mark.shade else mark.ink.value
        points = [_at(shown, box, mark.x[j], mark.y[j]) for j in range(a, b)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        told = f"<title>{_text(mark.text[k], 120)}</title>" if k < len(mark.text) else ""
        yield f'<path class="l line {look}" stroke-width="{width}" opacity="{opacity}" d="M{path}">{told}</path>'


def _spans(mark: Mark, shown: Frame, box: _Box) -> Iterable[str]:
    unit = box.height / (shown.y.high - shown.y.low)
    thick = min(26.0, mark.thickness * unit)
    many = len(mark.x) > 2 * TOLD
    yield f'<g class="{mark.ink}">'
    paths = []
    for k, (start, end, y) in enumerate(zip(mark.base, mark.x, mark.y, strict=True)):
        a, middle = _at(shown, box, start, y)
        b, _ = _at(shown, box, end, y)
        width = max(1.0, b - a - (0.6 if not mark.tags else 0))
        if many:
            paths.append(f"M{a:.1f} {middle - thick / 2:.1f}h{width:.1f}v{thick:.1f}h{-width:.1f}z")
            continue
        told = f"<title>{_text(mark.text[k], 120)}</title>" if k < len(mark.text) else ""
        yield (
            f'<rect class="p" x="{a:.1f}" y="{middle - thick / 2:.1f}" width="{width:.1f}" height="{thick:.1f}" '
            f'rx="{1.5 if thick > 4 else 0}">{told}</rect>'
        )
        if k < len(mark.tags):
            yield f'<text class="t" x="{b + 7:.1f}" y="{middle + 4:.1f}">{_text(mark.tags[k], 20)}</text>'
    if paths:
        yield f'<path class="p" d="{"".join(paths)}"/>'
    yield "</g>"


def _columns(mark: Mark, shown: Frame, box: _Box) -> Iterable[str]:
    yield f'<g class="{mark.ink}" opacity="{0.55 if mark.faint else 0.85}">'
    for k, (start, end, y) in enumerate(zip(mark.base, mark.x, mark.y, strict=True)):
        if y <= 0:
            continue
        (a, top), (b, _) = _at(shown, box, start, y), _at(shown, box, end, y)
        told = f"<title>{_text(mark.text[k], 120)}</title>" if k < len(mark.text) else ""
        yield f'<rect class="p" x="{a:.1f}" y="{top:.1f}" width="{max(0.8, b - a - 0.6):.1f}" height="{box.bottom - top:.1f}">{told}</rect>'
    yield "</g>"


def _legend(entries: Sequence[Entry]) -> Iterable[str]:
    x = 2.0
    for entry in entries:
        label = short(entry.label, 60)
        yield f'<g class="{entry.ink}">'
        if entry.shape in (Shape.LINE, Shape.STEPS, Shape.DASHES):
            yield f'<path class="l" stroke-width="2.4" d="M{x:g} 12h16"/>'
        elif entry.shape in (Shape.SPANS, Shape.COLUMNS):
            yield f'<rect class="p" x="{x:g}" y="6" width="14" height="11" rx="2" opacity="{0.55 if entry.faint else 0.9}"/>'
        elif entry.shape in (Shape.STAR, Shape.CROSSES):
            yield _symbol(entry.shape, 0, 4.5, x + 8, 12, entry.label)
        else:
            yield f'<circle class="{"o" if entry.shape is Shape.RINGS else "p"}" cx="{x + 7:g}" cy="12" r="4.5"/>'
        yield f'</g><text class="t" x="{x + 22:g}" y="16">{escape(label)}</text>'
        x += 22 + _LETTER * len(label) + 20


def _ramp(plot: Plot) -> Iterable[str]:
    if plot.ramp is None:
        return
    words, high = f"{plot.ramp.label}: {plot.ramp.low}", plot.ramp.high
    at = _WIDTH - _LETTER * len(high) - 6
    yield _label(at, 16, high, 30)
    for k in range(8):
        yield f'<rect class="p r{k}" x="{at - 8 - 12 * (8 - k):.1f}" y="7" width="12" height="10"/>'
    yield _label(at - 8 - 96 - 8, 16, words, 60, "end")


def _at(shown: Frame, box: _Box, x: float, y: float) -> tuple[float, float]:
    """Where a point lies; one without a value lies on the lower edge."""
    at = shown.x.place(x) * box.width
    height = shown.y.place(y) if math.isfinite(y) else 0.0
    return box.left + at, box.bottom - height * box.height


def _y(shown: Frame, box: _Box, at: float) -> float:
    return box.bottom - shown.y.place(at) * box.height


def _label(x: float, y: float, text: str, most: int, anchor: str = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_text(text, most)}</text>'


def _text(text: str, most: int) -> str:
    return escape(short(text, most))
