"""Handing studies to workers; no worker is needed to say what is queued, and what could not be run by one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import trialist
from trialist.api import Study
from trialist.api.workforce import Presence, presence, waited_for, workforce
from trialist.core.errors import ConfigError, ObjectiveError, StudyLed, StudyMismatch, UnknownName, UserError
from trialist.core.events import StudyClaimed, StudySubmitted
from trialist.core.records import Worker
from trialist.core.states import StudyStatus
from trialist.store.holders import holder
from trialist.testing.stores import ELSEWHERE, dead_holder

SPACE = {"x": {"type": "uniform", "low": 0.0, "high": 1.0}}


def objective(x):
    return x


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return trialist.create_study("study", SPACE, metric="loss", mode="min", store=str(tmp_path / "a.db"))


def submissions(study: Study) -> int:
    return len(list(study.events(kinds=[StudySubmitted])))


def claim(study: Study) -> None:
    """As a worker does."""
    lease = study.store.claim_study(ELSEWHERE, 1e6)
    assert lease is not None


def test_submitting_twice_is_submitting_once(study):
    said = study.submit(objective, num_trials=3, jobs=2, timeout_s=9.5)
    assert said.startswith("study 'study' is queued; no worker is connected: start one with 'trialist worker --store ")
    assert study.submit(objective, num_trials=3).startswith("study 'study' is queued already")
    assert submissions(study) == 1
    row = study.row
    assert (row.status, row.spec.budget.jobs, row.spec.executor.name) == (StudyStatus.QUEUED, 2, "pool")
    assert row.spec.order.timeout_s == 9.5
    assert row.spec.order.cwd == str(Path.cwd())
    assert row.spec.order.run["function"].endswith("test_queueing:objective")
    assert any((Path(place) / "tests/api/test_queueing.py").exists() for place in row.spec.order.path)
    assert study.submit(num_trials=5).startswith("study 'study' is queued already")
    assert (submissions(study), study.row.spec.budget.num_trials) == (1, 5)


def test_a_study_that_has_ended_is_queued_again_where_there_is_more_to_do(study):
    study.run(objective, num_trials=2, progress=False)
    assert "all of its 2 trials have run" in study.submit(objective)
    assert study.status is StudyStatus.COMPLETED
    assert "is queued" in study.submit(objective, num_trials=3)
    assert study.status is StudyStatus.QUEUED
    study.run(objective, num_trials=3, progress=False)
    assert (study.status, study.row.submitted_at, study.row.spec.order) == (StudyStatus.COMPLETED, None, None)


def test_a_queued_study_is_steered_at_once(study):
    study.submit(objective, num_trials=3)
    assert study.pause() == "paused by a person"
    assert study.store.claimable().studies == []
    assert study.resume() == "resumed by a person"
    assert [row.name for row in study.store.claimable().studies] == ["study"]
    assert "budget changed" in study.set_budget(num_trials=9)
    study.cancel()
    assert (study.status, study.store.claimable().studies) == (StudyStatus.CANCELLED, [])


def test_what_another_process_could_not_run_is_refused(study, tmp_path):
    def inside(x):
        return x

    for wrong, why in (
        (inside, "cannot be found by another process"),
        (lambda x: x, "cannot be found by another process"),
        ("nothing", "names no function"),
        (str(tmp_path / "gone.py:f"), "there is no file"),
        (7, "not as int"),
        ([], "not as list"),
    ):
        with pytest.raises(ObjectiveError, match=why):
            study.submit(wrong)
    with pytest.raises(ConfigError, match=r"'\{y\}'"):
        study.submit(["echo", "{y}"])
    with pytest.raises(ConfigError, match="no 'model' section"):
        study.submit({"data": {}})
    with pytest.raises(UnknownName, match="executor"):
        study.submit(objective, executor="polo")
    with pytest.raises(ConfigError, match="one trial at a time"):
        study.submit(objective, executor="inline", jobs=2)
    with pytest.raises(ConfigError, match=r"resources\.cpu"):
        study.submit(objective, resources={"cpu": -1})
    with pytest.raises(ObjectiveError, match="no objective that another process could run"):
        study.submit()
    assert (study.status, study.row.seq) == (StudyStatus.CREATED, 1)


def test_another_objective_is_another_study(study):
    study.submit("module:name", num_trials=1)
    with pytest.raises(StudyMismatch, match="module:name"):
        study.submit("module:other")


def test_what_was_run_here_can_be_handed_on(study):
    study.run(objective, num_trials=1, progress=False)
    study.submit(num_trials=2)
    assert study.row.spec.order.run["function"].endswith("test_queueing:objective")


def test_a_study_that_a_person_leads_is_refused_and_one_that_a_worker_leads_is_told(study):
    lease = study.store.take_lease(study.id, ELSEWHERE, 1e6)
    with pytest.raises(StudyLed, match="4711"):
        study.submit("module:name")
    study.store.release_lease(lease)
    study.submit("module:name", num_trials=2)
    claim(study)
    assert study.submit("module:name", num_trials=2).startswith("study 'study' is running already")
    assert submissions(study) == 1


def test_of_two_submitters_both_are_right(tmp_path):
    said: list[str] = []
    here = [trialist.create_study("one", SPACE, store=str(tmp_path / "a.db"), resume=True) for _ in range(4)]
    line = threading.Barrier(len(here))

    def submit(mine: Study) -> None:
        line.wait()
        said.append(mine.submit("module:name", num_trials=2))

    threads = [threading.Thread(target=submit, args=(mine,)) for mine in here]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 4
    assert submissions(here[0]) == 1


def test_a_worker_is_there_until_it_is_dead_or_silent(study):
    worker = Worker(id="0" * 32, name="w", holder=holder(), seen_at=100.0, beat_s=5.0)
    assert presence(worker, 110.0) is Presence.CONNECTED
    assert presence(worker, 116.0) is Presence.LOST
    dead = Worker(id="1" * 32, name="d", holder=dead_holder(), seen_at=100.0)
    assert presence(dead, 100.0) is Presence.LOST
    assert waited_for(study.store, study.row, 100.0) is None
    study.submit("module:name", num_trials=2)
    assert waited_for(study.store, study.row, 100.0) == 0
    study.store.beat_worker(worker)
    study.store.beat_worker(dead)
    assert waited_for(study.store, study.row, 100.0) == 1
    assert "1 worker is connected" not in study.submit()  # by the clock of today nobody is
    lease = study.store.claim_study(ELSEWHERE, 1e6)
    assert lease is not None
    assert waited_for(study.store, study.row, 100.0) is None
    assert [(one.worker.name, one.leads) for one in workforce(study.store, 100.0)] == [("w", ()), ("d", ())]
    assert list(study.events(kinds=[StudyClaimed])) == []


def test_an_executor_is_submitted_with_its_options(study):
    study.submit(objective, 2, executor={"name": "pool", "start": "spawn", "residents": 2})
    options = study.row.spec.executor.options
    assert study.row.spec.executor.name == "pool"
    assert {**options, "function": None} == {"function": None, "start": "spawn", "residents": 2}
    assert options["function"].endswith("test_queueing:objective")
    study.submit(objective, 3)
    assert study.row.spec.executor.options == options
    with pytest.raises(ConfigError, match="'pool' has no option 'strat'"):
        study.submit(objective, executor={"name": "pool", "strat": "spawn"})
    with pytest.raises(UserError, match="is for functions"):
        trialist.create_study("command", SPACE, metric="loss", mode="min", store=study.store).submit(
            ["echo", "{x}"], executor={"name": "command", "grace_s": 1}
        )


def test_workers_are_listed_from_python(study):
    assert trialist.list_workers(store=study.store) == []
    study.store.beat_worker(Worker(id="a" * 32, name="w", holder=holder(), seen_at=time.time(), started_at=1.0))
    (staff,) = trialist.list_workers(store=study.store)
    assert (staff.worker.name, staff.presence, staff.leads) == ("w", Presence.CONNECTED, ())
