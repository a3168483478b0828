"""The one YAML loader of the product: YAML 1.2, comments kept, every mistake with its file and line.

``1e-7`` is a float and ``no`` is text; duplicate keys, unknown tags, keys that are no text, and aliases that would expand to
more than 100,000 values are errors. Knows nothing of what a config means.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, TextIO

from trialist.config.nodes import ListNode, MapNode, Node, YamlProblem, child, compose, plain, resolved
from trialist.config.paths import Path, as_path, format_path, set_path
from trialist.config.write import Edit, apply_edits, dump_text, plan_edits
from trialist.core.errors import ConfigError, nearest

MAX_BYTES = 2 * 1024 * 1024
"""Larger files are no configs."""
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


class Document:
    """A config as it was read: its data, and its text with all comments.

    Immutable; do not change ``data`` and ``marked`` (``config.paths.set_path`` copies).

    Args:
        text: The YAML text; the root is a mapping.
        file: What errors call it.

    Raises:
        ConfigError: The text is wrong; says where.
    """

    text: str
    file: str
    data: dict[str, Any]
    """Plain Python; ``!fixed`` values as what they hold."""
    marked: dict[str, Any]
    """Plain Python; ``!fixed`` values as ``FixedValue``."""

    def __init__(self, text: str, file: str = "<text>") -> None:
        self.text, self.file = text, file
        self._root = _compose(text, file)
        self.data = plain(self._root, marks=False)
        self.marked = plain(self._root, marks=True)
        self._plans: dict[tuple[Path, ...], list[Edit] | None] = {}

    def line_of(self, path: str | Sequence[str | int]) -> int | None:
        """The line, from 1, of a path or of the nearest parent that is there; ``None`` for a path of which nothing is."""
        node: Node = self._root
        line: int | None = None
        for key in as_path(path):
            real = resolved(node)
            below = child(real, key)
            if below is None:
                break
            own = real.entries.get(key) if isinstance(real, MapNode) else None
            line = own.key_node.line if own else below.line
            node = below
        return line

    def error(self, problem: str, path: str | Sequence[str | int] = "") -> ConfigError:
        """A ConfigError that names the file, the line of the path, and the path."""
        keys = as_path(path) if path else ()
        return ConfigError(problem, file=self.file, line=self.line_of(keys), path=format_path(keys))

    def dumps(self, values: Mapping[Any, Any] | None = None) -> str:
        """The text with other values at some paths: comments, order and spelling of the rest kept, ``!fixed`` tags gone.

        Where the text cannot be edited in place (a new value inside what an alias shares, for one) aliases are written
        out, and at worst the whole is written anew, without comments. The result always holds exactly the data with
        the values put in.

        Args:
            values: Paths (dotted text, or tuples of keys) to new values. A path that is not there is added, parents
                included.

        Raises:
            ConfigError: A path leads through a value, or a value is no YAML data.
        """
        changes = {as_path(path): value for path, value in (values or {}).items()}
        data: Any = self.data
        for keys, value in changes.items():
            data = set_path(data, keys, value, create=True)
        places = tuple(changes)  # in order: new paths are added in the order given
        if places in self._plans:
            plan = self._plans[places]
            return dump_text(data) if plan is None else apply_edits(self.text, plan, data)
        # How to edit depends on the paths alone, so what is proven for the first values holds for all later ones.
        for expand in (False, True):
            plan = plan_edits(self.text, self._root, data, places, expand=expand)
            if plan is not None:
                text = apply_edits(self.text, plan, data)
                if _holds(text, data):
                    self._plans[places] = plan
                    return text
        self._plans[places] = None
        return dump_text(data)

    def dump(self, target: str | os.PathLike[str] | TextIO, values: Mapping[Any, Any] | None = None) -> None:
        """Write ``dumps(values)`` to a file or a stream."""
        _write(self.dumps(values), target)

    def __repr__(self) -> str:
        return f"Document({self.file!r}, {len(self.data)} keys)"


def load_yaml(path: str | os.PathLike[str]) -> Document:
    """Read a config file.

    Raises:
        ConfigError: It cannot be read, is empty, is no mapping, or is wrong YAML; names file and line.
    """
    file = os.fspath(path)
    return Document(_decode(_read(FilePath(file), file), file), file)


def load_yaml_text(text: str, file: str = "<text>") -> Document:
    """A config from its text; ``file`` is what errors call it.

    Raises:
        ConfigError: As ``load_yaml``.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"it is larger than {MAX_BYTES >> 20} MiB, which no config is.", file=file)
    return Document(text.removeprefix("\ufeff"), file)


