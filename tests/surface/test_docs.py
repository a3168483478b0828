"""Guards the prose: links lead somewhere, Python blocks run, YAML blocks are configs, commands and options exist.

A Python block runs unless its fence says ``python fragment``; the blocks of one file run in order, in one process, in an
empty directory with a store of its own.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from trialist.cli.entry import app
from trialist.config.yaml import load_yaml_text
from trialist.core import errors

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


class Block(NamedTuple):
    page: Path
    info: str
    body: str


def blocks(page: Path) -> list[Block]:
    return [Block(page, found["info"].strip(), found["body"]) for found in FENCE.finditer(page.read_text("utf-8"))]


def name(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", found["text"].lower()).replace(" ", "-") for found in HEADING.finditer(text)}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text("utf-8"))
    for found in LINK.finditer(text):
        target, _, anchor = found["target"].partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name} links to {target}, which is not there"
        assert there.resolve().is_relative_to(ROOT), f"{page.name} links out of the repository"
        assert not anchor or anchor in anchors(there), f"{page.name} links to #{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.info == "python" for b in blocks(page))], ids=name)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    code = "\n".join(block.body for block in blocks(page) if block.info == "python")
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    environment = {**os.environ, "TRIALIST_STORE": str(tmp_path / "store.db"), "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", str(script)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_yaml_blocks_are_configs(page: Path) -> None:
    for block in blocks(page):
        if block.info == "yaml":
            assert load_yaml_text(block.body, page.name).data


def commands() -> list[tuple[str, str]]:
    """Each ``trialist …`` line of the pages, in code blocks and in prose."""
    out: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        lines = [
            line for block in blocks(page) if block.info in ("bash", "console") for line in block.body.splitlines()
        ]
        lines += re.findall(r"`(trialist [^`\n]+)`", FENCE.sub("", text))
        out += [(name(page), line.split("#")[0].strip()) for line in lines if line.startswith("trialist ")]
    return out


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_and_options_exist(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    words = words[: words.index("--")] if "--" in words else words
    verb = next((word for word in words if not word.startswith("-")), None)
    path = [] if verb is None else ["db", words[1]] if verb == "db" and len(words) > 1 else [verb]
    told = help_of(*path)
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in told, f"{page}: {line}: no option {option}"


@cache
def help_of(*path: str) -> str:
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [*path, "--help"], terminal_width=200)
    assert result.exit_code == 0, (path, result.output)
    return result.output


def test_the_page_on_errors_tells_the_truth_about_each() -> None:
    page = (ROOT / "docs" / "troubleshooting" / "errors.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    told = {row[0]: (int(row[1]), int(row[2])) for row in rows}
    classes = {
        key: (value.exit_code, value.http_status)
        for key, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.TrialistError) and value is not errors.TrialistError
    }
    assert told == classes


def test_pages_name_no_path_of_a_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(home|root|work)/\w", page.read_text("utf-8")), page.name
