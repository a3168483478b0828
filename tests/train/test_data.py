"""Data files: what is read, how it is encoded and split, and one clear sentence for each thing that can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trialist.core.errors import ConfigError
from trialist.train import data_files
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
        (b"a,label\n" + b"\xff\xfe,1\n", {}, r"is not UTF-8 text \(byte 8\): it is in another encoding"),
        ("a,label\n1,2\n".encode("utf-16"), {}, r"is not UTF-8 text \(byte 0\): it is UTF-16. Save it as UTF-8"),
        (b"\x80\x04\x95\x10", {}, "or no text at all"),
        ("1.5,2\n3,4\n", {}, r"the first line of .* holds numbers \(1\.5, 2\), so it has no line with the names"),
        (",a,label\n0,1,2\n", {}, r"column 1 of .* has no name \(row numbers"),
        ("a,label\n1,0\n", {"separator": ";"}, r'separated by commas: give data\.separator: ","'),
        ("a,b,label\n" + "".join(f"{i},,{i % 2}\n" for i in range(9)), {}, r"column 'b' of .* has no value in any row.*data.drop: \[b\]"),
        ("a,b,label\n" + "".join(f"{i},,{i % 2}\n" for i in range(9)), {"missing": "drop"}, "column 'b' of .* has no value in any row"),
        ("a,label\n" + "".join(f"{'?' if i == 4 else i},{i % 2}\n" for i in range(9)), {}, r"column 'a' of .* holds numbers, and '\?' in row 5"),
        (GOOD, {"target": ["label"]}, r"^data\.target: must be the name of a column"),
        (GOOD, {"drop": 3}, r"^data\.drop: must be a list of column names"),
        ('a,label\n1,"0\n', {}, "no readable CSV file"),
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
        ('{"a": [1], "label": 2}\n' * 5, r"holds lists or objects.*data.drop: \[a\]"),
        ('[\n{"a": 1}]', "it seems to be one JSON list, and here each line is an object"),
        ('{"a": 1, "label": 2}\n' * 3 + '{"a": "one", "label": 2}\n', r"'a' .* holds numbers, and 'one' in row 4"),
        ('{"a": 1, "label": 2}\n' * 3 + '{"label": 2}\n', r"no value \(or an infinite one\) in 'a' \(1\)"),
        ('{"a": 1, "label": 2}\n' * 3 + '{"a": 1, "label": "two"}\n', "holds 'two' in row 4, which is no number"),
        ("\n\n", "has column names and no rows"),
        ('{"a": 1, "label": "x"}\n' * 5, "holds 'x' in row 1, which is no number"),
    ],
)
def test_what_is_wrong_with_json_lines_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(section(tmp_path, text, "d.jsonl"), classify=False)


@pytest.mark.extras
@pytest.mark.parametrize(
    ("columns", "more", "classify", "message"),
    [
        ({"a": [1, 2, 3, 4]}, {}, False, "has no column 'label'"),
        ({"a": [1, 2, 3, 4], "Label": [1, 2, 3, 4]}, {}, False, "Did you mean 'Label'"),
        ({"a": pd.date_range("2026-01-01", periods=4), "label": [1, 2, 3, 4]}, {}, False, "column 'a' .* holds dates"),
        ({"a": [None] * 4, "label": [1, 2, 3, 4]}, {}, False, "column 'a' of .* has no value in any row"),
        ({"a": [[1], [2], [3], [4]], "label": [1, 2, 3, 4]}, {}, False, "column 'a' of .* holds lists or objects"),
        ({"a": [1, 2, 3, 4], "label": ["x", "x", "x", "x"]}, {}, True, "is 'x' in every row"),
        ({"a": [1, 2, 3, 4], "label": ["x", "y", "x", "y"]}, {}, False, "holds 'x' in row 1, which is no number"),
        ({"a": [1, 2], "label": [1, 2]}, {}, False, "only 2 rows are left"),
        ({"a": [], "label": []}, {}, False, "no rows"),
    ],
)
def test_what_is_wrong_with_a_parquet_file_is_said(
    tmp_path: Path, columns: dict[str, Any], more: dict[str, Any], classify: bool, message: str
) -> None:
    pd.DataFrame(columns).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(ConfigError, match=message):
        load({"path": str(tmp_path / "d.parquet"), "target": "label", **more}, classify=classify)


@pytest.mark.extras
def test_parquet_keeps_its_kinds(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"a": [1, 2, 3, 4], "c": pd.Categorical(list("xyxy")), "b": [True, False] * 2, "label": [0.5] * 4}
    )
    frame.astype({"a": "Int64"}).to_parquet(tmp_path / "d.parquet")
    table = load({"path": str(tmp_path / "d.parquet"), "target": "label"}, classify=False)
    assert table.features == ("a", "b", "c_x", "c_y")
    assert table.x[1].tolist() == [2.0, 0.0, 0.0, 1.0]
    (tmp_path / "d.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(ConfigError, match="is no readable Parquet file"):
        load({"path": str(tmp_path / "d.parquet"), "target": "label"}, classify=False)


def test_a_file_that_no_memory_holds_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_files, "memory_bytes", lambda: 3 * len(GOOD) - 1)
    with pytest.raises(
        ConfigError, match=r"^data\.path: .* GB of memory, of which this machine has .*a sample of its rows"
    ):
        load(section(tmp_path, GOOD), classify=True)
    monkeypatch.undo()
    assert data_files.memory_bytes() > 1e8


@pytest.mark.parametrize(
    ("rows", "share", "message"),
    [(30, 0.01, "0.01 of 30 rows leaves none to validate on"), (8, 0.9, "0.9 of 8 rows leaves 1 to train on")],
)
def test_too_few_rows_for_a_split_are_told(tmp_path: Path, rows: int, share: float, message: str) -> None:
    text = "a,label\n" + "".join(f"{i},{i * 0.5}\n" for i in range(rows))
    data = section(tmp_path, text, test_size=share)
    with pytest.raises(ConfigError, match=rf"^data\.test_size: {message}"):
        split(load(data, classify=False), data)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["a", "b"] * 4, ("a", "b")),
        ([True, False] * 4, ("False", "True")),
        ([0, 1, 2, 0] * 2, ("0", "1", "2")),
        ([0.5, 1.0] * 4, ()),
        (list(range(8)), ()),
    ],
)
def test_where_nobody_says_the_target_tells_what_it_is(tmp_path: Path, labels: list[Any], classes: Any) -> None:
    text = "a,label\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels))
    assert load(section(tmp_path, text), classify=None).classes == classes


def test_a_number_that_is_none_makes_no_classes_of_an_amount(tmp_path: Path) -> None:
    text = "a,label\n" + "".join(f"{i},{'?' if i == 2 else i * 0.5}\n" for i in range(9))
    with pytest.raises(ConfigError, match=r"^data\.target: holds '\?' in row 3, which is no number"):
        load(section(tmp_path, text), classify=None)


def test_a_file_that_is_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data\.path: there is no file .*looked for it at"):
        load({"path": "no/such.csv", "target": "y"}, classify=True)
    with pytest.raises(ConfigError, match=r"^data\.path: must be the path of a file, not 3"):
        load({"path": 3, "target": "y"}, classify=True)
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
