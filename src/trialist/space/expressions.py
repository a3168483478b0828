"""Constraints: expressions over params such as ``batch_size * accumulation <= 256``.

An expression is parsed by ``ast``, checked against a whitelist and compiled to closures; nothing is ever evaluated by
Python itself, and no expression can take more than a blink or a few kilobytes. Knows names as dotted paths: what they mean
in params is told by whoever compiles it.

What may stand in one: names (``lr``, ``training.batch_size``, ``layers[2].p`` or `` `layers.2.p` `` for what is no Python
name), numbers, text, lists, ``true``-like constants, ``+ - * / // % **``, comparisons and chains of them, ``in``, ``and or
not``, ``x if c else y``, and the functions ``min max abs round len``.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trialist.core.errors import SpaceError, nearest
from trialist.space.values import short

Getter = Callable[[Mapping[str, Any]], Any]
"""Params to a value; raises ``Inactive`` where the parameter does not exist in these params."""
MAX_LENGTH = 2000
_MAX_BITS = 4096
_NUMBER = (int, float)
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`([^`]*)`", re.DOTALL)
_HINTS = (
    ("&&", "write 'and' for '&&'."),
    ("||", "write 'or' for '||'."),
    ("≤", "write '<=' for '≤'."),
    ("≥", "write '>=' for '≥'."),
)


class Inactive(Exception):
    """A parameter that an expression names does not exist in these params."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression and the dotted names that stand in it, in order."""

    text: str
    names: tuple[str, ...]
    tree: ast.expr
    """Checked; each node that spells a name carries it as ``trialist_name``."""

    def compile(self, getters: Mapping[str, Getter]) -> Callable[[Mapping[str, Any]], bool]:
        """A test of params.

        It is True where the expression holds, or names a parameter that is not active there; False where it does not
        hold, divides by zero or overflows.

        Args:
            getters: How each of ``names`` is read from params.

        Raises:
            SpaceError: From the test: the expression cannot be computed for these values, or gives no true or false.
        """
        run = _Compiler(self, getters).build(self.tree)
        text = self.text

        def test(params: Mapping[str, Any]) -> bool:
            try:
                result = run(params)
            except Inactive:
                return True
            except ArithmeticError:
                return False
            except SpaceError:
                raise
            except (TypeError, ValueError) as error:
                raise SpaceError("", f"the constraint '{text}' cannot be computed: {error}") from None
            return _truth(result, text)

        # A name that is inactive takes the whole constraint out, also behind an `or` that is never reached.
        reads = [getters[name] for name in self.names]

        def guarded(params: Mapping[str, Any]) -> bool:
            try:
                for read in reads:
                    read(params)
            except Inactive:
                return True
            return test(params)

        return guarded