def dump_yaml(data: Any, target: str | os.PathLike[str] | TextIO) -> None:
    """Write plain data (and ``FixedValue`` marks) as YAML, to a file or a stream.

    Raises:
        ConfigError: It holds what is no YAML data, or the file cannot be written.
    """
    _write(dump_text(data), target)


def parse_value(text: str) -> Any:
    """One value as YAML reads it: ``1e-3`` is a float, ``[1, 2]`` a list, ``no`` text; nothing at all is ``None``.

    Raises:
        ConfigError: The text is no YAML, or a part of it would be lost as a comment.
    """
    node = _value_node(text)
    return None if node is None else plain(node, marks=True)


def parse_values(text: str) -> list[Any]:
    """Values separated by commas, each as YAML reads it; commas inside brackets or quotes do not separate.

    >>> parse_values("1e-3, [1, 2], 'a,b', no")
    [0.001, [1, 2], 'a,b', 'no']

    Raises:
        ConfigError: The text is no list of values.
    """
    try:
        node = compose(f"[{text}]")
    except YamlProblem as error:
        raise ConfigError(f"'{_cut(text)}' is no list of values: {_why(error)}") from None
    if not isinstance(node, ListNode) or node.end != len(text) + 2:
        raise ConfigError(f"'{_cut(text)}' is no list of values: brackets or quotes do not match.")
    values = plain(node, marks=True)
    assert isinstance(values, list)
    return values


def _value_node(text: str) -> Node | None:
    if len(text) > MAX_BYTES:
        raise ConfigError("the value is too long.")
    try:
        node = compose(text)
    except YamlProblem as error:
        raise ConfigError(f"'{_cut(text)}' is no YAML value: {_why(error)} Put it in quotes if it is text.") from None
    end = 0 if node is None or node.end == node.start else node.end
    if "#" in text[end:]:
        raise ConfigError(f"in '{_cut(text)}' a comment begins at '#': put the value in quotes.")
    return node


def _compose(text: str, file: str) -> MapNode:
    try:
        root = compose(text)
    except YamlProblem as error:
        raise ConfigError(error.problem, file=file, line=error.line) from None
    if root is None or (not isinstance(root, MapNode) and plain(root, marks=False) is None):
        raise ConfigError("it is empty: a config is a mapping of names to values.", file=file, line=1)
    if not isinstance(root, MapNode) or root.is_fixed:
        kind = (
            "a list" if isinstance(root, ListNode) else "a mapping marked !fixed" if root.is_fixed else "a single value"
        )
        raise ConfigError(f"it is {kind}: a config is a mapping of names to values.", file=file, line=root.line)
    return root


def _read(path: FilePath, file: str) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        try:
            others = [
                str(path.parent / other.name) for other in path.parent.iterdir() if other.suffix in (".yaml", ".yml")
            ]
        except OSError:
            others = []
        raise ConfigError(f"there is no such file.{nearest(file, others)}", file=file) from None
    except IsADirectoryError:
        raise ConfigError("it is a directory, not a file.", file=file) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"it cannot be read: {getattr(error, 'strerror', None) or error}.", file=file) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"it is larger than {MAX_BYTES >> 20} MiB, which no config is.", file=file, line=1)
    return raw


def _decode(raw: bytes, file: str) -> str:
    for bom, name in _BOMS.items():
        if raw.startswith(bom):
            raise ConfigError(f"it is written in {name}: save it as UTF-8.", file=file, line=1)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"it is no UTF-8 text (byte 0x{raw[error.start]:02x}).", file=file, line=line) from None


def _write(text: str, target: str | os.PathLike[str] | TextIO) -> None:
    if not isinstance(target, str | os.PathLike):
        target.write(text)
        return
    try:
        FilePath(target).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"it cannot be written: {error.strerror or error}.", file=os.fspath(target)) from None


def _holds(text: str, data: Any) -> bool:
    """Whether the text reads as exactly this data; the order of keys is not compared."""
    try:
        node = compose(text)
    except YamlProblem:
        return False
    return node is not None and _canonical(plain(node, marks=True)) == _canonical(data)


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, default=repr)


def _why(problem: YamlProblem) -> str:
    return problem.problem.removeprefix("it is no YAML: ")


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
