"""Killed at every named fault point, a study goes on as if nothing had happened; and each point is really passed.

The scenarios are written so that the table of ``core.faults`` is passed whole: a point that nobody passes fails here.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import trialist
from trialist.api import fsck
from trialist.api.exporting import export_text
from trialist.api.moving import study_lines
from trialist.core.faults import ENVIRONMENT, MARKS, POINTS
from trialist.core.records import Command, CommandKind
from trialist.core.states import TrialStatus
from trialist.store.locate import open_store

FULL = int(os.environ.get("TRIALIST_KILLS", "6")) >= 50
PASSINGS = (1, 3) if FULL else (1,)
TRIALS = 5
ELSEWHERE = {
    "store.delete.study": "delete",
    "store.delete.piece": "delete",
    "store.command.sent": "send",
    "store.import.piece": "import",
    "store.import.publish": "import",
    "store.upgrade.partial": "upgrade",
    "store.upgrade.backed_up": "upgrade",
    "store.upgrade.migrated": "upgrade",
    "export.written": "export",
}
"""Points that leading a study does not pass, with the scenario that does."""
WORKERS = ("worker.", "store.claim.", "engine.leave.")
"""``test_killed_workers`` has those."""
ROLE = {"warden": "warden", "trial": "trial"}
LED = sorted(point for point in POINTS if point not in ELSEWHERE and not point.startswith(WORKERS))
IN_TRIALS = {point for point in POINTS if point.startswith("trial.")}
PASSED = {
    "inline": {point for point in IN_TRIALS if point.startswith("trial.checkpoint.")},
    "command": IN_TRIALS - {"trial.end.sent"},
    "pool": IN_TRIALS - {"trial.end.sent"},
    "pool:spawn": IN_TRIALS - {"trial.result.sent"},
}
"""What is passed in a trial, wherever that runs; an inline trial is the engine's own process."""


def role_of(point: str) -> str:
    return ROLE.get(point.partition(".")[0], "engine")


def executor_of(point: str) -> str:
    """The quickest one with which a study passes a point."""
    if point == "trial.end.sent":
        return "pool:spawn"
    # A lease is renewed in a run that lasts longer than a third of it.
    return "command" if role_of(point) != "engine" or point in ("executor.start", "store.lease.renewed") else "inline"


CASES = [(executor_of(point), point) for point in LED]
CASES += [(kind, point) for kind in ("pool", "pool:spawn") for point in sorted(PASSED[kind])]
CASES += [(kind, point) for kind in ("pool", "pool:spawn") for point in LED if point.startswith("warden.")]
CASES = sorted(set(CASES))
OVER_POSTGRESQL = LED if FULL else [point for point in LED if point.startswith(("store.", "engine.commit"))]


@pytest.fixture(scope="module")
def whole_rows(tmp_path_factory):
    """What the study comes to when nobody strikes; made once."""
    kept = {}

    def rows(make):
        if "rows" not in kept:
            whole = make("whole", tmp_path_factory.mktemp("whole"))
            whole.finish()
            kept["rows"] = whole.rows()
        return kept["rows"]

    return rows


@pytest.fixture
def led(killable):
    """The scenario of leading: checkpoints that free each other, a sink with a file, callbacks, a command that waits."""

    def make(name, folder, executor="command", store=None):
        return killable(
            name,
            store=store or f"sqlite:///{folder}/{name}.db",
            executor=executor,
            trials=TRIALS,
            KILLABLE_CHECKPOINTS="1",
            KILLABLE_EVENTS=str(folder / f"{name}.jsonl"),
        )

    return make


def prepared(point, killed):
    """What must be so that the point is passed; its environment."""
    if point == "engine.command.applied":
        killed.run(TRIALIST_FAULTS="engine:engine.opened=kill")
        with closing(open_store(killed.store)) as store:
            study = store.find_study(killed.name)
            wanted = {"num_trials": TRIALS}
            store.send_command(study.id, Command(kind=CommandKind.SET_BUDGET, args=wanted, key="once"))
    return {"TRIALIST_LEASE_S": "0.3"} if point == "store.lease.renewed" else {}


