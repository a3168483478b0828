"""Studies whose trials run on a Ray cluster of three nodes: fractions of devices, lost nodes, nodes without our files."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import trialist
from trialist import fsck
from trialist.core.records import Spec
from trialist.core.states import StudyStatus, TrialStatus

pytestmark = [pytest.mark.extras, pytest.mark.slow]
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

SPACE = {"x": {"type": "uniform", "low": 0.0, "high": 1.0}}
STEPS = 6


@pytest.fixture(scope="module")
def cluster():
    """A head without room for trials, and two workers of two places each."""
    if " " in sys.executable:
        pytest.skip("Ray starts no workers where the path of Python holds a space")
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.add_node(num_cpus=2, num_gpus=1, resources={"slot": 2})
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def study(tmp_path):
    return trialist.create_study("onray", SPACE, metric="loss", mode="min", store=str(tmp_path / "trials.db"))


def quick(trial):
    print(f"trial {trial.number} here")
    (trial.dir / "made.txt").write_text(str(trial.params["x"]))
    for step in range(trial.resume_step or 0, STEPS):
        trial.report(step=step + 1, loss=trial.params["x"] / (step + 1))
        trial.save_checkpoint(lambda folder, step=step: (folder / "step").write_text(str(step + 1)))
    return {"loss": trial.params["x"], "gpus": float(os.environ.get("CUDA_VISIBLE_DEVICES", "") != "")}


def test_a_function_of_this_session_runs_on_the_cluster(cluster, study, tmp_path):
    factor = 2.0

    def double(x):
        return factor * x

    study.run(double, num_trials=4, jobs=2, executor="ray", progress=False)
    assert [trial.value for trial in study.trials()] == [2 * trial.params["x"] for trial in study.trials()]
    assert study.row.spec.executor == Spec(name="ray")
    assert fsck(store=study.store, replay=True).findings == []


def test_fractions_of_devices_and_named_resources_are_the_clusters_to_count(cluster, study):
    study.run(
        quick, num_trials=4, jobs=4, executor="ray", resources={"cpu": 0.5, "gpu": 0.5, "slot": 1}, progress=False
    )
    assert [trial.status for trial in study.trials()] == [TrialStatus.COMPLETED] * 4
    assert {trial.metrics["gpus"] for trial in study.trials()} == {1.0}


def test_a_node_that_does_not_see_our_files_sends_them(cluster, study, monkeypatch):
    monkeypatch.setattr("trialist.execute.ray_place._reads", lambda probe: False)
    place = pytest.importorskip("trialist.execute.ray")
    monkeypatch.setattr(place, "Recipe", lambda **given: Recipe(**{**given, "probe": ("/nowhere", "")}))
    from trialist.execute.ray_place import Recipe

    scheduler = {"name": "asha", "min_steps": 2, "max_steps": STEPS, "eta": 2}
    study = trialist.create_study(
        "away", SPACE, metric="loss", mode="min", store=study.store.url, scheduler=scheduler, searcher="random"
    )
    study.run(quick, num_trials=6, jobs=2, executor="ray", progress=False)
    assert study.status is StudyStatus.COMPLETED
    done = study.trials(status="completed")
    assert done
    for trial in done:
        folder = Path(trial.run_dir)
        assert f"trial {trial.number} here" in (folder / "stdout.log").read_text()
        assert (folder / "made.txt").read_text() == str(trial.params["x"])
        assert max(report.step for report in trial.reports) == STEPS
    kept = [row for trial in study.trials() for row in study.store.checkpoints(study.id, trial.number)]
    assert kept
    for row in kept:
        assert (Path(row.path) / "step").read_text() == str(row.step)
    assert fsck(store=study.store, replay=True).findings == []


def waits(trial):
    """Reaches a checkpoint, and from there on waits until it is let go."""
    gate = Path(os.environ["TRIALIST_TEST_GATE"])
    start = trial.resume_step or 0
    for step in range(start, STEPS):
        trial.report(step=step + 1, loss=trial.params["x"])
        trial.save_checkpoint(lambda folder, step=step: (folder / "step").write_text(str(step + 1)))
        with (gate / f"log-{trial.number}").open("a") as file:
            file.write(f"{trial.attempt}:{step + 1}\n")
        while step == 1 and not (gate / "go").exists():
            threading.Event().wait(0.05)  # another process makes the file: there is no event for it here
    return trial.params["x"]


def test_trials_of_a_node_that_dies_go_on_elsewhere_from_their_checkpoints(cluster, study, tmp_path):
    gate = tmp_path / "gate"
    gate.mkdir()
    node = {"num_cpus": 2, "resources": {"doomed": 2}, "env_vars": {"TRIALIST_TEST_GATE": str(gate)}}
    doomed = cluster.add_node(**node)
    needs = {"cpu": 1, "doomed": 1}
    with ThreadPoolExecutor(1) as beside:  # nodes can be added on the main thread alone
        run = beside.submit(study.run, waits, num_trials=2, jobs=2, executor="ray", resources=needs, progress=False)
        while not run.done() and [log.read_text().count("\n") for log in gate.glob("log-*")] != [2, 2]:
            threading.Event().wait(0.05)
        cluster.remove_node(doomed, allow_graceful=False)
        cluster.add_node(**node)
        (gate / "go").touch()
        run.result()
    assert [trial.status for trial in study.trials()] == [TrialStatus.COMPLETED] * 2
    for number in (0, 1):
        steps = [line.split(":") for line in (gate / f"log-{number}").read_text().split()]
        assert [step for _, step in steps] == ["1", "2", "3", "4", "5", "6"]  # none twice, none left out
        assert {attempt for attempt, step in steps if int(step) <= 2} == {"1"}
        # A place may be made on the dead node before the cluster knows of its death; that attempt computes nothing.
        assert len({attempt for attempt, step in steps if int(step) > 2}) == 1
    assert fsck(store=study.store, replay=True).findings == []
