"""Which parameters mattered in a study, as shares: one front to the methods. Knows spaces and trials, and no plot.

``ped_anova`` asks what tells the best trials from all of them, and follows the search wherever it went; ``fanova`` asks
what explains the value over the whole space, and is best after a search that covers it (random, Sobol).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialist import registry
from trialist.analysis import ped_anova
from trialist.analysis.snapshot import Snapshot, snapshot_of
from trialist.core.errors import SpaceError, UnknownName
from trialist.core.records import Mode, Trial
from trialist.space import Codec, SearchSpace
from trialist.space.choices import Choice
from trialist.space.domains import Float, Int
from trialist.space.leaves import Leaf

Floats = NDArray[np.float64]
FEW = 10
"""Below so many trials shares are mostly chance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """Shares of the parameters of a study."""

    shares: dict[str, float] = field(default_factory=dict)
    """Path to share, largest first; they sum to 1, or are all 0 where nothing can be told."""
    method: str
    metric: str
    trials: int
    """How many had a value and were looked at."""
    note: str = ""
    """What the reader should know, e.g. that there were too few trials."""


def importance(studied: Any, *, method: str = "ped_anova", metric: str | None = None) -> Importance:
    """Which parameters mattered.

    Trials that completed or were stopped count, with the value at the step they reached; failed ones do not.

    Args:
        studied: A study, its results or a snapshot.
        method: ``ped_anova`` or ``fanova`` (needs scikit-learn).
        metric: One of the study's; ``None``: the first.

    Raises:
        UnknownName: There is no such method or metric.
        MissingExtra: ``fanova`` without scikit-learn.
    """
    if method not in METHODS:
        raise UnknownName("importance method", method, METHODS)
    snapshot = snapshot_of(studied)
    chosen = snapshot.metric_named(metric)
    space = snapshot.space if snapshot.space is not None else guessed_space(snapshot)
    sign = -1.0 if chosen.mode is Mode.MAX else 1.0
    valued = [(t, sign * v) for t, v in zip(snapshot.trials, snapshot.values(chosen), strict=True) if v is not None]
    points = _Points(space, [trial for trial, _ in valued])
    losses = np.array([loss for _, loss in valued])[points.kept]
    raw = METHODS[method](points, losses) if len(losses) > 1 else np.zeros(len(points.leaves))
    total = float(raw.sum())
    shares: dict[str, float] = {leaf.path: 0.0 for leaf in points.leaves}
    for leaf, one in zip(points.leaves, raw, strict=True):
        shares[leaf.path] += float(one) / total if total > 0 else 0.0
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
    return Importance(
        shares=ordered,
        method=method,
        metric=chosen.name,
        trials=len(losses),
        note=_note(len(losses), len(valued), total, bool(shares)),
    )


def guessed_space(snapshot: Snapshot) -> SearchSpace:
    """A space in which all trials of a study lie that did not keep its own: each param from its values."""
    domains: dict[str, Any] = {}
    for name in snapshot.names:
        values = [params[name] for params in snapshot.flat if name in params]
        if any(len(params) and name not in params for params in snapshot.flat):
            continue  # conditional on what is not known
        if all(type(value) is int for value in values) and len(set(values)) > 1:
            domains[name] = Int(min(values), max(values))
        elif all(type(value) in (int, float) and math.isfinite(value) for value in values):
            low, high = float(min(values)), float(max(values))
            domains[name] = Float(low, high, log=low > 0 and high / low > 50)
        else:
            distinct = {repr(value): value for value in values}
            domains[name] = Choice(tuple(distinct.values()))
    return SearchSpace.of(domains)


class _Points:
    """Trials as rows of the unit cube, those that lie in the space."""

    def __init__(self, space: SearchSpace, trials: Sequence[Trial]) -> None:
        codec = Codec(space)
        self.leaves: tuple[Leaf, ...] = codec.leaves
        rows: list[tuple[list[float], list[bool]]] = []
        kept: list[int] = []
        for place, trial in enumerate(trials):
            try:
                rows.append(codec.encode_active(trial.params))
                kept.append(place)
            except (SpaceError, KeyError, TypeError, ValueError):  # params of an older space: told in the note
                continue
        self.kept = np.array(kept, dtype=np.int64)
        self.points = np.array([row for row, _ in rows], dtype=np.float64).reshape(len(rows), codec.dimension)
        self.active = np.array([row for _, row in rows], dtype=np.bool_).reshape(len(rows), codec.dimension)
        self.options = np.array(
            [len(leaf.domain.values) if isinstance(leaf.domain, Choice) else 0 for leaf in self.leaves], dtype=np.int64
        )


def _by_ped_anova(points: _Points, losses: Floats) -> Floats:
    columns = [
        _grid(leaf, points.points[:, k], points.active[:, k], int(points.options[k]))
        for k, leaf in enumerate(points.leaves)
    ]
    return ped_anova.importances(columns, losses)


def _grid(leaf: Leaf, at: Floats, active: NDArray[np.bool_], options: int) -> ped_anova.Column:
    """A parameter's positions in the unit cube as cells of the grid."""
    domain = leaf.domain
    if options:
        cells = np.minimum(np.floor(at * options), options - 1)
        return ped_anova.Column(leaf.path, cells, active, options, is_choice=True)
    count, log = domain.size, bool(getattr(domain, "log", False))
    if count is None:
        return ped_anova.Column(
            leaf.path, ped_anova.grid_cells(at, ped_anova.GRID), active, ped_anova.GRID, is_choice=False
        )
    if log and isinstance(domain, Int | Float):
        low, high = math.log(domain.nth(0)), math.log(domain.nth(count - 1))
        decode = domain.decoder()
        cells_of = {u: (math.log(decode(u)) - low) / (high - low) for u in np.unique(at[active]).tolist()}
        ends = np.array([cells_of.get(u, 0.5) for u in at.tolist()])
        size = min(math.ceil(math.log2(count)) + 1, ped_anova.GRID)
    else:
        ends = (np.floor(at * count).clip(0, count - 1)) / (count - 1)
        size = min(count, ped_anova.GRID)
    return ped_anova.Column(leaf.path, ped_anova.grid_cells(ends, size), active, size, is_choice=False)


def _by_fanova(points: _Points, losses: Floats) -> Floats:
    shares = registry.resolve("trialist.analysis.fanova:importances", what="importance by fANOVA")
    found: Floats = shares(points.points, points.active, points.options, losses)
    return found


METHODS: dict[str, Callable[[_Points, Floats], Floats]] = {"ped_anova": _by_ped_anova, "fanova": _by_fanova}
"""Name to the function that gives a number for each column."""


def _note(looked_at: int, valued: int, total: float, any_vary: bool) -> str:
    if not any_vary:
        return "no parameter varies"
    if looked_at < 2:
        return "too few trials with a value"
    if total <= 0:
        return "no parameter tells good trials from others"
    if valued > looked_at:
        return f"{valued - looked_at} trials do not lie in the space of the study and were left out"
    return f"only {looked_at} trials have a value: shares are mostly chance" if looked_at < FEW else ""
