"""How many trials a study will have, as far as its budget and its space tell. Pure."""

from __future__ import annotations

from trialist.core.records import Study as StudyRow
from trialist.space import SearchSpace

_GRID = "grid"


def expected(row: StudyRow) -> int | None:
    """How many trials there will be, those outside the budget included; ``None``: nobody knows."""
    total, points = row.spec.budget.num_trials, _grid_points(row)
    if points is not None and (total is None or points < total):
        return max(points, row.num_trials)
    return None if total is None else max(total + row.num_trials - row.num_suggested, row.num_trials)


def _grid_points(row: StudyRow) -> int | None:
    """How many trials a grid has; ``None`` where it is no grid, or constraints leave an unknown part of it."""
    if row.spec.searcher.name != _GRID:
        return None
    space = SearchSpace.from_json(row.spec.space)
    return None if space.constraints else space.grid_size()
