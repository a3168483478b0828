"""Plot records drawn by Plotly: the same marks, to be pointed at and zoomed. Needs the extra ``plots``."""

from __future__ import annotations

from trialist import registry

registry.optional("plotly", "an interactive plot")  # where it is missing, this names the line that installs it

import math
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from trialist.analysis.axes import Extent
from trialist.analysis.draw.layout import Frame, frame, grid_of, lines, notes, short, tick_values
from trialist.analysis.draw.palette import LIGHT, Theme
from trialist.analysis.plots.record import Mark, Panel, Plot, Shape
from trialist.analysis.series import Scale

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def draw(plot: Plot, theme: Theme = LIGHT) -> go.Figure:
    """The plot as a figure: ``figure.show()`` opens it, ``figure.write_html(path)`` saves it."""
    columns, rows = grid_of(plot)
    frames = [frame(panel, int(110 / columns)) for panel in plot.panels]
    figure = make_subplots(
        rows=rows,
        cols=columns,
        horizontal_spacing=0.09 if columns > 1 else 0,
        vertical_spacing=min(0.16, 0.5 / rows) if rows > 1 else 0,
    )
    told: set[str] = set()
    for k, (panel, shown) in enumerate(zip(plot.panels, frames, strict=True)):
        row, column = k // columns + 1, k % columns + 1
        for mark in panel.marks:
            for trace in _traces(mark, shown, theme, shows=mark.label not in told):
                figure.add_trace(trace, row=row, col=column)
            told.add(mark.label)
        _rulers(figure, panel, theme, row, column)
        _axes(figure, panel, shown, theme, row, column)
        if panel.note:
            figure.add_annotation(
                text=_plain(panel.note, 120), showarrow=False, row=row, col=column, x=0.5, y=0.5, xref="x domain",
                yref="y domain", font={"size": 14, "color": theme.quiet},
            )  # fmt: skip
    _dress(figure, plot, frames, theme, rows)
    return figure


def _dress(figure: go.Figure, plot: Plot, frames: list[Frame], theme: Theme, rows: int) -> None:
    under = [one for one in (plot.subtitle, notes(plot, frames), _ramp(plot)) if one]
    title = f"<b>{_plain(plot.title, 100)}</b>"
    for line in under:
        title += f"<br><span style='font-size:12px;color:{theme.quiet}'>{_plain(line, 150)}</span>"
    bars = max((len(mark.x) for panel in plot.panels for mark in panel.marks if mark.tags), default=0)
    figure.update_layout(
        title={
            "text": title,
            "x": 0.01,
            "xanchor": "left",
            "yref": "container",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 18},
        },
        font={"family": _FONT, "size": 12, "color": theme.text},
        paper_bgcolor=theme.paper,
        plot_bgcolor=theme.paper,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"t": 86 + 18 * len(under), "l": 70, "r": 30, "b": 60},
        height=(max(260, 28 * bars + 190) if bars else 500) if rows == 1 else 120 + 290 * rows,
        hovermode="closest",
        barmode="overlay",
    )


def _ramp(plot: Plot) -> str:
    return "" if plot.ramp is None else f"{plot.ramp.label}: {plot.ramp.low} (pale) to {plot.ramp.high} (strong)"


def _axes(figure: go.Figure, panel: Panel, shown: Frame, theme: Theme, row: int, column: int) -> None:
    common = {"gridcolor": theme.grid, "zeroline": False, "ticks": "", "showline": False}
    bars = any(mark.shape is Shape.SPANS for mark in panel.marks)
    x, y = _axis(shown.x), _axis(shown.y)
    figure.update_xaxes(
        **{**common, **x, "showgrid": bars, "title": {"text": _plain(panel.x.label, 60)}}, row=row, col=column
    )
    y["showticklabels"] = bool(panel.marks) and not panel.rulers
    figure.update_yaxes(
        **{**common, **y, "showgrid": not bars and not panel.rulers, "title": {"text": _plain(panel.y.label, 60)}},
        row=row,
        col=column,
    )
    if not panel.marks:
        figure.update_xaxes(showticklabels=False, showgrid=False, row=row, col=column)


def _axis(extent: Extent) -> dict[str, Any]:
    """Range and ticks; Plotly counts a log axis in powers of ten."""
    log = extent.scale is Scale.LOG
    ends = [math.log10(end) if log else end for end in (extent.low, extent.high)]
    ticks = tick_values(extent)
    return {
        "type": "log" if log else "linear",
        "range": ends,
        "tickmode": "array",
        "tickvals": [value for value, _ in ticks],
        "ticktext": [_plain(label, 28) for _, label in ticks],
    }


