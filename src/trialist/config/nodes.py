"""YAML text as a tree of nodes that know where they stand in the text, by the core schema of YAML 1.2.

ruamel.yaml turns text into events; everything from there on is here: what a plain scalar means, which tags are taken (none
ever makes an object), duplicate keys, merge keys, and the bound on what aliases may expand to, which is checked before
anything is expanded. Knows no file and no path: errors carry a line, to which ``config.yaml`` adds the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from trialist.config.marks import FixedValue

MAX_DEPTH = 100
"""Levels of nesting, aliases expanded."""
MAX_NODES = 100_000
"""Values and collections, aliases expanded."""
_CORE = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCT, _HEX = re.compile(r"0o[0-7]+\Z"), re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_MAX_DIGITS = 1000


class YamlProblem(Exception):
    """What is wrong with a text, and on which line (from 1)."""

    def __init__(self, problem: str, line: int | None) -> None:
        self.problem, self.line = problem, line
        super().__init__(problem)


@dataclass(slots=True, eq=False)
class Node:
    """A piece of the text; ``start`` and ``end`` are character positions, tags and anchors included."""

    start: int
    end: int
    line: int
    """From 1."""
    tag: str = ""
    anchor: str | None = None
    size: int = 1
    """Nodes in it, aliases expanded."""
    height: int = 0
    """Levels below it, aliases expanded."""

    @property
    def is_fixed(self) -> bool:
        return self.tag == "!fixed"


@dataclass(slots=True, eq=False)
class ScalarNode(Node):
    value: Any = None


@dataclass(slots=True, eq=False)
class AliasNode(Node):
    target: Node = field(kw_only=True)


@dataclass(slots=True, eq=False)
class ListNode(Node):
    items: list[Node] = field(default_factory=list)
    flow: bool = False


@dataclass(slots=True, eq=False)
class Entry:
    """A key and its value in a mapping."""

    key: str
    key_node: Node
    value: Node


@dataclass(slots=True, eq=False)
class MapNode(Node):
    entries: dict[str, Entry] = field(default_factory=dict)
    """By key; a merge key (``<<``) stands apart."""
    merge: Entry | None = None
    flow: bool = False


def compose(text: str) -> Node | None:
    """The tree of the one document in the text; ``None`` where it holds nothing.

    Raises:
        YamlProblem: The text is no YAML, or YAML that is refused.
    """
    events = _events(text)
    root: Node | None = None
    documents = 0
    stack: list[_Open] = []
    anchors: dict[str, Node] = {}
    for event in events:
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            documents += 1
            if documents > 1:
                raise YamlProblem("a second document begins here ('---'): a config is one document.", _line(event))
            continue
        node: Node | None = None
        if kind == "AliasEvent":
            node = _alias(event, anchors, stack)
        elif kind == "ScalarEvent":
            node = _scalar(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            if len(stack) >= MAX_DEPTH:
                raise YamlProblem(f"it is nested more than {MAX_DEPTH} levels deep.", _line(event))
            stack.append(_Open(_collection(event, kind)))
            continue
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            node = _close(stack.pop(), event)
        if node is None:
            continue
        if node.anchor is not None and not isinstance(node, AliasNode):
            anchors[node.anchor] = node
        if stack:
            _add(stack[-1], node)
        else:
            root = node
    return root


def plain(node: Node, *, marks: bool) -> Any:
    """Plain Python data, every alias a copy of its own; with ``marks``, ``!fixed`` values as ``FixedValue``."""
    if isinstance(node, AliasNode):
        return plain(node.target, marks=marks)
    if marks and node.is_fixed:
        return FixedValue(plain(node, marks=False))
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item, marks=marks) for item in node.items]
    assert isinstance(node, MapNode)
    out: dict[str, Any] = {}
    for source in merged(node):
        for key, value in plain(source, marks=marks).items():
            out.setdefault(key, value)
    for key, entry in node.entries.items():
        out[key] = plain(entry.value, marks=marks)
    return out


def merged(node: MapNode) -> list[MapNode]:
    """The mappings that a merge key brings in, the strongest first."""
    if node.merge is None:
        return []
    value = resolved(node.merge.value)
    sources = [resolved(item) for item in value.items] if isinstance(value, ListNode) else [value]
    return [source for source in sources if isinstance(source, MapNode)]


def resolved(node: Node) -> Node:
    """The node that an alias stands for, or the node itself."""
    return node.target if isinstance(node, AliasNode) else node


def child(node: Node, key: str) -> Node | None:
    """The node at a key of a mapping (merged ones included) or an index of a list."""
    node = resolved(node)
    if isinstance(node, MapNode):
        if key in node.entries:
            return node.entries[key].value
        found = (child(source, key) for source in merged(node))
        return next((item for item in found if item is not None), None)
    if (
        isinstance(node, ListNode)
        and key.isascii()
        and key.isdecimal()
        and len(key) < 10
        and int(key) < len(node.items)
    ):
        return node.items[int(key)]
    return None


def walk(node: Node) -> Iterator[Node]:
    """Every node as it stands in the text, aliases unexpanded, parents first."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, ListNode):
            stack.extend(reversed(node.items))
        elif isinstance(node, MapNode):
            entries = [*node.entries.values(), *([node.merge] if node.merge else [])]
            stack.extend(entry.value for entry in reversed(entries))


