"""What a worker does when its leaders' processes, its store or its own limits behave oddly."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trialist
from trialist.api import Study, fsck
from trialist.core.events import Noted
from trialist.core.states import StudyStatus, TrialStatus
from trialist.store.locate import open_store
from trialist.testing.postgresql import PostgresServer
from trialist.testing.processes import marked_processes

pytestmark = pytest.mark.slow

WITHIN_S = 120.0
SPACE = {"x": {"type": "uniform", "low": 0.0, "high": 1.0}}
OBJECTIVE = """
import os, sys, time
from pathlib import Path

HERE = Path(__file__).parent

def leaves_a_child_and_dies(x):
    if os.fork() == 0:
        time.sleep(3600)
    os._exit(3)

def prints(x):
    for number in range(8):
        print(str(number) * (1 << 20))
    return x

def quick(x):
    return x

def devices(trial):
    seen = os.environ["CUDA_VISIBLE_DEVICES"]
    with (HERE / "seen").open("a") as file:
        file.write(f"{time.monotonic()} {time.monotonic() + 0.3} {seen} {trial.number}\\n")
    time.sleep(0.3)
    return trial.params["x"]

def saves(trial):
    start = trial.resume_step or 0
    for step in range(start + 1, 4):
        trial.report(step=step, loss=float(start))
        trial.save_checkpoint(lambda folder: (folder / "step").write_text(str(step)))
        while step == 2 and not (HERE / "go").exists():
            time.sleep(0.02)
    return float(start)
