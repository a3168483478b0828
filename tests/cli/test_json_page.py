"""``docs/json.md`` names exactly the keys that the documents have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trialist.api import Study

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text("utf-8")


def documented(section: str) -> list[str]:
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [key for cell in first_cells for key in re.findall(r"`(\w+)`", cell)]


def test_the_page_and_the_documents_have_the_same_keys(cli, study: Study) -> None:
    status = cli("status", "digits", "--json").json
    assert list(status) == documented("Study") + documented("Status")
    assert list(cli("list", "--json").json["studies"][0]) == documented("Study")
    assert list(cli("show", "digits", "--json").json["trial"]) == documented("Trial")
    assert set(cli("retry", "digits", "--trial", "0", "--dry-run", "--json").json) == set(documented("Command"))


@pytest.mark.parametrize(
    ("row", "args"),
    [
        ("list", ["list"]),
        ("trials", ["trials", "digits"]),
        ("show", ["show", "digits"]),
        ("events", ["events", "digits"]),
        ("budget` without changes", ["budget", "digits"]),
        ("importance", ["importance", "digits"]),
        ("report", ["report", "digits", "--out", "report"]),
        ("gc", ["gc"]),
        ("doctor", ["doctor"]),
        ("db version", ["db", "version"]),
    ],
)
def test_the_table_of_commands_names_the_top_keys(
    cli, study: Study, tmp_path, monkeypatch, row: str, args: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{row}"))
    for key in cli(*args, "--json").json:
        assert f"`{key}`" in line.split("|", 2)[2]
