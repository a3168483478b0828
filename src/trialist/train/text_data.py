"""Texts with labels: a file with a column of texts, or reviews that are made here, the same ones each time.

Knows files and texts, and no tokens.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trialist.core.errors import ConfigError, nearest
from trialist.train.columns import classes_of, column_of, complete, listed, target_of
from trialist.train.data_files import file_of, read_frame

NAMES = frozenset({"dataset", "missing", "path", "seed", "separator", "size", "target", "test_size", "text"})
"""What the data section of a text classifier may hold."""

DATASETS = ("reviews",)
"""Texts that ``data.dataset`` names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """Texts and the class of each."""

    texts: tuple[str, ...]
    y: np.ndarray
    """Class indices 0 … k-1."""
    classes: tuple[str, ...]


def load_texts(data: Mapping[str, Any]) -> Texts:
    """The texts that a data section describes.

    Raises:
        ConfigError: Anything that is wrong with the section or with the data.
    """
    name, path = data.get("dataset"), data.get("path")
    if name and path:
        raise ConfigError("give data.dataset or data.path, not both", path="data")
    if name:
        if name not in DATASETS:
            hint = nearest(str(name), DATASETS)
            raise ConfigError(f"no bundled texts are called '{name}'.{hint}", path="data.dataset")
        return reviews(_size(data))
    if not path:
        raise ConfigError("give data.dataset or data.path with data.text and data.target", path="data")
    if "size" in data:
        raise ConfigError("is for texts that are made; a file has as many as it has", path="data.size")
    return _of_file(data)


def _of_file(data: Mapping[str, Any]) -> Texts:
    file = file_of(data)
    frame = read_frame(file, data.get("separator"))
    target = target_of(data, frame, file)
    column = column_of(data, "text", frame, file) or _only_text(frame, target, str(file))
    if column == target:
        raise ConfigError(f"'{column}' is the target; texts must be another column", path="data.text")
    frame = complete(frame[[column, target]], data.get("missing"), file)
    odd = next((row for row, text in enumerate(frame[column]) if not isinstance(text, str)), None)
    if odd is not None:
        raise ConfigError(
            f"column '{column}' of {file} holds {frame[column].iloc[odd]!r} in row {odd + 1}, which is no text",
            path="data.text",
        )
    if len(frame) < 4:
        raise ConfigError(
            f"only {len(frame)} rows are left to train and validate on; at least 4 are needed", path="data"
        )
    classes, y = classes_of(frame[target].to_numpy(), "data.target")
    return Texts(texts=tuple(frame[column]), y=y, classes=classes)


def _only_text(frame: pd.DataFrame, target: str, file: str) -> str:
    """The one column that can only be the texts."""
    texts = [
        str(name)
        for name in frame.columns
        if name != target and not pd.api.types.is_numeric_dtype(frame[name].dtype) and not frame[name].isna().all()
    ]
    if len(texts) == 1:
        return texts[0]
    found = f"may be one of {listed(texts)}" if texts else f"is none of {listed(frame.columns)}"
    raise ConfigError(f"say which column of {file} holds the texts: it {found}", path="data.text")


def _size(data: Mapping[str, Any]) -> int:
    size = data.get("size", 800)
    if isinstance(size, bool) or not isinstance(size, int) or size < 20:
        raise ConfigError(f"must be a whole number from 20, not {size!r}", path="data.size")
    return size


# --- reviews ---------------------------------------------------------------------------------------------------------

_THINGS = ("film", "book", "meal", "hotel", "phone", "concert", "lamp", "coat", "course", "train ride")
_GOOD = ("good", "lovely", "brilliant", "warm", "clever", "delightful", "solid", "pleasant")
_BAD = ("bad", "dull", "awful", "cold", "clumsy", "tedious", "flimsy", "unpleasant")
_PLAIN = (
    "the {thing} was {word}",
    "what a {word} {thing}",
    "i found this {thing} {word}",
    "{word} from the first minute to the last , this {thing}",
    "a {word} {thing} if i ever saw one",
)
_TURNED = (
    "my sister said the {thing} was {other} , but i thought it was {word}",
    "not {other} at all : the {thing} was {word}",
    "the {thing} was not {other}",
    "nobody could call this {thing} {other}",
)
_SHARE_TURNED = 0.2
_ENDS = ("", " .", " !", " and i would tell anyone", " , as far as i can say", " , for that price")
_MISTAKEN = 0.04
"""Share of reviews with the wrong label, as people give them: nobody gets all of them right."""


def reviews(size: int) -> Texts:
    """Short reviews, ``negative`` or ``positive``; some say so by denying the opposite, so that words alone do not tell."""
    draw = random.Random(20)
    texts, labels = [], []
    for _ in range(size):
        positive = draw.random() < 0.5
        word, other = (draw.choice(_GOOD), draw.choice(_BAD)) if positive else (draw.choice(_BAD), draw.choice(_GOOD))
        shape = draw.choice(_TURNED if draw.random() < _SHARE_TURNED else _PLAIN) + draw.choice(_ENDS)
        texts.append(shape.format(thing=draw.choice(_THINGS), word=word, other=other))
        labels.append(positive != (draw.random() < _MISTAKEN))
    return Texts(texts=tuple(texts), y=np.array(labels, dtype=np.int64), classes=("negative", "positive"))
