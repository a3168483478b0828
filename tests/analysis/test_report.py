"""The report: whole, safe and offline for every study; figures of both libraries; what is said where one is missing."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest

import trialist
from trialist.analysis.plots.making import KINDS
from trialist.analysis.report.files import write_report
from trialist.analysis.snapshot import Snapshot
from trialist.analysis.visualizer import HPOVisualizer
from trialist.config import load_yaml
from trialist.core.errors import ConfigError, MissingExtra
from trialist.core.records import Metric, Mode


class Tags(HTMLParser):
    """Every tag and attribute of a page, and whether all of them are closed."""

    VOID = {"meta", "br", "link", "img"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def no_plots(monkeypatch) -> None:
    """As if neither matplotlib nor Plotly were installed."""

    def look(target, what):
        module = target.partition(":")[0]
        if module.endswith((".with_matplotlib", ".with_plotly")):
            raise MissingExtra(what, "plots", "matplotlib" if "matplotlib" in module else "plotly")
        return resolve(target, what)

    resolve = trialist.registry.resolve
    monkeypatch.setattr(trialist.registry, "resolve", look)


def test_any_study_has_a_page_that_holds_nothing_from_outside(odd: Snapshot, tmp_path, no_plots) -> None:
    made = write_report(odd, tmp_path / "out")
    text = made.page.read_text("utf-8")
    page = Tags(text)
    assert page.open == []
    assert not page.tags & {"script", "iframe", "link", "img", "object"}
    for name, _ in page.attributes:
        assert not name.startswith("on"), name
        assert name not in ("src", "href", "action")
    assert not re.search(r"url\(|@import|javascript:", text)
    assert "pip install 'trialist[plots]'" in text.replace("&#x27;", "'")
    assert made.pictures == ()
    assert made.trials.read_text("utf-8").startswith("number,status,value")


def test_what_users_wrote_is_text(taken, tried, tmp_path, no_plots) -> None:
    evil = "<script>alert('x')</script>"
    trials = [tried(k, float(k), **{evil: evil, "k": k}) for k in range(12)]
    failed = tried(12, None, trialist.core.states.TrialStatus.FAILED, evil + "\x1b[31m\ud800", **{evil: 1})
    study = taken([*trials, failed], None, Metric(name=evil, mode=Mode.MIN))
    text = write_report(study, tmp_path).page.read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text


def test_the_files_say_what_the_study_says(search, tmp_path, no_plots) -> None:
    study = search(40)
    made = write_report(study, tmp_path)
    rows = list(csv.DictReader(io.StringIO(made.trials.read_text("utf-8"))))
    assert len(rows) == 40
    best = study.trials[study.best_first(study.metric)[0]]
    assert float(rows[best.number]["value"]) == best.value
    assert float(rows[best.number]["params.lr"]) == best.params["lr"]
    assert dict(load_yaml(made.best_config).data) == best.params
    assert f"trial {best.number}" in made.page.read_text("utf-8")


def test_cells_are_no_formulas(taken, tried, tmp_path, no_plots) -> None:
    made = write_report(taken([tried(k, 1.0 * k, a="=HYPERLINK(1)", b=-k) for k in range(3)]), tmp_path)
    rows = list(csv.DictReader(io.StringIO(made.trials.read_text("utf-8"))))
    assert rows[1]["params.a"] == "'=HYPERLINK(1)"
    assert rows[1]["params.b"] == "-1"


def test_a_second_report_leaves_no_config_of_the_first(search, taken, tmp_path, no_plots) -> None:
    assert write_report(search(10), tmp_path).best_config is not None
    assert write_report(taken([]), tmp_path).best_config is None
    assert not (tmp_path / "best_config.yaml").exists()


def test_a_place_that_cannot_be_written_is_named(search, tmp_path, no_plots) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="taken: the report cannot be written"):
        write_report(search(3), tmp_path / "taken")


def test_missing_libraries_are_named_with_their_line(search, no_plots) -> None:
    with pytest.raises(MissingExtra, match=r"needs 'matplotlib'.*pip install 'trialist\[plots\]'"):
        HPOVisualizer().plot_timeline(search(3))
    with pytest.raises(MissingExtra, match=r"needs 'plotly'.*pip install 'trialist\[plots\]'"):
        HPOVisualizer().plot_timeline(search(3), interactive=True)


def test_a_name_that_says_no_format_is_refused_before_anything_is_drawn(search, tmp_path, no_plots) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.png"):
        HPOVisualizer().plot_timeline(search(3), path=tmp_path / "x.gif")
    with pytest.raises(ConfigError, match=r"needs interactive=True"):
        HPOVisualizer().plot_timeline(search(3), path=tmp_path / "x.html")
    with pytest.raises(ConfigError, match=r"must end in \.html"):
        HPOVisualizer().plot_timeline(search(3), path=tmp_path / "x.png", interactive=True)


@pytest.mark.extras
def test_any_study_is_drawn_by_matplotlib_and_by_plotly(odd: Snapshot) -> None:
    draw = HPOVisualizer().plot
    for kind in KINDS:
        figure = draw(odd, kind)
        figure.canvas.draw()
        assert figure.get_axes()
        interactive = draw(odd, kind, interactive=True)
        assert interactive.layout.title.text


@pytest.mark.extras
def test_each_method_gives_a_figure_and_saves_it(search, tmp_path) -> None:
    from matplotlib.figure import Figure

    study, view = search(40), HPOVisualizer()
    methods = [
        (view.plot_optimization_history, study), (view.plot_parallel_coordinates, study, 10),
        (view.plot_parameter_distributions, study), (view.plot_metric_vs_parameter, study, "lr"),
        (view.plot_learning_curves, study), (view.plot_timeline, study), (view.plot_slice, study),
        (view.plot_pareto_front, study), (view.plot_parameter_importance, trialist.analyze(study)),
        (view.plot_parameter_importance, study),
    ]  # fmt: skip
    for place, (method, *args) in enumerate(methods):
        path = tmp_path / "deep" / f"{place}.png"
        assert isinstance(method(*args, path=path), Figure)
        assert path.read_bytes().startswith(b"\x89PNG")
    page = tmp_path / "page.html"
    figure = view.plot_optimization_history(study, path=page, interactive=True)
    assert type(figure).__module__.startswith("plotly.")
    assert "https://cdn" not in page.read_text("utf-8").split("<body>")[-1].split("Plotly.newPlot")[-1]


@pytest.mark.extras
def test_a_report_has_its_pictures(search, tmp_path) -> None:
    page = HPOVisualizer().create_summary_report(search(30), trialist.analyze(search(30)), tmp_path)
    assert page == tmp_path / "report.html"
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names >= {"history.png", "importance.png", "slice.png", "parallel_coordinates.png", "timeline.png"}