"""


class Worker:
    """``trialist worker`` as a process; everything that comes of it carries ``mark`` in its environment."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.mark = f"WORKER_MARK={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.log = Path(f"{value}.log").absolute()
        command = [sys.executable, "-c", "from trialist.cli import main; main()", "worker", *arguments]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, name: value, **environment}
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def until(self, words: str) -> None:
        wait_for(lambda: words in self.said, lambda: f"never said {words!r}:\n{self.said}")

    def kill_all(self) -> None:
        for pid, _ in marked_processes(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def wait_for(done: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Poll: what other processes print or write is no event here."""
    deadline = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.02)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "objectives.py").write_text(OBJECTIVE)
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def work(url: str) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(*arguments: str, **environment: str) -> Worker:
        started.append(Worker("--store", url, *arguments, **environment))
        return started[-1]

    yield start
    for worker in started:
        worker.kill_all()


@pytest.fixture
def study(url: str) -> Iterator[Callable[[str], Study]]:
    store = open_store(url)
    yield lambda name: trialist.create_study(name, SPACE, metric="loss", mode="min", searcher="random", store=store)
    store.close()


def test_what_a_study_has_forked_hides_no_dead_leader(study, work):
    """Its child holds the leader's end of the line open."""
    one = study("one")
    one.submit("objectives:leaves_a_child_and_dies", 3, executor="inline")
    worker = work("--until-idle")
    assert worker.process.wait(WITHIN_S) == 1
    assert worker.said.count("the leader of one died (exit code 3)") == 3
    assert one.status is StudyStatus.FAILED


def test_what_a_study_prints_is_capped_and_an_empty_log_is_not_left(study, work, tmp_path):
    talks, silent = study("talks"), study("silent")
    talks.submit("objectives:prints", 1, executor="inline")
    silent.submit("objectives:quick", 1, executor="inline")
    assert work("--until-idle").process.wait(WITHIN_S) == 0
    (log,) = tmp_path.glob("*-artifacts/*/leader.log")
    text = log.read_text()
    assert len(text) < 2.1 * (1 << 20)
    assert text.startswith("0000")
    assert "bytes left out" in text
    assert text.rstrip().endswith("7777")
    assert "talks" in log.parent.name


def test_a_worker_whose_store_somebody_keeps_locked_says_so_and_leaves_when_it_is_told(study, work, tmp_path):
    study("one").submit("objectives:quick", 1)
    holder = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    worker = work()
    worker.until("another process kept it locked for 2 s. Trying on.")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(WITHIN_S) == 0
    holder.close()
    assert "Traceback" not in worker.said


def test_two_workers_of_one_name_that_come_at_once_are_told_apart(study, work, url):
    study("one")
    workers = [work("--name", "same") for _ in range(3)]
    store = open_store(url)
    wait_for(lambda: all("takes studies from here on" in one.said for one in workers), lambda: workers[0].said)
    assert len({staff.worker.name for staff in trialist.list_workers(store=store)}) == 3
    store.close()


@pytest.mark.parametrize("executor", ["inline", "pool"])
def test_trials_of_two_studies_never_see_one_accelerator_at_once(study, work, tmp_path, executor):
    for name in ("a", "b"):
        study(name).submit("objectives:devices", 3, resources={"gpu": 1}, executor=executor)
    worker = work("--gpu", "2", "--cpu", "4", "--until-idle", CUDA_VISIBLE_DEVICES="4,6,8")
    assert worker.process.wait(WITHIN_S) == 0
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert len(seen) == 6
    assert {device for *_, device, _ in seen} <= {"4", "6"}
    spans = sorted((device, float(begin), float(end)) for begin, end, device, _ in seen)
    for (device, _, end), (other, begin, _) in itertools.pairwise(spans):
        assert device != other or end <= begin


@pytest.mark.parametrize("shared", [True, False])
def test_a_study_goes_on_at_another_machine_where_its_checkpoints_are_to_be_found_there(study, work, tmp_path, shared):
    """The machine is another one to Trialist: its dead processes are not seen from here, so the lease must run out."""
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os\nif os.environ.get('ELSEWHERE'):\n    import trialist.store.holders as holders\n"
        "    holders._machine = lambda: 'elsewhere/0'\n"
    )
    one = study("one")
    one.submit("objectives:saves", 1, executor="command")
    first = work("--lease-s", "2", ELSEWHERE="1", PYTHONPATH=str(site), TRIALIST_ARTIFACTS=str(tmp_path / "there"))
    wait_for(
        lambda: bool(one.store.checkpoints(one.id)) and one.store.checkpoints(one.id)[-1].step == 2, lambda: first.said
    )
    first.kill_all()
    if not shared:
        (tmp_path / "there").rename(tmp_path / "gone")
    (tmp_path / "go").touch()
    second = work("--lease-s", "2", "--once", TRIALIST_ARTIFACTS=str(tmp_path / ("there" if shared else "here")))
    assert second.process.wait(WITHIN_S) == 0
    assert (one.trial(0).status, one.trial(0).value) == (TrialStatus.COMPLETED, 2.0 if shared else 0.0)
    notes = [event.body.message for event in one.events(kinds=[Noted])]
    assert any("is not on the machine that leads now" in note for note in notes) is not shared


@pytest.mark.extras
@pytest.mark.parametrize("point", ["store.write.before", "store.commit.trials"])
def test_a_leader_that_is_frozen_inside_a_transaction_keeps_nobody_else_waiting(postgres_url, work, tmp_path, point):
    """The server ends its transaction; its study is led on elsewhere, and other studies never notice."""
    marks = tmp_path / "marks"
    marks.mkdir()
    store = open_store(postgres_url)
    made = [
        trialist.create_study(f"s{n}", SPACE, metric="loss", mode="min", searcher="random", store=store, seed=n)
        for n in range(3)
    ]
    made[0].submit("objectives:quick", 2, executor="inline")
    faults = {"TRIALIST_FAULTS": f"engine:{point}=stop@3", "TRIALIST_FAULTS_DIR": str(marks)}
    frozen = work("--store", postgres_url, "--lease-s", "2", "--studies", "1", **faults)
    wait_for(lambda: bool(list(marks.iterdir())), lambda: frozen.said)
    for one in made[1:]:
        one.submit("objectives:quick", 2, executor="inline")
    second = work("--store", postgres_url, "--lease-s", "2")
    wait_for(lambda: all(one.status is StudyStatus.COMPLETED for one in made), lambda: frozen.said + second.said)
    assert "trouble" not in second.said
    assert "s1" in second.said
    assert [trial.status for one in made for trial in one.trials()] == [TrialStatus.COMPLETED] * 6
    assert fsck(store=store, replay=True).findings == []
    for pid, _ in marked_processes(frozen.mark):
        os.kill(pid, signal.SIGCONT)
    frozen.process.send_signal(signal.SIGTERM)
    assert frozen.process.wait(WITHIN_S) == 0
    assert fsck(store=store, replay=True).findings == []
    store.close()


@pytest.mark.extras
def test_a_server_that_is_away_is_waited_out_by_a_worker_and_its_leaders(tmp_path, work):
    """Also by the process that is to lead the next study, which cannot even open the store."""
    with PostgresServer() as server:
        address = server.new_database()
        store = open_store(address)
        one = trialist.create_study("one", SPACE, metric="loss", mode="min", searcher="random", store=store)
        one.submit("objectives:saves", 1, executor="inline")
        worker = work("--store", address, "--until-idle")
        wait_for(lambda: bool(store.checkpoints(one.id)), lambda: worker.said)
        server.stop(kill=True)
        for pid, line in marked_processes(worker.mark):
            if "trialist.worker.leading" in line and not _leads(pid):
                os.kill(pid, signal.SIGKILL)
        worker.until("Trying on.")
        (tmp_path / "go").touch()
        server.start()
        assert worker.process.wait(WITHIN_S) == 0, worker.said
        assert one.trial(0).status is TrialStatus.COMPLETED
        assert fsck(store=store, replay=True).findings == []
        store.close()


def _leads(pid: int) -> bool:
    """Whether a leader's process has a study: then it has threads that keep its lease."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


def test_a_leader_that_is_frozen_inside_a_write_keeps_no_worker_from_leaving(study, work, tmp_path):
    """It has the lock of the file, so nobody can write; when it is ended, everybody goes on."""
    (tmp_path / "marks").mkdir()
    one = study("one")
    one.submit("objectives:quick", 2, executor="inline")
    faults = {"TRIALIST_FAULTS": "engine:store.commit.trials=stop", "TRIALIST_FAULTS_DIR": str(tmp_path / "marks")}
    frozen = work(**faults)
    wait_for(lambda: bool(list((tmp_path / "marks").iterdir())), lambda: frozen.said)
    other = work()
    other.until("another process kept it locked for 2 s. Trying on.")
    assert "one" in [row.name for row in one.store.list_studies().studies]  # whoever reads is not kept waiting
    other.process.send_signal(signal.SIGTERM)
    assert other.process.wait(WITHIN_S) == 0
    for said in ("takes no more studies", "ends the running trials", None):
        frozen.process.send_signal(signal.SIGTERM)
        if said is not None:
            frozen.until(said)  # two signals of one kind that come while it waits for the store are one
    assert frozen.process.wait(WITHIN_S) == 130
    assert work("--until-idle").process.wait(WITHIN_S) == 0
    assert one.status is StudyStatus.COMPLETED
    assert fsck(store=one.store, replay=True).findings == []
