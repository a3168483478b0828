"""Marks that a config file can put on a value. Standard library only, and knows nothing but the marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FixedValue:
    """``!fixed [0.9, 0.999]``: the list (or mapping) is a value; it does not vary."""

    value: Any
    """Plain data, itself free of marks."""
