"""The examples run, and the example configs are what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "TRIALIST_STORE": str(folder / "store.db"), "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder that has the examples and their configs."""
    for name in ("examples", "config", "hyper_main.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_the_training_script_runs_alone_and_learns(folder: Path) -> None:
    said = run(folder, "examples/digits/train.py", "--config", "examples/digits/one.yaml")
    accuracies = [float(value) for value in re.findall(r"val_accuracy=([\d.]+)", said)]
    assert len(accuracies) == 12
    assert accuracies[-1] > 0.95


@pytest.mark.parametrize("program", [("-m", "trialist", "sweep"), ("hyper_main.py",)])
def test_the_text_classifier_config_is_45_runs(program: tuple[str, ...], folder: Path) -> None:
    run(folder, *program, "--config", "config/text_classifier.yaml", "--run-prefix", "text", "--no-execute")
    directories = sorted(path.name for path in (folder / "runs").iterdir() if path.is_dir())
    assert len(directories) == 45
    assert all(
        re.fullmatch(r"text_\d{6}_p_[\d.]+_batch_size_\d+_learning_rate_(0\.003|0\.001|0\.0003)", name)
        for name in directories
    )
    one = (folder / "runs" / directories[0] / "config.yaml").read_text()
    assert "[0.9, 0.999]" in one
    assert "[16, 32, 64]" not in one


def test_the_first_config_is_the_digits(folder: Path) -> None:
    assert "12 runs" in run(folder, "-m", "trialist", "sweep", "--plan")


@pytest.mark.slow
def test_the_demo_tells_the_whole_story(folder: Path) -> None:
    said = run(folder, "examples/digits/demo.py")
    pictures = list((folder / "runs").glob("demo_*.png"))
    assert len(pictures) == 1
    assert pictures[0].read_bytes().startswith(b"\x89PNG")
    assert all(
        word in said for word in ("1. The plan", "2. The sweep", "3. The picture", "4. What next?", "★", "--resume")
    )


@pytest.mark.slow
def test_the_example_of_hpo_tells_the_whole_story_twice(folder: Path) -> None:
    pytest.importorskip("sklearn")
    said = run(folder, "examples/hpo_example.py")
    assert all(word in said for word in ("1. Random", "2. Optuna", "3. A preset", "4. Loading", "5. A report"))
    assert "<HPOResults of 'example-random': 8 trials, best 0.9" in said
    again = run(folder, "examples/hpo_example.py")
    assert "<HPOResults of 'example-random': 8 trials" in again
