"""Columns of a data file as features and a target, and one sentence for each thing that can be wrong with them.

Numbers stay as they are, true and false become 1 and 0, texts with few different values one column a value. Knows frames, and
neither files nor models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trialist.core.errors import ConfigError, nearest

MAX_CATEGORIES = 50
"""A text column with more different values than this is no category."""

MAX_KINDS = 20
"""Whole numbers of more kinds than this are an amount, where nobody says what the target is."""

_SHOWN = 4


def target_of(data: Mapping[str, Any], frame: pd.DataFrame, file: Path) -> str:
    """The column that is to be predicted.

    Raises:
        ConfigError: None is named, or the file has no such column.
    """
    return column_of(data, "target", frame, file) or _none_named(frame, file)


def column_of(data: Mapping[str, Any], name: str, frame: pd.DataFrame, file: Path) -> str | None:
    """The column that ``data.<name>`` names; ``None``: it names none.

    Raises:
        ConfigError: The file has no such column; the nearest is offered.
    """
    column = data.get(name)
    if column is None or column == "":
        return None
    if not isinstance(column, str | int):
        raise ConfigError(f"must be the name of a column, not {column!r}", path=f"data.{name}")
    if column not in frame.columns:
        known = [str(one) for one in frame.columns]
        hint = nearest(str(column), known) or f" It has: {listed(known)}."
        raise ConfigError(f"{file} has no column '{column}'.{hint}", path=f"data.{name}")
    return str(column)


def _none_named(frame: pd.DataFrame, file: Path) -> str:
    raise ConfigError(
        f"say which column of {file} is to be predicted. It has: {listed(frame.columns)}", path="data.target"
    )


def without(drop: object, target: str, frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The frame without the columns that are to be left out.

    Raises:
        ConfigError: There is no such column, or it is the target.
    """
    names = [drop] if isinstance(drop, str) else [] if drop is None else drop
    if not isinstance(names, list | tuple):
        raise ConfigError(f"must be a list of column names, not {drop!r}", path="data.drop")
    for column in map(str, names):
        if column not in frame.columns:
            raise ConfigError(f"{file} has no column '{column}'.{nearest(column, map(str, frame))}", path="data.drop")
        if column == target:
            raise ConfigError(f"'{column}' is the target; it cannot be dropped", path="data.drop")
    return frame.drop(columns=list(map(str, names)))


def complete(frame: pd.DataFrame, missing: object, file: Path) -> pd.DataFrame:
    """The frame without a missing or infinite value.

    Args:
        frame: Features and target.
        missing: ``error`` (or ``None``), or ``drop``: leave out rows that have one.
        file: For messages.

    Raises:
        ConfigError: There is one, or a column has nothing else.
    """
    missing = "error" if missing is None else missing
    if missing not in ("error", "drop"):
        raise ConfigError(f"must be 'error' or 'drop', not {missing!r}", path="data.missing")
    numbers = frame.select_dtypes("number")
    frame = frame.assign(**{str(c): numbers[c].where(np.isfinite(numbers[c])) for c in numbers})
    gaps = frame.isna().sum()
    gaps = gaps[gaps > 0]
    if gaps.empty:
        return frame
    for column in gaps.index[gaps == len(frame)]:
        raise ConfigError(
            f"column '{column}' of {file} has no value in any row. Leave it out with data.drop: [{column}]",
            path="data.path",
        )
    if missing == "drop":
        return frame.dropna()
    rows = int(frame.isna().any(axis=1).sum())
    first = int(np.flatnonzero(frame.isna().any(axis=1).to_numpy())[0]) + 1
    columns = listed([f"'{column}' ({count})" for column, count in gaps.items()])
    raise ConfigError(
        f"{rows} of {len(frame)} rows of {file} have no value (or an infinite one) in {columns}; the first is row {first}. "
        "Fill them in, or leave those rows out with data.missing: drop",
        path="data.path",
    )


