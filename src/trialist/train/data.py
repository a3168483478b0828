"""Data for training: bundled data sets and files, as numbers, split the same way every time.

Turns whatever can be wrong with a data file into one sentence that says what and where. Knows files and numbers, and no
model; imported only once something is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from trialist import registry
from trialist.core.errors import ConfigError, nearest
from trialist.train.columns import classes_of, complete, encoded, looks_like_classes, numbers, target_of, without
from trialist.train.data_files import file_of, read_frame

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


class Labelled(Protocol):
    """Rows that each have a target."""

    @property
    def y(self) -> np.ndarray: ...

    @property
    def classes(self) -> tuple[str, ...]: ...


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
    if not (looks_like_classes(y) if classify is None else classify):
        return Table(x=x, y=numbers(y, where), features=features)
    values, indices = classes_of(y, where)
    return Table(x=x, y=indices, features=features, classes=values)


def split(table: Labelled, data: Mapping[str, Any]) -> Split:
    """A fixed split by ``test_size`` (a share, 0.2 by default) and ``seed`` (0), stratified where there are classes.

    Raises:
        ConfigError: ``test_size`` is no share that leaves rows on both sides.
    """
    share = data.get("test_size", 0.2)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ConfigError(f"must be a number between 0 and 1, not {share!r}", path="data.test_size")
    rows = len(table.y)
    if not 1 <= round(share * rows) <= rows - 2:
        side = "to validate on" if share < 0.5 else "to train on, which is too few"
        left = "none" if share < 0.5 else str(rows - round(share * rows))
        raise ConfigError(f"{share} of {rows} rows leaves {left} {side}", path="data.test_size")
    order = np.random.default_rng(seed_of(data, "data.seed")).permutation(rows)
    groups = [order[table.y[order] == c] for c in range(len(table.classes))] if table.classes else [order]
    # A class of one row stays in training: a model cannot be asked for what it has never seen.
    val = np.concatenate([rows[: min(round(share * len(rows)), len(rows) - 1)] for rows in groups])
    if len(val) == 0:
        val = order[: round(share * len(order))]  # classes of a row or two each: a share of all of them instead
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
    file = file_of(data)
    frame = read_frame(file, data.get("separator"))
    target = target_of(data, frame, file)
    frame = without(data.get("drop"), target, frame, file)
    if len(frame.columns) < 2:
        raise ConfigError(f"{file} has no column beside the target '{target}' to learn from", path="data.path")
    frame = complete(frame, data.get("missing"), file)
    inputs = encoded(frame.drop(columns=[target]), file)
    return inputs.to_numpy(dtype=np.float64), frame[target].to_numpy(), tuple(map(str, inputs.columns))
