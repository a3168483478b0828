"""What a piece of work costs in calls: a number that is the same on a slow machine and on a fast one.

Knows nothing of Trialist.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def calls_of(work: Callable[[], object]) -> int:
    """How many functions ``work`` calls on this thread, those written in C included; what runs inside those is not seen."""
    count = 0

    def see(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
