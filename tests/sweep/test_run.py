"""Sweeps that run: directories, files, metrics, failures, exit codes, resuming."""

from __future__ import annotations

import csv
import json
import re
import sys

import pytest

import trialist
from trialist.config import load_yaml
from trialist.core.errors import ConfigError, NotFound, TrialistError, UnknownName
from trialist.core.states import StudyStatus

PRINTS = "command: [python, -c, \"print('val_loss={x}')\"]\n"


def rows(place):
    (path,) = place.runs.glob("*.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_without_execution_there_are_directories_and_configs_only(place):
    place.write(
        "c.yaml", "# kept\ntraining:\n  lr: [1e-3, 1e-4]  # a rate\n  betas: !fixed [0.9, 0.999]\n  size: [16, 32]\n"
    )
    ran = place.sweep(config="c.yaml", run_prefix="mlp_experiment", execute=False)
    assert ran.code == 0
    assert "c.yaml: 4 runs, a grid of 2 × 2" in ran.text
    assert "training.lr    0.001, 0.0001" in ran.text
    names = place.directories()
    assert len(names) == 4
    assert all(re.fullmatch(r"mlp_experiment_\d{6}_lr_0\.00(1|01)_size_(16|32)", name) for name in names)
    first = place.runs / next(name for name in names if name.endswith("lr_0.001_size_16"))
    assert [path.name for path in first.iterdir()] == ["config.yaml"]
    text = (first / "config.yaml").read_text()
    assert "# kept" in text
    assert "# a rate" in text
    assert load_yaml(first / "config.yaml").marked == {"training": {"lr": 0.001, "betas": [0.9, 0.999], "size": 16}}
    assert sorted(path.name for path in place.runs.iterdir()) == names, "no leaderboard, no claim left behind"
    assert trialist.list_studies() == []


def test_forty_five_runs(place):
    place.write(
        "c.yaml",
        "model: {classification_head: {architecture: [{type: linear}, {type: relu}, {type: dropout, p: [0, 0.1, 0.2, 0.3, 0.5]}]}}\n"
        "training: {batch_size: [16, 32, 64], learning_rate: [1e-5, 1e-6, 1e-7]}\n",
    )
    place.sweep(config="c.yaml", execute=False)
    names = place.directories()
    assert len(names) == 45
    assert any(re.fullmatch(r"run_\d{6}_p_0\.3_batch_size_64_learning_rate_1e-07", name) for name in names)
    rates = {load_yaml(place.runs / name / "config.yaml").data["training"]["learning_rate"] for name in names}
    assert rates == {1e-5, 1e-6, 1e-7}


def test_the_first_config_of_config_alphabetically(place):
    place.write("config/b.yaml", "x: [1, 2]\n")
    place.write("config/a.yml", "first: [1, 2, 3]\n")
    place.write("config/.hidden.yaml", "z: [1, 2]\n")
    place.write("config/0.txt", "z: [1, 2]\n")
    assert "config/a.yml: 3 runs" in place.sweep(plan=True).text


@pytest.mark.parametrize("with_folder", [True, False])
def test_without_any_config_it_says_where_it_looked(place, with_folder):
    if with_folder:
        (place.root / "config").mkdir()
    with pytest.raises(ConfigError, match=r"which config\? Without --config the first one of .*config"):
        place.sweep()


def test_nothing_varies_runs_once_under_date_and_time(place):
    place.write("c.yaml", "x: 1\n" + PRINTS)
    assert place.sweep(config="c.yaml").code == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d{6}", place.directories()[0])
    assert place.sweep(config="c.yaml", run_prefix="base").code == 0
    assert any(re.fullmatch(r"base_\d{6}", name) for name in place.directories())


def test_the_files_of_a_run_and_the_leaderboard(place):
    place.write("c.yaml", "x: [3, 1, 2]\nmetric: val_loss\n" + PRINTS)
    ran = place.sweep(config="c.yaml", run_prefix="lr", jobs=2)
    assert ran.code == 0, ran.text
    assert [row["x"] for row in rows(place)] == ["1", "2", "3"]
    assert [row["val_loss"] for row in rows(place)] == ["1.0", "2.0", "3.0"]
    assert {row["status"] for row in rows(place)} == {"completed"}
    run = place.runs / rows(place)[0]["run"]
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "metrics.jsonl", "result.json", "stdout.log"]
    assert (run / "stdout.log").read_text() == "val_loss=1\n"
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["metrics"], result["params"], result["exit_code"]) == (
        "completed",
        {"val_loss": 1.0},
        {"x": 1},
        0,
    )
    assert [json.loads(line)["val_loss"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [1.0]
    assert "Best: val_loss 1 with x=1" in ran.text
    assert "[3/3]" in ran.text
    assert (place.runs / f"{trialist.list_studies()[0].name}.csv").is_file()


SCRIPT = """\
import json, os, sys
sys.path[:0] = {path!r}
from trialist import report
report(step=1, a=1.0, b=1.0, c=9.0)
report(step=2, a=2.0, b=2.0)
print("a=3.0 b=3.0 d=3.0")
print(json.dumps({{"e": 5.0}}))
open(os.path.join(sys.argv[1], "metrics.json"), "w").write('{{"a": 4.0}}')
"""


def test_name_by_name_the_file_wins_over_reports_and_these_over_output(place):
    place.write("t.py", SCRIPT.format(path=sys.path))
    place.write("c.yaml", "x: [1, 2]\ncommand: [python, t.py, '{run_dir}']\n")
    ran = place.sweep(config="c.yaml", metric="a", mode="max")
    assert ran.code == 0, ran.text
    row = rows(place)[0]
    assert (row["a"], row["b"], row["c"], row["d"], row["e"]) == ("4.0", "2.0", "9.0", "3.0", "5.0")
    lines = (place.runs / row["run"] / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines][:2] == [1, 2]


def test_a_run_without_any_metric_completes_and_shows_its_exit_code(place):
    place.write("c.yaml", "x: [1, 2]\ncommand: [python, -c, pass]\nmetric: val_loss\n")
    ran = place.sweep(config="c.yaml")
    assert ran.code == 0
    assert [(row["status"], row["exit_code"]) for row in rows(place)] == [("completed", "0")] * 2
    assert "No run told 'val_loss', so none is the best." in ran.text


def test_a_failed_run_does_not_stop_the_sweep_and_is_named_with_its_last_line(place):
    place.write("c.yaml", "x: [1, 2, 3]\ncommand: [python, -c, \"print('loss={x}'); assert {x} != 2, 'no twos'\"]\n")
    ran = place.sweep(config="c.yaml", metric="loss")
    assert ran.code == 1
    assert "3 runs: 2 completed, 1 failed" in ran.text
    assert re.search(r"Failed \(1\):\n  run_\d{6}_x_2\n      exit code 1: AssertionError: no twos", ran.text)
    assert [row["status"] for row in rows(place)] == ["completed", "completed", "failed"]
    with pytest.raises(ConfigError, match=r"nothing is left to resume.*trialist retry"):
        place.sweep(resume=trialist.list_studies()[0].name)


def test_a_retry_that_succeeds_is_no_failure(place):
    place.write(
        "t.py",
        "import pathlib, sys\nseen = pathlib.Path('seen')\nif not seen.exists():\n    seen.touch()\n    sys.exit(3)\nprint('loss=1')\n",
    )
    place.write("c.yaml", "x: [1, 2]\ncommand: [python, t.py]\n")
    ran = place.sweep(config="c.yaml", metric="loss", retries=1)
    assert ran.code == 0, ran.text
    assert sorted(row["status"] for row in rows(place)) == ["completed", "completed", "failed"]
    assert len(set(place.directories())) == 3


def test_what_is_executed_after_two_dashes_wins_over_the_config(place):
    place.write("c.yaml", "x: [1, 2]\nname: a b\ncommand: [no-such-program]\n")
    ran = place.sweep(
        config="c.yaml",
        command=("python", "-c", "import sys; print(sys.argv[1:])", "{config}", "{trial}", "{name}", "{{x}}"),
    )
    assert ran.code == 0, ran.text
    said = (place.runs / place.directories()[1] / "stdout.log").read_text()
    assert said == f"['{place.runs / place.directories()[1] / 'config.yaml'}', '1', 'a b', '{{x}}']\n"


def test_the_training_engine_trains_where_there_is_no_command(place):
    place.write(
        "c.yaml",
        "model: {type: sklearn, estimator: GaussianNB, var_smoothing: [1e-9, 1e-2]}\ndata: {dataset: iris}\nmetric: val_accuracy\n",
    )
    ran = place.sweep(config="c.yaml")
    assert ran.code == 0, ran.text
    assert float(rows(place)[0]["val_accuracy"]) > 0.7


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("model: {name: b, classification_head: {architecture: []}}\nx: [1, 2]", {}, TrialistError, "data"),
        ("model: {type: [sklearn, sklaern]}\ndata: {dataset: iris}", {}, UnknownName, "sklaern"),
        ("x: [1, 2]", {"command": ("python", "missing.py")}, ConfigError, r"missing\.py"),
        ("x: [1, 2]", {"command": ("python", "-c", "{y}")}, ConfigError, r"\{y\}"),
        ("x: [1, 2]", {"command": ("no-such-program",)}, ConfigError, "no-such-program"),
        ("x: [1, 2]\n" + PRINTS, {"search": "gird"}, UnknownName, "'grid'"),
        ("x: [1, 2]\n" + PRINTS, {"metric": "loss", "scheduler": "ahsa"}, UnknownName, "'asha'"),
        ("x: [1, 2]\n" + PRINTS, {"gpus_per_run": 1000.0}, ConfigError, "gpu"),
        ("x: [1, 2]\n" + PRINTS, {"run_prefix": "a/b"}, ConfigError, "--run-prefix"),
        ("x: [1, 2]\n" + PRINTS, {"resume": "nope", "config": None}, NotFound, "nope"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_a_directory_is_made(place, text, options, error, message):
    place.write("c.yaml", text)
    with pytest.raises(error, match=message):
        place.sweep(**{"config": "c.yaml", **options})
    assert not place.runs.exists()
    assert trialist.list_studies() == []


def test_no_data_names_every_way_out(place):
    place.write(
        "c.yaml",
        "model: {name: b, classification_head: {architecture: [{type: linear, out_features: 2}]}}\nx: [1, 2]\n",
    )
    with pytest.raises(ConfigError) as caught:
        place.sweep(config="c.yaml")
    for way in ("data.dataset", "data.path", "command:", "--no-execute"):
        assert way in str(caught.value)
    assert place.sweep(config="c.yaml", execute=False).code == 0


def test_a_plan_makes_nothing_and_says_what_would_be_wrong(place):
    place.write("c.yaml", "x: [1, 2]\ncommand: [python, missing.py]\n")
    ran = place.sweep(config="c.yaml", plan=True)
    assert ran.code == 0
    assert "c.yaml: 2 runs" in ran.text
    assert "cannot be executed as it is" in ran.text
    assert not place.runs.exists()
    data = json.loads(place.sweep(config="c.yaml", plan=True, json=True).text)
    assert (data["runs"], data["params"][0]["path"]) == (2, "x")
    assert "missing.py" in data["obstacle"]


def test_random_search_without_execution_is_the_same_for_one_seed(place):
    place.write("c.yaml", "lr: {type: loguniform, low: 1e-5, high: 1e-1}\nx: [1, 2]\n")
    for prefix, seed in (("a", 1), ("b", 1), ("c", 2)):
        place.sweep(config="c.yaml", search="random", num_trials=3, seed=seed, run_prefix=prefix, execute=False)
    names = {
        prefix: {name.split("_lr_")[1] for name in place.directories() if name.startswith(prefix)} for prefix in "abc"
    }
    assert names["a"] == names["b"] != names["c"]
    assert len(names["a"]) == 3


def test_two_sweeps_within_one_second_share_nothing(place):
    place.write("c.yaml", "x: [1, 2]\n")
    for _ in range(3):
        place.sweep(config="c.yaml", run_prefix="lr", execute=False)
    assert len(place.directories()) == 6


def test_directories_that_cannot_be_made_leave_nothing_behind(place):
    place.write("c.yaml", "x: [1, 2]\n")
    place.write("runs", "a file")
    with pytest.raises(ConfigError, match="cannot write to"):
        place.sweep(config="c.yaml", execute=False)


def test_json_prints_one_document(place):
    place.write("c.yaml", "x: [2, 1]\nmetric: val_loss\n" + PRINTS)
    data = json.loads(place.sweep(config="c.yaml", json=True).text)
    assert [row["params"]["x"] for row in data["rows"]] == [1, 2]
    assert data["best"].endswith("x_1")
    assert json.loads(place.sweep(config="c.yaml", json=True, execute=False).text)["directories"]


def test_quiet_prints_the_summary_alone(place):
    place.write("c.yaml", "x: [2, 1]\nmetric: val_loss\n" + PRINTS)
    assert place.sweep(config="c.yaml", quiet=True).text.startswith("2 runs: 2 completed")


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_there_is_a_bar(place, width):
    place.write(
        "c.yaml", "x: [2, 1, 0]\nmetric: val_loss\ncommand: [python, -c, \"print('val_loss={x}'); assert {x}\"]\n"
    )
    ran = place.sweep(config="c.yaml", terminal=True, width=width)
    assert ran.code == 1
    assert "3/3" in ran.text
    assert "best val_loss 1" in ran.text
    assert "1 failed" in ran.text
    assert "failed: run_" in ran.text


def test_nothing_to_resume_is_said(place):
    with pytest.raises(ConfigError, match="was interrupted, so there is nothing to resume"):
        place.sweep(resume="")
    trialist.create_study("mine", {"x": [1, 2]})
    with pytest.raises(ConfigError, match="is no sweep"):
        place.sweep(resume="mine")


def test_failed_runs_are_tried_again_when_somebody_asks(place):
    place.write(
        "c.yaml", "x: [1, 2]\ncommand: [python, -c, \"import os; print('loss={x}'); assert os.path.exists('ok')\"]\n"
    )
    assert place.sweep(config="c.yaml", metric="loss").code == 1
    study = trialist.list_studies()[0]
    for trial in study.trials(status="failed"):
        trial.retry()
    place.write("ok", "")
    ran = place.sweep(resume="")
    assert ran.code == 0, ran.text
    assert "4 runs: 2 completed, 2 failed" in ran.text
    assert len(place.directories()) == 4


def test_more_trials_can_be_made_of_a_sweep_that_ended(place):
    place.write("c.yaml", "x: {type: uniform, low: 0, high: 1}\nmetric: val_loss\n" + PRINTS)
    assert place.sweep(config="c.yaml", num_trials=2, search="sobol").code == 0
    study = trialist.list_studies()[0]
    ran = place.sweep(resume=study.name, num_trials=4)
    assert ran.code == 0, ran.text
    assert "2 of 4 runs are done" in ran.text
    assert len(rows(place)) == 4
    assert study.status is StudyStatus.COMPLETED
