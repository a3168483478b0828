"""What a task is, and its scale: normalised regret, 0 at the best value known and 1 at the median of random params.

The scale comes from a pool of random params, evaluated once and kept in ``benchmarks/cache`` (which git ignores), and from
``data/best.json``, which holds the best values that any search of ours has ever found. Knows no searcher.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialist.space import SearchSpace

ROOM = Path(__file__).parents[1]
BEST = ROOM / "data" / "best.json"

Params = dict[str, Any]


def cache_room() -> Path:
    """Where pools and finished courses are kept between runs; ``TRIALIST_BENCHMARKS_CACHE`` names another place."""
    return Path(os.environ.get("TRIALIST_BENCHMARKS_CACHE") or ROOM / "cache")


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something to minimise."""

    name: str
    group: str
    """``lcbench``, ``real`` or ``synthetic``."""
    space: SearchSpace
    loss: Callable[[Params], float]
    """What params are worth; the same for the same params, always."""
    noise: float = 0.0
    """Standard deviation of what is added to a loss when it is evaluated."""
    pool: int = 500
    """How many random params make the scale."""
    losses: Callable[[Sequence[Params]], NDArray[np.float64]] | None = None
    """``loss`` of many at once, where that is quicker."""
    version: int = 1
    """Rises whenever the space or the losses change, so that what was kept of the old ones is not mixed in."""

    def evaluate(self, params: Params, seed: int = 0) -> float:
        """The loss that a trial with this seed sees: noisy where the task is."""
        loss = self.loss(params)
        if self.noise:
            loss += random.Random(f"{self.name}/{seed}/{self.space.key(params)}").gauss(0.0, self.noise)
        return loss

    @property
    def best(self) -> float:
        """The best loss known."""
        known = json.loads(BEST.read_text("utf-8")) if BEST.is_file() else {}
        kept = known.get(f"{self.name}/{self.version}", {}).get("loss", float("inf"))
        return min(float(self.pool_losses.min()), kept)

    @cached_property
    def median(self) -> float:
        """The median loss of random params."""
        return float(np.median(self.pool_losses))

    @cached_property
    def pool_losses(self) -> NDArray[np.float64]:
        """The losses of the pool, ascending; evaluated at the first use on this machine, which may take a minute."""
        path = cache_room() / "pools" / f"{self.name}-{self.version}-{self.pool}.npy"
        if path.is_file():
            return np.load(path)
        rng = random.Random(f"pool of {self.name}")
        points = [self.space.sample(rng) for _ in range(self.pool)]
        losses = self.losses(points) if self.losses else np.array([self.loss(point) for point in points])
        losses = np.sort(losses)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, losses)
        partial.replace(path)
        return losses

    def regret(self, loss: float) -> float:
        """A loss on the task's scale; below 0 where it is better than the best that was known."""
        return (loss - self.best) / (self.median - self.best)
