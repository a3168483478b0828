"""The table of verbs tells the truth about the verbs, and loads none of them before it is called."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from trialist import registry
from trialist.api import Study
from trialist.cli.verbs import VERBS, load

HEAVY = ("numpy", "sqlalchemy", "pandas", "ruamel", "scipy", "alembic", "rich", "pydantic")


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_the_summary_is_the_docstrings_first_line(verb) -> None:
    target = registry.resolve(verb.target, what=verb.name)
    text = target.info.help if isinstance(target, typer.Typer) else inspect.getdoc(target)
    assert text.splitlines()[0] == verb.summary


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_every_verb_takes_a_store_and_those_that_print_data_json(verb) -> None:
    command = load(verb)
    for one in getattr(command, "commands", {"": command}).values():
        options = {option for param in one.params for option in param.opts}
        assert "--store" in options
        assert "--json" in options or verb.name == "export"


@pytest.mark.parametrize("args", [["--help"], ["-h"], [], ["--version"]])
def test_help_loads_no_verb_and_nothing_heavy(args: list[str]) -> None:
    probe = (
        f"import sys\nsys.argv = ['trialist', *{args!r}]\nfrom trialist.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert not {name for name in loaded if name.partition(".")[0] in HEAVY}
    assert not {verb.target.partition(":")[0] for verb in VERBS.values()} & loaded


def complete(words: str, count: int, store: Path) -> list[str]:
    environment = {
        **os.environ,
        "_TRIALIST_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(count),
        "TRIALIST_STORE": str(store),
    }
    done = subprocess.run(
        [sys.executable, "-m", "trialist"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_a_shell_completes_verbs_options_and_names(study: Study, tmp_path: Path) -> None:
    store = tmp_path / "trials.db"
    assert complete("trialist st", 1, store) == ["status", "stop"]
    assert complete("trialist db ", 2, store) == ["version", "upgrade"]
    assert complete("trialist sweep --se", 2, store) == ["--search", "--seed"]
    assert complete("trialist status ", 2, store) == ["digits"]
    assert complete("trialist status x", 2, store) == []


def test_completion_makes_no_store(tmp_path: Path) -> None:
    store = tmp_path / "none" / "trials.db"
    assert complete("trialist status ", 2, store) == []
    assert not store.parent.exists()
