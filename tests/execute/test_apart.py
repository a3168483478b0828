"""A trial that takes the process above it down costs the trials beside it time, and nothing else.

Whose fault it was nobody knows, so each of those that were lost together runs under a warden of its own the next time: there
the one to blame is lost alone.
"""

import sys
from pathlib import Path

import pytest

from trialist.core.ports import LostSignal, ReportedSignal
from trialist.core.records import OutcomeKind
from trialist.execute.command import CommandExecutor, function_launch
from trialist.execute.pool import PoolExecutor
from trialist.testing.executors import Drive, end_all, segment, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


def takes_its_parent_down(trial):
    """Trial 0 waits until the others wait beside it."""
    import os
    import signal
    import time

    trial.report(loss=os.getppid())
    while not Path(trial.params["go"]).exists():
        time.sleep(0.01)
    if trial.number == 0:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    if trial.attempt == 1:
        time.sleep(600)
    return trial.number


@pytest.fixture
def run():
    made = []

    def make(name, **options):
        launch = function_launch(f"{Path(__file__)}:takes_its_parent_down", metric_names=("loss",))
        executor = PoolExecutor(launch, **options) if name == "pool" else CommandExecutor(launch)
        made.append(executor)
        return Drive(executor)

    yield make
    for executor in made:
        executor.close()
        left = wait_until_gone(executor._wardens.mark, 60.0)
        end_all(executor._wardens.mark)
        assert not left


@pytest.mark.parametrize(("name", "options"), [("command", {}), ("pool", {}), ("pool", {"start": "spawn"})])
def test_the_others_come_to_their_end_and_the_one_to_blame_is_lost_alone(run, tmp_path, name, options):
    drive = run(name, **options)
    go = tmp_path / "go"
    items = [segment(tmp_path, number, params={"go": str(go)}) for number in range(4)]
    for item in items:
        drive.executor.start(item)
    drive.until(lambda: len(drive.of(ReportedSignal)) == 4)
    go.touch()
    drive.until(lambda: all(drive.ended(item.key) for item in items))
    lost = drive.of(LostSignal)
    assert {key.trial for told in lost for key in told.keys} == {0, 1, 2, 3}
    assert all(told.is_blameless for told in lost)
    again = [segment(tmp_path, number, attempt=2, params={"go": str(go)}) for number in range(4)]
    for item in again:
        drive.executor.start(item)
    drive.until(lambda: all(drive.ended(item.key) for item in again))
    ends = [drive.end(item.key) for item in again[1:]]
    assert [(end.outcome, dict(end.metrics)) for end in ends] == [
        (OutcomeKind.RETURNED, {"loss": float(number)}) for number in (1, 2, 3)
    ]
    (alone,) = drive.of(LostSignal)[len(lost) :]
    assert (alone.keys, alone.is_blameless) == ((again[0].key,), False)
    last = [segment(tmp_path, number, attempt=3, params={"go": str(go)}) for number in range(3)]
    assert_apart(drive, [*again, *last])


def assert_apart(drive, items):
    """Each attempt has a parent of its own; what the first trial's says may be lost with it."""
    for item in items:
        if not drive.ended(item.key):
            drive.executor.start(item)
    drive.until(lambda: all(drive.ended(item.key) for item in items))
    keys = {item.key for item in items if item.trial}
    parents = [told.metrics["loss"] for told in drive.of(ReportedSignal) if told.key in keys]
    assert len(set(parents)) == len(keys)


def stops_what_it_is_a_child_of(trial):
    import os
    import signal

    os.kill(os.getppid(), signal.SIGSTOP)
    return trial.number


@pytest.mark.parametrize("name", ["command", "pool"])
def test_a_parent_that_is_stopped_goes_on(tmp_path, name):
    launch = function_launch(f"{Path(__file__)}:stops_what_it_is_a_child_of", metric_names=("loss",))
    executor = CommandExecutor(launch) if name == "command" else PoolExecutor(launch)
    try:
        ends = Drive(executor).run(*(segment(tmp_path, number) for number in range(4)))
        assert [dict(end.metrics) for end in ends] == [{"loss": float(number)} for number in range(4)]
    finally:
        executor.close()
    assert not wait_until_gone(executor._wardens.mark, 60.0)
