"""What finds the processes of a study in tests can find them: each kind of executor's, daemons included.

A check for leftovers that sees nothing would pass whatever is left.
"""

import os
import sys
import uuid
from pathlib import Path

import pytest

from trialist.core.ports import ReportedSignal
from trialist.execute.command import CommandExecutor, function_launch
from trialist.execute.pool import PoolExecutor
from trialist.testing.executors import Drive, processes_with, segment
from trialist.testing.processes import marked_processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")

KINDS = {
    "command": (CommandExecutor, {}),
    "fork": (PoolExecutor, {"start": "fork"}),
    "spawn": (PoolExecutor, {"start": "spawn"}),
    "residents": (PoolExecutor, {"residents": 2}),
}


def leaves_a_daemon(trial):
    import time

    daemon = os.fork()
    if daemon == 0:
        os.setsid()
        time.sleep(600)
    trial.report(daemon=daemon, own=os.getpid(), parent=os.getppid())
    time.sleep(600)


@pytest.mark.parametrize("kind", KINDS)
def test_every_process_of_a_trial_is_found_and_none_when_it_is_over(tmp_path, monkeypatch, kind):
    mark = uuid.uuid4().hex
    monkeypatch.setenv("MARK_OF_A_TEST", mark)
    cls, options = KINDS[kind]
    executor = cls(function_launch(f"{Path(__file__)}:leaves_a_daemon"), grace_s=1.0, **options)
    drive = Drive(executor)
    try:
        warden = int(executor.worker().split()[1])
        executor.start(segment(tmp_path))
        drive.until(lambda: drive.of(ReportedSignal))
        (told,) = drive.of(ReportedSignal)
        pids = {int(told.metrics[name]) for name in ("daemon", "own", "parent")}
        assert pids | {warden} <= {pid for pid, _ in marked_processes(mark)}
        token = executor._wardens.mark
        assert pids - {warden} <= processes_with(token).keys()
    finally:
        executor.close()
    assert marked_processes(mark) == []
