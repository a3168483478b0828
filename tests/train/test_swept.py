"""A sweep without a command trains through the engine, in the pool, and a killed one ends like a training of one piece."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trialist.train.engine import TrainingEngine

CONFIG = """
model: {type: mlp, width: [8, 24], dropout: 0.2}
data: {dataset: wine}
training: {epochs: 40, learning_rate: 0.01, schedule: cosine, seed: 3}
metric: val_accuracy
"""
SWEEP = [sys.executable, "-m", "trialist", "sweep"]


def reported(folder: Path) -> int:
    return sum(file.read_text().count("step=") for file in folder.glob("runs/swept_*/stdout.log"))


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_sweep_of_networks_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "mlp.yaml").write_text(CONFIG)
    sweep = subprocess.Popen(
        [*SWEEP, "--config", "mlp.yaml", "--run-prefix", "swept", "--quiet"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 280
    # What a trial has printed is seen in its file alone: there is nothing to wait on.
    while reported(tmp_path) < 5 and sweep.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.wait()
    assert reported(tmp_path) >= 5

    done = subprocess.run(
        [*SWEEP, "--resume", "--quiet"], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    with next(tmp_path.glob("runs/swept_*.csv")).open(newline="") as file:
        rows = {int(row["model.width"]): row for row in csv.DictReader(file)}
    engine = TrainingEngine()
    for width in (8, 24):
        expected = engine.train(
            {"type": "mlp", "width": width, "dropout": 0.2},
            {"dataset": "wine"},
            {"epochs": 40, "learning_rate": 0.01, "schedule": "cosine", "seed": 3},
        )
        assert {name: float(rows[width][name]) for name in expected} == expected