def strike(killed, folder, point, passing, whole):
    """Kill a study at a point, have it go on to its end, and see that it is as if nothing had happened."""
    role = role_of(point)
    environment = prepared(point, killed)
    marks = folder / "marks"
    code = killed.struck(f"{role}:{point}=kill@{passing}", marks, **environment)
    struck = (marks / f"{point}@{passing}").exists()
    assert struck or passing > 1, "nobody passes this point"
    assert code == (-signal.SIGKILL if struck and role == "engine" else 0), killed.said
    killed.wait_until_gone()
    killed.check()
    if code:
        killed.finish()
    killed.wait_until_gone()
    killed.check(replay=True)
    compare(killed, whole, failed=struck and point in IN_TRIALS - {"trial.end.sent"})
    assert (folder / "killed.jsonl").read_text() == "".join(export_text(killed.study, "events"))


@pytest.mark.slow
@pytest.mark.parametrize("passing", PASSINGS)
@pytest.mark.parametrize(("executor", "point"), CASES)
def test_killed_at_a_point_of_leading(led, whole_rows, tmp_path, executor, point, passing):
    strike(led("killed", tmp_path, executor), tmp_path, point, passing, whole_rows(led))


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.parametrize("passing", PASSINGS)
@pytest.mark.parametrize("point", OVER_POSTGRESQL)
def test_killed_at_a_point_of_leading_over_postgresql(led, whole_rows, postgres_url, tmp_path, point, passing):
    killed = led("killed", tmp_path, executor_of(point), postgres_url)
    strike(killed, tmp_path, point, passing, whole_rows(led))


@pytest.mark.slow
@pytest.mark.parametrize("executor", PASSED)
def test_a_trial_passes_its_points_wherever_it_runs(led, tmp_path, executor):
    role = "engine" if executor == "inline" else "trial"
    passing = led("passing", tmp_path, executor)
    faults = ",".join(f"{role}:{point}=pass" for point in sorted(IN_TRIALS))
    assert passing.struck(faults, tmp_path / "marks") == 0, passing.said
    assert {mark.name for mark in (tmp_path / "marks").iterdir()} == {f"{point}@1" for point in PASSED[executor]}


def compare(killed, whole, *, failed: bool) -> None:
    """Equal to the uninterrupted study, but for the one trial whose own process was killed."""
    rows = killed.rows()
    assert len(rows) == len(whole) == TRIALS
    assert killed.study.status == "completed"
    wrong = [number for number, (one, other) in enumerate(zip(rows, whole, strict=True)) if one != other]
    if not failed:
        assert wrong == []
        return
    for number in wrong:
        trial = killed.study.trial(number).record
        assert trial.status is TrialStatus.FAILED
        assert trial.error.reason == "signal"
    assert len(wrong) == 1


# --- elsewhere -------------------------------------------------------------------------------------------------------

DELETE = "import sys, trialist; trialist.delete_study('one', store=sys.argv[1])"
SEND = "import sys, trialist; trialist.load_study('one', store=sys.argv[1]).enqueue({'x': 2})"
EXPORT = "import sys; from trialist.cli import main; main(['export', 'one', '-o', sys.argv[2], '--store', sys.argv[1]])"
OLD = """
import sys
from trialist.store import upgrade
upgrade.upgrade(sys.argv[1])
"""


def run_program(program: str, *arguments: str, faults: str = "", marks: str = "") -> int:
    environment = {**os.environ, ENVIRONMENT: faults, **({MARKS: marks} if marks else {})}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def one_step(trial):
    trial.report(step=1, y=float(trial.params["x"]))


