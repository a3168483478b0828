"""Plain data as YAML that every reader of YAML 1.1 and 1.2 understands alike, and edits in the text of a config.

Floats always have a dot (PyYAML takes ``1e-05`` for text) and text that some reader could take for another value is quoted.
An edit replaces the characters of the value and nothing else, so comments, order and spelling of the rest stay as they are.
Knows no file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trialist.config.marks import FixedValue
from trialist.config.nodes import AliasNode, ListNode, MapNode, Node, ScalarNode, child, plain, resolved, walk
from trialist.config.paths import Path, format_path, get_path
from trialist.core.errors import ConfigError

_SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*\Z")
_LOADED = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"])
"""Words that some reader takes for something else than text."""
_UNPRINTABLE = re.compile(
    "[^\x09\x0a\x0d\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_WIDTH = 100
_LONG_KEY = 900
"""YAML wants a '?' before keys of more than 1,024 characters."""
_MAX_BITS = 3300
_FIXED_TAG = re.compile(r"(&\S+\s+)?!fixed(?=[\s,\]}]|\Z)[ \t]*")


def dump_text(data: Any) -> str:
    """Data as YAML in block style; short lists of scalars on one line.

    Raises:
        ConfigError: It holds what is no YAML data; names the path.
    """
    block = isinstance(data, Mapping) or (isinstance(data, list | tuple) and len(flow(data)) > _WIDTH)
    if block and _stands_in_block(data):
        return "".join(f"{line}\n" for line in _block(data, "", ()))
    return flow(data) + "\n"


def flow(value: Any, path: Path = ()) -> str:
    """A value on one line."""
    if isinstance(value, FixedValue):
        return f"!fixed {flow(value.value, path)}"
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{_key(key, path)}: {flow(item, (*path, str(key)))}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item, (*path, str(index))) for index, item in enumerate(value)) + "]"
    return _scalar(value, path)


def _block(data: Any, indent: str, path: Path) -> list[str]:
    lines: list[str] = []
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data)
    for key, item in pairs:
        inner = (*path, str(key))
        lead = f"{indent}{_key(key, path)}:" if isinstance(data, Mapping) else f"{indent}-"
        if _stands_in_block(item) and (
            isinstance(item, Mapping) or len(line := flow(item, inner)) > _WIDTH or "{" in line
        ):
            below = _block(item, indent + "  ", inner)
            if isinstance(data, Mapping):
                lines += [lead, *below]
            else:  # the first line of an item stands beside its dash
                lines += [f"{lead} {below[0].removeprefix(indent + '  ')}", *below[1:]]
        else:
            lines.append(f"{lead} {flow(item, inner)}")
    return lines


def _stands_in_block(value: Any) -> bool:
    """Whether a value can be written over several lines: a collection that is not empty and has no overlong key."""
    if isinstance(value, Mapping):
        return bool(value) and all(len(str(key)) < _LONG_KEY for key in value)
    return isinstance(value, list | tuple) and bool(value)


def _key(key: Any, path: Path) -> str:
    if not isinstance(key, str):
        raise ConfigError(f"the key {key!r} is not text.", path=format_path(path))
    return _scalar(key, path) if len(key) < _LONG_KEY else f"? {_scalar(key, path)} "


def _scalar(value: Any, path: Path) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise ConfigError(f"an integer of {value.bit_length()} bits is too long.", path=format_path(path))
        return str(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        text = repr(float(value))
        return text if "." in text else text.replace("e", ".0e")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            problem = f"{value!a} holds half a character (a lone surrogate)."
            raise ConfigError(problem, path=format_path(path)) from None
        return quote(str(value))
    raise ConfigError(f"{type(value).__name__} is no YAML data.", path=format_path(path))


def quote(text: str) -> str:
    """Text, in quotes unless no reader could take it for anything else."""
    if _SAFE.match(text) and text.lower() not in _LOADED:
        return text
    escaped = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda m: f"\\u{ord(m[0]):04x}" if ord(m[0]) < 0x10000 else f"\\U{ord(m[0]):08x}", escaped)


# --- edits in the text -----------------------------------------------------------------------------------------------


class Edit(NamedTuple):
    """Where the text changes: ``text[start:end]`` becomes ``before + value + after``."""

    start: int
    end: int
    keys: Path | None
    """Whose value is written; ``None``: nothing is, the characters go."""
    before: str = ""
    after: str = ""


def plan_edits(text: str, root: Node, data: Any, paths: Sequence[Path], *, expand: bool) -> list[Edit] | None:
    """The edits that put new values at these paths and take the ``!fixed`` tags away.

    Args:
        text: The text that ``root`` was composed from.
        root: Its tree.
        data: Its data, new values included.
        paths: Where values are new.
        expand: Write out every alias too: needed where an anchor's own value changes.

    Returns:
        Edits that do not overlap, in order; ``None`` where the text cannot be edited so.
    """
    edits: dict[Path, Edit] = {}
    for keys in paths:
        edit = _edit(text, root, data, keys)
        if edit is None or edit.keys is None:
            return None
        edits[edit.keys] = edit
    # An edit inside what another replaces as a whole is part of it.
    chosen = [edit for keys, edit in edits.items() if not any(keys[:size] in edits for size in range(len(keys)))]
    for node in walk(root):
        inside = any(edit.start <= node.start and node.end <= edit.end for edit in chosen if edit.end > edit.start)
        if inside:
            continue
        if isinstance(node, AliasNode) and expand:
            chosen.append(Edit(node.start, node.end, None, flow(plain(node.target, marks=False))))
        elif node.is_fixed:
            tag = _FIXED_TAG.match(text, node.start)
            if tag is None:
                return None
            chosen.append(Edit(tag.start() + len(tag[1] or ""), tag.end(), None))
    chosen.sort(key=lambda edit: (edit.start, edit.end))
    return chosen


def apply_edits(text: str, edits: Sequence[Edit], data: Any) -> str:
    """The text with the edits made, values taken from ``data``."""
    parts: list[str] = []
    place = 0
    for start, end, keys, before, after in edits:
        value = "" if keys is None else flow(get_path(data, keys), keys)
        parts += [text[place:start], before, value, after]
        place = end
    return "".join([*parts, text[place:]])


def _edit(text: str, root: Node, data: Any, keys: Path) -> Edit | None:
    """The smallest edit for one path: its value, else the nearest parent that stands in the text itself."""
    node: Node = root
    for depth, key in enumerate(keys):
        if isinstance(node, AliasNode):
            return _replace(text, root, keys[:depth])
        if isinstance(node, MapNode):
            entry = node.entries.get(key)
            if entry is None:
                return _insert(text, root, node, keys[: depth + 1])
            node = entry.value
        elif isinstance(node, ListNode):
            below = child(node, key)
            if below is None:
                return _replace(text, root, keys[:depth])
            node = below
        else:
            return _replace(text, root, keys[:depth])
    return _replace(text, root, keys)


def _replace(text: str, root: Node, keys: Path) -> Edit | None:
    """Put a new value in the place of the one at ``keys``."""
    if not keys:
        return None
    parent: Node = root
    for key in keys[:-1]:
        below = child(parent, key)
        if below is None:
            return None
        parent = below
    if isinstance(parent, ListNode):
        node = child(parent, keys[-1])
        # An empty item has no place of its own in the text.
        return None if node is None or node.end == node.start else Edit(node.start, node.end, keys)
    assert isinstance(parent, MapNode)
    entry = parent.entries[keys[-1]]
    colon = re.compile(r"\s*:").match(text, entry.key_node.end)
    if colon is None:
        return None
    node = entry.value
    if node.end == node.start:
        return Edit(colon.end(), colon.end(), keys, " ")
    between = text[colon.end() : node.start]
    if "\n" not in between:
        tail = "\n" if isinstance(resolved(node), ScalarNode) and text[node.start : node.end].endswith("\n") else ""
        return Edit(node.start, node.end, keys, "", tail)
    # The value stood below its key: it comes beside it, and comments between them stay.
    tail = "\n" if text[node.start : node.end].endswith("\n") else ""
    return Edit(colon.end(), node.end, keys, " ", between.rstrip() + tail)


def _insert(text: str, root: Node, parent: MapNode, keys: Path) -> Edit | None:
    """Add a key at the end of a mapping that stands in the text itself."""
    name = f"{_key(keys[-1], keys[:-1])}: "
    if parent.flow:
        last = text[: parent.end - 1].rstrip()
        comma = "" if last.endswith((",", "{")) else ", "
        return Edit(parent.end - 1, parent.end - 1, keys, comma + name)
    entries = [*parent.entries.values(), *([parent.merge] if parent.merge else [])]
    first = min(entry.key_node.start for entry in entries)
    line = text.rfind("\n", 0, first) + 1
    indent = " " * (first - line)
    if text[line:first].strip(" -"):
        return None
    end = max((parent.end, *(entry.key_node.end for entry in entries)))
    if text[:end].endswith("\n"):  # a block of text ends with its line
        return Edit(end, end, keys, indent + name, "\n")
    stop = text.find("\n", end)
    if stop < 0:
        return Edit(len(text), len(text), keys, "\n" + indent + name, "\n")
    if text[stop - 1] == "\r":
        stop -= 1
    return Edit(stop, stop, keys, "\n" + indent + name)
