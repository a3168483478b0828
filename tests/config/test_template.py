"""The command of a run: what is replaced, what is kept, and what is refused before a directory is made."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.config.template import check_command, fill, placeholders, program
from trialist.core.errors import ConfigError

VALUES = {"config": "/r/config.yaml", "trial": 7, "training.lr": 1e-7, "model.name": "a b; rm -rf /", "flag": True}


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        ("{config}", "/r/config.yaml"),
        ("--lr={training.lr}", "--lr=1e-07"),
        ("{trial}-{trial}", "7-7"),
        ("{model.name}", "a b; rm -rf /"),
        ("{flag}", "true"),
        ("{{config}}", "{config}"),
        ("{{{trial}}}", "{7}"),
        ("}", "}"),
        ("a{", "a{"),
        ("plain", "plain"),
    ],
)
def test_each_word_is_filled_in_and_stays_one_word(word, filled):
    assert fill([word], VALUES.__getitem__) == [filled]


@given(st.lists(st.text("{}ab.", max_size=8), max_size=4))
def test_any_command_is_filled_without_an_accident(command):
    assert len(fill(command, lambda name: f"<{name}>")) == len(command)
    assert all(name not in ("{", "}") for name in placeholders(command))


def test_python_is_the_one_that_runs_trialist():
    assert program(["python", "train.py"]) == [sys.executable, "train.py"]
    assert program(["python3", "train.py"]) == ["python3", "train.py"]


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"'\{trainign\.lr\}'.*Did you mean 'training\.lr'"):
        check_command(["python", "-c", "pass", "{trainign.lr}"], ["training.lr"], tmp_path)


def test_braces_of_ones_own_are_explained(tmp_path):
    with pytest.raises(ConfigError, match=r"For the braces themselves write '\{\{x: 1\}\}'"):
        check_command(["python", "-c", "{x: 1}"], [], tmp_path)


def test_a_program_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="program 'no-such-program' is not found"):
        check_command(["no-such-program"], [], tmp_path)


def test_a_program_that_may_not_be_executed_is_told_from_one_that_is_not_there(tmp_path):
    (tmp_path / "train.sh").write_text("#!/bin/sh\n")
    with pytest.raises(ConfigError, match=r"'\./train\.sh' may not be executed: .* chmod"):
        check_command(["./train.sh"], [], tmp_path)


def test_a_line_for_a_shell_is_refused_as_no_program(tmp_path):
    with pytest.raises(ConfigError, match="list of words, not one line for a shell"):
        check_command(["python train.py --lr 1"], [], tmp_path)


def test_a_script_that_is_not_there_is_refused_and_one_that_is_passes(tmp_path):
    with pytest.raises(ConfigError, match=r"script 'train\.py' is not there"):
        check_command(["python", "train.py"], [], tmp_path)
    (tmp_path / "train.py").touch()
    check_command(["python", "train.py", "{config}", "{run_dir}", "{trial}"], [], tmp_path)


def test_a_program_beside_the_config_is_found_from_where_it_runs(tmp_path):
    script = tmp_path / "go.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    check_command(["./go.sh"], [], tmp_path)
