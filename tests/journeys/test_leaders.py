"""One leads: of two leaders that start together, and of one that was frozen and the one that took over from it.

``TRIALIST_KILLS`` of 50 or more gives the full form: 50 rounds.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from trialist.core.events import AttemptStarted, LeaseTaken
from trialist.testing.postgresql import PostgresServer
from trialist.testing.processes import marked_processes

FULL = int(os.environ.get("TRIALIST_KILLS", "6")) >= 50
ROUNDS = 50 if FULL else 5
TRIALS = 6
PLENTY = 60_000
LED, FENCED = 3, 75
LEASE_S = 2.0
AWAY_S = 1.5 * LEASE_S
DEADLINE_S = 60.0
"""For what has no event that this process could wait for; far more than it takes."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_two_leaders_that_start_together_one_leads(killable, gate):
    rng = random.Random(5)
    for number in range(ROUNDS):
        one, two = (killable(f"round {number}", trials=TRIALS) for _ in range(2))
        two.store = one.store
        door = gate()
        with one.start(KILLABLE_GATE=str(door.path)) as first:
            time.sleep(rng.random() * 0.05)  # the instants are what is tried here
            with two.start(KILLABLE_GATE=str(door.path)) as second:
                loser = the_first_to_end(first, second)
                _, said = loser.communicate()
                assert loser.returncode == LED, said
                assert said.count("\n") == 1
                winner = second if loser is first else first
                assert said.startswith(f"study 'round {number}' is led by pid {winner.pid} on ")
                door.let(PLENTY)
                out, said = winner.communicate()
                assert (winner.returncode, said) == (0, "")
        one.heard(out)
        assert len(one.acknowledged) == TRIALS
        one.check(replay=True)
        led = one.study.events(kinds=(LeaseTaken,))
        assert [f"pid {winner.pid} " in event.body.holder for event in led] == [True]
        one.wait_until_gone()
        one.close()


def the_first_to_end(*processes):
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                return process
        time.sleep(0.002)
    raise AssertionError("both lead")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("executor", ["inline", "command", "pool"])
def test_a_frozen_leader_is_replaced_and_finds_itself_fenced(killable, gate, executor):
    whole = killable("whole", executor=executor, trials=TRIALS)
    whole.finish()
    lease = {"TRIALIST_LEASE_S": str(LEASE_S)}
    stale = killable("study", executor=executor, trials=TRIALS, **lease)
    heir = killable("study", executor=executor, trials=TRIALS, **lease)
    door = gate()
    with stale.start(KILLABLE_GATE=str(door.path)) as frozen:
        door.let(12)
        wait_for(lambda: stale.has_started() and stale.study.row.num_trials > 1)
        if executor != "inline":
            wait_for(lambda: trials_of(stale, frozen.pid) != [])
        frozen.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: trials_of(stale, frozen.pid) == [])  # by themselves: it is still frozen
            wait_for(lambda: heir.run() != LED)
            assert heir.said == ""
            ended = heir.study.row.seq
            assert trials_of(stale, frozen.pid) == []
        finally:
            door.let(PLENTY)  # an inline trial hears of it at its next report
            frozen.send_signal(signal.SIGCONT)
        out, said = frozen.communicate(timeout=DEADLINE_S)
    stale.heard(out)
    assert frozen.returncode == FENCED
    assert said.count("\n") == 1
    assert said.startswith("fenced: another process has taken over study 'study'")
    assert heir.study.row.seq == ended
    assert heir.rows() == whole.rows()
    heir.acknowledged |= stale.acknowledged
    heir.check(replay=True)
    second = list(heir.study.events(kinds=(LeaseTaken,)))[-1].seq
    later = [event for event in heir.study.events(kinds=(AttemptStarted,)) if event.seq > second]
    assert not [event for event in later if f"pid {frozen.pid} " in event.body.worker]
    heir.wait_until_gone()
    stale.wait_until_gone()


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["engine.launch.before", "engine.commit.before", "engine.commit.after", "store.write.begun"]
)
def test_a_leader_that_was_frozen_inside_its_work_starts_and_writes_nothing_more(killable, tmp_path, point):
    """Between the commit of a start and the start, above all: the process must not begin beside its heir's."""
    lease = {"TRIALIST_LEASE_S": str(LEASE_S)}
    stale = killable("study", executor="command", trials=TRIALS, **lease)
    heir = killable("study", executor="command", trials=TRIALS, **lease)
    marks = tmp_path / "marks"
    marks.mkdir()
    text = f"engine:{point}=stop@4,warden:warden.spawn.before=pass@1-99"
    with stale.start(TRIALIST_FAULTS=text, TRIALIST_FAULTS_DIR=str(marks)) as frozen:
        wait_for((marks / f"{point}@4").exists)
        wait_for(lambda: trials_of(stale, frozen.pid) == [])
        if point == "store.write.begun":  # it holds the database: nobody can take over before it goes on
            time.sleep(LEASE_S)
        else:
            wait_for(lambda: heir.run() != LED)
        started = set(marks.iterdir())
        frozen.send_signal(signal.SIGCONT)
        out, said = frozen.communicate(timeout=DEADLINE_S)
    stale.heard(out)
    if point == "store.write.begun":
        assert (frozen.returncode, said) == (0, "")
    else:
        assert frozen.returncode == FENCED, said
        assert set(marks.iterdir()) == started  # not even a process that would be ended at once
    heir.acknowledged |= stale.acknowledged
    assert len(heir.acknowledged) == TRIALS
    heir.check(replay=True)
    heir.wait_until_gone()
    stale.wait_until_gone()


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["command", "pool", "pool:spawn"])
def test_trials_run_on_while_the_store_is_away_for_longer_than_a_lease(killable, gate, tmp_path, executor):
    """Nobody else can lead meanwhile, so the silence of a lease that cannot be renewed ends no trial."""
    whole = killable("whole", executor=executor, trials=TRIALS)
    whole.finish()
    study = killable("study", executor=executor, trials=TRIALS, TRIALIST_LEASE_S=str(LEASE_S))
    door, marks, point = gate(), tmp_path / "marks", "store.write.begun"
    marks.mkdir()
    faults = {"TRIALIST_FAULTS": f"engine:{point}=full@1-{PLENTY}", "TRIALIST_FAULTS_DIR": str(marks)}
    with study.start(KILLABLE_GATE=str(door.path), **faults) as process:
        is_at_work(study, door)
        (marks / f"{point}.full").touch()
        time.sleep(AWAY_S)  # the time is what is tried here
        (marks / f"{point}.full").unlink()
        door.let(PLENTY)
        out, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    ran_on(study, out, whole)


