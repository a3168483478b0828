"""Many studies, several workers, people who go on submitting, and somebody who kills workers and leaders at random.

What is random here is what is struck and when; that everything ends once, and as it should, must hold for any of it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

import trialist
from trialist.api import fsck
from trialist.core.events import StudyClaimed, StudyStatusChanged, TrialEnded
from trialist.core.states import StudyStatus, TrialStatus
from trialist.store.locate import open_store
from trialist.testing.processes import marked_processes

pytestmark = pytest.mark.slow

WITHIN_S = 300.0
SPACE = {"x": {"type": "uniform", "low": 0.0, "high": 1.0}}
NUM_TRIALS = 3
OBJECTIVE = """
import time

def short(x):
    time.sleep(0.05)
    return x
"""


class Crowd:
    """Workers of one store; everything that comes of them carries ``mark`` in its environment."""

    def __init__(self, url: str, here: Path) -> None:
        self.mark = f"WORKER_MARK={uuid.uuid4().hex}"
        self._url, self._here = url, here
        self.log = here / "workers.log"
        self.workers: list[subprocess.Popen[bytes]] = []

    def add(self) -> None:
        name, _, value = self.mark.partition("=")
        arguments = ["worker", "--store", self._url, "--studies", "2", "--lease-s", "3"]
        with self.log.open("ab") as log:
            self.workers.append(
                subprocess.Popen(
                    [sys.executable, "-c", "from trialist.cli import main; main()", *arguments],
                    cwd=self._here,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, name: value},
                )
            )

    def kill_one(self, chance: random.Random) -> None:
        """A worker or a leader, whichever; a killed worker is replaced."""
        pids = [
            pid for pid, line in marked_processes(self.mark) if "trialist.worker.leading" in line or "worker" in line
        ]
        if pids:
            self._kill(chance.choice(sorted(pids)))
        for worker in [worker for worker in self.workers if worker.poll() is not None]:
            self.workers.remove(worker)
            self.add()

    def _kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has just ended by itself
        for worker in self.workers:
            if worker.pid == pid:
                worker.wait()

    def leave(self) -> list[int]:
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        return [worker.wait(WITHIN_S) for worker in self.workers]

    def end(self) -> None:
        for pid, _ in marked_processes(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for worker in self.workers:
            worker.wait()


def submit(url: str, names: list[str]) -> None:
    with_store = open_store(url)
    for number, name in enumerate(names):
        study = trialist.create_study(
            name, SPACE, metric="loss", mode="min", searcher="random", store=with_store, seed=number
        )
        study.submit("objectives:short", NUM_TRIALS, executor="inline")
    with_store.close()


def attack(url: str, here: Path, *, studies: int, workers: int, seconds: float, pause_s: float, seed: int) -> dict:
    """Strike for some seconds while two people go on submitting; what came of it."""
    (here / "objectives.py").write_text(OBJECTIVE)
    names = [f"s{number}" for number in range(studies)]
    submit(url, names[: studies // 2])
    rest = names[studies // 2 :]
    people = [threading.Thread(target=submit, args=(url, rest[half::2])) for half in (0, 1)]
    crowd, chance, kills = Crowd(url, here), random.Random(seed), 0
    try:
        for _ in range(workers):
            crowd.add()
        for person in people:
            person.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.2, 2) * pause_s)  # what is struck, and when, is left to chance
            crowd.kill_one(chance)
            kills += 1
        for person in people:
            person.join()
        store = open_store(url)
        deadline = time.monotonic() + WITHIN_S
        while any(store.list_studies(status=status).studies for status in (StudyStatus.QUEUED, StudyStatus.RUNNING)):
            assert time.monotonic() < deadline, crowd.log.read_text()[-5000:]
            time.sleep(0.1)  # a store tells nobody that it has changed
        codes = crowd.leave()
        deadline = time.monotonic() + WITHIN_S
        while marked_processes(crowd.mark):
            assert time.monotonic() < deadline, marked_processes(crowd.mark)
            time.sleep(0.05)
        found = {"kills": kills, "codes": codes, "log": crowd.log.read_text(), "names": names}
        store.close()
        return found
    finally:
        crowd.end()


def check(url: str, found: dict) -> int:
    """Every study completed once, each trial ended once, and the store adds up; returns how often studies were claimed."""
    store = open_store(url)
    claims = 0
    for name in found["names"]:
        study = trialist.load_study(name, store=store)
        events = list(study.events(kinds=(StudyClaimed, StudyStatusChanged, TrialEnded)))
        ends = [e for e in events if isinstance(e.body, StudyStatusChanged) and e.body.status is StudyStatus.COMPLETED]
        assert (study.status, len(ends)) == (StudyStatus.COMPLETED, 1), (name, study.reason)
        assert len([event for event in events if isinstance(event.body, TrialEnded)]) == NUM_TRIALS, name
        assert [trial.status for trial in study.trials()] == [TrialStatus.COMPLETED] * NUM_TRIALS, name
        claims += len([event for event in events if isinstance(event.body, StudyClaimed)])
    assert [finding.problem for finding in fsck(store=store, replay=True).findings] == []
    store.close()
    assert len(found["names"]) <= claims <= len(found["names"]) + 2 * found["kills"]  # a worker leads two at most
    assert "Traceback" not in found["log"], found["log"][-5000:]
    return claims


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.extras)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/studies.db"


def test_every_study_is_completed_once_whoever_is_killed(url, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    found = attack(url, folder, studies=12, workers=2, seconds=8, pause_s=0.8, seed=1)
    assert check(url, found) >= 12
