"""How things are printed: numbers, spans, tables that fit, and text that cannot harm a terminal."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console
from rich.text import Text

from trialist.cli import output
from trialist.cli.output import Column, clean, duration, number, params_text, print_table, size, value_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (math.nan, "–"), (0, "0 s"), (0.0042, "0.0042 s"), (0.42, "0.4 s"), (9.96, "10.0 s"), (12, "12 s"),
        (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3600, "1 h"), (90000 * 3, "3 d 3 h"), (-1, "0 s"),
    ],
)  # fmt: skip
def test_spans(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (3, "3"), (123456789, "123456789"), (0.1 + 0.2, "0.3"), (1e-7, "1e-07"), (math.nan, "nan"), (-math.inf, "-inf")],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3072.0 GiB")]
)  # fmt: skip
def test_sizes(num_bytes: int, text: str) -> None:
    assert size(num_bytes) == text


def test_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.time, "time", lambda: 1_000_000.0)
    ages = {0: "just now", 30: "30 s ago", 90: "1 min ago", 7200: "2 h ago", 200_000: "2 d ago", -50: "just now"}
    assert {past: output.age(1_000_000.0 - past) for past in ages} == ages


def test_control_characters_become_visible() -> None:
    assert clean("a\x1b[31mred\x1b[0m\x07\x9b1m\x7f") == "a\\x1b[31mred\\x1b[0m\\x07\\x9b1m\\x7f"
    assert clean(" two\n lines\t") == "two lines"
    assert clean("two\n\tlines\r", lines=True) == "two\n\tlines\\x0d"


def test_values_and_params() -> None:
    assert [value_text(v) for v in (True, None, 3, 0.001, "x y", [1, {"a": math.inf}])] == [
        "true", "null", "3", "0.001", "x y", '[1, {"a": "Infinity"}]',
    ]  # fmt: skip
    assert value_text("x" * 50, 10) == "x" * 9 + "…"
    assert params_text({"a": 1, "b": {"c": "d", "e": {}}}) == "a=1  b.c=d  b.e={}"


def rendered(width: int, columns: list[Column], rows: list[list[str | Text]]) -> list[str]:
    file = io.StringIO()
    print_table(Console(file=file, width=width, force_terminal=True, color_system=None), columns, rows)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_table_that_is_too_wide_cuts_only_what_gives_way() -> None:
    columns = [Column("N", right=True), Column("ERROR", gives_way=True)]
    lines = rendered(20, columns, [["123456789", "a very long message"], ["1", "short"]])
    assert lines == ["        N  ERROR", "123456789  a very l…", "        1  short"]
    assert rendered(80, columns, [["1", "a very long message"]])[1] == "1  a very long message"


def test_wide_characters_and_markup_stay_in_their_columns() -> None:
    lines = rendered(40, [Column("NAME"), Column("X")], [["学習", "1"], ["[b]x[/b]", "2"]])
    assert lines == ["NAME      X", "学習      1", "[b]x[/b]  2"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_status_fits_every_terminal(width: int, study) -> None:
    from trialist.cli.summary import print_summary

    file = io.StringIO()
    print_summary(Console(file=file, width=width, force_terminal=True, color_system=None), study, study.row, None)
    assert max(map(len, file.getvalue().splitlines())) <= width
