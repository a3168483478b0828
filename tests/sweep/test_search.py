"""``HyperParamSearch``: both forms of the specification, and what it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from trialist import HyperParamSearch
from trialist.config import load_yaml
from trialist.core.errors import ConfigError, TrialistError

CONFIG = """\
metric: loss
training: {learning_rate: [1e-2, 1e-3, 1e-4], batch_size: [16, 32]}
command: [python, -c, "print('loss={training.learning_rate}'); assert {training.batch_size} != 32"]
"""


@pytest.fixture
def search(place):
    return HyperParamSearch(place.write("config/mlp.yaml", CONFIG))


def test_directories_are_made_and_nothing_is_executed(search):
    run_dirs = search.run_grid_search(run_prefix="experiment")
    assert len(run_dirs) == 6
    assert all(isinstance(path, Path) and path.parent == Path("runs") for path in run_dirs)
    assert all(path.name.startswith("experiment_") for path in run_dirs)
    assert load_yaml(run_dirs[0] / "config.yaml").data["training"] == {"learning_rate": 0.01, "batch_size": 16}
    assert [path.name for path in run_dirs[0].iterdir()] == ["config.yaml"]
    assert list(search.results()["status"]) == ["waiting"] * 6
    assert list(search.results()["run"]) == [path.name for path in run_dirs]


def test_variations_are_executed_and_the_results_are_a_frame(search, capsys):
    run_dirs = search.run_grid_search({"training.learning_rate": [1e-3, 1e-4]}, run_prefix="lr", execute=True, jobs=2)
    assert len(run_dirs) == 4
    assert all((path / "result.json").is_file() for path in run_dirs)
    frame = search.results()
    assert list(frame["loss"][:2]) == [1e-4, 1e-3]
    assert list(frame["status"]) == ["completed", "completed", "failed", "failed"]
    assert list(frame["training.batch_size"]) == [16, 16, 32, 32]
    assert "Best: loss 0.0001" in capsys.readouterr().out


def test_quiet_prints_nothing(search, capsys):
    search.run_grid_search({"training.learning_rate": 1e-3, "training.batch_size": [16]}, execute=True, quiet=True)
    assert capsys.readouterr().out == ""
    assert len(search.results()) == 1


def test_the_prefix_defaults_to_run(search):
    assert search.run_grid_search()[0].name.startswith("run_")


def test_results_before_anything_was_made_say_so(search):
    with pytest.raises(ConfigError, match="call run_grid_search first"):
        search.results()


def test_a_config_that_is_not_there_is_said_at_once(place):
    with pytest.raises(ConfigError, match="no such file"):
        HyperParamSearch("missing.yaml")
    place.write("config/mlp.yaml", "x: [1, 2]\n")
    with pytest.raises(ConfigError, match=r"Did you mean 'config/mlp\.yaml'"):
        HyperParamSearch("config/mpl.yaml")


def test_an_unknown_path_makes_nothing(search, place):
    with pytest.raises(TrialistError, match=r"Did you mean 'training\.learning_rate'"):
        search.run_grid_search({"training.lr_rate": [1]})
    assert not place.runs.exists()
