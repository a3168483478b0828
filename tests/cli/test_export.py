"""Exports are complete, strict, safe in a spreadsheet, and replace a file in one step."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import trialist
from trialist.api import Study, exporting
from trialist.core.wire import event_to_json


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_a_trial(cli, study: Study) -> None:
    rows = read_csv(cli("export", "digits").out)
    assert [int(row["number"]) for row in rows] == list(range(12))
    for row, trial in zip(rows, study.trials(), strict=True):
        assert row["status"] == trial.status
        assert float(row["params.lr"]) == trial.params["lr"]
        assert row["value"] == ("" if trial.value is None else repr(trial.value))
        assert row["error"] == ("" if trial.error is None else f"exception: {trial.error.message}")


def test_a_spreadsheet_takes_no_text_for_a_formula(cli, url: str) -> None:
    values = ["=HYPERLINK(1)", "+1+1", "@x", "-2", "-a", "\tx", "plain"]
    study = trialist.create_study("odd", {"=name": {"type": "choice", "values": values}}, store=url, searcher="grid")
    for _ in values:
        study.tell(study.ask(), {"=metric": 1.0})
    out = cli("export", "odd").out
    rows = read_csv(out)
    assert sorted(row["params.=name"] for row in rows) == sorted(
        ["'=HYPERLINK(1)", "'+1+1", "'@x", "-2", "'-a", "'\tx", "plain"]
    )
    assert not any(cell.startswith(("=", "+", "@")) for row in csv.reader(io.StringIO(out)) for cell in row)
    study.store.close()


def test_every_format_says_the_same(cli, study: Study) -> None:
    trials = cli("trials", "digits", "--json").json["trials"]
    assert [json.loads(line) for line in cli("export", "digits", "--format", "jsonl").out.splitlines()] == trials
    document = cli("export", "digits", "--format", "json").json
    assert document["trials"] == trials
    assert document["study"]["name"] == "digits"
    events = [json.loads(line) for line in cli("export", "digits", "--format", "events").out.splitlines()]
    assert events == [event_to_json(event) for event in study.events()]
    timeline = cli("export", "digits", "--format", "timeline").json
    assert sum(record["ph"] == "X" for record in timeline) == 12
    head, *rows = cli("export", "digits", "--format", "tsv").out.splitlines()
    assert head.split("\t")[:3] == ["number", "status", "value"]
    assert len(rows) == 12


def test_the_files_name_says_the_format(cli, study: Study, tmp_path: Path) -> None:
    target = tmp_path / "trials.jsonl"
    result = cli("export", "digits", "-o", str(target))
    assert result.out == ""
    assert "wrote" in result.err
    assert target.read_text() == cli("export", "digits", "--format", "jsonl").out
    cli("export", "digits", "-o", str(tmp_path / "trials.txt"), "--format", "csv")
    assert (tmp_path / "trials.txt").read_text() == cli("export", "digits").out


def test_a_name_that_says_no_format_makes_no_file(cli, study: Study, tmp_path: Path) -> None:
    result = cli("export", "digits", "-o", str(tmp_path / "trials.parquet"))
    assert (result.code, list(tmp_path.glob("*.parquet"))) == (2, [])
    assert "add --format, one of csv, jsonl, json" in result.err
    assert cli("export", "digits", "-o", str(tmp_path / "trials")).code == 0
    assert (tmp_path / "trials").read_text() == cli("export", "digits").out


def test_a_failed_export_leaves_the_old_file(
    cli, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "trials.csv"
    target.parent.mkdir()
    target.write_text("old")

    def full(study: Study):
        yield "half"
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(exporting.FORMATS, "csv", full)
    result = cli("export", "digits", "-o", str(target))
    assert (result.code, target.read_text()) == (2, "old")
    assert "no space left on device" in result.err
    assert list(target.parent.iterdir()) == [target]


def test_a_place_that_cannot_be_written_is_named(cli, study: Study, tmp_path: Path) -> None:
    result = cli("export", "digits", "-o", str(tmp_path / "none" / "x.csv"))
    assert result.code == 2
    assert "x.csv': no such file or directory." in result.err


@pytest.mark.parametrize("form", sorted(exporting.FORMATS))
def test_exports_come_in_portions(study: Study, form: str) -> None:
    portions = list(exporting.export_text(study, form))
    assert len(portions) >= 12
    assert max(map(len, portions)) < 4096


def test_an_empty_study_exports_too(cli, url: str) -> None:
    study = trialist.create_study("empty", {"x": [1, 2]}, store=url)
    assert read_csv(cli("export", "empty").out) == []
    assert cli("export", "empty", "--format", "json").json["trials"] == []
    assert isinstance(cli("export", "empty", "--format", "timeline").json, list)
    study.store.close()
