"""``trialist plot``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from trialist.analysis.plots.making import KINDS, by_importance, make_plot
from trialist.analysis.series import Series, by_parameter, history
from trialist.analysis.snapshot import Snapshot, snapshot_of
from trialist.analysis.terminal import render
from trialist.analysis.visualizer import draw_plot
from trialist.cli.options import JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import clean, console, emit, say, size
from trialist.core.errors import UnknownName, UserError
from trialist.core.records import Metric

_ROWS = 16
_TEXT = ("history", "metric-vs-parameter", "slice")
"""Plots that a terminal can show."""


def _kinds(incomplete: str) -> list[str]:
    return [kind for kind in KINDS if kind.startswith(incomplete)]


MetricOption = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Which of the study's metrics; else the first.")
]


def plot(
    name: StudyArgument,
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.", autocompletion=_kinds)
    ] = "history",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="A picture (.png, .svg, .pdf), or a page (.html) with --interactive."
        ),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="A page to point at and zoom (Plotly), which works offline.")
    ] = False,
    text: Annotated[
        bool, typer.Option("--text", help=f"Draw it here in the terminal: {', '.join(_TEXT)}. Needs no library.")
    ] = False,
    param: Annotated[
        str | None, typer.Option("--param", metavar="PATH", help="For metric-vs-parameter; else the most important.")
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k", metavar="K", min=1, help="Only the K best trials: parallel-coordinates, learning-curves."
        ),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="For importance: ped_anova or fanova.")
    ] = "ped_anova",
    metric: MetricOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a plot of any study.

    Into STUDY-KIND.png, or the file that --out names. With --json, what the plot shows is printed as data, and a file is
    written only with --out.
    """
    if kind not in KINDS:
        raise UnknownName("plot", kind, KINDS)
    with opened(name, store) as study:
        snapshot = snapshot_of(study)
        if text and not as_json:
            _draw_here(snapshot, kind, metric, param)
            return
        made = make_plot(snapshot, kind, metric=metric, param=param, top_k=top_k, method=method)
        if as_json:
            emit({"study": study.name, **made.to_json()})
        if out is not None or not as_json:
            file = out or Path(default_name(study.name, kind) + (".html" if interactive else ".png"))
            draw_plot(made, path=file, interactive=interactive)
            say(console(stderr=True), f"{clean(study.name)}: wrote {clean(str(file))}, {size(file.stat().st_size)}")


def default_name(study: str, what: str) -> str:
    """A file's name from a study's, whatever is in that."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', study).strip('._') or 'study'}-{what}"


def _draw_here(snapshot: Snapshot, kind: str, metric: str | None, param: str | None) -> None:
    if kind not in _TEXT:
        raise UserError(f"a terminal shows {', '.join(_TEXT)}; for {kind} leave --text out.")
    to = console()
    chosen = snapshot.metric_named(metric)
    for place, series in enumerate(_series(snapshot, kind, chosen, param)):
        if place:
            say(to, "")
        drawn = render(series, min(to.width, 100), _ROWS, ascii_only=not to.encoding.lower().startswith("utf"))
        to.print(drawn, end="")


def _series(snapshot: Snapshot, kind: str, metric: Metric, param: str | None) -> list[Series]:
    if metric != snapshot.metric:
        raise UserError(f"a terminal shows the first metric, '{snapshot.metric.name}'; for others leave --text out.")
    if kind == "history":
        return [history(snapshot.trials, metric)]
    names = by_importance(snapshot, metric) if param is None else [snapshot.name_of_param(param)]
    shown = names if kind == "slice" else names[:1]
    return [by_parameter(snapshot.trials, metric, one) for one in shown] or [history(snapshot.trials, metric)]
