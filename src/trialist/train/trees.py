"""Training state as two files without pickle: arrays in ``<name>.npz``, everything around them in ``<name>.json``.

A tree is what libraries keep their state in: dicts (with keys of any simple kind), lists, tuples, numbers, texts, arrays and
tensors. Knows numpy, and of tensors only that they can become arrays.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from trialist.core.errors import ConfigError

_ARRAY, _PAIRS, _TUPLE = "$array", "$pairs", "$tuple"


def save_tree(folder: Path, name: str, tree: Any) -> None:
    """Write a tree as ``folder/name.npz`` and ``folder/name.json``."""
    arrays: list[np.ndarray] = []
    shape = _taken_apart(tree, arrays)
    np.savez(folder / f"{name}.npz", **{f"a{index}": array for index, array in enumerate(arrays)})  # type: ignore[arg-type]
    (folder / f"{name}.json").write_text(json.dumps(shape), encoding="utf-8")


def load_tree(folder: Path, name: str) -> Any:
    """What ``save_tree`` wrote, with arrays where tensors were.

    Raises:
        ConfigError: The files are missing, or nothing that it wrote.
    """
    try:
        shape = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            return _put_together(shape, arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"the checkpoint {folder} holds no {name} that can be read ({error}); it was written by another kind of "
            "training, or is damaged. Start without it"
        ) from error


def _taken_apart(node: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(node, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in node):
            return {key: _taken_apart(value, arrays) for key, value in node.items()}
        return {_PAIRS: [[key, _taken_apart(value, arrays)] for key, value in node.items()]}
    if isinstance(node, list):
        return [_taken_apart(value, arrays) for value in node]
    if isinstance(node, tuple):
        return {_TUPLE: [_taken_apart(value, arrays) for value in node]}
    if hasattr(node, "detach"):
        node = node.detach().cpu().numpy()
    if isinstance(node, np.ndarray):
        arrays.append(node)
        return {_ARRAY: len(arrays) - 1}
    if isinstance(node, np.generic):
        return node.item()
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(f"a checkpoint cannot hold a {type(node).__name__}")


def _put_together(shape: Any, arrays: Any) -> Any:
    if isinstance(shape, list):
        return [_put_together(value, arrays) for value in shape]
    if not isinstance(shape, dict):
        return shape
    if _ARRAY in shape:
        return arrays[f"a{shape[_ARRAY]}"]
    if _PAIRS in shape:
        return {key: _put_together(value, arrays) for key, value in shape[_PAIRS]}
    if _TUPLE in shape:
        return tuple(_put_together(value, arrays) for value in shape[_TUPLE])
    return {key: _put_together(value, arrays) for key, value in shape.items()}
