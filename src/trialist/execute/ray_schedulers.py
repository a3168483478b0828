"""Ray Tune's schedulers by our names, and the scheduler of ours that says in a study what one of them has decided."""

from __future__ import annotations

from typing import Any

from ray.tune import schedulers as tune_schedulers

from trialist.core.errors import ConfigError, nearest
from trialist.core.events import Body, Event
from trialist.core.records import Continue, Decision, Metric, Promotion, Spec, Stop, Trial
from trialist.execute.ray_trainable import STEP

SCHEDULERS = {
    "asha": (
        tune_schedulers.ASHAScheduler,
        {"max_steps": "max_t", "min_steps": "grace_period", "eta": "reduction_factor"},
    ),
    "hyperband": (tune_schedulers.HyperBandScheduler, {"max_steps": "max_t", "eta": "reduction_factor"}),
    "median": (tune_schedulers.MedianStoppingRule, {"min_steps": "grace_period", "min_trials": "min_samples_required"}),
}
"""Schedulers by our name: Ray Tune's class, and our options as it calls them. Its own names are taken too."""


class Mirror:
    """The scheduler that says here what Ray Tune's has decided."""

    name = "ray_tune"
    reads: frozenset[type[Body]] = frozenset()

    def __init__(self) -> None:
        self.stopped: set[int] = set()
        """Trials that Ray Tune has ended."""

    def boundary(self, trial: Trial, step: int) -> int | None:
        return None

    def update(self, event: Event, trial: Trial | None) -> None:
        """Nothing is folded: Ray Tune keeps its own books."""

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        if trial.number in self.stopped:
            return Stop(reason="Ray Tune's scheduler ended it")
        return Continue()

    def promote(self, *, last: bool = False) -> Promotion | None:
        return None


def make_scheduler(spec: Spec | None, metric: Metric) -> Any:
    """Ray Tune's scheduler for ours.

    Raises:
        ConfigError: It has none of this name, or the options do not fit.
    """
    if spec is None or spec.name == "fifo":
        return None
    if spec.name not in SCHEDULERS:
        known = ", ".join(SCHEDULERS)
        raise ConfigError(
            f"engine 'ray_tune' has the schedulers {known}, and not '{spec.name}'.{nearest(spec.name, SCHEDULERS)} "
            "engine='ray' runs all of ours on a cluster.",
            path="scheduler",
        )
    cls, names = SCHEDULERS[spec.name]
    options = {names.get(name, name): value for name, value in spec.options.items()}
    try:
        return cls(time_attr=STEP, metric=metric.name, mode=metric.mode.value, **options)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"Ray Tune's {cls.__name__} does not take these options: {error}", path="scheduler"
        ) from error
