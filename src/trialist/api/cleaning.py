"""Files that no study of a store needs any more: what deleted studies left, freed checkpoints, half-written ones.

Looks only below the store's own artifacts directory, only at names that Trialist gives, and leaves every study alone that
a process leads. Knows no engine.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trialist.api.naming import artifacts_dir, artifacts_root
from trialist.core.ports import Store
from trialist.core.records import Study

_STUDY_DIR = re.compile(r".+-[0-9a-f]{8}")
_TRIAL_DIR = re.compile(r"trial-\d{5,}")
_CHECKPOINT_DIR = re.compile(r"step-\d+(-\d+)?")
_TEMPORARY = ".tmp-"
_YOUNG_S = 3600.0
"""What a study without a leader has written within this time is left alone: somebody may ask and tell from Python."""


class Garbage(NamedTuple):
    """Something that may go."""

    path: Path
    num_bytes: int
    why: str


def find_garbage(store: Store) -> Iterator[Garbage]:
    """What may be removed, one after the other; nothing is touched.

    A study that is made meanwhile is safe: directories are listed before studies are.
    """
    root = artifacts_root(store.url)
    if not store.url.startswith("sqlite:///") or not root.is_dir():
        return
    found = sorted(entry for entry in root.iterdir() if _STUDY_DIR.fullmatch(entry.name) and not entry.is_symlink())
    studies = {artifacts_dir(store.url, study.id, study.name).name: study for study in _studies(store)}
    for directory in found:
        study = studies.get(directory.name)
        if study is None:
            yield Garbage(directory, tree_bytes(directory), "its study is deleted")
        elif store.leader(study.id) is None:
            yield from _of_study(store, study, directory)


def remove(garbage: Garbage) -> None:
    """Remove it; does nothing where it is gone already.

    Raises:
        OSError: It cannot be removed.
    """
    if garbage.path.exists():
        shutil.rmtree(garbage.path)


def _of_study(store: Store, study: Study, directory: Path) -> Iterator[Garbage]:
    """Checkpoints that the store does not know (any more), and half-written ones."""
    kept = {os.path.realpath(row.path) for row in store.checkpoints(study.id)}
    for trial in sorted(directory.iterdir()):
        if not _TRIAL_DIR.fullmatch(trial.name) or not (trial / "checkpoints").is_dir():
            continue
        for entry in sorted((trial / "checkpoints").iterdir()):
            if entry.is_symlink() or not entry.is_dir() or time.time() - entry.stat().st_mtime < _YOUNG_S:
                continue
            if entry.name.startswith(_TEMPORARY):
                yield Garbage(entry, tree_bytes(entry), "half-written checkpoint")
            elif _CHECKPOINT_DIR.fullmatch(entry.name) and os.path.realpath(entry) not in kept:
                yield Garbage(entry, tree_bytes(entry), "freed checkpoint")


def _studies(store: Store) -> Iterator[Study]:
    cursor = None
    while True:
        page = store.list_studies(limit=500, cursor=cursor)
        yield from page.studies
        cursor = page.cursor
        if cursor is None:
            return


def tree_bytes(tree: Path) -> int:
    """Bytes of all files below a directory, links not followed."""
    total = 0
    for folder, _, files in os.walk(tree):
        for name in files:
            try:
                total += os.lstat(Path(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total
