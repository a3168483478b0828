"""Real processes over one database: killed, stopped, racing, forked."""

import os
import random
import signal
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager

import pytest

from trialist.core.errors import LeaseLost, StudyLed
from trialist.store.checks import check_file, check_study
from trialist.store.holders import holder
from trialist.store.sql import SqlStore
from trialist.testing.event_script import EventScript, study_spec
from trialist.testing.stores import tell

BEGIN = """
import sys
from trialist.core.errors import LeaseLost, StudyLed
from trialist.store.holders import holder
from trialist.store.sql import SqlStore
from trialist.testing.event_script import EventScript, study_spec

store = SqlStore(sys.argv[1])
name = sys.argv[2]

def lead(ttl_s=3600.0):
    found = store.find_study(name) or store.create_study(study_spec(name))
    return store.take_lease(found.id, holder(), ttl_s)

def run(script, lease):
    script.start(script.suggest())
    number = script.study.num_trials - 1
    script.report(number, 1, loss=number / 7)
    store.commit(lease, script.commit())
    script.end(number)
    store.commit(lease, script.commit())
    return number
"""

KILLED = """
lease = lead()
script = EventScript.of(store, lease.study_id)
for trial in store.live_trials(lease.study_id):
    script.end(trial.number)
store.commit(lease, script.commit())
while True:
    print(run(script, lease), flush=True)
"""

OPENER = """
print("ready", flush=True)
for line in sys.stdin:
    SqlStore(line.strip()).close()
    print("opened", flush=True)
"""

WRITER = """
lease = lead()
script = EventScript.of(store, lease.study_id)
for _ in range(60):
    run(script, lease)
    store.renew_lease(lease)
store.release_lease(lease)
"""

TOLD = """
lease = script = None
for line in sys.stdin:
    try:
        match line.split():
            case ["take", ttl_s]:
                lease = lead(float(ttl_s))
                script = EventScript.of(store, lease.study_id)
                print("took", lease.epoch, flush=True)
            case ["run"]:
                print("ran", run(script, lease), flush=True)
            case ["release"]:
                store.release_lease(lease)
                print("released", flush=True)
    except (StudyLed, LeaseLost) as error:
        print(type(error).__name__, flush=True)
"""


@contextmanager
def child(code, url, name="study"):
    command = [sys.executable, "-c", BEGIN + code, url, name]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def check_sound(url):
    if url.startswith("sqlite:///"):
        assert check_file(url) == []


def ask(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_kills_lose_nothing_that_was_acknowledged(any_url):
    acknowledged: set[int] = set()
    rng = random.Random(1)
    for _ in range(5):
        with child(KILLED, any_url) as process:
            for _ in range(rng.randrange(1, 60)):
                acknowledged.add(int(process.stdout.readline()))
            process.kill()
            acknowledged.update(int(line) for line in process.stdout.read().split("\n")[:-1])
    store = SqlStore(any_url)
    study = store.find_study("study")
    assert list(check_study(store, study.id)) == []
    trials = list(store.iter_trials(study.id))
    assert [trial.number for trial in trials] == list(range(study.num_trials))
    assert acknowledged <= {trial.number for trial in trials if trial.status.is_terminal}
    assert len([trial for trial in trials if not trial.status.is_terminal]) <= 1
    store.close()
    check_sound(any_url)


@pytest.mark.slow
def test_four_processes_write_one_database_without_errors(any_url):
    names = [f"study {number}" for number in range(4)]
    code = BEGIN + WRITER
    writers = [subprocess.Popen([sys.executable, "-c", code, any_url, name]) for name in names]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0, 0]
    store = SqlStore(any_url)
    for name in names:
        study = store.find_study(name)
        assert (study.num_trials, study.best_number) == (60, 0)
        assert list(check_study(store, study.id)) == []
    store.close()


