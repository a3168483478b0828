"""Rotation of the event file, what a ledger's rows say, and the round trip of both."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from trialist.core.errors import ConfigError
from trialist.core.wire import event_from_json
from trialist.telemetry import EventsJsonl, Ledger, events_lines, ledger_lines, read_ledger
from trialist.telemetry.ledger import HEADER
from trialist.testing.sinks import STRANGE, story


def test_lines_read_back_as_the_events_they_were():
    told = story()
    back = [event_from_json(json.loads(line)) for line in events_lines(told.events)]
    assert repr(back) == repr(told.events)  # NaN is not equal to itself


def test_rotation_keeps_every_event_in_order(tmp_path: Path):
    told, path = story(trials=20), tmp_path / "events.jsonl"
    sink = EventsJsonl(path, max_bytes=4000, keep=1000)
    for start in range(0, len(told.events), 3):
        sink.write(told.events[start : start + 3], told.rows)
    sink.close()
    files = sorted(tmp_path.iterdir(), key=lambda file: -int(file.suffix[1:]) if file != path else 0)
    assert len(files) > 5
    assert b"".join(file.read_bytes() for file in files) == "".join(events_lines(told.events)).encode(
        errors="backslashreplace"
    )
    for file in files:
        assert file.stat().st_size <= 4000 or file.read_bytes().count(b"\n") == 1


def test_rotation_keeps_so_many_files(tmp_path: Path):
    told, path = story(trials=20), tmp_path / "events.jsonl"
    sink = EventsJsonl(path, max_bytes=4000, keep=2)
    sink.write(told.events, told.rows)
    sink.close()
    assert {file.name for file in tmp_path.iterdir()} == {"events.jsonl", "events.jsonl.1", "events.jsonl.2"}


def test_after_a_kill_between_rotating_and_writing_nothing_is_written_twice(tmp_path: Path):
    told, path = story(), tmp_path / "events.jsonl"
    sink = EventsJsonl(path)
    sink.write(told.events[:20], told.rows)
    sink.close()
    path.rename(tmp_path / "events.jsonl.1")
    again = EventsJsonl(path)
    assert again.last_seq == 20
    assert again.is_at(told.events[19])
    again.write(told.events, told.rows)
    again.close()
    assert json.loads(path.read_text().split("\n")[0])["seq"] == 21


def test_starting_over_takes_rotated_files_along(tmp_path: Path):
    told, path = story(), tmp_path / "events.jsonl"
    sink = EventsJsonl(path, max_bytes=4000)
    sink.write(told.events, told.rows)
    count = len(list(tmp_path.iterdir()))
    sink.start_over()
    sink.close()
    names = {file.name for file in tmp_path.iterdir()}
    assert {"events.jsonl", "events.jsonl.old-1", "events.jsonl.old-1.1"} <= names
    assert len(names) == count + 1
    assert EventsJsonl(path).last_seq == 0


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"keep": 0}])
def test_limits_below_one_are_refused(tmp_path: Path, limits: dict[str, int]):
    with pytest.raises(ConfigError, match="at least 1"):
        EventsJsonl(tmp_path / "x", **limits)


def test_a_ledger_says_how_each_trial_ended():
    told = story()
    text = HEADER + "".join(ledger_lines(told.events, told.rows))
    rows = read_ledger(text)
    assert len(rows) == sum(row.status.is_terminal for row in told.rows.values())
    first = rows[0]
    assert (first["number"], first["status"], first["value"], first["source"]) == ("0", "failed", "", "enqueue")
    assert first["error"] == f"exception: {STRANGE}"
    assert json.loads(first["params"])["text"] == STRANGE
    assert json.loads(first["metrics"]) == {"loss": "NaN", "gain": "Infinity"}
    cancelled = rows[1]
    assert (cancelled["status"], cancelled["seconds"], cancelled["metrics"]) == ("cancelled", "0.0", "{}")
    for row in rows:
        trial = told.rows[int(row["number"])]
        assert row["seed"] == str(trial.seed)
        assert row["value"] == ("" if trial.value is None else row["value"])


def test_other_readers_of_tables_see_the_same_rows(tmp_path: Path):
    told = story(trials=30)
    ledger = Ledger(tmp_path / "results.tsv")
    ledger.write(told.events, told.rows)
    ledger.close()
    text = (tmp_path / "results.tsv").read_text()
    frame = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
    assert list(frame["number"]) == [row["number"] for row in read_ledger(text)]
    assert list(frame["seq"]) == [row["seq"] for row in read_ledger(text)]


def test_text_that_begins_with_a_quote_swallows_no_rows():
    told = story(trials=30)
    rows = {number: replace(row, source='"mine') for number, row in told.rows.items()}
    text = HEADER + "".join(ledger_lines(told.events[30:], rows))
    frame = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
    assert len(frame) == text.count("\n") - 1 > 3
    assert {row["source"] for row in read_ledger(text)} == {'"mine'}


def test_a_ledger_with_other_columns_is_set_aside(tmp_path: Path):
    path = tmp_path / "results.tsv"
    path.write_text("commit\tmetric\nabc\t1\n")
    ledger = Ledger(path)
    ledger.close()
    assert path.read_text() == HEADER
    assert (tmp_path / "results.tsv.old-1").read_text() == "commit\tmetric\nabc\t1\n"
