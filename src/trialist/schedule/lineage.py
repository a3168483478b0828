"""What a trial that was forked has gone through: whose params it held at which steps, back to a fresh start.

Knows trials' rows and no scheduler: any trial that goes on from another one's checkpoint has a lineage, whoever made it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from trialist.core.errors import ConfigError
from trialist.core.records import Params, Trial, WarmStart


class Held(NamedTuple):
    """A stretch of training under the same params."""

    trial: int
    """The trial that trained it."""
    after_step: int
    """It trained the steps above this one."""
    to_step: int | None
    """Up to this one; ``None``: nothing was reported yet."""
    params: Params


def lineage(number: int, find: Callable[[int], Trial]) -> tuple[Held, ...]:
    """The training that made a trial what it is, oldest stretch first, each step once.

    A trial that only took over weights begins its own training, so its lineage is itself alone.

        >>> lineage(5, study_trials.__getitem__)                     # doctest: +SKIP
        (Held(trial=2, after_step=0, to_step=10, params={'lr': 0.1}), Held(trial=5, after_step=10, to_step=30, ...))

    Args:
        number: The trial.
        find: A trial's row by its number.
    """
    out: list[Held] = []
    row, to_step = find(number), None
    while True:
        begins = _begins(row)
        out.append(Held(row.number, begins, row.step if to_step is None else to_step, row.params))
        if row.warm_start_from is None or row.warm_start_from.what is not WarmStart.RESUME:
            return tuple(reversed(out))
        row, to_step = find(row.warm_start_from.trial), begins


def params_at(held: Sequence[Held], step: int) -> Params:
    """The params under which a step was trained, for training the same schedule again; beyond the end, the last ones.

    Raises:
        ConfigError: No stretch is given, or the step is below 1.
    """
    if not held or step < 1:
        raise ConfigError(f"a schedule of {len(held)} stretches says nothing of step {step}: steps count from 1")
    return next((one.params for one in held if one.to_step is None or step <= one.to_step), held[-1].params)


def _begins(row: Trial) -> int:
    """The step after which a trial's own training begins."""
    begins = row.note.get("from_step", 0)
    return begins if isinstance(begins, int) and row.warm_start_from is not None else 0
