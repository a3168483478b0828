r"""Dotted paths into nested dicts and lists: ``model.classification_head.architecture.2.p``.

A path is a tuple of keys; its text joins them with dots, ``\.`` stands for a dot inside a key and ``\\`` for a
backslash. In a list a key is an index (``0``, ``1`` …). Nothing here changes what it is given. Knows plain Python data
only: no file, no YAML, no search space. Standard library only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trialist.core.errors import ConfigError, nearest

Path = tuple[str, ...]
_MISSING = object()
_ESCAPED = re.compile(r"\\([.\\])|(\.)|([^.\\]+|\\)")
_SHOWN = 8


def parse_path(text: str) -> Path:
    r"""The keys of a dotted path; ``parse_path(format_path(keys)) == keys`` for every non-empty tuple of strings.

    >>> parse_path(r"model.layers.2.a\.b")
    ('model', 'layers', '2', 'a.b')
    """
    keys = [""]
    for escaped, dot, plain in _ESCAPED.findall(text):
        if dot:
            keys.append("")
        else:
            keys[-1] += escaped or plain
    return tuple(keys)


def format_path(keys: Sequence[str | int]) -> str:
    """The dotted text of a path, dots and backslashes inside keys escaped."""
    return ".".join(str(key).replace("\\", "\\\\").replace(".", "\\.") for key in keys)


def as_path(path: str | Sequence[str | int]) -> Path:
    """A path given as text or as keys, as keys."""
    return parse_path(path) if isinstance(path, str) else tuple(str(key) for key in path)


def has_path(tree: Any, path: str | Sequence[str | int]) -> bool:
    """Whether there is a value at the path."""
    return _find(tree, as_path(path)) is not _MISSING


def get_path(tree: Any, path: str | Sequence[str | int], default: Any = _MISSING) -> Any:
    """The value at a path.

    Raises:
        ConfigError: There is none and no default was given; offers the nearest paths.
    """
    keys = as_path(path)
    value = _find(tree, keys)
    if value is not _MISSING:
        return value
    if default is not _MISSING:
        return default
    raise missing_path(tree, keys)


def set_path(tree: Any, path: str | Sequence[str | int], value: Any, *, create: bool = False) -> Any:
    """A tree in which the path holds the value; the given one stays as it is, and what did not change is shared.

    Args:
        tree: Nested dicts and lists.
        path: Where.
        value: What; taken as it is.
        create: Make what is missing: keys of dicts, parents as dicts, and the next element of a list.

    Raises:
        ConfigError: The path is not there (``create=False``; the nearest are offered) or leads through a plain value.
    """
    keys = as_path(path)
    if not create and not has_path(tree, keys):
        raise missing_path(tree, keys)
    return _set(tree, keys, 0, value)


def iter_leaves(tree: Any, *, prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is no dict or list, or is an empty one, with its path, in order."""
    stack: list[tuple[Path, Any]] = [(prefix, tree)]
    while stack:
        keys, node = stack.pop()
        children = list(_children(node))
        if children:
            stack.extend(((*keys, key), child) for key, child in reversed(children))
        elif keys:
            yield keys, node


def iter_paths(tree: Any) -> Iterator[Path]:
    """Every path in the tree, parents before children."""
    stack: list[tuple[Path, Any]] = [((), tree)]
    while stack:
        keys, node = stack.pop()
        if keys:
            yield keys
        stack.extend(((*keys, key), child) for key, child in reversed(list(_children(node))))


def nearest_paths(tree: Any, path: str | Sequence[str | int], count: int = 3) -> list[str]:
    """Paths that the user may have meant, best first: those that end alike, then those that look alike."""
    wanted = format_path(as_path(path))
    tail = as_path(path)[-1:]
    known = [format_path(keys) for keys in iter_paths(tree)]
    alike = [name for name in known if parse_path(name)[-1:] == tail]
    close = difflib.get_close_matches(wanted, known, n=count, cutoff=0.6)
    last = difflib.get_close_matches(tail[0] if tail else "", {parse_path(name)[-1] for name in known}, n=1, cutoff=0.7)
    tails = [name for name in known if last and parse_path(name)[-1] == last[0]]
    return list(dict.fromkeys([*alike, *close, *tails]))[:count]


def missing_path(tree: Any, path: str | Sequence[str | int]) -> ConfigError:
    """The error for a path that is not there: says how far it goes and offers the nearest."""
    keys = as_path(path)
    near = nearest_paths(tree, keys)
    if near:
        quoted = [f"'{name}'" for name in near]
        offer = f" Did you mean {quoted[0] if len(quoted) == 1 else ', '.join(quoted[:-1]) + ' or ' + quoted[-1]}?"
    else:
        offer = nearest("", (key for key, _ in _children(tree)))
    return ConfigError(f"there is no such path{_reached(tree, keys)}.{offer}", path=format_path(keys))


def _reached(tree: Any, keys: Path) -> str:
    node = tree
    for depth, key in enumerate(keys):
        child = _child(node, key)
        if child is _MISSING:
            if depth == 0:
                return ""
            parent = format_path(keys[:depth])
            if isinstance(node, Mapping):
                inside = list(node)[:_SHOWN]
                held = (
                    f"holds {', '.join(map(str, inside))}{', …' if len(node) > _SHOWN else ''}"
                    if inside
                    else "is empty"
                )
                return f": '{parent}' {held}"
            if isinstance(node, list | tuple):
                return f": '{parent}' is a list of {len(node)}" + (f" (0 … {len(node) - 1})" if node else "")
            return f": '{parent}' is a value, not a mapping"
        node = child
    return ""


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        yield from ((str(key), value) for key, value in node.items())
    elif isinstance(node, list | tuple):
        yield from ((str(index), value) for index, value in enumerate(node))


def _index(key: str, length: int) -> int | None:
    """``key`` as an index of a list of that length: plain decimal digits, no leading zero, in range."""
    if not (key.isascii() and key.isdecimal()) or (key[0] == "0" and key != "0") or len(key) > 9:
        return None
    return int(key) if int(key) < length else None


def _child(node: Any, key: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(key, _MISSING)
    if isinstance(node, list | tuple):
        index = _index(key, len(node))
        return _MISSING if index is None else node[index]
    return _MISSING


def _find(tree: Any, keys: Path) -> Any:
    node = tree
    for key in keys:
        node = _child(node, key)
        if node is _MISSING:
            return _MISSING
    return node


def _set(node: Any, keys: Path, depth: int, value: Any) -> Any:
    if depth == len(keys):
        return value
    key = keys[depth]
    if node is _MISSING:
        node = {}
    if isinstance(node, Mapping):
        return {**node, key: _set(node.get(key, _MISSING), keys, depth + 1, value)}
    if isinstance(node, list | tuple):
        index = _index(key, len(node) + 1)
        if index is None:
            raise ConfigError(
                f"'{key}' is no index of a list of {len(node)}: give 0 … {len(node)} ({len(node)} appends).",
                path=format_path(keys),
            )
        items = list(node)
        old = items[index] if index < len(items) else _MISSING
        items[index : index + 1] = [_set(old, keys, depth + 1, value)]
        return items
    parent = format_path(keys[:depth])
    raise ConfigError(
        f"'{parent}' is the value {node!r}, so nothing can stand below it." if depth else "the config is no mapping.",
        path=format_path(keys),
    )
