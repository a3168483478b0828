"""Plots and summaries of every kind of study: one trial, none, all failed, NaN, mixed types, ten thousand, long names."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.cells import cell_len

from trialist.analysis.axes import fit, number, shades, spread
from trialist.analysis.picture import picture, save_picture
from trialist.analysis.series import Axis, Point, Role, Scale, by_parameter, heat_map, history, overview, varying
from trialist.analysis.summary import failures, short_names
from trialist.analysis.terminal import render, sparkline
from trialist.core.records import Failure, FailureReason, Metric, Mode, Trial
from trialist.core.states import TrialStatus

ACC = Metric(name="val_accuracy", mode=Mode.MAX)
LOSS = Metric(name="loss", mode=Mode.MIN)
S = TrialStatus


def trial(number: int, value: float | None, status: S = S.COMPLETED, message: str = "", **params: Any) -> Trial:
    error = Failure(reason=FailureReason.EXIT_CODE, message=message or "exit code 1") if status is S.FAILED else None
    return Trial(number=number, params=params, value=value, status=status, error=error, seconds=2.0)


def many(count: int, seed: int = 0) -> list[Trial]:
    rng = random.Random(seed)
    statuses = [S.COMPLETED] * 8 + [S.STOPPED, S.FAILED]
    out = []
    for k in range(count):
        status = rng.choice(statuses)
        value = None if status is S.FAILED else rng.gauss(0.8, 0.05)
        out.append(trial(k, value, status, lr=10 ** rng.uniform(-5, -1), depth=rng.randint(1, 4), act=rng.choice("ab")))
    return out


STUDIES = {
    "none": [],
    "one": [trial(0, 0.5, lr=0.1)],
    "one failed": [trial(0, None, S.FAILED, lr=0.1)],
    "all failed": [trial(k, None, S.FAILED, lr=k) for k in range(5)],
    "not finite": [trial(0, math.nan, lr=1), trial(1, math.inf, lr=2), trial(2, -math.inf, lr=3), trial(3, 0.5, lr=4)],
    "only nan": [trial(k, math.nan, lr=k) for k in range(3)],
    "equal": [trial(k, 1.0, lr=0.1, b=k % 2) for k in range(4)],
    "huge": [trial(k, 10.0 ** (k * 30), lr=10.0**-k, b=k % 2) for k in range(10)],
    "tiny": [trial(k, 1e-300 * k, lr=1e-300, b=k % 2) for k in range(4)],
    "mixed": [trial(k, float(k), x=v, y=k % 2) for k, v in enumerate([None, True, 1, 1.5, "a", [1, 2], {"z": {"w": 1}}, {}])],
    "long names": [trial(k, float(k), **{"a" * 150 + ".p": "v" * 200 + str(k), "wide": "漢字" * 30 + str(k)}) for k in range(5)],
    "line breaks": [trial(k, float(k), **{"a\nb": f"x\n{k}\t", "c": k}) for k in range(3)],
    "waiting": [trial(k, None, S.WAITING, lr=k) for k in range(3)],
    "some without": [trial(0, 0.1, kind="a", p=1), trial(1, 0.2, kind="b"), trial(2, 0.3, kind="a", p=2)],
    "outlier": [*(trial(k, 0.5 + k / 100, lr=k) for k in range(20)), trial(20, 1e9, lr=20)],
    "10,000": many(10_000),
}  # fmt: skip


def plots(trials: list[Trial], metric: Metric) -> list[Any]:
    out = overview(trials, metric, most=8)
    names = [*varying(trials), "nowhere"]
    return [*out, by_parameter(trials, metric, names[0]), heat_map(trials, metric, names[0], names[-1])]


@pytest.mark.parametrize("mode", [Mode.MIN, Mode.MAX])
@pytest.mark.parametrize("name", STUDIES)
def test_any_study_is_drawn_in_any_terminal(name: str, mode: Mode) -> None:
    for series in plots(STUDIES[name], Metric(name="val/loss", mode=mode)):
        for width, ascii_only in ((40, False), (80, True), (200, False)):
            text = render(series, width, 8, ascii_only=ascii_only).plain
            assert max(cell_len(line) for line in text.splitlines()) <= width
            assert not ascii_only or text.isascii()


@pytest.mark.parametrize("name", STUDIES)
def test_any_study_is_drawn_as_a_picture(name: str, tmp_path: Path) -> None:
    path = save_picture(plots(STUDIES[name], ACC)[:4], tmp_path / "p.png", title=name * 40, subtitle="one\nline")
    with Image.open(path) as image:
        image.verify()
    assert [file.name for file in tmp_path.iterdir()] == ["p.png"]


def has_colour(image: Image.Image, wanted: tuple[int, int, int]) -> bool:
    """Whether some pixel is nearly of this colour: scaling down mixes thin lines with the paper."""
    colours = [colour for _, colour in image.convert("RGB").getcolors(maxcolors=1 << 20) or []]
    return any(sum(abs(a - b) for a, b in zip(colour, wanted, strict=True)) < 40 for colour in colours)


def test_a_picture_shows_the_best_and_the_failed() -> None:
    good = picture([history([trial(0, 0.1, a=1), trial(1, 0.9, a=2), trial(2, None, S.FAILED, a=3)], ACC)])
    star, cross = (240, 180, 0), (213, 94, 0)
    assert has_colour(good, star)
    assert has_colour(good, cross)
    empty = picture([history([], ACC)])
    assert not has_colour(empty, star)
    assert not has_colour(empty, cross)


def test_history_follows_the_best_and_never_ranks_what_failed() -> None:
    trials = [trial(0, 3.0), trial(1, 2.0, S.STOPPED), trial(2, math.nan), trial(3, None, S.FAILED), trial(4, 2.5)]
    series = history(trials, LOSS)
    assert [(p.x, p.y) for p in series.layer(Role.BEST_SO_FAR)] == [(0, 3.0), (1, 2.0), (4, 2.0)]
    assert [p.label for p in series.layer(Role.BEST)] == ["trial 1"]
    assert [p.x for p in series.layer(Role.FAILED)] == [2, 3]


def test_cancelled_and_running_trials_have_no_value_that_counts() -> None:
    series = history([trial(0, 0.9, S.CANCELLED), trial(1, 0.8, S.RUNNING), trial(2, 0.5)], ACC)
    assert [p.label for p in series.layer(Role.BEST)] == ["trial 2"]


def test_a_heat_map_keeps_the_best_of_each_pair() -> None:
    trials = [trial(0, 1.0, a=1, b=1), trial(1, 2.0, a=1, b=1), trial(2, 3.0, a=2, b=1)]
    assert [cell.value for cell in heat_map(trials, ACC, "a", "b").cells] == [2.0, 3.0]
    assert [cell.value for cell in heat_map(trials, LOSS, "a", "b").cells] == [1.0, 3.0]
    assert "★3" in render(heat_map(trials, ACC, "a", "b"), 60).plain


def test_few_numbers_stand_in_order_and_texts_as_they_came() -> None:
    trials = [trial(k, 1.0, lr=v, act=a) for k, (v, a) in enumerate([(0.1, "z"), (0.001, "a"), (0.01, "z")])]
    assert by_parameter(trials, ACC, "lr").x.categories == ("0.001", "0.01", "0.1")
    assert by_parameter(trials, ACC, "act").x.categories == ("z", "a")


def test_an_axis_is_logarithmic_where_that_spreads_the_values() -> None:
    rng = random.Random(1)
    assert by_parameter([trial(k, 1.0, x=10 ** rng.uniform(-5, -1)) for k in range(60)], ACC, "x").x.scale is Scale.LOG
    assert by_parameter([trial(k, 1.0, x=rng.uniform(0.0001, 1)) for k in range(60)], ACC, "x").x.scale is Scale.LINEAR


def test_outliers_are_drawn_on_the_edge_and_counted() -> None:
    text = render(history(STUDIES["outlier"], LOSS), 80).plain
    assert "▴ 1 value lies far outside" in text
    assert "0.6" in text, "the ticks tell the others apart"


def test_only_what_is_far_worse_is_cut_off() -> None:
    values = [0.5 + k / 100 for k in range(20)]
    axis = Axis(label="y")
    worse, better = fit(axis, [*values, 1e9], clip=Mode.MIN), fit(axis, [*values, 1e9], clip=Mode.MAX)
    assert (worse.high < 1.0, better.high) == (True, 1e9)
    assert (worse.side(1e9), worse.side(0.5), fit(axis, [*values, -1e9], clip=Mode.MAX).side(-1e9)) == (1, 0, -1)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_bad_cell_does_not_take_the_shades_from_the_rest(sign: int) -> None:
    values = [sign * value for value in (0.43, 0.87, 0.92, 0.93, 0.95, 0.96, 0.97)]
    found = shades(values, Mode.MAX if sign > 0 else Mode.MIN)
    assert found.clipped
    assert (found.place(sign * 0.43), found.place(sign * 0.97)) == (0.0, 1.0)
    assert found.place(sign * 0.92) < 0.6
    assert not shades([1.0, 2.0, 3.0], Mode.MIN).clipped
    assert shades([1.0, 1.0], Mode.MIN).place(1.0) == 0.5


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=20),
    st.booleans(),
    st.booleans(),
)
def test_ticks_lie_in_order_inside_the_axis(values: list[float], whole: bool, log: bool) -> None:
    if log:
        values = [abs(value) + 1e-300 for value in values]
    if max(values) - min(values) == math.inf:
        return
    extent = fit(Axis(label="x", scale=Scale.LOG if log else Scale.LINEAR, whole=whole), values)
    places = [tick.at for tick in extent.ticks]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert all(0 <= extent.place(value) <= 1 for value in values)
    assert len(places) <= 30


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (1e-7, "1e-7"), (123456, "123456"), (1.5e9, "1.5e9"), (0.96666, "0.9667"), (-2.0, "-2"),
     (math.nan, "NaN"), (math.inf, "∞"), (12345.6, "12346")],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_crowded_categories_are_spread_and_stay_in_their_place() -> None:
    trials = [trial(k, float(k), act="ab"[k % 2]) for k in range(200)]
    series = by_parameter(trials, ACC, "act")
    moved = spread(series, series.layer(Role.COMPLETED))
    assert all(abs(a.x - b.x) <= 0.3 for a, b in zip(moved, series.layer(Role.COMPLETED), strict=True))
    assert len({point.x for point in moved}) > 100
    assert spread(series, [Point(0, 1, "one")]) == [Point(0, 1, "one")]


def test_a_sparkline_rises_with_its_values_and_leaves_gaps() -> None:
    assert sparkline([1, 2, 3, math.nan, 8]) == "▁▂▃ █"
    assert sparkline([]) == ""
    assert len(sparkline(range(100), width=10)) == 10


def test_failures_that_differ_in_numbers_only_are_one_group() -> None:
    trials = [
        trial(0, 0.5),
        *(trial(k, None, S.FAILED, f"line {k}: out of range") for k in range(1, 4)),
        trial(4, None, S.FAILED, "no such file"),
    ]
    assert [(group.message, group.trials) for group in failures(trials)] == [
        ("line 1: out of range", (1, 2, 3)), ("no such file", (4,)),
    ]  # fmt: skip
    assert failures(trials[:1]) == ()


def test_short_names_are_the_shortest_tails_that_tell_apart() -> None:
    assert short_names(["training.lr", "a.head.p", "b.head.p", "p"]) == {
        "training.lr": "lr", "a.head.p": "a.head.p", "b.head.p": "b.head.p", "p": "p",
    }  # fmt: skip
