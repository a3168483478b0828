"""Every command says what it does, and ``docs/cli.md`` says it too: the page is made from the help itself.

``python tests/surface/test_cli_help.py`` (``make stub``) writes the page anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trialist.cli.entry import app
from trialist.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cli.md"
GROUPS = {"db": ("upgrade",)}
"""Verbs with verbs of their own, and some of these that must be there."""


def help_of(*path: str) -> str:
    """The help of a command, as a terminal of 100 columns without colours shows it."""
    env = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "HOME": "/nowhere"}
    result = CliRunner(env={**env, "XDG_DATA_HOME": None, "TRIALIST_STORE": None}).invoke(
        app, [*path, "--help"], prog_name="trialist", terminal_width=100
    )
    assert result.exit_code == 0, (path, result.output, result.exception)
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


def inner(verb: str) -> list[str]:
    """The verbs of a verb."""
    listed = help_of(verb).partition("Commands:")[2]
    return re.findall(r"^  ([a-z-]+)  ", listed, re.MULTILINE)


def render_page() -> str:
    """``docs/cli.md``."""
    parts = [
        "# Command line",
        "Made from the commands' own help by `make stub`; a test holds the two equal. Every command that prints data takes "
        "`--json`. Exit codes are those of [errors](troubleshooting/errors.md).",
        _block("trialist", help_of()),
    ]
    for verb in VERBS:
        parts += [f"## {verb}", _block(f"trialist {verb}", help_of(verb))]
        if verb in GROUPS:
            parts += [_block(f"trialist {verb} {one}", help_of(verb, one)) for one in inner(verb)]
    return "\n\n".join(parts) + "\n"


def _block(command: str, text: str) -> str:
    return f"```text\n$ {command} --help\n{text}\n```"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_says_what_it_does(verb: str) -> None:
    text = help_of(verb)
    assert f"trialist {verb}" in text
    assert VERBS[verb].summary in " ".join(text.split())
    # Every option has a sentence: a line that holds an option and nothing else is followed by an indented one.
    lines = text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if re.fullmatch(r"  (-\w, )?--[\w-]+( [A-Z]\S*| <\S+>| \[[^\]]*\])?", line):
            assert after.startswith("      "), f"{verb}: {line.strip()} is not explained"


@pytest.mark.parametrize(("group", "expected"), GROUPS.items())
def test_groups_list_their_commands(group: str, expected: tuple[str, ...]) -> None:
    assert set(expected) <= set(inner(group))


def test_the_page_says_what_the_commands_say() -> None:
    assert PAGE.read_text("utf-8") == render_page(), "run `make stub`"


if __name__ == "__main__":
    os.chdir(ROOT)
    PAGE.write_text(render_page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}: {len(VERBS)} commands")
