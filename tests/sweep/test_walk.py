"""What varies in a config and what does not: every rule of the specification, and what only looks like one."""

from __future__ import annotations

import pytest

from trialist.config import load_yaml_text
from trialist.core.errors import ConfigError
from trialist.sweep.walk import walk


def varying(text):
    return {found.path: found.domain for found in walk(load_yaml_text(text).marked)}


def values(text):
    return {path: domain.get("values", domain) for path, domain in varying(text).items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch_size: [16, 32, 64]", {"batch_size": [16, 32, 64]}),
        ("lr: [1e-7, 1e-3]", {"lr": [1e-7, 1e-3]}),
        ("answer: [no, yes]", {"answer": ["no", "yes"]}),
        ("answer: [true, false, null]", {"answer": [True, False, None]}),
        ("a: {b: {c: [1, 2]}}", {"a.b.c": [1, 2]}),
        # A list with one element, and a list of mappings, are structure, addressed by index.
        ("x: [5]", {}),
        ("x: [[1, 2]]", {"x.0": [1, 2]}),
        ("layers: [{p: [0.1, 0.2]}, {p: 0.5}]", {"layers.0.p": [0.1, 0.2]}),
        ("layers: [{p: 0.1}, 3]", {}),
        ("x: []", {}),
        # A list of lists varies over the inner lists.
        ("sizes: [[64, 64], [128]]", {"sizes": [[64, 64], [128]]}),
        ("sizes: [null, [128, 64]]", {"sizes": [None, [128, 64]]}),
        # !fixed keeps lists and mappings.
        ("betas: !fixed [0.9, 0.999]", {}),
        ("init: !fixed {type: uniform, low: 0, high: 1}", {}),
        ("init: !fixed {type: uniform, gain: 2}", {}),
        ("x: [!fixed [1, 2], {a: [3, 4]}]", {"x.1.a": [3, 4]}),
        # What says how to sweep does not vary.
        ("command: [python, train.py, a, b]\nx: [1, 2]", {"x": [1, 2]}),
        ("metric: val_loss\nmode: min\nx: [1, 2]", {"x": [1, 2]}),
        ("mode: [train, eval]", {"mode": ["train", "eval"]}),
        ("training: {command: [a, b], metric: [c, d]}", {"training.command": ["a", "b"], "training.metric": ["c", "d"]}),
        # A mapping with another type is a mapping.
        ("opt: {type: adam, lr: [1, 2]}", {"opt.lr": [1, 2]}),
        ("clip: {type: hard, min: 0, max: 1}", {}),
        ("type: uniform\nlow: 0\nhigh: 1", {}),
        # Keys with dots are escaped, so that a path stays a path.
        ("a.b: [1, 2]", {r"a\.b": [1, 2]}),
        # Values that stand twice are tried once.
        ("x: [1, 1, 2]", {"x": [1, 2]}),
    ],
)  # fmt: skip
def test_what_varies(text, expected):
    assert values(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{type: uniform, low: 0, high: 1}",
        "{type: uniform, min: 0, max: 1}",
        "{type: loguniform, low: 1e-5, high: 1e-2}",
        "{type: quniform, low: 0, high: 1, q: 0.25}",
        "{type: randint, low: 1, high: 4}",
        "{type: qrandint, low: 2, high: 8, q: 2}",
        "{type: lograndint, low: 1, high: 64}",
        "{type: choice, values: [a, b]}",
        "{type: choice, values: [a]}",
    ],
)
def test_every_distribution_varies(text):
    assert list(varying(f"a: {{x: {text}}}")) == ["a.x"]


def test_the_order_is_that_of_the_file():
    assert list(varying("z: [1, 2]\na: {y: [1, 2], b: [1, 2]}\nm: [1, 2]")) == ["z", "a.y", "a.b", "m"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{type: loguniforn, low: 1, high: 2}", "Did you mean 'loguniform'"),
        ("{type: log_uniform, low: 1, high: 2}", "Did you mean 'loguniform'"),
        ("{type: LogUniform, min: 1, max: 2}", "Did you mean 'loguniform'"),
        ("{type: normal, low: 0, high: 1}", "There are uniform, loguniform"),
        ("{type: categorical, values: [a, b]}", "'choice'"),
        ("{type: int, low: 0, high: 1}", "'randint'"),
        ("{type: chioce, values: [a, b]}", "Did you mean 'choice'"),
    ],
)
def test_a_misspelt_distribution_is_an_error_that_offers_the_nearest(text, message):
    with pytest.raises(ConfigError, match="is no distribution") as caught:
        varying(f"lr: {text}")
    assert message in str(caught.value)
    assert "!fixed" in str(caught.value)


def test_a_value_that_is_no_number_is_an_error():
    with pytest.raises(ConfigError, match=r"x\.1: inf is no number"):
        varying("x: [1, .inf]")


def test_an_alias_varies_at_each_of_its_places():
    assert values("base: &b {lr: [1, 2]}\nhead: *b") == {"base.lr": [1, 2], "head.lr": [1, 2]}
