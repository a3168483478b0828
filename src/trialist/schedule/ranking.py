"""What schedulers compare trials by: losses, and an ordered set of them that stays fast with many trials.

Knows no scheduler, no event and no mode but for ``loss_of``.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator

from trialist.core.records import Metric, Metrics, Mode

Entry = tuple[float, int]
"""A loss and the number of its trial: lower is better, and ties go to the older trial."""

_BLOCK = 512


def loss_of(metric: Metric, metrics: Metrics) -> float:
    """What a trial's metrics are worth, lower being better in either mode; missing or non-finite is the worst there is."""
    value = metrics.get(metric.name)
    if value is None or not math.isfinite(value):
        return math.inf
    return value if metric.mode is Mode.MIN else -value


class Ranking:
    """An ordered set of entries: adding, removing and ranking cost about the square root of its size.

    Not thread-safe; belongs to one scheduler.
    """

    def __init__(self) -> None:
        self._blocks: list[list[Entry]] = []
        self._last: list[Entry] = []
        """The last entry of each block."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Entry]:
        for block in self._blocks:
            yield from block

    def add(self, entry: Entry) -> None:
        """Put in an entry that is not there."""
        if not self._blocks:
            self._blocks, self._last = [[]], [entry]
        at = min(bisect_left(self._last, entry), len(self._blocks) - 1)
        block = self._blocks[at]
        insort(block, entry)
        self._last[at] = block[-1]
        self._size += 1
        if len(block) > _BLOCK:
            half = len(block) // 2
            self._blocks[at : at + 1] = [block[:half], block[half:]]
            self._last[at : at + 1] = [block[half - 1], block[-1]]

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is there."""
        at = bisect_left(self._last, entry)
        block = self._blocks[at]
        del block[bisect_left(block, entry)]
        self._size -= 1
        if block:
            self._last[at] = block[-1]
        else:
            del self._blocks[at], self._last[at]

    def rank(self, entry: Entry) -> int:
        """How many entries come before this one."""
        at = bisect_left(self._last, entry)
        if at == len(self._blocks):
            return self._size
        return sum(map(len, self._blocks[:at])) + bisect_left(self._blocks[at], entry)

    def first(self) -> Entry | None:
        """The best entry; ``None`` where there is none."""
        return self._blocks[0][0] if self._blocks else None
