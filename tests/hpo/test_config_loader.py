"""Configs that stand on others and on the environment, and the presets that ship."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest

from trialist import ConfigError, ConfigLoader, HPOptimizer, SearchSpace
from trialist.hpo.config_loader import PRESETS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_config_stands_on_others_and_says_what_differs(folder: Path) -> None:
    write(folder, "base/a.yaml", "model: {type: sklearn, C: 1.0}\nlist: [1, 2]\nonly_a: 1\n")
    write(folder, "base/b.yaml", "extends: a.yaml\nmodel: {C: 2.0}\n")
    write(folder, "c.yaml", "list: [9]\n")
    path = write(folder, "own.yaml", "extends: [base/b.yaml, c.yaml]\nmodel: {penalty: l2}\n")
    assert ConfigLoader().load_config(path) == {
        "model": {"type": "sklearn", "C": 2.0, "penalty": "l2"},
        "list": [9],
        "only_a": 1,
    }


def test_variables_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIALS", "7")
    monkeypatch.setenv("PLACE", "a: b [")
    write(
        folder,
        "own.yaml",
        "n: ${TRIALS}\nname: run-${TRIALS}-x\ndefault: ${NOT_SET:-0.5}\nempty: '${NOT_SET:-}'\n"
        "text: ${PLACE}\nliteral: $${TRIALS}\ncost: 5$\nlist: ['${TRIALS}', {deep: '${TRIALS}'}]\n",
    )
    assert ConfigLoader().load_config("own.yaml") == {
        "n": 7,
        "name": "run-7-x",
        "default": 0.5,
        "empty": None,
        "text": "a: b [",
        "literal": "${TRIALS}",
        "cost": "5$",
        "list": [7, {"deep": 7}],
    }


def test_mistakes_are_named_with_file_and_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    write(folder, "unset.yaml", "a: 1\nb:\n  c: ${NOT_SET}\n")
    with pytest.raises(ConfigError, match=r"unset\.yaml:3: b\.c: the environment has no variable 'NOT_SET'"):
        ConfigLoader().load_config("unset.yaml")
    write(folder, "one.yaml", "extends: two.yaml\n")
    write(folder, "two.yaml", "extends: one.yaml\n")
    with pytest.raises(ConfigError, match=r"one\.yaml:1: extends: 'one\.yaml' stands on itself"):
        ConfigLoader().load_config("one.yaml")
    write(folder, "bad.yaml", "extends: {a: 1}\n")
    with pytest.raises(ConfigError, match="must be the path of a file, or a list of paths"):
        ConfigLoader().load_config("bad.yaml")
    with pytest.raises(ConfigError, match=r"no preset of this name. Known: hpo"):
        ConfigLoader().load_config("quick")
    with pytest.raises(ConfigError, match=r"there is no such file.*Did you mean 'unset.yaml'"):
        ConfigLoader().load_config("unsett.yaml")


def test_a_preset_is_found_by_name_and_extended_by_it(folder: Path) -> None:
    write(folder, "own.yaml", "extends: hpo\nexperiments: {quick_test: {num_trials: 3}}\n")
    own, preset = ConfigLoader().load_config("own.yaml"), ConfigLoader().load_config("hpo")
    assert own["experiments"]["quick_test"] == {**preset["experiments"]["quick_test"], "num_trials": 3}
    assert own["search_spaces"] == preset["search_spaces"]
    assert ConfigLoader().load_config(ROOT / "configs" / "base" / "hpo.yaml") == preset


def test_there_is_one_file_of_presets() -> None:
    assert (ROOT / "configs" / "base" / "hpo.yaml").read_bytes() == (PRESETS / "hpo.yaml").read_bytes()
    assert ConfigLoader.presets() == ["hpo"]


def test_the_presets_are_what_they_say() -> None:
    preset = ConfigLoader().load_config("hpo")
    assert {name: one["num_trials"] for name, one in preset["experiments"].items()} == {
        "quick_test": 5,
        "standard": 50,
        "extensive": 200,
        "production": 100,
    }
    known = set(inspect.signature(HPOptimizer.optimize).parameters)
    for experiment in preset["experiments"].values():
        assert set(experiment) <= known - {"metric", "mode", "self"}
    for space in preset["search_spaces"].values():
        assert SearchSpace.of(space).leaves
    assert os.sep not in "".join(preset["search_spaces"])
