"""A study killed with SIGKILL at random instants ends exactly like one that was never interrupted.

``TRIALIST_KILLS`` sets how often each study is killed (CI: 6). The acceptance is 100, with which each has 200 trials.
What the kills cost is told by ``benchmarks/kill.py``.
"""

from __future__ import annotations

import os
import random
import subprocess
import time

import pytest

from trialist.core.events import TrialSuggested
from trialist.core.states import TrialStatus

KILLS = int(os.environ.get("TRIALIST_KILLS", "6"))
TRIALS = 200 if KILLS >= 50 else 30
LONGEST_S = 0.3
"""How long after it leads a run may be killed; no run depends on it to come far enough, or to be slow enough."""


def run_killed(killed, gate, *, seed: int, reports: int, jobs: int = 1) -> None:
    """Run with kills at random instants after the study is led, then to the end.

    A run gets leave for so few of the study's ``reports`` that it cannot end before it is killed, however fast it is. With
    several jobs the first kill comes when all of them are at work.
    """
    rng = random.Random(seed)
    drawn: dict[int, object] = {}
    for number in range(KILLS):
        door = gate()
        door.let(rng.randint(1, max(1, reports // KILLS)))
        with killed.start(KILLABLE_GATE=str(door.path)) as process:
            assert process.stdout.readline() == "leading\n"
            if jobs > 1 and number == 0:
                wait_until_at_work(killed, jobs)
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=LONGEST_S * rng.random() ** 2)
            process.kill()
            killed.heard(process.communicate()[0])
        killed.wait_until_gone()
        killed.check()
        if killed.has_started():
            found = suggestions(killed)
            assert {trial: found.get(trial) for trial in drawn} == drawn  # what was suggested stays
            drawn = found
    killed.finish()
    found = suggestions(killed)
    assert {trial: found.get(trial) for trial in drawn} == drawn


def suggestions(killed) -> dict[int, object]:
    """What each trial was given when it was suggested, and when; fails where one was suggested twice."""
    events = list(killed.study.events(kinds=(TrialSuggested,)))
    found = {event.body.trial: (event.seq, event.at, event.body) for event in events}
    assert len(found) == len(events)
    return found


def wait_until_at_work(killed, jobs: int) -> None:
    """As many trials run as may; the store has no event for another process but its rows."""
    deadline = time.monotonic() + 60
    while not (killed.has_started() and killed.study.counts.get(TrialStatus.RUNNING, 0) == jobs):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def compare(whole, killed, gate, reports: int) -> None:
    whole.finish()
    run_killed(killed, gate, seed=1, reports=reports)
    assert killed.rows() == whole.rows()
    killed.check(replay=True)
    assert killed.acknowledged  # not all: a kill may come between a commit and the word that it is done
    assert killed.study.status == "completed"
    killed.wait_until_gone()


def searching(*case):
    """A case about an algorithm rather than about the engine: its processes load numpy and scipy at each start."""
    return pytest.param(*case, marks=pytest.mark.extras)


CASES = [
    ("random", "none", "inline", 8),
    ("grid", "none", "inline", 8),
    ("sobol", "none", "inline", 8),
    ("random", "asha", "inline", 2),  # most of its trials end after a report or two
    searching("random", "hyperband", "inline", 3),
    searching("random", "forecast", "inline", 7),
    searching("tpe", "none", "inline", 8),
    searching("cmaes", "none", "inline", 8),
    ("random", "none", "command", 8),
    ("random", "none", "pool", 8),
    searching("auto", "none", "inline", 8),  # each start fits the model anew from the events
]
"""Searcher, scheduler, executor, and about how many reports a trial makes."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("searcher", "scheduler", "executor", "reports"), CASES)
def test_killed_at_random_instants_ends_like_uninterrupted(killable, gate, searcher, scheduler, executor, reports):
    options = {"searcher": searcher, "scheduler": scheduler, "executor": executor, "trials": TRIALS}
    compare(killable("whole", **options), killable("killed", **options), gate, reports * TRIALS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_with_checkpoints_ends_like_uninterrupted(killable, gate):
    options = {"executor": "command", "trials": TRIALS, "KILLABLE_CHECKPOINTS": "1"}
    compare(killable("whole", **options), killable("killed", **options), gate, 8 * TRIALS)


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_population_killed_with_several_jobs_ends_like_one_trial_at_a_time_uninterrupted(killable, gate):
    options = {"scheduler": "pbt", "trials": TRIALS, "KILLABLE_CHECKPOINTS": "1"}
    killed = killable("killed", executor="pool", jobs=3, **options)
    compare(killable("whole", **options), killed, gate, 8 * TRIALS)
    forks = [trial for trial in killed.study.trials() if trial.record.source == "pbt"]
    assert forks
    assert len(killed.rows()) == TRIALS + len(forks)


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("searcher", "scheduler", "executor", "reports"), [CASES[0], CASES[3], CASES[-2]])
def test_killed_at_random_instants_over_postgresql(
    killable, gate, postgres_url, searcher, scheduler, executor, reports
):
    options = {"searcher": searcher, "scheduler": scheduler, "executor": executor, "trials": TRIALS}
    whole, killed = (killable(name, store=postgres_url, **options) for name in ("whole", "killed"))
    compare(whole, killed, gate, reports * TRIALS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("executor", ["command", "pool"])
def test_killed_with_several_jobs_loses_and_repeats_nothing(killable, gate, executor):
    killed = killable(executor=executor, trials=TRIALS, jobs=4)
    run_killed(killed, gate, seed=2, reports=8 * TRIALS, jobs=4)
    study = killed.study
    assert dict(study.counts) == {TrialStatus.COMPLETED: TRIALS}
    assert [t.number for t in study.trials()] == list(range(TRIALS))
    assert killed.acknowledged
    killed.check(replay=True)
    killed.wait_until_gone()