def parse_expression(text: Any) -> Expression:
    """An expression from its text.

    Raises:
        SpaceError: It is no expression, or holds what may not stand in one; shows it and says what to write.
    """
    if not isinstance(text, str):
        raise SpaceError("", f"a constraint is an expression as text, like 'a * b <= 256'; got {short(text)}.")
    text = text.strip()
    if not text:
        raise SpaceError("", "a constraint is empty.")
    if len(text) > MAX_LENGTH:
        raise SpaceError("", f"the constraint '{text[:40]}…' is longer than {MAX_LENGTH} characters.")
    quoted: dict[str, str] = {}

    def hide(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return match.group(0)
        name = f"_quoted_{len(quoted)}_"
        quoted[name] = match.group(1)
        return name

    source = _QUOTED.sub(hide, text)
    for wrong, hint in _HINTS:
        if wrong in _QUOTED.sub("", text):
            raise SpaceError("", f"the constraint '{text}' is no expression: {hint}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' and the like: Python warns, and we refuse or take it
            tree = ast.parse(source.replace("\n", " "), mode="eval").body
        names: dict[str, None] = {}
        _check(tree, text, quoted, names, 0)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        if isinstance(error, SpaceError):
            raise
        single = re.search(r"(?<![<>=!])=(?!=)", _QUOTED.sub("", text))
        why = "write '==' to compare." if single else f"{getattr(error, 'msg', None) or type(error).__name__}."
        raise SpaceError("", f"the constraint '{text}' is no expression: {why}") from None
    return Expression(text, tuple(names), tree)


def unknown_name(text: str, name: str, known: list[str]) -> SpaceError:
    """The error for a name that is no parameter."""
    constants = {"true": "True", "false": "False", "null": "None", "none": "None"}
    if name in constants:
        return SpaceError("", f"the constraint '{text}' names '{name}': write {constants[name]}.")
    return SpaceError("", f"the constraint '{text}' names '{name}', which is no parameter.{nearest(name, known)}")


def _number(value: Any) -> Any:
    if not isinstance(value, _NUMBER):
        raise TypeError(f"{short(value)} is no number")
    return value


def _power(base: Any, exponent: Any) -> Any:
    base, exponent = _number(base), _number(exponent)
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(exponent) * max(base.bit_length(), 1) > _MAX_BITS:
        raise OverflowError("the power is too large")
    if base < 0 and not float(exponent).is_integer():
        raise ArithmeticError("a root of a negative number")
    return base**exponent


def _round(value: Any, digits: Any = None) -> Any:
    if digits is not None and (not isinstance(digits, int) or abs(digits) > 30):
        raise TypeError("round takes at most 30 digits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ArithmeticError("infinity cannot be rounded")
    return round(_number(value), digits)


def _extreme(pick: Callable[[list[Any]], Any], name: str) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        items = list(values[0]) if len(values) == 1 and isinstance(values[0], list) else list(values)
        if not items:
            raise TypeError(f"{name} of nothing")
        return pick([_number(item) for item in items])

    return call


def _length(value: Any) -> int:
    if not isinstance(value, str | list | dict):
        raise TypeError(f"{short(value)} has no length")
    return len(value)


def _equal(a: Any, b: Any) -> bool:
    # As JSON compares: true is not 1.
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def _ordered(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    def call(a: Any, b: Any) -> bool:
        if isinstance(a, str) and isinstance(b, str):
            return bool(compare(a, b))
        return bool(compare(_number(a), _number(b)))

    return call


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, str) and not isinstance(item, str):
        raise TypeError(f"{short(item)} is no text, so it cannot be in {short(container)}")
    if not isinstance(container, str | list | dict):
        raise TypeError(f"{short(container)} holds nothing")
    if isinstance(container, list):
        return any(_equal(item, member) for member in container)
    return item in container


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: compute(_number(a), _number(b))


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: _arithmetic(operator.add),
    ast.Sub: _arithmetic(operator.sub),
    ast.Mult: _arithmetic(operator.mul),
    ast.Div: _arithmetic(operator.truediv),
    ast.FloorDiv: _arithmetic(operator.floordiv),
    ast.Mod: _arithmetic(operator.mod),
    ast.Pow: _power,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.Eq: _equal,
    ast.NotEq: lambda a, b: not _equal(a, b),
    ast.Is: _equal,
    ast.IsNot: lambda a, b: not _equal(a, b),
    ast.In: lambda a, b: _contains(b, a),
    ast.NotIn: lambda a, b: not _contains(b, a),
}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "min": (_extreme(min, "min"), 1, 100),
    "max": (_extreme(max, "max"), 1, 100),
    "abs": (lambda value: abs(_number(value)), 1, 1),
    "round": (_round, 1, 2),
    "len": (_length, 1, 1),
}


def _truth(value: Any, text: str) -> bool:
    if not isinstance(value, bool):
        raise SpaceError(
            "", f"the constraint '{text}' needs true or false and got {short(value)}: compare it, e.g. '… != 0'."
        )
    return value


def dotted(node: ast.AST, quoted: Mapping[str, str]) -> str | None:
    """The dotted name that a node spells (``a``, ``a.b``, ``a[2].b``, ``a['b']``), if it is one."""
    if isinstance(node, ast.Name):
        return quoted.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        head = dotted(node.value, quoted)
        return None if head is None else f"{head}.{quoted.get(node.attr, node.attr)}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        head, key = dotted(node.value, quoted), node.slice.value
        if head is not None and (isinstance(key, str) or (type(key) is int)):
            return f"{head}.{key}"
    return None


def _check(node: ast.AST, text: str, quoted: Mapping[str, str], names: dict[str, None], depth: int) -> None:
    """Refuse all that is not on the whitelist, and collect the names."""
    if depth > 100:
        raise SpaceError("", f"the constraint '{short(text)}' is nested too deeply.")

    def refuse(what: str) -> SpaceError:
        return SpaceError("", f"the constraint '{text}' holds {what}, which may not stand in a constraint.")

    name = dotted(node, quoted)
    if name is not None:
        names[name] = None
        node.trialist_name = name  # type: ignore[attr-defined]
        return
    children: list[ast.AST]
    if isinstance(node, ast.Constant):
        if not (node.value is None or isinstance(node.value, bool | int | float | str)):
            raise refuse(f"the value {node.value!r}")
        if isinstance(node.value, int) and node.value.bit_length() > _MAX_BITS:
            raise refuse("a number of more than a thousand digits")
        return
    if isinstance(node, ast.BoolOp):
        children = list(node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.UAdd):
        children = [node.operand]
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        children = [node.left, node.right]
    elif isinstance(node, ast.Compare):
        children = [node.left, *node.comparators]
    elif isinstance(node, ast.IfExp):
        children = [node.test, node.body, node.orelse]
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        children = list(node.elts)
    elif isinstance(node, ast.Call):
        children = _check_call(node, text, refuse)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        word = "and" if isinstance(node.op, ast.BitAnd) else "or"
        raise refuse(f"'{'&' if word == 'and' else '|'}' (write '{word}')")
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        raise refuse("'^' (write '**' for a power)")
    else:
        raise refuse(f"a piece of Python ({type(node).__name__})")
    for child in children:
        _check(child, text, quoted, names, depth + 1)


def _check_call(node: ast.Call, text: str, refuse: Callable[[str], SpaceError]) -> list[ast.AST]:
    name = node.func.id if isinstance(node.func, ast.Name) else None
    if name not in _FUNCTIONS:
        raise SpaceError(
            "",
            f"the constraint '{text}' calls {name or 'something'}(): only {', '.join(_FUNCTIONS)} may be called.",
        )
    _, least, most = _FUNCTIONS[name]
    if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args) or not least <= len(node.args) <= most:
        raise refuse(f"'{name}' with these arguments")
    return list(node.args)


