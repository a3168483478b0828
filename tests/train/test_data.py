"""Data files: what is read, how it is encoded and split, and one clear sentence for each thing that can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trialist.core.errors import ConfigError
from trialist.train.data import load, split, standardize

GOOD = "size,colour,old,label\n" + "".join(
    f"{i},{'red' if i % 3 else 'blue'},{bool(i % 2)},{'ab'[i % 2]}\n" for i in range(20)
)


def section(folder: Path, text: str | bytes, name: str = "data.csv", **more: Any) -> dict[str, Any]:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"path": str(file), "target": "label", **more}


def test_texts_become_columns_and_labels_classes(tmp_path: Path) -> None:
    table = load(section(tmp_path, GOOD), classify=True)
    assert table.features == ("size", "old", "colour_blue", "colour_red")
    assert table.classes == ("a", "b")
    assert table.x.shape == (20, 4)
    assert table.x[1].tolist() == [1.0, 1.0, 0.0, 1.0]
    assert table.y.tolist() == [0, 1] * 10


def test_jsonl_tsv_semicolons_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    jsonl = "\n".join(f'{{"a": {i}, "label": {i * 0.5}}}' for i in range(8)) + "\n\n"
    assert load(section(tmp_path, jsonl, "d.jsonl"), classify=False).y.tolist() == [i * 0.5 for i in range(8)]
    rows = "".join(f"{i}\t{i % 2}\n" for i in range(8))
    assert load(section(tmp_path, "a\tlabel\n" + rows, "d.tsv"), classify=True).features == ("a",)
    semicolons = "\ufeffa;label\n" + rows.replace("\t", ";")
    assert load(section(tmp_path, semicolons, separator=";"), classify=True).features == ("a",)


def test_columns_and_rows_can_be_left_out(tmp_path: Path) -> None:
    text = "id,a,label\n" + "".join(f"name{i},{'' if i == 3 else i},{i % 2}\n" for i in range(70))
    table = load(section(tmp_path, text, drop=["id"], missing="drop"), classify=True)
    assert table.x.shape == (69, 1)


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("", {}, "is empty$"),
        ("a,label\n", {}, "has column names and no rows"),
        ("a,b\n1,2\n", {}, r"^data\.target: .*has no column 'label'"),
        ("a,Label\n1,2\n", {}, "Did you mean 'Label'"),
        (GOOD, {"target": None}, r"^data\.target: say which column.*size, colour, old, label"),
        (GOOD, {"drop": ["sise"]}, r"^data\.drop: .*no column 'sise'.*Did you mean 'size'"),
        (GOOD, {"drop": "label"}, r"^data\.drop: 'label' is the target"),
        ("label\n1\n2\n", {}, "no column beside the target"),
        ("a,a,label\n1,2,3\n", {}, "more than one column 'a'"),
        ("a;label\n1;2\n", {}, "separated by semicolons: give data.separator"),
        (GOOD, {"separator": "::"}, r"^data\.separator: must be one character"),
        ("a,label\n1,2\n1,2,3,4\n", {}, "no readable CSV file"),
        ("a,label\n1,0\n,1\n2,0\n,1\n", {}, r"2 of 4 rows .*'a' \(2\); the first is row 2.*data.missing: drop"),
        ("a,label\n1,0\n2,\n2,0\n3,1\n", {}, r"1 of 4 rows .*'label' \(1\)"),
        ("a,label\n1,0\ninf,1\n2,0\n3,1\n", {}, r"an infinite one\) in 'a' \(1\)"),
        ("a,label\n1,0\n,1\n2,0\n,1\n", {"missing": "drop"}, "only 2 rows are left"),
        (GOOD, {"missing": "guess"}, r"^data\.missing: must be 'error' or 'drop'"),
        ("id,label\n" + "".join(f"n{i},{i % 2}\n" for i in range(60)), {}, r"column 'id'.*60 different values.*data.drop: \[id\]"),
        ("a,label\n" + "".join(f"{i},same\n" for i in range(9)), {}, r"^data\.target: is 'same' in every row"),
        ("a,label\n" + "".join(f"{i},c{i}\n" for i in range(9)), {}, "9 different values in 9 rows"),
        ("a,label\n" + "".join(f"{i},{i + 0.5}\n" for i in range(9)), {}, "an amount and no class"),
        (b"a,label\n" + b"\xff\xfe,1\n", {}, "is not UTF-8 text"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said(
    tmp_path: Path, text: str | bytes, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(section(tmp_path, text, **more), classify=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "label": 2}\n{"a": \n', r"d\.jsonl:2 is no JSON"),
        ("[1, 2]\n", r"d\.jsonl:1 must be a JSON object"),
        ('{"a": [1], "label": 2}\n' * 5, "holds lists or objects"),
        ('{"a": 1, "label": "x"}\n' * 5, "holds 'x', which is no number"),
    ],
)
def test_what_is_wrong_with_json_lines_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(section(tmp_path, text, "d.jsonl"), classify=False)


def test_a_file_that_is_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data\.path: there is no file .*looked for it at"):
        load({"path": "no/such.csv", "target": "y"}, classify=True)
    with pytest.raises(ConfigError, match="is a directory"):
        load({"path": str(tmp_path), "target": "y"}, classify=True)
    with pytest.raises(ConfigError, match=r"must end in one of: \.csv, \.tsv, \.jsonl"):
        load(section(tmp_path, GOOD, "data.xlsx"), classify=True)


def test_the_split_is_fixed_stratified_and_whole(tmp_path: Path) -> None:
    table = load({"dataset": "iris"}, classify=True)
    first, again = split(table, {"seed": 4}), split(table, {"seed": 4})
    assert np.array_equal(first.val, again.val)
    assert not np.array_equal(first.val, split(table, {"seed": 5}).val)
    assert sorted([*first.train, *first.val]) == list(range(150))
    assert np.bincount(table.y[first.val]).tolist() == [10, 10, 10]


def test_a_class_of_one_row_stays_in_training(tmp_path: Path) -> None:
    text = "a,label\n" + "".join(f"{i},{'rare' if i == 0 else 'xy'[i % 2]}\n" for i in range(30))
    table = load(section(tmp_path, text), classify=True)
    for seed in range(5):
        assert "rare" not in [table.classes[c] for c in table.y[split(table, {"seed": seed}).val]]


def test_standardised_features_have_mean_zero_on_training_rows() -> None:
    x = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 7.0]])
    scaled = standardize(x, np.array([0, 1]))
    assert scaled[:2].tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert scaled[2].tolist() == [98.0, 2.0]
