"""``HPOVisualizer``: the plots and the report of a study, from Python. Thin: series come from ``plots``, drawing from ``draw``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trialist import registry
from trialist.analysis.analyze import analyze
from trialist.analysis.importance import Importance
from trialist.analysis.plots.making import importance_plot, make_plot
from trialist.analysis.plots.record import Plot
from trialist.analysis.report.files import save_figure, write_report
from trialist.core.errors import ConfigError

PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")


class HPOVisualizer:
    """Plots of a study, its results or a snapshot; any study will do.

    Each method returns a matplotlib figure, or with ``interactive=True`` a Plotly figure of the same series. ``path=``
    saves it too: a picture (``.png``, ``.svg``, ``.pdf``), or for an interactive one a page (``.html``).

        >>> figure = HPOVisualizer().plot_optimization_history(results, path="history.png")     # doctest: +SKIP

    Raises, everywhere:
        MissingExtra: matplotlib or Plotly is not installed; the pip line is named.
        UnknownName: There is no such metric or parameter; the nearest is offered.
        ConfigError: The file cannot be written, or its name says no format.
    """

    def plot_optimization_history(
        self, results: Any, *, metric: str | None = None, path: Any = None, interactive: bool = False
    ) -> Any:
        """Value by trial, and the best so far."""
        return self.plot(results, "history", metric=metric, path=path, interactive=interactive)

    def plot_parameter_importance(self, analysis: Any, *, path: Any = None, interactive: bool = False) -> Any:
        """The shares of the parameters.

        Args:
            analysis: What ``analyze_results`` gave; results or a study are analysed now.
            path: Where to save it, where given.
            interactive: Whether it is a Plotly figure.
        """
        if not isinstance(analysis, Mapping):
            analysis = analyze(analysis)
        found = Importance(
            shares=dict(analysis["parameter_importance"]),
            method=str(analysis.get("importance_method", "ped_anova")),
            metric=str(analysis.get("metric", "value")),
            trials=_counting(analysis.get("trials", {})),
            note=str(analysis.get("importance_note", "")),
        )
        return draw_plot(
            importance_plot(found, str(analysis.get("study", "study"))), path=path, interactive=interactive
        )

    def plot_parallel_coordinates(
        self,
        results: Any,
        top_k: int | None = None,
        *,
        metric: str | None = None,
        path: Any = None,
        interactive: bool = False,
    ) -> Any:
        """Each trial as a line over all parameters; ``top_k`` keeps the best ones."""
        return self.plot(
            results, "parallel-coordinates", metric=metric, top_k=top_k, path=path, interactive=interactive
        )

    def plot_parameter_distributions(
        self, results: Any, *, metric: str | None = None, path: Any = None, interactive: bool = False
    ) -> Any:
        """Where trials lie, and the best tenth of them."""
        return self.plot(results, "distributions", metric=metric, path=path, interactive=interactive)

    def plot_metric_vs_parameter(
        self, results: Any, name: str, *, metric: str | None = None, path: Any = None, interactive: bool = False
    ) -> Any:
        """Value by one parameter."""
        return self.plot(results, "metric-vs-parameter", metric=metric, param=name, path=path, interactive=interactive)

    def plot_slice(
        self, results: Any, *, metric: str | None = None, path: Any = None, interactive: bool = False
    ) -> Any:
        """Value by each parameter, side by side."""
        return self.plot(results, "slice", metric=metric, path=path, interactive=interactive)

    def plot_learning_curves(
        self,
        results: Any,
        top_k: int | None = None,
        *,
        metric: str | None = None,
        path: Any = None,
        interactive: bool = False,
    ) -> Any:
        """The metric by step, a line a trial; ``top_k`` keeps the best ones."""
        return self.plot(results, "learning-curves", metric=metric, top_k=top_k, path=path, interactive=interactive)

    def plot_timeline(self, results: Any, *, path: Any = None, interactive: bool = False) -> Any:
        """Which trial ran when."""
        return self.plot(results, "timeline", path=path, interactive=interactive)

    def plot_pareto_front(self, results: Any, *, path: Any = None, interactive: bool = False) -> Any:
        """Trials by two metrics, and those that no other one beats."""
        return self.plot(results, "pareto", path=path, interactive=interactive)

    def plot(self, results: Any, kind: str, *, path: Any = None, interactive: bool = False, **options: Any) -> Any:
        """A plot by the name of its kind; options are those of ``make_plot``."""
        return draw_plot(make_plot(results, kind, **options), path=path, interactive=interactive)

    def create_summary_report(
        self, results: Any, analysis: Mapping[str, Any] | None = None, output_dir: str | os.PathLike[str] = "report"
    ) -> Path:
        """Write ``report.html`` (one file that works offline), PNGs, ``trials.csv`` and ``best_config.yaml``.

        Args:
            results: A study, its results or a snapshot.
            analysis: What ``analyze_results`` gave; ``None``: made now.
            output_dir: Made where it is not there; files of an earlier report in it are replaced.

        Returns:
            The path of ``report.html``.
        """
        return write_report(results, output_dir, analysis).page


def draw_plot(plot: Plot, *, path: Any = None, interactive: bool = False) -> Any:
    """A plot's record as a figure, saved where ``path`` is given.

    Raises:
        MissingExtra: The library is not installed; the pip line is named.
        ConfigError: The file cannot be written, or its name says no format.
    """
    file = None if path is None else Path(path).expanduser()
    _check(file, interactive=interactive)
    library, what = ("plotly", "an interactive plot") if interactive else ("matplotlib", "a plot")
    figure = registry.resolve(f"trialist.analysis.draw.with_{library}:draw", what=what)(plot)
    if file is None:
        return figure
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if interactive:
            # Whole: the page works where there is no network.
            figure.write_html(file, include_plotlyjs=True, full_html=True)
        else:
            save_figure(figure, file)
    except OSError as error:
        raise ConfigError(
            f"the plot cannot be written: {(error.strerror or str(error)).lower()}", file=str(file)
        ) from error
    return figure


def _check(file: Path | None, *, interactive: bool) -> None:
    if file is None:
        return
    ends, kind = ((".html",), "an interactive plot is a page") if interactive else (PICTURES, "a plot is a picture")
    if file.suffix.lower() not in ends:
        more = (
            "" if interactive or file.suffix.lower() != ".html" else " A page needs interactive=True (--interactive)."
        )
        raise ConfigError(f"{kind}: its name must end in {' or '.join(ends)}.{more}", file=str(file))


def _counting(trials: Mapping[str, int]) -> int:
    return sum(trials.get(status, 0) for status in ("completed", "stopped"))
