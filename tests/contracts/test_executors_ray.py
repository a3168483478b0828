"""The executor on Ray through the suite of its port, on a cluster of this machine."""

import sys

import pytest

from trialist import registry
from trialist.testing.executors import ExecutorContract

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    ray = pytest.importorskip("ray")
    if " " in sys.executable:
        pytest.skip("Ray starts no workers where the path of Python holds a space")
    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


class TestRay(ExecutorContract):
    worker_words = "ray"  # where it will be is the cluster's to say

    def make(self, objective, metric_names):
        executor = registry.load("executor", "ray")
        return executor(f"trialist.testing.executors:{objective.__name__}", metric_names=metric_names, grace_s=2.0)
