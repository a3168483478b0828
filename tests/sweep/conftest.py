"""A directory of its own for each sweep, with a store in it, and a screen that can be read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

from trialist.sweep import SweepOptions, run_sweep


class Ran(NamedTuple):
    """What a sweep answered."""

    code: int
    text: str


class Place:
    """A directory in which somebody sweeps."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "runs"

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def sweep(self, **options) -> Ran:
        out = io.StringIO()
        screen = Console(file=out, width=options.pop("width", 120), force_terminal=options.pop("terminal", False))
        return Ran(run_sweep(SweepOptions(**options), screen), out.getvalue())

    def directories(self) -> list[str]:
        return sorted(path.name for path in self.runs.iterdir() if path.is_dir()) if self.runs.is_dir() else []


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIALIST_STORE", f"sqlite:///{tmp_path / 'trials.db'}")
    return Place(tmp_path)