def plain_scalar(text: str) -> Any:
    """What unquoted text means in YAML 1.2: ``1e-7`` is a float, ``no`` is text.

    Raises:
        ValueError: A number too long or too large to be one.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    if _INT.match(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of more than {_MAX_DIGITS} digits")
        return int(text)
    if _FLOAT.match(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError(f"{text} is too large for a float")
        return value
    if _OCT.match(text) or _HEX.match(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of more than {_MAX_DIGITS} digits")
        return int(text, 0)
    return text


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come."""

    node: ListNode | MapNode
    key: ScalarNode | None = None
    last: Node | None = None


def _events(text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except YamlProblem:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise YamlProblem(_explain(error, text, line), line) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise YamlProblem(f"the character U+{code:04X} may not stand in YAML: is this a text file?", line) from None
    except Exception as error:  # noqa: BLE001 - the parser meets broken text with IndexError, AttributeError and others
        raise YamlProblem(f"it is no YAML ({type(error).__name__} in the parser).", None) from None


def _explain(error: Any, text: str, line: int | None) -> str:
    lines = text.splitlines()
    shown = lines[line - 1] if line is not None and line <= len(lines) else ""
    if re.match(r"[ -]*\t", shown):
        return "a tab indents this line, and YAML takes spaces only."
    context, problem = (str(part or "").strip() for part in (error.context, error.problem))
    return f"it is no YAML: {' '.join(part for part in (context, problem) if part) or 'the parser gave up'}."


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _tag(event: Any) -> str:
    tag = "" if event.ctag is None else str(event.ctag)
    if tag in ("", "!", "!fixed"):
        return tag
    short = tag.removeprefix(_CORE)
    if short != tag and short in ("str", "int", "float", "bool", "null", "seq", "map"):
        return short
    raise YamlProblem(
        f"the tag '{tag.replace(_CORE, '!!')}' is not taken: a config holds plain data, and '!fixed' keeps a list from varying.",
        _line(event),
    )


def _scalar(event: Any) -> ScalarNode:
    tag, text, line = _tag(event), event.value, _line(event)
    value: Any = text
    try:
        if tag in ("", "!fixed") and event.style is None:
            value = plain_scalar(text)
        elif tag not in ("", "!", "!fixed", "str"):
            value = _forced(tag, text)
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        raise YamlProblem(f"{text!a} holds half a character (a lone surrogate).", line) from None
    except ValueError as error:
        raise YamlProblem(f"{error}.", line) from None
    return ScalarNode(event.start_mark.index, event.end_mark.index, line, tag, event.anchor, value=value)


def _forced(tag: str, text: str) -> Any:
    value = plain_scalar(text)
    kinds: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}
    if tag not in kinds or not isinstance(value, kinds[tag]) or (isinstance(value, bool) and tag != "bool"):
        raise ValueError(f"{text!r} is no !!{tag}")
    return float(value) if tag == "float" else value


