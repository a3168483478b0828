"""Real engine, real store, real workers: where trials sit while they wait changes no row of a study."""

import sys

import pytest

from trialist import Fixed, Float, create_study
from trialist.core.records import Budget
from trialist.core.states import StudyStatus, TrialStatus
from trialist.execute.command import CommandExecutor
from trialist.execute.launch import function_launch
from trialist.execute.pool import PoolExecutor
from trialist.testing.residents import STEPS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")
ASHA = {"name": "asha", "eta": 3, "min_steps": 1, "max_steps": STEPS}
EXECUTORS = {
    "processes": lambda launch: CommandExecutor(launch),
    "forks": lambda launch: PoolExecutor(launch, start="fork"),
    "workers": lambda launch: PoolExecutor(launch, start="spawn"),
    "residents": lambda launch: PoolExecutor(launch, residents=16),
}


def rows_of(folder, name, scheduler):
    """Run a study of toy trainings, and tell all that its store keeps of them but times, processes and threads."""
    space = {"lr": Float(0.001, 3.0, log=True), "steps": Fixed(STEPS), "save_every": Fixed(1)}
    study = create_study(
        "toy", space, metric="loss", mode="min", scheduler=scheduler, seed=5, store=f"sqlite:///{folder}/{name}.db"
    )
    executor = EXECUTORS[name](function_launch("trialist.testing.residents:trains", metric_names=("loss",)))
    study.lead(
        executor,
        run_dir=lambda trial: folder / name / f"trial-{trial.number}",
        budget=Budget(num_trials=9, jobs=1),
    )
    assert study.row.status is StudyStatus.COMPLETED
    handles = list(study.iter_trials())
    trials = [handle.record for handle in handles]
    reports = {h.number: [(r.attempt, r.step, r.metrics["loss"]) for r in h.reports] for h in handles}
    pids = {report.metrics["pid"] for handle in handles for report in handle.reports}
    return [(t.number, t.params, t.status, t.attempt, t.step, t.value) for t in trials], reports, pids


@pytest.mark.parametrize("variant", ["stop", "promote"])
def test_asha_over_residents_leaves_the_rows_that_it_leaves_over_processes(tmp_path, variant):
    scheduler = {**ASHA, "variant": variant}
    found = {name: rows_of(tmp_path, name, scheduler) for name in EXECUTORS}
    trials, reports, _ = found["processes"]
    assert {status for _, _, status, *_ in trials} == {TrialStatus.COMPLETED, TrialStatus.STOPPED}
    for name in EXECUTORS:
        assert found[name][:2] == (trials, reports), name
    assert len(found["processes"][2]) == len(found["forks"][2]) == len(trials)
    assert len(found["residents"][2]) == 1