@pytest.fixture
def store_url(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    with closing(open_store(url)) as store:
        for name in ("one", "two"):
            study = trialist.create_study(
                name, {"x": [1, 2, 3]}, metric="y", mode="min", searcher="random", store=store
            )
            study.run(one_step, num_trials=3)
    return url


def killed_once(tmp_path, point, program, *arguments, passing=1):
    marks = tmp_path / "marks"
    marks.mkdir()
    assert run_program(program, *arguments, faults=f"{point}=kill@{passing}", marks=str(marks)) == -signal.SIGKILL
    assert (marks / f"{point}@{passing}").exists()


@pytest.mark.parametrize("point", [point for point, scenario in ELSEWHERE.items() if scenario == "delete"])
def test_killed_in_a_delete(store_url, tmp_path, point):
    killed_once(tmp_path, point, DELETE, store_url)
    found = fsck(store=store_url, replay=True)
    assert found.ok
    assert [finding.problem for finding in found.findings if "deleted study" in finding.problem]
    with closing(open_store(store_url)) as store:
        assert [study.name for study in store.list_studies().studies] == ["two"]
        trialist.create_study("one", {"x": [1]}, store=store)
    assert run_program(DELETE, store_url) == 0
    assert fsck(store=store_url).findings == []


@pytest.mark.parametrize("point", [point for point, scenario in ELSEWHERE.items() if scenario == "send"])
def test_killed_after_a_command_was_sent(store_url, tmp_path, point):
    killed_once(tmp_path, point, SEND, store_url)
    assert fsck(store=store_url, replay=True).ok
    with closing(open_store(store_url)) as store:
        study = trialist.load_study("one", store=store)
        study.run(one_step, num_trials=4)
        assert [trial.source for trial in study.trials()].count("enqueue") == 1
    assert fsck(store=store_url, replay=True).ok


@pytest.mark.parametrize("point", [point for point, scenario in ELSEWHERE.items() if scenario == "export"])
def test_killed_in_an_export(store_url, tmp_path, point):
    target = tmp_path / "trials.csv"
    target.write_text("old")
    killed_once(tmp_path, point, EXPORT, store_url, str(target))
    assert target.read_text() == "old"
    assert run_program(EXPORT, store_url, str(target)) == 0
    assert target.read_text().count("\n") == 4


@pytest.mark.parametrize("point", [point for point, scenario in ELSEWHERE.items() if scenario == "upgrade"])
def test_killed_in_an_upgrade(store_url, tmp_path, point):
    killed_once(tmp_path, point, as_old(store_url), store_url)
    assert list(tmp_path.glob("*.partial")) == [] or point == "store.upgrade.partial"
    assert run_program(OLD, store_url) == 0
    assert fsck(store=store_url, replay=True).ok


def as_old(store_url) -> str:
    """Bring the store back to its first schema, which had no workers; the program that upgrades it."""
    with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("DROP TABLE line")
        connection.execute("DROP TABLE workers")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    return OLD


IMPORT = """
import sys
import trialist
from trialist.api import importing
importing._PIECE = 4
trialist.import_studies(sys.argv[1], store=sys.argv[2])
"""


@pytest.mark.parametrize(
    ("point", "passing"), [("store.import.piece", 1), ("store.import.piece", 3), ("store.import.publish", 1)]
)
def test_killed_in_an_import(store_url, tmp_path, point, passing):
    file, target = tmp_path / "one.study", f"sqlite:///{tmp_path}/target.db"
    with closing(open_store(store_url)) as store:
        text = "".join(study_lines(store, [store.find_study("one")]))
    file.write_text(text)
    killed_once(tmp_path, point, IMPORT, str(file), target, passing=passing)
    found = fsck(store=target)
    assert found.ok
    assert [
        finding.problem for finding in found.findings if "an import that did not come to its end" in finding.problem
    ]
    with closing(open_store(target)) as store:
        assert store.find_study("one") is None
        assert store.list_studies().studies == []
    assert run_program(IMPORT, str(file), target) == 0
    assert fsck(store=target, replay=True).findings == []
    with closing(open_store(target)) as store:
        assert "".join(study_lines(store, [store.find_study("one")])) == text
        study = trialist.load_study("one", store=store)
        study.run(one_step, num_trials=4)
        assert study.row.num_suggested == 4
