"""One optimisation, from several processes: made in one, looked at in another, steered from a terminal, led by a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trialist import load_results, load_study

pytestmark = pytest.mark.slow

TYPES = '''
"""A model type of the user's own, in a module that other processes find."""
from trialist import TrainingEngine


@TrainingEngine.register("bowl", metric="loss", mode="min")
def bowl(model, data, training, report, checkpoint):
    for epoch in range(1, 4):
        report(step=epoch, loss=model["x"] ** 2 + 1 / epoch)
    return {"loss": model["x"] ** 2}
'''
MAIN = """
import json, sys
import bowls
from trialist import HPOptimizer

trials, resume = int(sys.argv[1]), sys.argv[2] == "resume"
hpo = HPOptimizer()
results = hpo.optimize(
    {"type": "bowl"}, {"dataset": "none"}, {}, {"x": {"type": "uniform", "low": -1.0, "high": 1.0}},
    num_trials=trials, study_name="far", resume=resume, seed=5, progress=False,
)
results.save("far.results")
print(json.dumps({"best": hpo.get_best_model_config({"type": "bowl"}), "score": results.best_score, "n": len(results)}))
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    (tmp_path / "bowls.py").write_text(TYPES)
    (tmp_path / "main.py").write_text(MAIN)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "TRIALIST_STORE": "far.db", "NO_COLOR": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_an_optimisation_is_one_study_for_everybody(run: Any, tmp_path: Path) -> None:
    first = json.loads(run("main.py", "3", "new"))
    assert first["n"] == 3
    loaded = load_results(tmp_path / "far.results")
    assert loaded.best_score == first["score"]
    assert loaded.best_configs().model == first["best"]
    assert [report.step for report in loaded.trials[0].reports] == [1, 2, 3]

    stored = load_results("far", store=str(tmp_path / "far.db"))
    assert dict(stored.best_params or {}) == dict(loaded.best_params or {})
    number = stored.best_trial.number  # type: ignore[union-attr]
    shown = json.loads(run("-m", "trialist", "show", "far", "--json"))
    assert shown["trial"]["number"] == number
    assert shown["trial"]["params"] == stored.best_params
    assert "by HPOptimizer" in run("-m", "trialist", "status", "far")

    again = json.loads(run("main.py", "5", "resume"))
    assert again["n"] == 5
    assert [dict(trial.params) for trial in load_study("far", store=str(tmp_path / "far.db")).trials()[:3]] == [
        dict(trial.params) for trial in loaded.trials
    ]


def test_a_worker_leads_it_on(run: Any, tmp_path: Path) -> None:
    run("main.py", "2", "new")
    run("-m", "trialist", "queue", "far", "--num-trials", "4")
    run("-m", "trialist", "worker", "--until-idle")
    study = load_study("far", store=str(tmp_path / "far.db"))
    assert study.status == "completed"
    assert [trial.status for trial in study.trials()] == ["completed"] * 4
    values = [trial.value for trial in study.trials()]
    assert values == [pytest.approx(trial.params["x"] ** 2) for trial in study.trials()]
