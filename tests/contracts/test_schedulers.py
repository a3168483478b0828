"""Every registered scheduler, through the contract suite."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from trialist import registry
from trialist.core.ports import Scheduler
from trialist.core.records import Metric
from trialist.testing.schedulers import SPACE, SchedulerContract

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "asha": [{}, {"variant": "stop"}, {"eta": 2, "min_steps": 2, "max_steps": 9}, {"rungs": [1, 5], "eta": 2.5}],
    "hyperband": [{"max_steps": 9}, {"max_steps": 11, "eta": 2, "min_steps": 2}],
    "pbt": [
        {"max_steps": 12, "interval": 3, "population": 6},
        {"max_steps": 12, "interval": 5, "population": 50, "quantile": 0.5},
        {"max_steps": 9, "interval": 1, "population": 2, "mutate": ["curve", "rate"], "resample": 1},
        {"max_steps": 10, "population": 4, "quantile": 0},
    ],
    "forecast": [{"max_steps": 12}, {"keep": 0.9, "min_trials": 2}],
    "median": [{}, {"against": "average", "grace_steps": 2, "min_trials": 2}],
}
CASES = [(name, options) for name in registry.names("scheduler") for options in OPTIONS.get(name, [{}])]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
class TestSchedulers(SchedulerContract):
    @pytest.fixture(autouse=True)
    def _case(self, name: str, options: dict[str, Any]) -> None:
        self.name, self.options = name, options

    def make(self, metrics: tuple[Metric, ...]) -> Scheduler:
        cls = registry.load("scheduler", self.name)
        given = {"space": SPACE, "seed": 7} if "space" in inspect.signature(cls).parameters else {}
        scheduler: Scheduler = cls(metrics=metrics, **given, **self.options)
        assert scheduler.name == self.name
        return scheduler