def encoded(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Features as numbers: texts with few different values become one column a value, in alphabetical order.

    Raises:
        ConfigError: A column is neither numbers nor categories; names it and what to do.
    """
    texts: list[str] = []
    for column in frame.columns:
        kind = frame[column].dtype
        if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
            continue
        problem = _not_categories(frame[column])
        if problem:
            raise ConfigError(
                f"column '{column}' of {file} {problem}, or leave it out with data.drop: [{column}]", path="data.path"
            )
        texts.append(column)
    return pd.get_dummies(frame, columns=texts, dtype=float)


def _not_categories(cells: pd.Series[Any]) -> str:
    """Why a column of no numbers cannot be categories either, and what to do; empty where it can."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype) or pd.api.types.is_timedelta64_dtype(cells.dtype):
        return "holds dates, which no model here can read. Turn them into numbers (such as the year and the month)"
    if cells.map(lambda cell: isinstance(cell, list | dict | np.ndarray)).any():
        return "holds lists or objects, which no model here can read. Turn them into columns"
    odd = _among_numbers(cells)
    if odd is not None:
        return (
            f"holds numbers, and '{_short(cells.iloc[odd])}' in row {odd + 1}. Correct it in the file (an empty cell means that "
            "there is no value)"
        )
    different = cells.astype(str).nunique()
    if different > MAX_CATEGORIES:
        return (
            f"is text with {different} different values (such as '{_short(cells.iloc[0])}'), too many to be categories. Turn "
            "it into numbers"
        )
    return ""


def _among_numbers(cells: pd.Series[Any]) -> int | None:
    """The first row that holds no number, where more than half of a column's do; ``None``: it is a column of texts."""
    read = pd.to_numeric(cells.astype(str), errors="coerce")
    odd = np.flatnonzero(read.isna().to_numpy())
    return int(odd[0]) if 0 < len(odd) < len(cells) / 2 else None


def looks_like_classes(y: np.ndarray) -> bool:
    """Whether a target is classes, where nobody says: texts, true and false, whole numbers of few kinds."""
    if y.dtype.kind not in "fiu":
        # A column of numbers with a slip in it is no class; what is wrong is said when it is read as numbers.
        return _among_numbers(pd.Series(y)) is None
    return bool(np.array_equal(y, np.round(y)) and len(np.unique(y)) <= min(MAX_KINDS, len(y) // 2))


def numbers(y: np.ndarray, where: str) -> np.ndarray:
    """A target as numbers.

    Raises:
        ConfigError: It holds something else; names the first.
    """
    try:
        return np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        read = pd.to_numeric(pd.Series(y).astype(str), errors="coerce")
        row = int(np.flatnonzero(read.isna().to_numpy())[0]) if read.isna().any() else 0
        raise ConfigError(
            f"holds '{_short(y[row])}' in row {row + 1}, which is no number, and this model predicts numbers. Use a "
            "classifier, or another target",
            path=where,
        ) from None


def classes_of(y: np.ndarray, where: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of a target's classes, and the index of each row's.

    Raises:
        ConfigError: It is an amount, or one class only, or nearly as many as there are rows.
    """
    if (y.dtype.kind == "f" and not np.array_equal(y, np.round(y))) or (y.dtype.kind in "fiu" and _too_many(y)):
        raise ConfigError(
            f"has {len(np.unique(y))} different numbers, so it is an amount and no class, and this model is a classifier. "
            "Use a regressor, or another target",
            path=where,
        )
    values, indices = np.unique(y if y.dtype.kind in "fiub" else y.astype(str), return_inverse=True)
    if len(values) < 2:
        raise ConfigError(f"is '{values[0]}' in every row, so there is nothing to tell apart", path=where)
    if len(values) > len(y) // 2:
        raise ConfigError(
            f"has {len(values)} different values in {len(y)} rows; a class needs several examples", path=where
        )
    return tuple(str(value) for value in values), indices.reshape(-1)


def _too_many(y: np.ndarray) -> bool:
    return len(np.unique(y)) > max(100, len(y) // 10)


def listed(names: Any) -> str:
    """Names for a message: the first few, and how many more there are."""
    names = [str(name) for name in names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN + 1 else ""
    return ", ".join(names[: _SHOWN if more else None]) + more


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
