"""Directory names: their shape, their length, their characters, and that no two are equal."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.sweep.names import RunNames, clean, prefix_problem, tails, value_text

LR, BS = "training.learning_rate", "training.batch_size"


def test_the_shape_of_the_specification():
    names = RunNames("mlp_experiment_123045", [LR, BS])
    assert names.name(0, {LR: 1e-3, BS: 32}) == "mlp_experiment_123045_learning_rate_0.001_batch_size_32"


def test_params_stand_in_the_order_given():
    names = RunNames("s_123045", [BS, LR])
    assert names.name(0, {LR: 1e-3, BS: 32}) == "s_123045_batch_size_32_learning_rate_0.001"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["training.learning_rate"], ["learning_rate"]),
        (["encoder.p", "head.p"], ["encoder.p", "head.p"]),
        (["model.classification_head.architecture.2.p"], ["p"]),
        (["a.architecture.2.p", "a.architecture.4.p"], ["2.p", "4.p"]),
        (["lr", "training.lr"], ["lr", "training.lr"]),
        (["optimizer.betas.0"], ["betas.0"]),
        (["betas.0", "betas.1"], ["betas.0", "betas.1"]),
        (["0"], ["0"]),
        (["x.y", "y"], ["x.y", "y"]),
    ],
)
def test_the_shortest_unambiguous_tail(paths, expected):
    assert list(tails(paths).values()) == expected


@given(st.lists(st.lists(st.sampled_from("abc012"), min_size=1, max_size=4).map(".".join), unique=True, max_size=8))
def test_tails_are_unique_and_ends_of_their_paths(paths):
    found = tails(paths)
    assert len(set(found.values())) == len(paths)
    assert all(path == tail or path.endswith(f".{tail}") for path, tail in found.items())


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-3, "0.001"), (1e-7, "1e-07"), (32, "32"), (True, "True"), (None, "None"), (-0.5, "-0.5"), (2.0, "2.0"),
     ("adam", "adam"), ([64, 64], "64-64"), ({"p": 0.1}, "p-0.1"), ("bert-base/uncased", "bert-base-uncased"),
     ("../../etc", "..-..-etc"), ("a b\n\tc", "a-b-c"), ("", "empty"), ("größe", "größe"), ("\x00", "empty"), ("-", "-")],
)  # fmt: skip
def test_values_as_python_writes_them_without_odd_characters(value, text):
    assert clean(value_text(value)) == text


def test_values_that_differ_only_in_odd_characters_get_names_of_their_own():
    names = RunNames("s_123045", ["x"])
    made = [names.name(number, {"x": value}) for number, value in enumerate(["a/b", "a b", "a-b", "A-B", 1, "1"])]
    assert made[0] == "s_123045_x_a-b"
    assert made[1] == "s_123045_x_a-b_trial1"
    assert len({name.casefold() for name in made}) == len(made)


def test_asking_again_gives_the_same_name_and_stored_names_are_kept():
    names = RunNames("s_123045", ["x"])
    names.take(0, "s_123045_x_1")
    assert names.name(1, {"x": 1}) == "s_123045_x_1_trial1"
    assert names.name(0, {"x": 1}) == "s_123045_x_1"
    assert names.name(1, {"x": 1}) == "s_123045_x_1_trial1"


def test_a_long_name_keeps_its_first_params_and_a_hash_takes_the_rest():
    paths = [f"section.parameter_{index}" for index in range(30)]
    names = RunNames("s_123045", paths)
    first = names.name(0, dict.fromkeys(paths, 0.125))
    second = names.name(1, {**dict.fromkeys(paths, 0.125), paths[-1]: 0.25})
    assert first.startswith("s_123045_parameter_0_0.125_parameter_1_0.125_")
    assert len(first.encode()) < 200
    assert first != second


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(json_values, min_size=1, max_size=6), st.text(min_size=1, max_size=50))
def test_any_value_under_any_key_makes_a_short_harmless_unique_name(values, key):
    names = RunNames("s_123045", [key])
    made = [names.name(number, {key: value}) for number, value in enumerate(values)]
    assert len({name.casefold() for name in made}) == len(values)
    for name in made:
        assert name.startswith("s_123045_")
        assert len(os.fsencode(name)) < 200
        assert "/" not in name
        assert all(char.isalnum() or char in "._+-" for char in name)


@pytest.mark.parametrize("prefix", ["", ".hidden", "-x", "a/b", "a b", "x\n", "p" * 101])
def test_a_prefix_that_cannot_name_a_directory_has_a_problem(prefix):
    assert prefix_problem(prefix)


@pytest.mark.parametrize("prefix", ["mlp_experiment", "run", "v1.2+rc-3", "größe"])
def test_an_ordinary_prefix_has_none(prefix):
    assert prefix_problem(prefix) is None
