"""Studies that are handed to workers: led once each, whoever dies, freezes or leaves on the way.

Workers are processes, over SQLite and, where it is installed, PostgreSQL. What they print or write is no event here, so the
tests poll, with deadlines far beyond what anything takes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trialist
from trialist.api import Study
from trialist.core.errors import StoreBusy
from trialist.core.events import AttemptStarted, Checkpointed, StudyClaimed, StudyStatusChanged, TrialEnded
from trialist.core.ports import Store
from trialist.core.states import StudyStatus, TrialStatus
from trialist.store.locate import open_store
from trialist.store.sql import SqlStore
from trialist.testing.processes import marked_processes

pytestmark = pytest.mark.slow

WITHIN_S = 120.0
"""Far more than anything here takes: on a busy machine."""

OBJECTIVE = '''
import os
import time
from pathlib import Path

HERE = Path(__file__).parent

def total_of(x, steps=5):
    return sum(x * step for step in range(1, steps + 1))

def train(trial):
    """Counts up, and can go on from any step; goes no further than the file 'gate' says."""
    total, start = 0.0, trial.resume_step or 0
    if start:
        total = float((trial.checkpoint / "total").read_text())
    for step in range(start + 1, 6):
        wait(step)
        total += trial.params["x"] * step
        trial.report(step=step, loss=total)
        trial.save_checkpoint(lambda folder: (folder / "total").write_text(repr(total)))
    return total

def wait(step):
    gate = HERE / "gate"
    if gate.exists():
        time.sleep(0.1)  # so that an order that came before the gate was opened is heard
        while step > int(gate.read_text()):
            time.sleep(0.02)

def never_saves(trial):
    for step in range(1, 1000):
        trial.report(step=step, loss=1.0)
        time.sleep(0.05)
    return 1.0

def quick(trial):
    return trial.params["x"]

def kills_its_leader(trial):
    os._exit(3)
'''


class Worker:
    """``trialist worker`` as a process; everything that comes of it carries ``mark`` in its environment."""

    def __init__(self, store: str, *arguments: str, cwd: Path, **environment: str) -> None:
        self.mark = f"WORKER_MARK={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.log = cwd / f"{value}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from trialist.cli import main; main()", "worker", "--store", store, *arguments],
                cwd=cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, name: value, **environment},
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def until(self, *words: str) -> None:
        """Wait until it has said all of these."""
        wait_for(lambda: all(word in self.said for word in words), lambda: f"never said {words}:\n{self.said}")

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """Have it leave; its exit code."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(WITHIN_S)
        nobody_left(self.mark)
        return code

    def signal_all(self, number: signal.Signals) -> None:
        """As if its machine were frozen, thawed or unplugged: it, its leaders, their wardens and trials."""
        for pid, _ in marked_processes(self.mark):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # another one's end has ended it


def nobody_left(mark: str) -> None:
    """Wait until no process of a worker is left."""
    wait_for(lambda: not marked_processes(mark), lambda: f"left over: {marked_processes(mark)}")


