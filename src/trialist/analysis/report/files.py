"""The files of a report: the page, the pictures, the table of trials, the best configuration. Each replaced in one step."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from trialist import registry
from trialist.analysis.analyze import analyze
from trialist.analysis.importance import Importance
from trialist.analysis.plots.courses import learning_curves, timeline
from trialist.analysis.plots.making import importance_plot
from trialist.analysis.plots.params import distributions, parallel_coordinates
from trialist.analysis.plots.record import Plot
from trialist.analysis.plots.values import history, pareto, slices
from trialist.analysis.report.page import Page, render_page
from trialist.analysis.snapshot import Snapshot, snapshot_of
from trialist.config import dump_yaml
from trialist.core.errors import ConfigError, MissingExtra
from trialist.core.wire import encode_float

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Report(NamedTuple):
    """What was written."""

    page: Path
    pictures: tuple[Path, ...]
    trials: Path
    best_config: Path | None
    """``None`` where no trial counts."""
    note: str
    """Why there are no pictures, where there are none."""


def write_report(studied: Any, output_dir: str | os.PathLike[str], analysis: Mapping[str, Any] | None = None) -> Report:
    """Write ``report.html`` (one file that works offline), PNGs, ``trials.csv`` and ``best_config.yaml``.

    Files of an earlier report are replaced; others are left alone. Without matplotlib the page is whole, and the PNGs are
    left out with a note.

    Args:
        studied: A study, its results or a snapshot.
        output_dir: Made where it is not there.
        analysis: What ``analyze`` gave; ``None``: made now.

    Raises:
        ConfigError: A file cannot be written.
    """
    snapshot = snapshot_of(studied)
    told = analyze(snapshot) if analysis is None else analysis
    plots = report_plots(snapshot, told)
    folder = Path(output_dir).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures, note = _pictures(plots, folder)
        trials = folder / "trials.csv"
        _write(trials, "".join(_table(snapshot)))
        best = _best_config(studied, told, folder)
        page = folder / "report.html"
        files = [path.relative_to(folder).as_posix() for path in (trials, best, *pictures) if path is not None]
        _write(page, render_page(Page(snapshot=snapshot, analysis=told, plots=plots, files=files, note=note)))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"the report cannot be written: {why}", file=str(error.filename or folder)) from error
    return Report(page, tuple(pictures), trials, best, note)


def report_plots(snapshot: Snapshot, analysis: Mapping[str, Any]) -> list[Plot]:
    """The plots of a report, those that tell most first."""
    metric = snapshot.metric_named(analysis.get("metric") if snapshot.metrics else None)
    shares = dict(analysis.get("parameter_importance", {}))
    names = sorted(snapshot.names, key=lambda name: -shares.get(name, 0.0))
    found = Importance(
        shares=shares,
        method=str(analysis.get("importance_method", "ped_anova")),
        metric=metric.name,
        trials=sum(value is not None for value in snapshot.values(metric)),
        note=str(analysis.get("importance_note", "")),
    )
    plots = [history(snapshot, metric), importance_plot(found, snapshot.name), slices(snapshot, metric, names)]
    if len(snapshot.metrics) > 1:
        plots.insert(0, pareto(snapshot, snapshot.metrics))
    plots += [parallel_coordinates(snapshot, metric, names), distributions(snapshot, metric, names)]
    return [*plots, learning_curves(snapshot, metric), timeline(snapshot)]


def _pictures(plots: Iterable[Plot], folder: Path) -> tuple[list[Path], str]:
    try:
        draw = registry.resolve("trialist.analysis.draw.with_matplotlib:draw", what="pictures of plots")
    except MissingExtra as missing:
        return [], str(missing)
    made = []
    for plot in plots:
        path = folder / f"{plot.kind.replace('-', '_')}.png"
        save_figure(draw(plot), path)
        made.append(path)
    return made, ""


def save_figure(figure: Any, path: Path) -> None:
    """Save a matplotlib figure; the file is replaced only once the new one is complete."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(temporary, dpi=144, facecolor=figure.get_facecolor())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _best_config(studied: Any, told: Mapping[str, Any], folder: Path) -> Path | None:
    """The best trial's configs where the study has some, else its params."""
    path = folder / "best_config.yaml"
    if told["best_trial"]["number"] is None:
        path.unlink(missing_ok=True)  # one of an earlier report would lie beside a page that knows no best
        return None
    data: Any = told["best_trial"]["params"]
    configs = getattr(studied, "best_configs", None)
    if callable(configs):
        try:
            sections = configs()
        except ConfigError:  # a study of another door: it has params, and no configs
            pass
        else:
            data = {name: value for name, value in sections._asdict().items() if value}
    dump_yaml(data, path)
    return path


def _table(snapshot: Snapshot) -> Iterator[str]:
    params = dict.fromkeys(name for one in snapshot.flat for name in one)
    metrics = dict.fromkeys(name for trial in snapshot.trials for name in trial.metrics)
    head = [
        "number", "status", "value", *(f"params.{name}" for name in params), *(f"metrics.{name}" for name in metrics),
        "step", "seconds", "source", "error",
    ]  # fmt: skip
    lines = _Lines()
    yield lines.line([_text(name) for name in head])
    for trial, flat in zip(snapshot.trials, snapshot.flat, strict=True):
        row = [trial.number, trial.status.value, trial.value, *(flat.get(name) for name in params)]
        row += [trial.metrics.get(name) for name in metrics]
        error = f"{trial.error.reason}: {trial.error.message}" if trial.error else ""
        yield lines.line([_cell(cell) for cell in (*row, trial.step, trial.seconds, trial.source, error)])


class _Lines:
    """Rows as lines of CSV."""

    def __init__(self) -> None:
        self._line = ""
        self._writer = csv.writer(self, lineterminator="\n")

    def write(self, text: str) -> int:
        self._line = text
        return len(text)

    def line(self, cells: list[str]) -> str:
        self._writer.writerow(cells)
        return self._line


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(encode_float(value))
    return str(value) if type(value) is int else json.dumps(value, ensure_ascii=False, default=str)


def _text(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
