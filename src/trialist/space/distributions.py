"""The distributions by name, as functions: ``loguniform(1e-5, 1e-1)`` is ``{"type": "loguniform", "low": …, "high": …}``.

Bounds are included everywhere, for integers too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trialist.space.choices import Choice
from trialist.space.domains import Fixed, Float, Int


def uniform(low: float, high: float) -> Float:
    """Floats, evenly."""
    return Float(low, high)


def loguniform(low: float, high: float) -> Float:
    """Floats, evenly in the logarithm; ``low`` above 0."""
    return Float(low, high, log=True)


def quniform(low: float, high: float, q: float) -> Float:
    """``low``, ``low + q``, ``low + 2 q`` … up to ``high``, exact in decimal."""
    return Float(low, high, q=q)


def qloguniform(low: float, high: float, q: float) -> Float:
    """As ``quniform``, evenly in the logarithm."""
    return Float(low, high, log=True, q=q)


def randint(low: int, high: int) -> Int:
    """Integers, ``high`` included."""
    return Int(low, high)


def lograndint(low: int, high: int) -> Int:
    """Integers, evenly in the logarithm; ``low`` at least 1."""
    return Int(low, high, log=True)


def qrandint(low: int, high: int, q: int) -> Int:
    """``low``, ``low + q`` … up to ``high``."""
    return Int(low, high, step=q)


def qlograndint(low: int, high: int, q: int) -> Int:
    """As ``qrandint``, evenly in the logarithm."""
    return Int(low, high, log=True, step=q)


def choice(values: Iterable[Any]) -> Choice:
    """One of the values, in order; mappings that hold domains are conditional branches."""
    return Choice(values)  # type: ignore[arg-type]


def fixed(value: Any) -> Fixed:
    """Always this value."""
    return Fixed(value)