def test_of_two_processes_one_leads(any_url):
    with child(TOLD, any_url) as one, child(TOLD, any_url) as two:
        assert ask(one, "take 3600") == "took 1"
        assert ask(one, "release") == "released"
        for epoch in range(2, 22):
            for process in (one, two):
                process.stdin.write("take 3600\n")
                process.stdin.flush()
            answers = {process: process.stdout.readline().strip() for process in (one, two)}
            assert sorted(answers.values()) == ["StudyLed", f"took {epoch}"]
            winner = one if answers[one] != "StudyLed" else two
            assert ask(winner, "run") == f"ran {epoch - 2}"
            assert ask(winner, "release") == "released"


def test_a_dead_leader_leads_nothing_and_a_stopped_one_until_it_runs_out(any_url):
    with child(TOLD, any_url) as one, child(TOLD, any_url) as two:
        assert ask(one, "take 3600") == "took 1"
        one.send_signal(signal.SIGSTOP)
        assert ask(two, "take 3600") == "StudyLed"
        one.send_signal(signal.SIGCONT)
        assert ask(one, "run") == "ran 0"
        assert ask(one, "release") == "released"
        assert ask(one, "take 0") == "took 2"
        one.send_signal(signal.SIGSTOP)
        assert ask(two, "take 3600") == "took 3"
        one.send_signal(signal.SIGCONT)
        assert ask(one, "run") == "LeaseLost"
        assert ask(two, "run") == "ran 1"
        two.kill()
        two.wait()
        assert ask(one, "take 3600") == "took 4"
        assert ask(one, "run") == "ran 2"
    store = SqlStore(any_url)
    assert list(check_study(store, store.find_study("study").id)) == []
    store.close()


def test_processes_that_open_a_new_file_together_make_it_once(tmp_path):
    with ExitStack() as stack:
        openers = [stack.enter_context(child(OPENER, f"sqlite:///{tmp_path}/first.db")) for _ in range(4)]
        assert [opener.stdout.readline() for opener in openers] == ["ready\n"] * 4
        for number in range(8):
            url = f"sqlite:///{tmp_path}/{number}.db"
            for opener in openers:
                opener.stdin.write(f"{url}\n")
                opener.stdin.flush()
            assert [opener.stdout.readline() for opener in openers] == ["opened\n"] * 4
            with closing(SqlStore(url)) as store:
                assert store.find_study("study") is None
            assert check_file(url) == []


def in_fork(work):
    """Run in a forked child, which leaves without closing anything; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in a transaction"])
def test_a_store_is_opened_anew_after_a_fork(any_url, busy):
    store = SqlStore(any_url, timeout_s=10)
    told = tell(store)
    told.script.run()
    told.commit()
    parents = store._connections._writer

    def work():
        assert store._connections._writer is None
        script = EventScript.of(store, told.id)
        assert script.study.num_trials == 1
        if not busy:
            script.run()
            store.commit(None, script.commit())
            assert store._connections._writer is not parents
        store.close()

    if busy:
        with store._connections.write() as cursor:
            cursor.execute("UPDATE studies SET seq = seq")
            assert in_fork(work) == 0
    else:
        assert in_fork(work) == 0
    assert store._connections._writer is parents
    script = EventScript.of(store, told.id)
    assert script.study.num_trials == (1 if busy else 2)
    script.run()
    store.commit(None, script.commit())
    assert list(check_study(store, told.id)) == []
    store.close()
    check_sound(store.url)


def test_a_leader_that_was_forked_is_another_process(any_url):
    store = SqlStore(any_url)
    study = store.create_study(study_spec())
    lease = store.take_lease(study.id, holder(), 3600)

    def work():
        assert holder() != lease.holder
        assert store.leader(study.id) == lease.holder
        with pytest.raises(StudyLed):
            store.take_lease(study.id, holder(), 3600)

    assert in_fork(work) == 0
    store.release_lease(lease)
    with pytest.raises(LeaseLost):
        store.renew_lease(lease)
    store.close()
