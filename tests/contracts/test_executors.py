"""Every executor through the suite of its port."""

from trialist.execute.inline import InlineExecutor
from trialist.testing.executors import ExecutorContract


class TestInline(ExecutorContract):
    def make(self, objective, metric_names):
        return InlineExecutor(objective, metric_names)
