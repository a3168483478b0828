"""Dotted paths: read, written, escaped, and offered."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.config import (
    format_path,
    get_path,
    has_path,
    iter_leaves,
    iter_paths,
    nearest_paths,
    parse_path,
    set_path,
)
from trialist.core.errors import ConfigError

TREE = {
    "model": {
        "classification_head": {"architecture": [{"type": "linear"}, {"type": "relu"}, {"type": "dropout", "p": 0.1}]}
    },
    "training": {"learning_rate": 1e-3, "batch_size": 16},
    "a.b": 1,
    "empty": {},
}

trees = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.text(alphabet="ab.\\1é", max_size=4), min_size=1, max_size=5))
def test_a_path_survives_its_text(keys):
    assert parse_path(format_path(keys)) == tuple(keys)


@given(trees)
def test_every_path_of_a_tree_leads_to_its_value(tree):
    for keys in iter_paths(tree):
        assert has_path(tree, format_path(keys))
        get_path(tree, keys)
    for keys, value in iter_leaves(tree):
        assert get_path(tree, keys) is value


@given(trees, st.data())
def test_setting_changes_one_place_and_nothing_that_was_given(tree, data):
    paths = list(iter_paths(tree))
    if not paths:
        return
    keys = data.draw(st.sampled_from(paths))
    before = copy.deepcopy(tree)
    changed = set_path(tree, keys, "new")
    assert tree == before
    assert get_path(changed, keys) == "new"
    others = {p: v for p, v in iter_leaves(tree) if p[: len(keys)] != keys}
    assert {p: v for p, v in iter_leaves(changed) if p[: len(keys)] != keys} == others


def test_paths_reach_through_lists_and_escaped_dots():
    assert get_path(TREE, "model.classification_head.architecture.2.p") == 0.1
    assert get_path(TREE, r"a\.b") == 1
    assert get_path(TREE, "nope", None) is None
    assert set_path({"a": [1]}, "a.1", 2, create=True) == {"a": [1, 2]}
    assert set_path({}, "a.b.c", 1, create=True) == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "training.learning_rat",
            "training.learning_rat: there is no such path: 'training' holds learning_rate, batch_size.",
        ),
        ("learning_rate", "Did you mean 'training.learning_rate'?"),
        ("p", "Did you mean 'model.classification_head.architecture.2.p'?"),
        ("model.classification_head.architecture.3.p", "is a list of 3 (0 … 2)"),
        ("model.classification_head.architecture.02.p", "is a list of 3 (0 … 2)"),
        ("training.batch_size.x", "'training.batch_size' is a value, not a mapping"),
        ("empty.x", "'empty' is empty"),
        ("zzz", "Known: a.b, empty, model, training."),
    ],
)
def test_a_missing_path_is_told_with_the_nearest(path, told):
    for attempt in (lambda: get_path(TREE, path), lambda: set_path(TREE, path, 1)):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert told in str(caught.value)


def test_nothing_can_stand_below_a_value_or_beyond_a_list():
    with pytest.raises(ConfigError, match=r"training\.batch_size\.x: 'training\.batch_size' is the value 16"):
        set_path(TREE, "training.batch_size.x", 1, create=True)
    with pytest.raises(ConfigError, match=r"'5' is no index of a list of 3: give 0 … 3"):
        set_path(TREE, "model.classification_head.architecture.5", 1, create=True)


def test_paths_that_end_alike_are_offered_first():
    assert nearest_paths({"encoder": {"p": 1}, "head": {"p": 2}, "q": 3}, "x.p") == ["encoder.p", "head.p"]
