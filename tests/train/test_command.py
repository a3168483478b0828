"""``python -m trialist.train``: what a sweep without a command of its own runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trialist.train.__main__ import main

GOOD = """
model: {type: sklearn, estimator: SGDClassifier, loss: log_loss}
data: {dataset: iris, standardize: true}
training: {epochs: 3, learning_rate: 0.01}
metric: val_accuracy
"""


def config(folder: Path, text: str = GOOD) -> str:
    file = folder / "config.yaml"
    file.write_text(text)
    return str(file)


def test_alone_it_prints_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", config(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["step=1", "step=2", "step=3", "done:"]
    assert "val_accuracy=" in lines[0]
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {type: sklearn, estimator: SVC}\n", "data.dataset"),
        ("model: {type: sklearn, estimator: SVCC}\ndata: {dataset: iris}\n", "Did you mean 'SVC'"),
        ("model: [1\n", "config.yaml:"),
        ("data: {dataset: iris}\n", "no 'model' section"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", config(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml" in capsys.readouterr().err


@pytest.mark.slow
def test_as_a_trial_it_leaves_metrics_and_checkpoints_and_takes_the_trials_seed(tmp_path: Path) -> None:
    runs = {}
    for seed in (1, 1, 2):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        environment = {**os.environ, "TRIALIST_TRIAL": "t", "TRIALIST_RUN_DIR": str(folder), "TRIALIST_SEED": str(seed)}
        command = [sys.executable, "-m", "trialist.train", "--config", config(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        metrics = json.loads((folder / "metrics.json").read_text())
        assert set(metrics) == {"val_loss", "val_accuracy", "score"}
        assert sorted(file.name for file in (folder / "checkpoints").iterdir()) == [f"step-00000{k}" for k in (1, 2, 3)]
        assert runs.setdefault(seed, metrics) == metrics, "the same seed gives the same metrics"
    assert runs[1] != runs[2]
