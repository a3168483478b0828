"""Data for training: bundled data sets and files, as numbers, split the same way every time.

Turns whatever can be wrong with a data file into one sentence that says what and where. Knows files and numbers, and no
model; imported only once something is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trialist import registry
from trialist.core.errors import ConfigError, nearest
from trialist.train.data_files import read_frame

BUNDLED = {
    "digits": "load_digits",
    "iris": "load_iris",
    "wine": "load_wine",
    "breast_cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
}
"""Data sets that come with scikit-learn, by the name that ``data.dataset`` gives."""

NAMES = frozenset({"dataset", "path", "target", "test_size", "seed", "standardize", "drop", "missing", "separator"})
"""What the data section may hold."""

MAX_CATEGORIES = 50
"""A text column with more different values than this is no category."""

MAX_KINDS = 20
"""Whole numbers of more kinds than this are an amount, where nobody says what the target is."""

_SHOWN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Features and target as numbers."""

    x: np.ndarray
    """Rows × features, float64, finite."""
    y: np.ndarray
    """Class indices 0 … k-1 for classification, else float64."""
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()
    """Names of the classes; empty for regression."""


class Split(NamedTuple):
    """Row numbers of a table, for training and for validation."""

    train: np.ndarray
    val: np.ndarray


def load(data: Mapping[str, Any], *, classify: bool | None) -> Table:
    """The table that a data section describes.

    Args:
        data: The section.
        classify: Whether the target is a class; else it must be a number. ``None``: texts, true and false, and whole
            numbers of few kinds are classes.

    Raises:
        ConfigError: Anything that is wrong with the section or with the data.
        MissingExtra: A bundled data set is asked for and scikit-learn is not installed.
    """
    name, path = data.get("dataset"), data.get("path")
    if name and path:
        raise ConfigError("give data.dataset or data.path, not both", path="data")
    if name:
        x, y, features = _bundled(name)
    elif path:
        x, y, features = _file(data)
    else:
        raise ConfigError("give data.dataset or data.path with data.target", path="data")
    where = "data.dataset" if name else "data.target"
    if len(x) < 4:
        raise ConfigError(f"only {len(x)} rows are left to train and validate on; at least 4 are needed", path="data")
    if not (_looks_like_classes(y) if classify is None else classify):
        return Table(x=x, y=_numbers(y, where), features=features)
    values, indices = _classes(y, where)
    return Table(x=x, y=indices, features=features, classes=values)


def split(table: Table, data: Mapping[str, Any]) -> Split:
    """A fixed split by ``test_size`` (a share, 0.2 by default) and ``seed`` (0), stratified where there are classes.

    Raises:
        ConfigError: ``test_size`` is no share that leaves rows on both sides.
    """
    share = data.get("test_size", 0.2)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ConfigError(f"must be a number between 0 and 1, not {share!r}", path="data.test_size")
    order = np.random.default_rng(seed_of(data, "data.seed")).permutation(len(table.y))
    groups = [order[table.y[order] == c] for c in range(len(table.classes))] if table.classes else [order]
    # A class of one row stays in training: a model cannot be asked for what it has never seen.
    val = np.concatenate([rows[: min(round(share * len(rows)), len(rows) - 1)] for rows in groups])
    if len(val) == 0:
        val = order[:1]
    val = np.sort(val)
    return Split(train=np.setdiff1d(order, val), val=val)


def standardize(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """All features shifted and scaled to mean 0 and deviation 1, as measured on ``rows``; constant ones become 0."""
    mean, deviation = x[rows].mean(axis=0), x[rows].std(axis=0)
    scaled: np.ndarray = (x - mean) / np.where(deviation > 0, deviation, 1.0)
    return scaled


def seed_of(section: Mapping[str, Any], path: str) -> int:
    """The seed of a section, 0 by default.

    Raises:
        ConfigError: It is no whole number from 0.
    """
    seed = section.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"must be a whole number from 0, not {seed!r}", path=path)
    return seed


def _bundled(name: object) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    if not isinstance(name, str) or name not in BUNDLED:
        raise ConfigError(f"no bundled data set is called '{name}'.{nearest(str(name), BUNDLED)}", path="data.dataset")
    datasets = registry.optional("sklearn.datasets", f"the data set '{name}'")
    bunch = getattr(datasets, BUNDLED[name])()
    return np.asarray(bunch.data, dtype=np.float64), np.asarray(bunch.target), tuple(map(str, bunch.feature_names))