@pytest.mark.slow
def test_trials_run_on_while_somebody_keeps_the_store_locked_for_longer_than_a_lease(killable, gate):
    whole = killable("whole", executor="command", trials=TRIALS)
    whole.finish()
    study = killable("study", executor="command", trials=TRIALS, TRIALIST_LEASE_S=str(LEASE_S))
    door = gate()
    with study.start(KILLABLE_GATE=str(door.path)) as process:
        is_at_work(study, door)
        file = study.store.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, timeout=DEADLINE_S, isolation_level=None)) as locks:
            locks.execute("BEGIN IMMEDIATE")
            time.sleep(AWAY_S)  # the time is what is tried here
            locks.execute("ROLLBACK")
        door.let(PLENTY)
        out, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    ran_on(study, out, whole)


@pytest.mark.slow
@pytest.mark.extras
@pytest.mark.parametrize("how", ["stopped", "killed", "answers nobody"])
def test_trials_run_on_while_a_server_is_away_for_longer_than_a_lease(killable, gate, how):
    with PostgresServer() as server:
        options = {"executor": "command", "trials": TRIALS}
        whole = killable("whole", **options)
        whole.finish()
        study = killable("study", store=server.new_database(), **options, TRIALIST_LEASE_S=str(LEASE_S))
        door = gate()
        with study.start(KILLABLE_GATE=str(door.path)) as process:
            is_at_work(study, door)
            study.close()
            if how == "answers nobody":
                server.pause()
            else:
                server.stop(kill=how == "killed")
            time.sleep(AWAY_S)  # the time is what is tried here
            if how == "answers nobody":
                server.go_on()
            else:
                server.start()
            door.let(PLENTY)
            out, said = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, said
        ran_on(study, out, whole)
        study.close()


def is_at_work(study, door) -> None:
    """Wait until its second trial runs and waits for leave to report."""
    door.let(12)
    wait_for(lambda: study.has_started() and study.study.row.num_trials == 2 and study.study.trial(1).step == 3)


def ran_on(study, out: str, whole) -> None:
    """It ended like one that nobody disturbed, and no trial was started again."""
    study.heard(out)
    assert study.rows() == whole.rows()
    assert [event.body.trial for event in study.study.events(kinds=(AttemptStarted,))] == list(range(TRIALS))
    study.check(replay=True)
    study.wait_until_gone()


def trials_of(study, engine: int) -> list[str]:
    """Command lines of the trials' processes: all that are neither the engine, its warden nor the template of the pool."""
    found = [
        line for pid, line in marked_processes("TRIALIST_TRIAL=") if pid != engine and study.mark in environment(pid)
    ]
    templates = [line for line in found if "template.py" in line]  # a pool's trials are forks of it, and look like it
    return [line for line in found if line not in templates] + templates[1:]


def environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def wait_for(condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
