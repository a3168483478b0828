"""How a function gets into a trial's process: by the path it can be imported from, or by value.

By path where another process finds the same function there. By value (``cloudpickle``) whatever only this process has: what a
notebook or a script defines at its top level, lambdas, closures, bound methods, what was wrapped or defined anew since its
module was imported. So a script that starts a study needs no guard against being run again by its trials. Knows no executor.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

from trialist.api.naming import importable
from trialist.core.errors import ObjectiveError


def shipped(objective: Callable[..., Any]) -> str | bytes:
    """A function for a trial's process: ``module:qualname`` or ``path.py:qualname``, or the function itself, pickled.

    Raises:
        ObjectiveError: It can go neither way; names the object that cannot be pickled.
    """
    target = importable(objective)
    if target is not None and objective.__module__ != "__main__" and _is_there(objective):
        return target
    import cloudpickle

    try:
        pickled: bytes = cloudpickle.dumps(objective)
        return pickled
    except Exception as error:  # noqa: BLE001 - pickling runs whatever the objects define
        if target is not None and objective.__module__ == "__main__" and _has_guard():
            return target
        raise ObjectiveError(_obstacle(objective, error)) from None  # the pickler's own words say less


def _is_there(objective: Callable[..., Any]) -> bool:
    """Whether its module has this very function under its name."""
    try:
        found: Any = reduce(getattr, objective.__qualname__.split("."), sys.modules[objective.__module__])
    except (KeyError, AttributeError):
        return False
    return bool(found is objective)


def _has_guard() -> bool:
    """Whether the script can be imported without doing its work again."""
    try:
        tree = ast.parse(Path(sys.modules["__main__"].__file__ or "").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.If) and "__main__" in ast.dump(node.test) for node in tree.body)


def _obstacle(objective: Callable[..., Any], error: Exception) -> str:
    name = getattr(objective, "__qualname__", None) or type(objective).__qualname__
    for what, value in _parts(objective):
        if not _can_go(value):
            return (
                f"'{name}' cannot be given to another process, because {what} cannot ({type(value).__qualname__}): make it "
                "inside the function, or run with jobs=1"
            )
    return f"'{name}' cannot be given to another process ({error}): run it with jobs=1"


def _parts(objective: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """What a function brings along, in words."""
    owner = getattr(objective, "__self__", None)
    if owner is not None:
        yield "the object that it is a method of", owner
    function = inspect.unwrap(getattr(objective, "__func__", objective))
    if not inspect.isfunction(function):
        for name, value in getattr(objective, "__dict__", {}).items():
            yield f"its '{name}'", value
        return
    used = inspect.getclosurevars(function)
    for name, value in {**used.nonlocals, **used.globals}.items():
        yield f"'{name}', which it uses,", value
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty:
            yield f"the default of its '{parameter.name}'", parameter.default


def _can_go(value: Any) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - see above
        return False
    return True
