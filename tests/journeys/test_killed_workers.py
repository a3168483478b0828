"""A worker's leader killed at every point between its claim and its last word: the study is led to the same end, by another.

The points inside leading are ``test_fault_points``'s; ``test_workers`` kills, freezes and sends away whole workers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import trialist
from trialist.core.events import StudyStatusChanged
from trialist.core.faults import ENVIRONMENT, MARKS, POINTS
from trialist.core.states import StudyStatus
from trialist.store.locate import open_store

pytestmark = pytest.mark.slow

SPACE = {"lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1}}
TRIALS, MANY = 3, 12
WITHIN_S = 120.0
"""For what other processes do, which is no event here; far more than it takes."""
SETTLING = ["worker.settling", "worker.settled"]
"""On a leader's way out when no engine leads."""
LEAVING = ["engine.leave.emitted", "engine.leave.committed", "store.lease.released"]
"""When an engine does."""
COMING = sorted({point for point in POINTS if point.startswith(("worker.", "store.claim."))} - {*SETTLING})
PROGRAM = Path(__file__).with_name("killable.py")
OBJECTIVE = f"{PROGRAM}:objective"
SLOW = f"""
import os, sys
from pathlib import Path
if "IMPORT_GATE" in os.environ:
    Path(os.environ["IMPORT_GATE"]).read_bytes()  # until somebody writes to the pipe
sys.path.insert(0, {str(PROGRAM.parent)!r})
from killable import objective
"""
"""Its import takes as long as one likes."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.extras)])
def url(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def queued(killable, url):
    """Hands a study to workers."""

    def make(name, objective=OBJECTIVE, num_trials=TRIALS):
        one = killable(name, store=url)
        with closing(open_store(url)) as store:
            study = trialist.create_study(
                name, SPACE, metric="loss", mode="min", searcher="random", seed=7, store=store
            )
            study.submit(objective, num_trials=num_trials)
        return one

    return make


def worker(one, *arguments, **environment):
    """``trialist worker``, with the mark of a study's processes; what it prints goes to its pipe."""
    mark, _, value = one.mark.partition("=")
    return subprocess.Popen(
        [sys.executable, "-m", "trialist", "worker", "--store", one.store, "--studies", "1", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, mark: value, **environment},
    )


def faults_at(point, folder):
    (folder / "marks").mkdir()
    return {ENVIRONMENT: f"engine:{point}=kill", MARKS: str(folder / "marks")}


def led_to_the_same_end(killed, whole):
    assert killed.rows() == whole.rows()
    changes = [event.body.status for event in killed.study.events(kinds=(StudyStatusChanged,))]
    assert changes.count(StudyStatus.COMPLETED) == 1
    settled(killed)


def settled(one):
    """It adds up, nobody leads it, and it stands in no line."""
    one.check(replay=True)
    assert one.study.leader is None
    with closing(open_store(one.store)) as store:
        assert store.claimable().studies == []
    one.wait_until_gone()


@pytest.mark.parametrize("point", COMING)
def test_a_leader_that_is_killed_is_followed_by_another(queued, tmp_path, point):
    killed, whole = queued("killed"), queued("whole")
    with worker(killed, "--until-idle", **faults_at(point, tmp_path)) as process:
        said, _ = process.communicate(timeout=WITHIN_S)
    assert (tmp_path / "marks" / f"{point}@1").exists()
    assert process.returncode == 0, said
    led_to_the_same_end(killed, whole)


@pytest.mark.parametrize("point", SETTLING)
def test_a_leader_that_is_killed_while_it_hands_back_before_it_leads(queued, tmp_path, point):
    (tmp_path / "slow.py").write_text(SLOW)
    os.mkfifo(tmp_path / "import")
    killed = queued("killed", f"{tmp_path}/slow.py:objective")
    with worker(killed, IMPORT_GATE=str(tmp_path / "import"), **faults_at(point, tmp_path)) as process:
        wait_for(lambda: killed.study.status is StudyStatus.RUNNING)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=WITHIN_S)
    assert (tmp_path / "marks" / f"{point}@1").exists(), said
    taken_up_by_another(killed, queued("whole"))


@pytest.mark.parametrize("point", LEAVING)
def test_a_leader_that_is_killed_while_it_hands_back_what_runs(queued, gate, tmp_path, point):
    killed = queued("killed", num_trials=MANY)
    door = gate()
    door.let(12)
    environment = {"KILLABLE_GATE": str(door.path), "KILLABLE_CHECKPOINTS": "1"}
    with worker(killed, **environment, **faults_at(point, tmp_path)) as process:
        wait_for(lambda: killed.study.row.num_trials == 2)
        process.send_signal(signal.SIGTERM)
        # A trial hears at a report that it is to leave: let one through now and then.
        wait_for(lambda: process.poll() is not None, lambda: door.let(1))
        said, _ = process.communicate()
    assert (tmp_path / "marks" / f"{point}@1").exists(), said
    assert killed.study.row.num_trials < MANY
    taken_up_by_another(killed, queued("whole", num_trials=MANY))


def taken_up_by_another(killed, whole):
    """What a killed leader has left waits in the line, and ends like a study that nobody killed."""
    killed.wait_until_gone()
    killed.check()
    with closing(open_store(killed.store)) as store:
        assert [study.name for study in store.claimable().studies] == ["killed", "whole"]
    with worker(killed, "--until-idle", KILLABLE_CHECKPOINTS="1") as process:
        said, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, said
    led_to_the_same_end(killed, whole)


@pytest.mark.parametrize("point", SETTLING)
def test_a_leader_that_is_killed_while_it_gives_a_study_up_leaves_it_failed(queued, tmp_path, point):
    killed = queued("killed", "there_is_no_such_module:train")
    with worker(killed, "--until-idle", **faults_at(point, tmp_path)) as process:
        said, _ = process.communicate(timeout=WITHIN_S)
    assert (tmp_path / "marks" / f"{point}@1").exists()
    if point == "worker.settling":  # else its last leader died before it could tell the worker
        assert process.returncode == 1, said
    assert killed.study.status is StudyStatus.FAILED
    assert "there is no module" in killed.study.reason
    settled(killed)


def wait_for(condition, otherwise=lambda: None):
    """Poll: what other processes do is no event here."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        otherwise()
        time.sleep(0.05)
