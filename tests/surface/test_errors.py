"""The docstring of ``core/errors.py`` is the error tree: names, bases, exit codes and HTTP statuses, held to the classes."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from trialist.core import errors

LINE = re.compile(
    r"^\s{4}(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: \((?P<also>\w+)\))?\s{2,}(?P<exit>\d+)\s+(?P<http>\d+)\s"
)


class Documented(NamedTuple):
    name: str
    parent: str
    also: str | None
    exit_code: int
    http_status: int


def documented() -> list[Documented]:
    rows: list[Documented] = []
    path: list[str] = ["TrialistError"]
    for line in (errors.__doc__ or "").splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        depth = len(found["indent"]) // 4
        path = [*path[:depth], found["name"]]
        rows.append(Documented(found["name"], path[-2], found["also"], int(found["exit"]), int(found["http"])))
    return rows


def classes() -> dict[str, type[errors.TrialistError]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.TrialistError)
    }


def test_every_class_stands_in_the_tree_once() -> None:
    names = [row.name for row in documented()]
    assert sorted(names) == sorted(set(classes()) - {"TrialistError"})
    assert len(names) > 15


@pytest.mark.parametrize("row", documented(), ids=lambda row: row.name)
def test_the_tree_tells_the_truth(row: Documented) -> None:
    cls = classes()[row.name]
    assert cls.__mro__[1].__name__ == row.parent
    assert (cls.exit_code, cls.http_status) == (row.exit_code, row.http_status)
    builtins = [base.__name__ for base in cls.__bases__ if not issubclass(base, errors.TrialistError)]
    assert builtins == ([row.also] if row.also else [])
    assert cls.__doc__


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("sobl", ["sobol", "random"], " Did you mean 'sobol'?"),
        ("lr", ["training.lr", "model.depth"], " Did you mean 'training.lr'?"),
        ("zzz", ["a", "b"], " Known: a, b."),
        ("zzz", [], ""),
        ("zzz", [f"name{i}" for i in range(40)], ""),
    ],
)
def test_nearest_offers_what_was_meant(word: str, known: list[str], expected: str) -> None:
    assert errors.nearest(word, known) == expected
