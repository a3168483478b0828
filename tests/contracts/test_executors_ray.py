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


def test_whose_fault_a_lost_place_is():
    is_nodes_fault = registry.resolve("trialist.execute.ray:is_nodes_fault", "a test")
    assert is_nodes_fault("The actor died because its node has died. Node Id: 0f")
    assert not is_nodes_fault("Task was killed due to the node running low on memory.")
    assert not is_nodes_fault("The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR")


class TestRay(ExecutorContract):
    worker_words = "ray"  # where it will be is the cluster's to say

    def make(self, objective, metric_names):
        executor = registry.load("executor", "ray")
        return executor(f"trialist.testing.executors:{objective.__name__}", metric_names=metric_names, grace_s=2.0)