def _file(data: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    file = Path(str(data["path"])).expanduser()
    frame = read_frame(file, data.get("separator"))
    target = data.get("target")
    if not target:
        raise ConfigError(
            f"say which column of {file} is to be predicted. It has: {_listed(frame.columns)}", path="data.target"
        )
    if target not in frame.columns:
        known = [str(column) for column in frame.columns]
        hint = nearest(str(target), known) or f" It has: {_listed(known)}."
        raise ConfigError(f"{file} has no column '{target}'.{hint}", path="data.target")
    frame = frame.drop(columns=_to_drop(data, frame, file))
    if len(frame.columns) < 2:
        raise ConfigError(f"{file} has no column beside the target '{target}' to learn from", path="data.path")
    frame = _complete(frame, data.get("missing", "error"), file)
    inputs = _encoded(frame.drop(columns=[target]), file)
    return inputs.to_numpy(dtype=np.float64), frame[target].to_numpy(), tuple(map(str, inputs.columns))


def _to_drop(data: Mapping[str, Any], frame: pd.DataFrame, file: Path) -> list[str]:
    drop = data.get("drop") or []
    drop = [drop] if isinstance(drop, str) else list(drop)
    for column in drop:
        if column not in frame.columns:
            raise ConfigError(
                f"{file} has no column '{column}'.{nearest(str(column), map(str, frame))}", path="data.drop"
            )
        if column == data.get("target"):
            raise ConfigError(f"'{column}' is the target; it cannot be dropped", path="data.drop")
    return drop


def _complete(frame: pd.DataFrame, missing: object, file: Path) -> pd.DataFrame:
    """The frame without a missing or infinite value."""
    if missing not in ("error", "drop"):
        raise ConfigError(f"must be 'error' or 'drop', not {missing!r}", path="data.missing")
    numbers = frame.select_dtypes("number")
    frame = frame.assign(**{str(c): numbers[c].where(np.isfinite(numbers[c])) for c in numbers})
    gaps = frame.isna().sum()
    gaps = gaps[gaps > 0]
    if gaps.empty:
        return frame
    if missing == "drop":
        return frame.dropna()
    rows = int(frame.isna().any(axis=1).sum())
    first = int(np.flatnonzero(frame.isna().any(axis=1).to_numpy())[0]) + 1
    columns = _listed([f"'{column}' ({count})" for column, count in gaps.items()])
    raise ConfigError(
        f"{rows} of {len(frame)} rows of {file} have no value (or an infinite one) in {columns}; the first is row {first}. "
        "Fill them in, or leave those rows out with data.missing: drop",
        path="data.path",
    )


def _encoded(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Numbers as they are, true and false as 1 and 0, texts with few different values as one column a value."""
    texts: list[str] = []
    for column in frame.columns:
        kind = frame[column].dtype
        if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
            continue
        if frame[column].map(lambda cell: isinstance(cell, list | dict)).any():
            raise ConfigError(
                f"column '{column}' of {file} holds lists or objects, which no model here can read. Leave it out with "
                f"data.drop: [{column}]",
                path="data.path",
            )
        different = frame[column].astype(str).nunique()
        if different > MAX_CATEGORIES:
            example = str(frame[column].iloc[0])[:40]
            raise ConfigError(
                f"column '{column}' of {file} is text with {different} different values (such as '{example}'), too many to "
                f"be categories. Turn it into numbers, or leave it out with data.drop: [{column}]",
                path="data.path",
            )
        texts.append(column)
    return pd.get_dummies(frame, columns=texts, dtype=float)


def _looks_like_classes(y: np.ndarray) -> bool:
    if y.dtype.kind not in "fiu":
        return True
    return bool(np.array_equal(y, np.round(y)) and len(np.unique(y)) <= min(MAX_KINDS, len(y) // 2))


def _numbers(y: np.ndarray, where: str) -> np.ndarray:
    try:
        return np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        shown = next(value for value in y if not isinstance(value, int | float))
        raise ConfigError(
            f"holds '{shown}', which is no number, and this model predicts numbers. Use a classifier, or another target",
            path=where,
        ) from None


def _classes(y: np.ndarray, where: str) -> tuple[tuple[str, ...], np.ndarray]:
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


def _listed(names: Any) -> str:
    names = [str(name) for name in names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN + 1 else ""
    return ", ".join(names[: _SHOWN if more else None]) + more
