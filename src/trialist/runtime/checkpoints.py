"""Checkpoint directories that appear whole or not at all.

Knows neither trials nor stores: it fills, flushes and names directories.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from trialist.core import faults

_TEMPORARY = ".tmp-"


class Saved(NamedTuple):
    """A checkpoint that lies complete."""

    path: Path
    num_bytes: int


def save_checkpoint(root: Path, step: int, attempt: int, write: Callable[[Path], Any]) -> Saved:
    """Let ``write`` fill a directory beside its final name, flush it to the disk, and rename it.

    A name that is taken is not replaced (a store's row may point at it): the new one gets ``-2``, ``-3`` … behind it.
    What killed attempts below ``attempt`` left half-written is removed.

    Raises:
        Exception: What ``write`` raised; nothing is left behind.
        OSError: The disk is full, or the directory cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root, attempt)
    temporary = root / f"{_TEMPORARY}{attempt}-{os.getpid()}-{os.urandom(4).hex()}"
    temporary.mkdir()
    try:
        write(temporary)
        faults.point("trial.checkpoint.written")
        num_bytes = _flush(temporary)
        faults.point("trial.checkpoint.synced")
        path = _claim(root, step, temporary)
    except BaseException:
        remove_tree(temporary)
        raise
    _sync(root)
    faults.point("trial.checkpoint.renamed")
    return Saved(path, num_bytes)


def _claim(root: Path, step: int, temporary: Path) -> Path:
    name, count = f"step-{step:06d}", 1
    while True:
        path = root / (name if count == 1 else f"{name}-{count}")
        if not path.exists():  # one attempt of a trial runs at a time, so nobody else takes the name meanwhile
            temporary.rename(path)
            return path
        count += 1


def _sweep(root: Path, attempt: int) -> None:
    for entry in os.scandir(root):
        owner = entry.name.removeprefix(_TEMPORARY).partition("-")[0]
        if entry.name.startswith(_TEMPORARY) and owner.isdigit() and int(owner) < attempt:
            remove_tree(Path(entry.path))


def _flush(tree: Path) -> int:
    num_bytes = 0
    for folder, _, files in os.walk(tree):
        for name in files:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                num_bytes += path.stat().st_size
                _sync(path)
        _sync(Path(folder))
    return num_bytes


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(tree: Path) -> None:
    """Remove a directory and all in it, never following a link."""
    for folder, folders, files in os.walk(tree, topdown=False):
        for name in files:
            Path(folder, name).unlink(missing_ok=True)
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink():
                path.unlink(missing_ok=True)
            else:
                path.rmdir()
    tree.rmdir()