def wait_for(done: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Poll: what other processes print or write is no event here."""
    deadline = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.02)


SPACE = {"x": {"type": "uniform", "low": 0.0, "high": 1.0}}
LEASE_S = "2"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.extras)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a module of objectives, which is also where studies are submitted."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "objectives.py").write_text(OBJECTIVE)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def work(url: str, here: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers; none is left when the test ends, however it ends."""
    started: list[Worker] = []

    def start(*arguments: str, store: str = url, **environment: str) -> Worker:
        started.append(Worker(store, *arguments, cwd=here, **environment))
        return started[-1]

    yield start
    for worker in started:
        worker.signal_all(signal.SIGCONT)
        worker.signal_all(signal.SIGKILL)
        worker.process.wait()


_OPENED: dict[str, Store] = {}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.popitem()[1].close()


def at(url: str) -> Store:
    """The store of a URL, opened once a test; one in memory is new each time."""
    if url == "memory":
        return open_store(url)
    if url not in _OPENED:
        _OPENED[url] = open_store(url)
    return _OPENED[url]


def study(url: str, name: str, seed: int = 0) -> Study:
    return trialist.create_study(name, SPACE, metric="loss", mode="min", searcher="random", store=at(url), seed=seed)


def gate(here: Path, step: int) -> None:
    """Trials of ``train`` go on up to this step."""
    (here / "gate.new").write_text(str(step))
    (here / "gate.new").replace(here / "gate")


def uninterrupted(name: str, seed: int, num_trials: int) -> list[tuple[int, Any, str, float | None]]:
    """What a study ends as that nobody disturbs."""
    made = study("memory", name, seed)
    made.run(lambda x: sum([x * step for step in range(1, 6)], 0.0), num_trials=num_trials, progress=False)
    return ends(made)


def ends(one: Study) -> list[tuple[int, Any, str, float | None]]:
    return [(trial.number, trial.params, str(trial.status), trial.value) for trial in one.trials()]


def statuses(url: str) -> Counter[str]:
    return Counter(str(one.status) for one in trialist.list_studies(store=at(url)))


def led_once(one: Study) -> None:
    """It ended once, each trial ended once, and each attempt went on from the last checkpoint before it."""
    kinds = (StudyStatusChanged, TrialEnded, Checkpointed, AttemptStarted)
    events = list(one.events(kinds=kinds))
    finished = [e for e in events if isinstance(e.body, StudyStatusChanged) and e.body.status is StudyStatus.COMPLETED]
    assert len(finished) == 1
    assert len([e for e in events if isinstance(e.body, TrialEnded)]) == one.row.num_trials
    last: dict[int, int] = {}
    for event in events:
        if isinstance(event.body, Checkpointed):
            last[event.body.trial] = event.body.step
        elif isinstance(event.body, AttemptStarted):
            assert event.body.from_step == last.get(event.body.trial, 0), event


def leads(url: str, worker: Worker) -> list[str]:
    """Names of the studies whose leader is one of a worker's processes."""
    pids = {pid for pid, _ in marked_processes(worker.mark)}
    store = at(url)
    running = store.list_studies(status=StudyStatus.RUNNING, limit=100).studies
    holders = {row.name: store.leader(row.id) for row in running}
    return [name for name, holder in holders.items() if holder is not None and holder.pid in pids]


def freeze(worker: Worker, url: str) -> None:
    """As if its machine were frozen; not while it holds the lock of a file that others use on this machine."""
    while True:
        worker.signal_all(signal.SIGSTOP)
        if not url.startswith("sqlite"):
            return
        store = SqlStore(url, timeout_s=0.5)
        try:
            store.remove_worker("nobody")
            return
        except StoreBusy:
            worker.signal_all(signal.SIGCONT)
        finally:
            store.close()


def steps(one: Study) -> int:
    return len(list(one.events(kinds=[Checkpointed])))


# --- what can be submitted --------------------------------------------------------------------------------------------


def test_everything_that_can_be_submitted_is_led_to_its_end(url, here, work):
    worker = work()
    sys.path.insert(0, str(here))
    try:
        import objectives

        function = study(url, "function")
        assert "is queued" in function.submit(objectives.quick, num_trials=3, jobs=2)
    finally:
        sys.path.remove(str(here))
        del sys.modules["objectives"]
    path = study(url, "path")
    path.submit("objectives.py:train", num_trials=2)
    (here / "train.py").write_text(
        "import sys, json; print('loss=' + sys.argv[1]); assert json.load(open(sys.argv[2]))"
    )
    command = study(url, "command")
    command.submit(["python", "train.py", "{x}", "{config}"], num_trials=2)
    space = {"model": {"C": {"type": "loguniform", "low": 0.1, "high": 1.0}}}
    trainer = trialist.create_study("trainer", space, metric="score", mode="max", searcher="random", store=at(url))
    trainer.submit({"model": {"type": "sklearn", "estimator": "LogisticRegression"}, "data": {"dataset": "iris"}}, 2)
    (here / "sweep.yaml").write_text("metric: loss\nx: [1, 2]\nlog: {dir: logs}\ncommand: [echo, 'loss={x}']\n")
    queued = cli("sweep", "--config", "sweep.yaml", "--queue", "--store", url)
    assert "is queued" in queued
    wait_for(lambda: statuses(url)["completed"] == 5, lambda: f"{statuses(url)}\n{worker.said}")
    assert worker.end() == 0
    for one, count in ((function, 3), (path, 2), (command, 2), (trainer, 2)):
        assert [str(trial.status) for trial in one.trials()] == ["completed"] * count, one.name
    assert {trial.value for trial in command.trials()} == {trial.params["x"] for trial in command.trials()}
    (board,) = (here / "runs").glob("*.csv")
    assert len(board.read_text().splitlines()) == 3
    assert "finished path: 2 of 2 trials done; best loss=" in worker.said


def cli(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from trialist.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- who dies, freezes or leaves --------------------------------------------------------------------------------------


def test_four_workers_over_twelve_studies_one_unplugged_and_one_frozen(url, here, work):
    """Each study completes once and as if nobody had disturbed it; the frozen worker finds its study lost."""
    gate(here, 2)
    made = [study(url, f"s{number}", number) for number in range(12)]
    for one in made:
        one.submit("objectives.py:train", num_trials=3)
    workers = [work("--studies", "1", "--lease-s", LEASE_S, "--until-idle", "--name", f"w{n}") for n in range(4)]
    unplugged, frozen = workers[:2]

    def mid_trial(worker: Worker) -> list[str]:
        return [name for name in leads(url, worker) if steps(trialist.load_study(name, store=at(url))) == 2]

    for worker in (unplugged, frozen):
        wait_for(lambda worker=worker: bool(mid_trial(worker)), lambda worker=worker: worker.said)
    unplugged.signal_all(signal.SIGKILL)
    (taken,) = leads(url, frozen)
    freeze(frozen, url)
    gate(here, 5)
    claims = len(list(trialist.load_study(taken, store=at(url)).events(kinds=[StudyClaimed])))

    def is_taken_over() -> bool:
        return len(list(trialist.load_study(taken, store=at(url)).events(kinds=[StudyClaimed]))) > claims

    wait_for(is_taken_over, lambda: "".join(worker.said for worker in workers[2:]))
    frozen.signal_all(signal.SIGCONT)
    frozen.until(f"lost {taken}")
    wait_for(lambda: statuses(url)["completed"] == 12, lambda: f"{statuses(url)}")
    assert [worker.end(None) for worker in workers[1:]] == [0, 0, 0]
    nobody_left(unplugged.mark)
    for number, one in enumerate(made):
        led_once(one)
        assert ends(one) == uninterrupted(f"u{number}", number, 3), one.name
    claimed = Counter(one.name for one in made for _ in one.events(kinds=[StudyClaimed]))
    assert sum(claimed.values()) == 14  # one more for the unplugged one's study, one for the frozen one's


def test_a_worker_that_is_told_to_leave_hands_its_study_back(url, here, work):
    gate(here, 2)
    one = study(url, "one")
    one.submit("objectives.py:train", num_trials=2)
    first = work("--name", "first")
    wait_for(lambda: steps(one) == 2, lambda: first.said)
    first.process.send_signal(signal.SIGTERM)
    first.until("takes no more studies, hands back 1")
    gate(here, 3)  # it hears at a report that it is to leave: at this one, or on a busy machine at the next
    wait_for(lambda: first.process.poll() is not None or steps(one) == 3, lambda: first.said)
    gate(here, 4)
    assert first.end(None) == 0
    gate(here, 5)
    assert "handed back one: 0 of 2 trials done" in first.said
    assert one.status is StudyStatus.QUEUED
    assert one.reason == "its worker left"
    assert [trial.status for trial in one.trials()] == [TrialStatus.WAITING]
    second = work("--until-idle")
    assert second.end(None) == 0
    led_once(one)
    assert ends(one) == uninterrupted("same", 0, 2)


def test_trials_that_cannot_checkpoint_have_the_grace_and_no_more(url, here, work):
    one = study(url, "one")
    one.submit("objectives.py:never_saves", num_trials=1)
    worker = work("--grace-s", "0.2")
    wait_for(lambda: bool(one.row.num_trials and one.trial(0).reports), lambda: worker.said)
    assert worker.end(signal.SIGINT) == 0
    assert "ends the running trials" in worker.said
    assert (one.status, one.trial(0).status) == (StudyStatus.QUEUED, TrialStatus.WAITING)


def test_a_worker_that_is_killed_takes_its_leaders_along(url, here, work):
    """They end by themselves, in order: the study is queued, not merely abandoned."""
    one = study(url, "one")
    one.submit("objectives.py:never_saves", num_trials=1)
    worker = work()
    wait_for(lambda: bool(one.row.num_trials and one.trial(0).reports), lambda: worker.said)
    worker.process.kill()
    worker.process.wait()
    nobody_left(worker.mark)
    assert one.status is StudyStatus.QUEUED
    workers = json.loads(cli("workers", "--store", url, "--json"))["workers"]
    assert [(found["status"], found["studies"]) for found in workers] == [("lost", [])]


# --- what is refused, passed over and given up ------------------------------------------------------------------------


def test_a_study_that_kills_its_leaders_is_given_up(url, here, work):
    bad, good = study(url, "bad"), study(url, "good")
    bad.submit("objectives.py:kills_its_leader", num_trials=5, executor="inline")
    good.submit("objectives.py:quick", num_trials=2)
    worker = work("--until-idle", "--studies", "1")
    assert worker.end(None) == 1
    assert worker.said.count("the leader of bad died (exit code 3)") == 3
    assert bad.status is StudyStatus.FAILED
    assert "3 processes that led it died one after another" in bad.reason
    assert not [trial for trial in bad.trials() if not trial.status.is_terminal]
    assert good.status is StudyStatus.COMPLETED


@pytest.mark.parametrize(
    ("objective", "why"),
    [("gone:train", "there is no module 'gone'"), ("broken:train", "ZeroDivisionError: division by zero")],
)
def test_an_objective_that_cannot_be_loaded_ends_its_study(tmp_path, here, work, objective, why):
    url = f"sqlite:///{tmp_path}/studies.db"
    (here / "broken.py").write_text("1 / 0")
    one = study(url, "one")
    one.submit(objective, num_trials=5)
    worker = work("--until-idle", store=url)
    assert worker.end(None) == 1
    assert one.status is StudyStatus.FAILED
    assert why in one.reason
    assert f"failed one: its objective '{objective}' cannot be loaded" in worker.said
    (here / "gone.py").write_text(OBJECTIVE)
    (here / "broken.py").write_text(OBJECTIVE)
    one.submit(num_trials=2)
    assert work("--until-idle", store=url).end(None) == 0
    assert one.status is StudyStatus.COMPLETED


def test_what_can_never_fit_is_left_for_others_and_said_once(tmp_path, here, work):
    url = f"sqlite:///{tmp_path}/studies.db"
    big, small = study(url, "big"), study(url, "small")
    big.submit("objectives.py:quick", num_trials=1, resources={"tpu": 4})
    small.submit("objectives.py:quick", num_trials=1)
    worker = work("--until-idle", store=url)
    assert worker.end(None) == 0
    assert worker.said.count("study 'big' needs 4 tpu for a trial; this worker has 0: left for others") == 1
    assert (big.status, small.status) == (StudyStatus.QUEUED, StudyStatus.COMPLETED)
    assert work("--until-idle", "--resource", "tpu=4", store=url).end(None) == 0
    assert big.status is StudyStatus.COMPLETED


def test_no_more_is_led_at_once_than_fits(tmp_path, here, work):
    url = f"sqlite:///{tmp_path}/studies.db"
    made = [study(url, f"s{number}") for number in range(3)]
    for one in made:
        one.submit("objectives.py:never_saves", num_trials=1, resources={"cpu": 2})
    worker = work("--cpu", "5", "--grace-s", "0", store=url)
    worker.until("claimed s0", "claimed s1")
    assert cli("pause", "s0", "--store", url)
    made[0].trial(0).stop()  # it never saves, so it would never leave by itself
    worker.until("paused s0 (paused by a person)", "claimed s2")
    assert cli("resume", "s0", "--store", url)
    listed = cli("list", "--store", url)
    assert "waits for a worker (1 connected)" in listed
    assert worker.end() == 0


def test_a_worker_may_be_there_before_the_store(tmp_path, here, work):
    url = f"sqlite:///{tmp_path}/later.db"
    worker = work("--once", store=url)
    worker.until("waits for the store")
    one = study(url, "one")
    one.submit("objectives.py:quick", num_trials=2)
    assert worker.end(None) == 0
    assert one.status is StudyStatus.COMPLETED


def test_a_study_that_somebody_runs_himself_is_no_workers(tmp_path, here, work):
    """Neither one that nobody submitted, whatever became of its process, nor one that a person took back."""
    url = f"sqlite:///{tmp_path}/studies.db"
    mine, back = study(url, "mine"), study(url, "back")
    (here / "dies.py").write_text("import os\ndef dies(x): os._exit(1)\n")
    back.submit("dies:dies", num_trials=3, executor="inline")
    for name in ("mine", "back"):
        program = f"import trialist, dies; trialist.load_study({name!r}, store={url!r}).run(dies.dies, num_trials=3)"
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 1
    assert [mine.status, back.status] == [StudyStatus.RUNNING] * 2
    worker = work("--until-idle", store=url)
    assert worker.end(None) == 0
    assert "claimed" not in worker.said
    assert [mine.leader, back.leader, back.row.submitted_at] == [None, None, None]


def test_a_store_in_memory_is_refused(here, work):
    worker = work(store="memory")
    assert worker.end(None) == 2
    assert "a store in memory is its own process's alone" in worker.said


def test_a_leader_that_does_not_answer_keeps_no_worker_from_leaving(tmp_path, here, work):
    url = f"sqlite:///{tmp_path}/studies.db"
    gate(here, 2)
    one = study(url, "one")
    one.submit("objectives.py:train", num_trials=2)
    worker = work("--grace-s", "0.1", store=url)
    wait_for(lambda: steps(one) == 2, lambda: worker.said)
    for pid, line in marked_processes(worker.mark):
        if "trialist.worker.leading" in line:
            os.kill(pid, signal.SIGSTOP)
    worker.process.send_signal(signal.SIGTERM)
    worker.until("ends the running trials")
    for number in (signal.SIGTERM, signal.SIGTERM):
        worker.process.send_signal(number)
        time.sleep(0.1)  # two signals of one kind that come at once are one
    assert worker.end(None) == 130
    assert one.status is StudyStatus.RUNNING  # and in the line: its leader is dead
    assert [row.name for row in one.store.claimable().studies] == ["one"]
