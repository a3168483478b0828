"""JSON values as a space holds them: taken in as plain Python, compared as JSON compares, copied on the way out.

``True`` is no number and differs from ``1``; ``1`` and ``1.0`` are one number. Knows no domain and no path: errors carry an
empty path, which whoever knows it fills in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from numbers import Integral, Real
from typing import Any

from trialist.core.errors import SpaceError

MAX_DEPTH = 64
"""Levels of nesting that a value or a space may have: far more than any config, far fewer than Python's stack."""


def as_json(value: Any, depth: int = 0) -> Any:
    """A value as plain JSON: tuples become lists, NumPy scalars and enums their plain values.

    Raises:
        SpaceError: It is no JSON: another type, a key that is no text, NaN or infinity, or nested too deeply.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return as_json(value.value, depth)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            raise SpaceError("", f"{number} is no JSON: values must be finite.")
        return number
    if depth >= MAX_DEPTH:
        raise SpaceError("", f"the value is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, list | tuple):
        return [as_json(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise SpaceError("", f"the key {short(key)} is not text: JSON has text keys only, so quote it.")
        return {_text(key): as_json(item, depth + 1) for key, item in value.items()}
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return as_json(value.item(), depth + 1)  # numpy.bool is neither Integral nor bool
    raise SpaceError(
        "",
        f"{short(value)} is a {type(value).__name__}, and values must be JSON (null, true, false, numbers, text, lists, "
        "mappings): give a name and look the object up in your code.",
    )


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SpaceError("", f"{value!a} holds half a character (a lone surrogate), which is no valid text.") from None
    return str(value)


def identity(value: Any) -> Hashable:
    """Equal for values that JSON calls equal, and only for them; ``1`` and ``1.0`` are one number, ``True`` is none."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return ("dict", frozenset((key, identity(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(identity(item) for item in value))
    hashable: Hashable = value
    return hashable


def copy_json(value: Any) -> Any:
    """A deep copy, so that whoever gets a value cannot change the space."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def as_float(value: Any, what: str) -> float:
    """A finite float, from any real number but a bool.

    Raises:
        SpaceError: It is no number, or not finite; ``what`` names it.
    """
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise SpaceError("", f"{what} must be a number; got {short(value)}{_hint(value)}.")
        try:
            value = float(value)
        except OverflowError:
            raise SpaceError("", f"{what} is too large for a float; got {short(value)}.") from None
    if not math.isfinite(value):
        raise SpaceError("", f"{what} must be finite; got {value}.")
    return float(value)


def as_int(value: Any, what: str) -> int:
    """An integer, from any integral number (``1e3`` too) but a bool.

    Raises:
        SpaceError: It is no integer; ``what`` names it.
    """
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpaceError("", f"{what} must be an integer; got {short(value)}{_hint(value)}.")
    if isinstance(value, Integral):
        return int(value)
    number = as_float(value, what)
    if not number.is_integer():
        raise SpaceError("", f"{what} must be an integer; got {number!r}.")
    return int(number)


def _hint(value: Any) -> str:
    if isinstance(value, bool):
        return " (true and false are no numbers)"
    if isinstance(value, str):
        return " (text: remove the quotes)" if _is_number(value) else " (text)"
    return f" (a {type(value).__name__})"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def short(value: Any, width: int = 60) -> str:
    """A value for a message: its JSON or its ``repr``, cut to ``width`` characters."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 512:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else repr(value)
    except (TypeError, ValueError, RecursionError):
        # Objects may refuse to show themselves; their type is enough for a message.
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001
            text = f"<{type(value).__name__}>"
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= width else text[: width - 1] + "…"


def join(path: str, key: str) -> str:
    """The dotted path of a key below a path."""
    return f"{path}.{key}" if path else key


@contextmanager
def at(path: str) -> Iterator[None]:
    """Gives errors of values and domains, which know no path, theirs."""
    try:
        yield
    except SpaceError as error:
        if error.path or not path:
            raise
        raise SpaceError(path, error.rule) from error.__cause__