def _collection(event: Any, kind: str) -> ListNode | MapNode:
    tag, start, line = _tag(event), event.start_mark.index, _line(event)
    wanted = "map" if kind == "MappingStartEvent" else "seq"
    if tag not in ("", "!", "!fixed", wanted):
        raise YamlProblem(f"this is no !!{tag}.", line)
    make = MapNode if wanted == "map" else ListNode
    return make(start, event.end_mark.index, line, tag, event.anchor, flow=bool(event.flow_style))


def _alias(event: Any, anchors: dict[str, Node], stack: list[_Open]) -> AliasNode:
    name, line = event.anchor, _line(event)
    if any(opened.node.anchor == name for opened in stack):
        raise YamlProblem(f"'*{name}' refers to what it is a part of.", line)
    target = anchors.get(name)
    if target is None:
        raise YamlProblem(f"'*{name}' refers to an anchor '&{name}' that is not defined above it.", line)
    return AliasNode(
        event.start_mark.index, event.end_mark.index, line, size=target.size, height=target.height, target=target
    )


def _add(opened: _Open, node: Node) -> None:
    owner = opened.node
    owner.size += node.size
    owner.height = max(owner.height, node.height + 1)
    if owner.size > MAX_NODES:
        raise YamlProblem(f"it holds more than {MAX_NODES:,} values, aliases expanded.", node.line)
    if owner.height > MAX_DEPTH:
        raise YamlProblem(f"it is nested more than {MAX_DEPTH} levels deep, aliases expanded.", node.line)
    if node.end > node.start:  # an empty value stands where the next token does
        opened.last = node
    if isinstance(owner, ListNode):
        owner.items.append(node)
    elif opened.key is None:
        opened.key = _key(node, owner)
    else:
        key, opened.key = opened.key, None
        _add_entry(owner, key, node)


def _key(node: Node, owner: MapNode) -> ScalarNode:
    real = resolved(node)
    if not isinstance(real, ScalarNode):
        raise YamlProblem("a list or a mapping cannot be a key.", node.line)
    if real.is_fixed:
        raise YamlProblem("'!fixed' belongs to a value, not to a key.", node.line)
    if not isinstance(real.value, str):
        shown = json.dumps(real.value)
        raise YamlProblem(f'the key {shown} is not text: write it in quotes, "{shown}".', node.line)
    return ScalarNode(node.start, node.end, node.line, real.tag, value=real.value)


def _add_entry(owner: MapNode, key: ScalarNode, node: Node) -> None:
    entry = Entry(key.value, key, node)
    if key.value == "<<" and key.end - key.start == 2:
        values = [resolved(node)]
        if isinstance(values[0], ListNode):
            values = [resolved(item) for item in values[0].items]
        if not all(isinstance(value, MapNode) for value in values):
            raise YamlProblem("'<<' merges mappings, and this is none.", key.line)
        if owner.merge is not None:
            raise YamlProblem(f"the key '<<' stands twice: first on line {owner.merge.key_node.line}.", key.line)
        owner.merge = entry
        return
    first = owner.entries.get(key.value)
    if first is not None:
        raise YamlProblem(f"the key '{key.value}' stands twice: first on line {first.key_node.line}.", key.line)
    owner.entries[key.value] = entry


def _close(opened: _Open, event: Any) -> Node:
    node = opened.node
    if node.flow:
        node.end = event.end_mark.index
    elif opened.last is not None:
        # The end event of a block stands at the next token; comments in between are not its own.
        node.end = opened.last.end
    return node
