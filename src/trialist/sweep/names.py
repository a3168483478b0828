"""What runs are called: ``mlp_experiment_123045_learning_rate_0.001_batch_size_32``.

A name is made of a stem (prefix and start time, see ``layout``) and of the run's params, in the order given. Knows
nothing of files or of studies: what is taken is told to it.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trialist.config.paths import Path, format_path, parse_path

MAX_BYTES = 199
"""Names stay below 200 bytes, so that there is room for whatever a file system or an archive adds."""
_HASH_DIGITS = 10
_HARMLESS = frozenset("._+-")


def tails(paths: Sequence[str]) -> dict[str, str]:
    """The shortest tail of each dotted path that no other path ends with.

    A tail never is a bare index: ``betas.0`` stays ``betas.0``.

    >>> tails(["training.lr", "encoder.p", "head.p"])
    {'training.lr': 'lr', 'encoder.p': 'encoder.p', 'head.p': 'head.p'}
    """
    split = {path: parse_path(path) for path in paths}
    counts: dict[str, int] = {}
    for parts in split.values():
        for tail in _tails_of(parts):
            counts[tail] = counts.get(tail, 0) + 1
    found: dict[str, str] = {}
    for path, parts in split.items():
        fit = (tail for tail in _tails_of(parts) if counts[tail] == 1 and not tail.isdecimal())
        found[path] = next(fit, path)
    return found


def _tails_of(parts: Path) -> Iterable[str]:
    return (format_path(parts[start:]) for start in range(len(parts) - 1, -1, -1))


def value_text(value: Any) -> str:
    """A value as Python writes it: ``1e-3`` gives ``0.001``; lists and mappings as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return repr(value)


def clean(text: str) -> str:
    """Letters, digits and ``._+-`` as they are; what else there is becomes single dashes.

    >>> clean("bert-base/uncased"), clean("[64,64]"), clean("")
    ('bert-base-uncased', '64-64', 'empty')
    """
    kept: list[str] = []
    for char in unicodedata.normalize("NFC", text):
        if char.isalnum() or char in _HARMLESS:
            kept.append(char)
        elif kept and kept[-1] != "-":
            kept.append("-")
    # A value that is a minus sign alone keeps it; one that only ends in odd characters loses their dash.
    return "".join(kept).rstrip("-") or ("-" if text.startswith("-") else "empty")


def prefix_problem(prefix: str) -> str | None:
    """Why a prefix cannot begin the name of a directory, as the end of a sentence; ``None`` where it can."""
    if not prefix:
        return "is empty"
    if prefix[0] in ".-":
        return f"begins with '{prefix[0]}'"
    odd = sorted({char for char in prefix if not (char.isalnum() or char in _HARMLESS)})
    if odd:
        return f"contains {', '.join(repr(char) for char in odd[:3])}"
    if len(prefix.encode()) > 100:
        return "is longer than 100 bytes"
    return None


class RunNames:
    """Gives each run of one sweep its name; no two are equal, on file systems that ignore case either.

    A name depends on the stem, the params and the names taken before: runs are named in the order of their numbers, and
    after a crash the stored ones are told with ``take`` first. Not thread-safe; belongs to whoever leads the sweep.
    """

    def __init__(self, stem: str, paths: Sequence[str]) -> None:
        """A sweep's names.

        Args:
            stem: What all names begin with.
            paths: Dotted paths of what varies, in the order of the names.
        """
        self._stem = stem
        self._tails = tails(paths)
        self._by_number: dict[int, str] = {}
        self._taken: dict[str, int] = {}

    def take(self, number: int, name: str) -> None:
        """A stored run has this name."""
        self._by_number[number] = name
        self._taken[name.casefold()] = number

    def name(self, number: int, params: Mapping[str, Any]) -> str:
        """The name of a run; the same one whenever it is asked for."""
        if number not in self._by_number:
            name = self._shortened(params, "")
            if name.casefold() in self._taken:
                # Values that differ only in odd characters, a searcher that repeats itself, a retry.
                name = self._shortened(params, f"_trial{number}")
            while name.casefold() in self._taken:
                name += "x"
            self.take(number, name)
        return self._by_number[number]

    def _shortened(self, params: Mapping[str, Any], suffix: str) -> str:
        """The full name, or as many whole params as leave room for a hash of them all."""
        pieces = [self._stem]
        pieces += [
            f"{clean(tail)}_{clean(value_text(params[path]))}" for path, tail in self._tails.items() if path in params
        ]
        full = "_".join(pieces)
        room = MAX_BYTES - len(suffix.encode())
        if len(full.encode()) <= room:
            return full + suffix
        digest = hashlib.blake2b(full.encode(), digest_size=_HASH_DIGITS // 2).hexdigest()
        room -= len(digest) + 1
        while len(pieces) > 1 and len("_".join(pieces).encode()) > room:
            pieces.pop()
        return f"{'_'.join(pieces)}_{digest}{suffix}"
