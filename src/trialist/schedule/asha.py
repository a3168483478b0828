"""Asynchronous successive halving: at each rung the best 1/eta of the trials go on.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (ASHA), MLSys 2020, arXiv:1810.05934 (2018). Knows its
options; the algorithm is ``halving``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trialist.core.errors import ConfigError
from trialist.core.options import Options
from trialist.core.records import Metric
from trialist.schedule.halving import Halving, Variant
from trialist.schedule.rungs import Rungs


class AshaScheduler(Halving):
    """Lets the best 1/eta of the trials of each rung go on; the others wait (``promote``) or end (``stop``).

    Exact: trials wait at rungs for their decision. The decision depends on the metric at the first report at or above
    the rung; non-finite is worst and never goes on; ties go to the older trial. A trial that runs again from an earlier
    step counts once, with its newest value. Failed and cancelled trials leave the rungs. A decision costs about the
    square root of the number of trials.

    Args:
        metrics: The study's.
        eta: 1/eta of a rung go on; at least 2. Also called ``reduction_factor``.
        min_steps: The lowest rung; rungs follow at ``min_steps * eta**k``.
        max_steps: What a whole trial takes: there is no rung at or above it. Without it rungs go on for ever, and a trial
            that comes to a new one first waits there for others; when none will come, the best one runs to its end.
        rungs: The rungs themselves, ascending, instead of ``min_steps`` and ``max_steps``.
        variant: ``promote`` or ``stop``. ``stop`` lets the best one of the first few trials of a rung go on, where
            ``promote`` lets them wait.
        metric: Name of the metric to compare by, where the study has several.

    Raises:
        ConfigError: An option is unknown or wrong, or the study has no metric.
    """

    name = "asha"

    def __init__(self, metrics: Sequence[Metric] = (), **options: Any) -> None:
        given = Options("scheduler 'asha'", options)
        metric = given.metric(tuple(metrics))
        eta = eta_option(given, options)
        rungs = Rungs.from_options(given, eta)
        variant = Variant(given.choice("variant", Variant.PROMOTE, list(Variant)))
        given.done()
        super().__init__(self.name, metric, rungs, eta, variant)


def eta_option(given: Options, options: dict[str, Any]) -> float:
    """The option ``eta`` under either of its names."""
    if "eta" in options and "reduction_factor" in options:
        raise ConfigError(f"{given.what}: 'eta' and 'reduction_factor' are one option: give one of them.")
    eta, factor = given.number("eta", 3, low=2), given.number("reduction_factor", 3, low=2)
    return factor if "reduction_factor" in options else eta