class _Compiler:
    """Turns checked syntax into closures."""

    def __init__(self, expression: Expression, getters: Mapping[str, Getter]) -> None:
        self.text, self.getters = expression.text, getters

    def build(self, node: ast.AST) -> Getter:
        name = getattr(node, "trialist_name", None)
        if name is not None:
            return self.getters[name]
        method: Callable[[Any], Getter] = getattr(self, f"_{type(node).__name__.lower()}")
        return method(node)

    def _constant(self, node: ast.Constant) -> Getter:
        value = node.value
        return lambda _: value

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> Getter:
        items = [self.build(item) for item in node.elts]
        return lambda params: [item(params) for item in items]

    _tuple = _set = _list

    def _boolop(self, node: ast.BoolOp) -> Getter:
        parts, text = [self.build(value) for value in node.values], self.text
        if isinstance(node.op, ast.And):
            return lambda params: all(_truth(part(params), text) for part in parts)
        return lambda params: any(_truth(part(params), text) for part in parts)

    def _unaryop(self, node: ast.UnaryOp) -> Getter:
        operand, text = self.build(node.operand), self.text
        if isinstance(node.op, ast.Not):
            return lambda params: not _truth(operand(params), text)
        if isinstance(node.op, ast.USub):
            return lambda params: -_number(operand(params))
        return lambda params: _number(operand(params))

    def _binop(self, node: ast.BinOp) -> Getter:
        left, right, compute = self.build(node.left), self.build(node.right), _BINARY[type(node.op)]
        return lambda params: compute(left(params), right(params))

    def _compare(self, node: ast.Compare) -> Getter:
        first = self.build(node.left)
        rest = [(_COMPARE[type(op)], self.build(value)) for op, value in zip(node.ops, node.comparators, strict=True)]
        if len(rest) == 1:
            compare, second = rest[0]
            return lambda params: compare(first(params), second(params))

        def chain(params: Mapping[str, Any]) -> bool:
            left = first(params)
            for compare, part in rest:
                right = part(params)
                if not compare(left, right):
                    return False
                left = right
            return True

        return chain

    def _ifexp(self, node: ast.IfExp) -> Getter:
        test, body, orelse, text = self.build(node.test), self.build(node.body), self.build(node.orelse), self.text
        return lambda params: body(params) if _truth(test(params), text) else orelse(params)

    def _call(self, node: ast.Call) -> Getter:
        assert isinstance(node.func, ast.Name)
        call, args = _FUNCTIONS[node.func.id][0], [self.build(arg) for arg in node.args]
        return lambda params: call(*[arg(params) for arg in args])
