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
from trialist.core.faults import ENVIRONMENT, MARKS, POINTS
from trialist.core.records import Command, CommandKind
from trialist.core.states import TrialStatus
from trialist.store.locate import open_store

PASSINGS = (1, 3) if int(os.environ.get("TRIALIST_KILLS", "6")) >= 50 else (1,)
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
ROLE = {"warden": "warden", "trial": "trial"}
LED = sorted(point for point in POINTS if point not in ELSEWHERE)


def role_of(point: str) -> str:
    return ROLE.get(point.partition(".")[0], "engine")


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

    def make(name, folder, executor="command"):
        store = f"sqlite:///{folder}/{name}.db"
        return killable(
            name,
            store=store,
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


@pytest.mark.slow
@pytest.mark.parametrize("passing", PASSINGS)
@pytest.mark.parametrize("point", LED)
def test_killed_at_a_point_of_leading(led, whole_rows, tmp_path, point, passing):
    role = role_of(point)
    renews = point == "store.lease.renewed"  # takes a run that lasts longer than a third of a lease
    killed = led(
        "killed", tmp_path, "inline" if role == "engine" and point != "executor.start" and not renews else "command"
    )
    environment = prepared(point, killed)
    marks = tmp_path / "marks"
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
    compare(killed, whole_rows(lambda name, folder: led(name, folder)), failed=struck and role == "trial")
    with closing(open_store(killed.store)) as store:
        study = trialist.load_study(killed.name, store=store)
        assert (tmp_path / "killed.jsonl").read_text() == "".join(export_text(study, "events"))


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.parametrize("point", [point for point in LED if point.startswith(("store.", "engine.commit"))])
def test_killed_at_a_point_of_the_store_over_postgresql(killable, postgres_url, tmp_path, point):
    executor = "command" if point == "store.lease.renewed" else "inline"
    options = {"executor": executor, "trials": TRIALS, "KILLABLE_CHECKPOINTS": "1"}
    killed = killable("killed", store=postgres_url, **options)
    environment = {"TRIALIST_LEASE_S": "0.3"} if point == "store.lease.renewed" else {}
    code = killed.struck(f"engine:{point}=kill", tmp_path / "marks", **environment)
    assert (tmp_path / "marks" / f"{point}@1").exists()
    assert code == -signal.SIGKILL, killed.said
    killed.wait_until_gone()
    killed.check()
    killed.finish()
    killed.check(replay=True)
    whole = killable("whole", store=postgres_url, **options)
    whole.finish()
    assert killed.rows() == whole.rows()


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
            study = trialist.create_study(name, {"x": [1, 2, 3]}, metric="y", mode="min", store=store)
            study.run(one_step, num_trials=3)
    return url


def killed_once(tmp_path, point, program, *arguments):
    marks = tmp_path / "marks"
    marks.mkdir()
    assert run_program(program, *arguments, faults=f"{point}=kill", marks=str(marks)) == -signal.SIGKILL
    assert (marks / f"{point}@1").exists()


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
