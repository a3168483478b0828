"""The YAML loader: what is read, what is refused and how, and what is written back."""

import io
import json
import math
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trialist.config import (
    Document,
    FixedValue,
    dump_yaml,
    iter_paths,
    load_yaml,
    load_yaml_text,
    parse_value,
    parse_values,
    set_path,
)
from trialist.core.errors import ConfigError, TrialistError

slow = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None, max_examples=200
)


def exact(data):
    """Data as a text that tells 1, 1.0 and true apart."""
    return json.dumps(data, sort_keys=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-7", 1e-7), ("1e-3", 1e-3), ("1E5", 1e5), ("1.", 1.0), (".5", 0.5), ("-2", -2), ("+3", 3), ("010", 10),
        ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"), ("no", "no"), ("yes", "yes"), ("on", "on"), ("y", "y"),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None), ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"), ("'1'", "1"), ('"a\\tb"', "a\tb"), ("!!str 3", "3"), ("!!float 3", 3.0), ("! 3", "3"),
        (".inf", math.inf), ("-.INF", -math.inf), ("=", "="), ("a#b", "a#b"), ("http://x/y", "http://x/y"),
        ("[1, no, {a: 1e-3}]", [1, "no", {"a": 1e-3}]), ("1e", "1e"), ("-", [None]), ("--", "--"), ("+", "+"), (".", "."),
    ],
)  # fmt: skip
def test_values_mean_what_yaml_1_2_says(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_nan_is_read():
    assert math.isnan(parse_value(".nan"))


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: 1\nb: 2\na: 3", 3, "the key 'a' stands twice: first on line 1."),
        ("a:\n  x: 1\n  x: 2", 3, "the key 'x' stands twice: first on line 2."),
        ("a: {x: 1, x: 2}", 1, "the key 'x' stands twice"),
        ("a:\n\tb: 1", 2, "a tab indents this line, and YAML takes spaces only."),
        ("", 1, "it is empty: a config is a mapping of names to values."),
        ("# only a comment\n", 1, "it is empty"),
        ("---\n...\n", 1, "it is empty"),
        ("- 1\n- 2", 1, "it is a list: a config is a mapping of names to values."),
        ("just text", 1, "it is a single value"),
        ("!fixed {a: 1}", 1, "it is a mapping marked !fixed"),
        ("a: 1\nb: !!python/object/apply:os.system [x]", 2, "the tag '!!python/object/apply:os.system' is not taken"),
        ("a: !mine 3", 1, "the tag '!mine' is not taken: a config holds plain data"),
        ("a: !!binary aGk=", 1, "the tag '!!binary' is not taken"),
        ("a: !!int x", 1, "'x' is no !!int."),
        ("a: 1\n2: b", 2, 'the key 2 is not text: write it in quotes, "2".'),
        ("a:\n  null: b", 2, 'the key null is not text: write it in quotes, "null".'),
        ("true: b", 1, "the key true is not text"),
        ("1.5: b", 1, "the key 1.5 is not text"),
        ("? [a]\n: b", 1, "a list or a mapping cannot be a key."),
        ("!fixed a: b", 1, "'!fixed' belongs to a value, not to a key."),
        ("a: 1\nb: [1, 2", 2, "it is no YAML: while parsing a flow sequence"),
        ("a: b: c", 1, "it is no YAML: mapping values are not allowed here."),
        ("a: 1\nb: x\x00y", 2, "the character U+0000 may not stand in YAML"),
        ("a: *nope", 1, "'*nope' refers to an anchor '&nope' that is not defined above it."),
        ("a: &x [1, *x]", 1, "'*x' refers to what it is a part of."),
        ("a: 1\n---\nb: 2", 2, "a second document begins here"),
        ("a: 1e999", 1, "1e999 is too large for a float."),
        ("a: " + "9" * 5000, 1, "a number of more than 1000 digits."),
        ('a: "\\ud800"', 1, "holds half a character"),
        ("a: " + "[" * 200 + "]" * 200, 1, "it is nested more than 100 levels deep."),
        ("x: &x {a: 1}\nb:\n  <<: 3", 3, "'<<' merges mappings, and this is none."),
        ("x: &x {a: 1}\nb:\n  <<: *x\n  <<: *x", 4, "the key '<<' stands twice"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(text, line, told):
    with pytest.raises(ConfigError) as caught:
        load_yaml_text(text, "config/mlp.yaml")
    assert str(caught.value).startswith(f"config/mlp.yaml:{line}: ")
    assert told in str(caught.value)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"\xff\xfea\x00", "x.yaml:1: it is written in UTF-16: save it as UTF-8."),
        (b"a: 1\nb: \xff\xfe\xfa", "x.yaml:2: it is no UTF-8 text (byte 0xff)."),
        (b"\x7fELF\x00\x01", "x.yaml:1: the character U+007F may not stand in YAML: is this a text file?"),
        (b"a: " + b"x" * (5 << 20), "x.yaml:1: it is larger than 2 MiB, which no config is."),
    ],
)
def test_files_that_are_no_text_are_told(tmp_path, monkeypatch, raw, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        load_yaml("x.yaml")
    assert str(caught.value) == told


def test_files_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/mlp.yaml").write_text("a: 1")
    with pytest.raises(
        ConfigError, match=r"config/mpl\.yaml: there is no such file\. Did you mean 'config/mlp\.yaml'\?"
    ):
        load_yaml("config/mpl.yaml")
    with pytest.raises(ConfigError, match="config: it is a directory"):
        load_yaml("config")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml("a\0b")
    with pytest.raises(ConfigError, match="cannot be written"):
        dump_yaml({"a": 1}, "nowhere/x.yaml")


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - 1\r\n  - 2\r\n")
    document = load_yaml(tmp_path / "x.yaml")
    assert document.data == {"a": 1, "b": [1, 2]}
    assert document.dumps({"a": 3, "c": 1}) == "a: 3\r\nb:\r\n  - 1\r\n  - 2\nc: 1\r\n"


def test_aliases_cannot_expand_without_bound():
    text = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n"
    for level in range(1, 9):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    assert len(text) < 700
    with pytest.raises(ConfigError, match=r"x\.yaml:5: it holds more than 100,000 values, aliases expanded"):
        load_yaml_text(text, "x.yaml")
    merges = "b0: &b0 {" + ", ".join(f"k{i}: 1" for i in range(100)) + "}\n"
    for level in range(1, 9):
        merges += f"b{level}: &b{level} {{{', '.join(f'm{i}: *b{level - 1}' for i in range(10))}}}\n"
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        load_yaml_text(merges)
    chain = "c0: &c0 [1]\n" + "".join(f"c{n}: &c{n} [*c{n - 1}]\n" for n in range(1, 200))
    with pytest.raises(ConfigError, match="more than 100 levels deep, aliases expanded"):
        load_yaml_text(chain)


def test_aliases_and_merges_are_copies():
    data = load_yaml_text("a: &a {x: [1], y: 2}\nb: *a\nc:\n  <<: [*a, {y: 9, z: 3}]\n  x: 5\n").data
    assert data == {"a": {"x": [1], "y": 2}, "b": {"x": [1], "y": 2}, "c": {"x": 5, "y": 2, "z": 3}}
    data["a"]["x"].append(2)
    assert data["b"]["x"] == [1]


def test_fixed_marks_a_value():
    document = load_yaml_text("betas: !fixed [0.9, 0.999]\nd: !fixed {type: uniform, low: !fixed 1}\nplain: [1, 2]")
    assert document.marked == {
        "betas": FixedValue([0.9, 0.999]),
        "d": FixedValue({"type": "uniform", "low": 1}),
        "plain": [1, 2],
    }
    assert document.data == {"betas": [0.9, 0.999], "d": {"type": "uniform", "low": 1}, "plain": [1, 2]}
    assert document.dumps() == "betas: [0.9, 0.999]\nd: {type: uniform, low: 1}\nplain: [1, 2]"
    assert parse_value("!fixed [1]") == FixedValue([1])


CONFIG = """\
# what is trained
model:
  name: no          # a name, not a false
  layers:
    - {type: linear, out: 3}
    - type: dropout # here
      p: [0.1, 0.5]
training:
  # tried by hand
  learning_rate: [1e-3, 1e-4]   # two
  batch_size:
    # small first
    - 16   # fits
    - 32
  # done
  note: |
    two
    lines
last: "x"
"""


def test_one_run_of_a_sweep_keeps_every_comment():
    document = load_yaml_text(CONFIG)
    assert document.dumps() == CONFIG
    text = document.dumps(
        {
            "training.learning_rate": 1e-4,
            "training.batch_size": 16,
            "model.layers.1.p": 0.5,
            "training.note": "one",
            "seed": 7,
        }
    )
    assert (
        text
        == """\
# what is trained
model:
  name: no          # a name, not a false
  layers:
    - {type: linear, out: 3}
    - type: dropout # here
      p: 0.5
training:
  # tried by hand
  learning_rate: 0.0001   # two
  batch_size: 16
    # small first
  # done
  note: one
last: "x"
seed: 7
"""
    )


def test_small_floats_are_written_so_that_every_reader_takes_them_for_floats():
    assert load_yaml_text("lr: [1, 2]").dumps({"lr": 1e-7}) == "lr: 1.0e-07"


def test_what_an_alias_shares_changes_in_one_place_only():
    document = load_yaml_text("base: &b\n  lr: [1, 2]  # rates\n  p: 0\none: *b\ntwo:\n  <<: *b\n  p: 1\n")
    for values in ({"base.lr": 1}, {"one.lr": 1}, {"two.lr": 1}, {"base.lr": 1, "one.lr": 2, "two.lr": 3, "two.p": 4}):
        expected = document.data
        for path, value in values.items():
            expected = set_path(expected, path, value)
        text = document.dumps(values)
        assert load_yaml_text(text).data == expected
        assert "# rates" in text


def test_lines_are_known_by_path():
    document = load_yaml_text(CONFIG, "c.yaml")
    assert [document.line_of(path) for path in ("model", "model.layers.1.p", "training.batch_size.1", "last", "nope")] == [
        2, 7, 14, 19, None,
    ]  # fmt: skip
    assert document.line_of("training.nope") == 8
    assert str(document.error("is wrong.", "training.note")) == "c.yaml:16: training.note: is wrong."
    assert str(document.error("is wrong.")) == "c.yaml: is wrong."


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["no", "1e-3", "1_000", "2024-01-01", "null", "~", "a: b", "- x", "#x", "y", "", " x ", "a\nb", "\ud7ff", "<<", "=", ".inf", "0x1f", "*a", "&a", "!t", "é", "\x85", "\u2028", "\ufeff"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["<<", "1", "no", "a b"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
mappings = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["a", "b.c", "<<"]), plain_data, min_size=1, max_size=4)  # fmt: skip


def dumped(data):
    stream = io.StringIO()
    dump_yaml(data, stream)
    return stream.getvalue()


@slow
@given(mappings)
def test_what_is_written_is_read_back(data):
    assert exact(load_yaml_text(dumped(data)).data) == exact(data)


@slow
@given(plain_data)
def test_any_value_is_written_and_read_back(value):
    assert exact(parse_value(dumped(value))) == exact(value)


@pytest.mark.slow
@slow
@given(mappings, st.data())
def test_edited_text_holds_exactly_the_new_data(data, draws):
    document = load_yaml_text(dumped(data))
    paths = draws.draw(st.lists(st.sampled_from(list(iter_paths(data))), max_size=3, unique=True))
    for _ in range(2):  # the second time without proof
        values = {path: draws.draw(plain_data) for path in paths}
        values["brand new"] = 1
        expected = data
        try:
            for path, value in values.items():
                expected = set_path(expected, path, value, create=True)
        except ConfigError:
            with pytest.raises(ConfigError):
                document.dumps(values)
            continue
        assert exact(load_yaml_text(document.dumps(values)).data) == exact(expected)


snippets = st.sampled_from(
    ["a: ", "b:", "\n", "  ", "- ", "&x ", "*x", "!fixed ", "[", "]", "{", "}", ", ", "# c\n", "'", '"', "1", "x", "|\n", ">\n", "? ", ": ", "<<: ", "---\n", "%YAML 1.1\n", "\t", "!!str ", "\r\n", "\\", "@", "é"]
)  # fmt: skip


@settings(slow, max_examples=400)
@given(st.lists(snippets, max_size=25).map("".join) | st.text(max_size=20))
def test_any_text_is_a_config_or_a_clear_error(text):
    try:
        document = load_yaml_text(text, "f.yaml")
    except TrialistError as error:
        assert str(error).startswith("f.yaml")  # noqa: PT017
        return
    assert exact(load_yaml_text(document.dumps()).data) == exact(document.data)
    for path in list(iter_paths(document.data))[:4]:
        assert document.line_of(path) is not None
        changed = set_path(document.data, path, 5)
        assert exact(load_yaml_text(document.dumps({path: 5})).data) == exact(changed)


@slow
@given(st.binary(max_size=30))
def test_any_bytes_are_a_config_or_a_clear_error(tmp_path_factory, raw):
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(raw)
    try:
        assert isinstance(load_yaml(file), Document)
    except TrialistError as error:
        assert "fuzz.yaml" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-3,1e-4", [1e-3, 1e-4]),
        ("16, [1, 2], 'a,b', no", [16, [1, 2], "a,b", "no"]),
        ("{a: 1, b: 2}", [{"a": 1, "b": 2}]),
        ("relu", ["relu"]),
        ("", []),
    ],
)
def test_values_are_split_at_commas_outside_brackets_and_quotes(text, values):
    assert parse_values(text) == values


