"""What searches did, kept in files that git ignores, so that a benchmark goes on where it was stopped.

One file of JSON lines a searcher and version of its source; a line is a finished course. Lines are appended whole, so several
processes may write at once; a torn last line is passed over. Knows no searcher.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tasks import Task, cache_room
from tasks.task import BEST


class Key(NamedTuple):
    """Which course: they are comparable between searchers."""

    task: str
    seed: int
    trials: int


class Line(NamedTuple):
    """A course that was finished."""

    key: Key
    version: int
    seen: tuple[float, ...]
    true: tuple[float, ...]
    best: dict[str, Any]
    asking_s: float
    """Time spent beside evaluations."""


class Kept:
    """The finished courses of one searcher, or of whatever is named and hashed like one."""

    def __init__(self, name: str, fingerprint: str, room: str = "courses") -> None:
        words = "".join(letter if letter.isalnum() or letter in "-_=." else "+" for letter in name)
        self.path = cache_room() / room / f"{words[:120]}@{fingerprint}.jsonl"

    def read(self, versions: Mapping[str, int]) -> dict[Key, Line]:
        """Courses on these tasks, given by name and version."""
        return {line.key: line for line in _lines(self.path) if versions.get(line.key.task) == line.version}

    def add(self, line: Line) -> None:
        """Keep a course."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = {**line.key._asdict(), **{name: value for name, value in line._asdict().items() if name != "key"}}
        text = json.dumps(data) + "\n"
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), "ab", buffering=0) as file:
            file.write(text.encode())


def _lines(path: Path) -> Iterator[Line]:
    if not path.is_file():
        return
    for text in path.read_text("utf-8").splitlines():
        try:
            data = json.loads(text)
        except ValueError:
            continue  # the writer was killed in the middle of it
        key = Key(data["task"], data["seed"], data["trials"])
        yield Line(
            key, data["version"], tuple(data["seen"]), tuple(data["true"]), data["best"], float(data["asking_s"])
        )


def best_known(tasks: Iterable[Task]) -> dict[str, float]:
    """For each task the best loss that its pool, any kept course of anybody, or ``data/best.json`` has."""
    named = {task.name: task for task in tasks}
    best = {name: task.best for name, task in named.items()}
    for line in _all():
        name = line.key.task
        if name in named and line.version == named[name].version and line.true:
            best[name] = min(best[name], *line.true)
    return best


def save_best(tasks: Iterable[Task]) -> list[str]:
    """Writes better values than ``data/best.json`` has into it; returns the names of their tasks."""
    named = {task.name: task for task in tasks}
    known = json.loads(BEST.read_text("utf-8")) if BEST.is_file() else {}
    better = []
    for line in _all():
        task = named.get(line.key.task)
        if task is None or line.version != task.version or not line.true:
            continue
        label, loss = f"{task.name}/{task.version}", min(line.true)
        if loss < known.get(label, {}).get("loss", float("inf")):
            known[label] = {"loss": loss, "params": line.best}
            better.append(task.name)
    if better:
        partial = BEST.with_suffix(".part")
        partial.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")
        partial.replace(BEST)
    return sorted(set(better))


def _all() -> Iterator[Line]:
    for path in (cache_room() / "courses").glob("*.jsonl"):
        yield from _lines(path)
