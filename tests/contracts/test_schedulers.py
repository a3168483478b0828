"""Every registered scheduler, through the contract suite."""

from __future__ import annotations

from typing import Any

import pytest

from trialist import registry
from trialist.core.ports import Scheduler
from trialist.core.records import Metric
from trialist.testing.schedulers import SchedulerContract

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "asha": [{}, {"variant": "stop"}, {"eta": 2, "min_steps": 2, "max_steps": 9}, {"rungs": [1, 5], "eta": 2.5}],
    "median": [{}, {"against": "average", "grace_steps": 2, "min_trials": 2}],
}
CASES = [(name, options) for name in registry.names("scheduler") for options in OPTIONS.get(name, [{}])]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
class TestSchedulers(SchedulerContract):
    @pytest.fixture(autouse=True)
    def _case(self, name: str, options: dict[str, Any]) -> None:
        self.name, self.options = name, options

    def make(self, metrics: tuple[Metric, ...]) -> Scheduler:
        scheduler: Scheduler = registry.load("scheduler", self.name)(metrics=metrics, **self.options)
        assert scheduler.name == self.name
        return scheduler