@pytest.mark.parametrize("text", ["1],[2", "[1, 2", "'a", "a,,b", "#x", "1]", "*x"])
def test_values_that_do_not_split_are_told(text):
    with pytest.raises(ConfigError, match="is no list of values"):
        parse_values(text)


@pytest.mark.parametrize("text", ["#fff", "a #b", "@x", "[1", "a: b: c", "*x", "1\n---\n2"])
def test_a_value_that_is_no_yaml_is_told(text):
    with pytest.raises(ConfigError, match="quotes"):
        parse_value(text)


def test_a_key_longer_than_yaml_likes_is_written():
    data = {"a": {"x" * 1500: [1]}, "b": 2}
    assert load_yaml_text(dumped(data)).data == data
    assert load_yaml_text(load_yaml_text("a: 1\n").dumps({("x" * 1500,): 2})).data == {"a": 1, "x" * 1500: 2}


def test_what_is_no_data_is_not_written():
    with pytest.raises(ConfigError, match=r"a\.1: type is no YAML data"):
        dump_yaml({"a": [1, object]}, io.StringIO())
    with pytest.raises(ConfigError, match=r"a: the key 1 is not text"):
        dump_yaml({"a": {1: 2}}, io.StringIO())
    with pytest.raises(ConfigError, match="half a character"):
        dump_yaml({"a": "\ud800"}, io.StringIO())
    assert dumped({"a": FixedValue([1, 2]), "b": [{"c": 1, "d": [1]}, []], "e": {}}) == (
        "a: !fixed [1, 2]\nb:\n  - c: 1\n    d: [1]\n  - []\ne: {}\n"
    )


def test_reading_the_first_line_of_help_loads_no_yaml():
    code = "import sys, trialist.config; print('ruamel.yaml' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


def test_new_paths_are_added_in_the_order_given():
    document = load_yaml_text("lr: 1\n", "c.yaml")
    assert list(load_yaml_text(document.dumps({"type": 2, "b": 3, "a": 4})).data) == ["lr", "type", "b", "a"]
    assert list(load_yaml_text(document.dumps({"a": 4, "type": 2})).data) == ["lr", "a", "type"]