def _traces(mark: Mark, shown: Frame, theme: Theme, *, shows: bool) -> list[Any]:
    colour = theme.inks[mark.ink]
    named = {"name": _plain(mark.label, 60), "legendgroup": mark.label, "showlegend": bool(mark.label) and shows}
    hover = [_plain(text, 150) for text in mark.text]
    about = {"hovertemplate": "%{text}<extra></extra>", "text": hover} if hover else {"hoverinfo": "skip"}
    if mark.shape is Shape.LINE:
        return _lines(mark, theme, colour, named, hover)
    if mark.shape is Shape.STEPS:
        line = {"color": colour, "width": 2, "shape": "hv"}
        return [go.Scatter(x=mark.x, y=mark.y, mode="lines", line=line, hoverinfo="skip", **named)]
    if mark.shape is Shape.DASHES:
        half = mark.thickness / 2
        x = [at for middle in mark.x for at in (middle - half, middle + half, None)]
        y = [at for height in mark.y for at in (height, height, None)]
        return [go.Scatter(x=x, y=y, mode="lines", line={"color": colour, "width": 3}, hoverinfo="skip", **named)]
    if mark.shape is Shape.SPANS:
        widths = [end - start for start, end in zip(mark.base, mark.x, strict=True)]
        return [
            go.Bar(
                x=widths, y=mark.y, base=mark.base, orientation="h", width=mark.thickness, marker={"color": colour},
                hovertext=hover, hovertemplate="%{hovertext}<extra></extra>", text=list(mark.tags) or None,
                textposition="outside" if mark.tags else "none", cliponaxis=False, **named,
            )
        ]  # fmt: skip
    if mark.shape is Shape.COLUMNS:
        return _columns(mark, colour, named, hover)
    return [_points(mark, shown, theme, colour, named, about)]


def _points(mark: Mark, shown: Frame, theme: Theme, colour: str, named: dict[str, Any], about: dict[str, Any]) -> Any:
    symbols = {Shape.RINGS: "circle-open", Shape.CROSSES: "x-thin-open", Shape.STAR: "star"}
    low = shown.y.low
    y = [low if not math.isfinite(value) else min(shown.y.high, max(low, value)) for value in mark.y]
    many = len(mark.x)
    size = 16 if mark.shape is Shape.STAR else 8 if many < 800 else 5
    marker: dict[str, Any] = {
        "color": list(mark.shade) or colour,
        "symbol": symbols.get(mark.shape, "circle"),
        "size": size,
        "opacity": 0.85 if many < 800 else 0.5,
    }
    if mark.shade:  # numbers and a scale: ten thousand colours of their own take seconds
        last = len(theme.ramp) - 1
        scale = [[k / last, one] for k, one in enumerate(theme.ramp)]
        marker |= {"colorscale": scale, "cmin": 0.0, "cmax": 1.0, "showscale": False}
    if mark.shape is Shape.CROSSES:
        marker["line"] = {"width": 1.5, "color": colour}
    if many > 2000:  # WebGL, where SVG would make the page slow
        return go.Scattergl(x=mark.x, y=y, mode="markers", marker=marker, **about, **named)
    return go.Scatter(x=mark.x, y=y, mode="markers", marker=marker, cliponaxis=False, **about, **named)


def _lines(mark: Mark, theme: Theme, colour: str, named: dict[str, Any], hover: list[str]) -> list[Any]:
    """One trace for each colour: a trace for each line would take seconds."""
    groups: dict[str, tuple[list[Any], list[Any], list[str]]] = {}
    parts = lines(mark)
    for k, (a, b) in enumerate(parts):
        xs, ys, texts = groups.setdefault(theme.shade(mark.shade[k]) if mark.shade else colour, ([], [], []))
        xs += [*mark.x[a:b], None]
        ys += [*mark.y[a:b], None]
        texts += [hover[k] if k < len(hover) else ""] * (b - a + 1)
    out = []
    strong = len(parts) == 1 or not (mark.faint or mark.shade)
    for place, (look, (xs, ys, texts)) in enumerate(groups.items()):
        out.append(
            go.Scatter(
                x=xs, y=ys, mode="lines", line={"color": look, "width": 3 if strong else 1.2},
                opacity=1.0 if strong else 0.7, text=texts, hovertemplate="%{text}<extra></extra>",
                **{**named, "showlegend": named["showlegend"] and place == 0},
            )
        )  # fmt: skip
    return out


def _columns(mark: Mark, colour: str, named: dict[str, Any], hover: list[str]) -> list[Any]:
    """Bars by their corners: Plotly's own have one width on a log axis only by accident."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for start, end, height in zip(mark.base, mark.x, mark.y, strict=True):
        xs += [start, start, end, end, start, None]
        ys += [0, height, height, 0, 0, None]
    texts = [text for one in hover for text in [one] * 6]
    return [
        go.Scatter(
            x=xs, y=ys, mode="lines", fill="toself", line={"width": 0, "color": colour}, fillcolor=colour,
            opacity=0.5 if mark.faint else 0.8, text=texts, hovertemplate="%{text}<extra></extra>", **named,
        )
    ]  # fmt: skip


def _rulers(figure: go.Figure, panel: Panel, theme: Theme, row: int, column: int) -> None:
    for ruler in panel.rulers:
        figure.add_trace(
            go.Scatter(
                x=[ruler.x] * (2 + len(ruler.ticks)),
                y=[0, 1, *(tick.at for tick in ruler.ticks)],
                mode="lines+text",
                text=["", "", *(f" {_plain(tick.label, 16)}" for tick in ruler.ticks)],
                textposition="middle right",
                textfont={"size": 11, "color": theme.text},
                line={"color": theme.quiet, "width": 1},
                hoverinfo="skip",
                showlegend=False,
            ),
            row=row,
            col=column,
        )


def _plain(text: str, most: int) -> str:
    """Text in which nothing is taken for markup."""
    return escape(short(text, most), quote=False)
