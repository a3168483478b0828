"""``make`` explains itself, and its rules hold in a folder with spaces in its name. Runs no rule: only looks at them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("help", "demo", "check", "lint", "test", "test-fast", "test-extras", "bench", "docs", "stub", "clean")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clean clone's Makefile, in a folder with spaces in its path."""
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, *arguments: str) -> str:
    # Run by `make docs`, this test must not be taken for a part of that make.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_every_target(folder: Path) -> None:
    shown = make(folder)
    assert set(re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE)) == set(TARGETS)


@pytest.mark.parametrize("target", ["demo", "lint", "test", "test-fast", "test-extras", "bench", "docs", "stub"])
def test_each_target_brings_its_own_environment_first(target: str, folder: Path) -> None:
    steps = make(folder, "--dry-run", "-j4", target)
    environment = ".venv-demo" if target == "demo" else ".venv"
    assert f"-m venv {environment}" in steps
    assert steps.index("-m venv") < steps.index("-m pip install") < len(steps)
    assert str(folder) not in steps, "paths are relative, so that spaces do no harm"


def test_the_demo_installs_no_tools_of_ours(folder: Path) -> None:
    assert "[dev]" not in make(folder, "--dry-run", "demo")
