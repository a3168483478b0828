"""The notebooks run from top to bottom, hold no outputs, and say what they need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
PAGES = sorted(NOTEBOOKS.glob("*.ipynb"))


def cells(page: Path, kind: str) -> list[str]:
    document: dict[str, Any] = json.loads(page.read_text("utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


def test_there_are_notebooks() -> None:
    assert [page.stem for page in PAGES] == ["hpo", "pbt"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_notebook_holds_no_outputs(page: Path) -> None:
    document = json.loads(page.read_text("utf-8"))
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in document["cells"])


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_notebook_runs(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    code = "\n".join(cells(page, "code"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "HPOResults of" in done.stdout
