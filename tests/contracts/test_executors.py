"""Every executor through the suite of its port."""

import sys
from pathlib import Path

from trialist import registry
from trialist.core.errors import MissingExtra
from trialist.core.records import OutcomeKind
from trialist.execute.command import CommandExecutor, Launch, function_launch
from trialist.execute.inline import InlineExecutor
from trialist.execute.pool import PoolExecutor
from trialist.testing.executors import ExecutorContract
from trialist.testing.residents import ResidentContract


class TestInline(ExecutorContract):
    def make(self, objective, metric_names):
        return InlineExecutor(objective, metric_names)


class TestCommandWithFunctions(ExecutorContract):
    def make(self, objective, metric_names):
        target = f"trialist.testing.executors:{objective.__name__}"
        return CommandExecutor(function_launch(target, metric_names=metric_names), grace_s=2.0)


class TestPoolWithFunctions(ExecutorContract):
    def make(self, objective, metric_names):
        target = f"trialist.testing.executors:{objective.__name__}"
        return PoolExecutor(function_launch(target, metric_names=metric_names), grace_s=2.0)


class TestPoolWithSpawnedWorkers(ExecutorContract):
    def make(self, objective, metric_names):
        return _workers(objective, metric_names, residents=1)


class TestPoolWithResidents(ExecutorContract):
    def make(self, objective, metric_names):
        return _workers(objective, metric_names, residents=4)


class TestResidentsOfPool(ResidentContract):
    def make(self, objective, metric_names, residents):
        return _workers(objective, metric_names, residents=residents)


def test_every_executor_that_keeps_residents_is_held_to_their_contract():
    keep = [name for name in registry.names("executor") if "residents" in getattr(_found(name), "options", ())]
    assert keep == ["pool"]


def _found(name):
    try:
        return registry.load("executor", name)
    except MissingExtra:
        return None


def _workers(objective, metric_names, residents):
    launch = function_launch(f"{objective.__module__}:{objective.__name__}", metric_names=metric_names)
    return PoolExecutor(launch, start="spawn", residents=residents, grace_s=1.0)


SCRIPT = """
from trialist.runtime import current_trial
from trialist.testing import executors
executors.{name}(current_trial())
"""


class TestCommandWithScripts(ExecutorContract):
    raises_as = frozenset({OutcomeKind.EXITED})
    checks_results = False

    def make(self, objective, metric_names):
        def prepare(segment):
            script = SCRIPT.format(name=objective.__name__)
            return Launch(argv=[sys.executable, "-c", script], stdout=Path(segment.run_dir) / "stdout.log")

        return CommandExecutor(prepare, grace_s=2.0)
