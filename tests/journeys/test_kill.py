"""A study killed with SIGKILL at random instants ends exactly like one that was never interrupted.

``TRIALIST_KILLS`` sets how often each study is killed (CI: 6; the acceptance: 30).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from trialist import load_study
from trialist.core.states import TrialStatus
from trialist.engine.recover import replay
from trialist.testing.processes import marked_processes

PROGRAM = Path(__file__).with_name("killable.py")
KILLS = int(os.environ.get("TRIALIST_KILLS", "6"))
LONGEST_S = 0.3
"""How long after it leads a run may be killed; no run depends on it to come far enough, or to be slow enough."""


def command(store: str, searcher: str, executor: str, jobs: int, scheduler: str) -> list[str]:
    return [sys.executable, str(PROGRAM), store, searcher, executor, "30", str(jobs), scheduler]


def run_whole(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")


def run_killed(argv: list[str], seed: int, kills: int, reports: int, gate: Path) -> None:
    """Run with kills at random instants after the study is led, then to the end.

    A run gets leave for so few of the study's ``reports`` that it cannot end before it is killed, however fast it is.
    """
    rng = random.Random(seed)
    for _ in range(kills):
        os.mkfifo(gate)
        pipe = os.open(gate, os.O_RDWR)  # held open, so that nobody waits for a reader or meets the end
        os.write(pipe, b"." * rng.randint(1, reports // kills))
        environment = {**os.environ, "KILLABLE_GATE": str(gate)}
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "leading\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=LONGEST_S * rng.random() ** 2)
            process.kill()
        os.close(pipe)
        gate.unlink()
    run_whole(argv)


def rows(store: str) -> list[tuple]:
    study = load_study("killed", store=store)
    return [
        (t.number, t.params, t.status, t.value, t.source, t.seed, t.step, [(r.step, r.metrics) for r in t.reports])
        for t in study.trials()
    ]


def check_log(store: str) -> None:
    """Events are gapless, and every suggestion replays from the events before it, bit for bit."""
    from trialist.api.assembling import make_searcher
    from trialist.core.events import TrialSuggested
    from trialist.core.fold import fold_trial

    study = load_study("killed", store=store)
    events = list(study.events())
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    searcher = make_searcher(study.row.spec, study.space)
    for event in events:
        if isinstance(event.body, TrialSuggested):
            again = searcher.suggest(event.body.trial)
            assert again.params == event.body.params, event
            if TrialSuggested in searcher.reads:
                searcher.update(event, fold_trial(None, event))
    fresh = make_searcher(study.row.spec, study.space)
    replay(study.store, study.row, fresh, None)
    assert fresh.suggest(99) == searcher.suggest(99)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("searcher", "scheduler", "executor", "reports"),
    [
        ("random", "none", "inline", 240),
        ("grid", "none", "inline", 240),
        ("sobol", "none", "inline", 240),
        ("random", "asha", "inline", 60),  # most of its trials end after a report or two
        ("random", "none", "command", 240),
    ],
)
def test_killed_at_random_instants_ends_like_uninterrupted(tmp_path, searcher, scheduler, executor, reports):
    whole, killed = (f"sqlite:///{tmp_path}/{name}.db" for name in ("whole", "killed"))
    run_whole(command(whole, searcher, executor, 1, scheduler))
    run_killed(command(killed, searcher, executor, 1, scheduler), 1, KILLS, reports, tmp_path / "gate")
    assert rows(killed) == rows(whole)
    check_log(killed)
    assert load_study("killed", store=killed).status == "completed"
    assert marked_processes(load_study("killed", store=killed).id) == []


@pytest.mark.slow
def test_killed_with_several_jobs_loses_and_repeats_nothing(tmp_path):
    store = f"sqlite:///{tmp_path}/killed.db"
    run_killed(command(store, "random", "command", 3, "none"), 2, KILLS, 240, tmp_path / "gate")
    study = load_study("killed", store=store)
    assert dict(study.counts) == {TrialStatus.COMPLETED: 30}
    assert [t.number for t in study.trials()] == list(range(30))
    check_log(store)
    assert marked_processes(study.id) == []
