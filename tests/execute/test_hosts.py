"""Worker processes that are kept: when they are used again, when they are replaced, and what a trial cannot leave in them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trialist.core.ports import LostSignal, ParkedSignal, ReportedSignal
from trialist.core.records import FailureReason, OutcomeKind
from trialist.execute.launch import Call, Launch, function_launch
from trialist.execute.pool import PoolExecutor
from trialist.testing.executors import Drive, end_all, segment, wait_for_end, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="detached grandchildren are only found on Linux")

FOR_EVER_S = 3600.0


def tells_pid(trial):
    return {"loss": os.getpid(), "daemon": os.getppid()}


def grows(trial):
    grows.kept = bytearray(trial.params["bytes"])
    return os.getpid()


def leaves_a_child(trial):
    child = subprocess.Popen(["sleep", "600"])
    return {"loss": os.getpid(), "child": child.pid}


def leaves_a_daemon(trial):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if (pid := os.fork()) == 0:
            time.sleep(600)
        os.write(writer, str(pid).encode())
        os._exit(0)
    os.wait()
    return {"loss": os.getpid(), "child": int(os.read(reader, 20))}


def leaves_a_zombie(trial):
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    leaves_a_zombie.kept = child
    return os.getpid()


def tells_devices(trial):
    return {"loss": os.getpid(), "device": int(os.environ["CUDA_VISIBLE_DEVICES"])}


def parks(trial):
    trial.report(step=1, loss=os.getpid())
    return os.getpid()


def parks_then_grows(trial):
    trial.report(step=1, loss=os.getpid())
    parks_then_grows.kept = bytearray(trial.params["bytes"])
    trial.report(step=2, loss=os.getpid())
    time.sleep(FOR_EVER_S)


def hangs(trial):
    print("step=1 a=1", flush=True)
    time.sleep(FOR_EVER_S)


def speaks_late(trial):
    print("step=1 a=1", flush=True)
    while not Path(trial.params["go"]).exists():  # another process makes it, so there is no event to wait for
        time.sleep(0.01)
    while True:
        trial.report(loss=1.0)


def crashes(trial):
    os.kill(os.getpid(), signal.SIGSEGV)


def stops_everybody_or_waits(trial):
    trial.report(step=1, loss=1.0)
    if trial.number == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    if trial.attempt == 1 or trial.number == 0:  # a thread may run on for a moment before its process stands still
        time.sleep(FOR_EVER_S)


def closes_everything(trial):
    trial.report(loss=1.0)
    os.closerange(3, 1024)
    time.sleep(FOR_EVER_S)


def closes_everything_and_returns(trial):
    os.closerange(3, 1024)


def leaves_its_marks(trial):
    umask = os.umask(0o777)
    handled = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    return float(umask == 0o777) + float(not all(handled)) + len(blocked)


def floods(trial):
    for _ in range(40):
        print("x" * 1_000_000)
    return 1.0


@pytest.fixture
def pool():
    """Make pools for functions of this module, and look that nothing of them is left."""
    made = []

    def make(function, **options):
        target = function if isinstance(function, str) else f"{Path(__file__)}:{function.__name__}"
        given = {"start": "spawn", "grace_s": 0.5, **options}
        made.append(PoolExecutor(function_launch(target, metric_names=("loss",)), **given))
        return Drive(made[-1], lambda executor, told: None)

    yield make
    for executor in made:
        executor.close()
        left = wait_until_gone(executor._wardens.mark, 60.0)
        end_all(executor._wardens.mark)
        assert not left


def loss(end):
    assert end.error is None, end.error
    return int(end.metrics["loss"])


def run_each(drive, tmp_path, count, **fields):
    """Trials one after the other; which process each ran in."""
    return [loss(drive.run(segment(tmp_path, number, **fields))[0]) for number in range(count)]


class TestUsingAgain:
    def test_one_worker_serves_one_trial_after_the_other(self, pool, tmp_path):
        assert len(set(run_each(pool(tells_pid), tmp_path, 5))) == 1

    def test_trials_at_the_same_time_have_workers_of_their_own(self, pool, tmp_path):
        drive = pool(parks)
        items = [segment(tmp_path, number, to_step=1) for number in range(3)]
        for item in items:
            drive.executor.start(item)
        drive.until(lambda: len(drive.of(ParkedSignal)) == 3)
        assert len({report.metrics["loss"] for report in drive.of(ReportedSignal)}) == 3

    def test_workers_beyond_the_spare_ones_leave(self, pool, tmp_path):
        drive = pool(parks, spare=1)
        items = [segment(tmp_path, number, to_step=1) for number in range(3)]
        for item in items:
            drive.executor.start(item)
        drive.until(lambda: len(drive.of(ParkedSignal)) == 3)
        for item in items:
            drive.executor.go_on(item.key, None)
        drive.until(lambda: all(drive.ended(item.key) for item in items))
        pids = [loss(drive.end(item.key)) for item in items]
        last = drive.run(segment(tmp_path, 9))[0]
        for pid in set(pids) - {loss(last)}:
            assert wait_for_end(pid, 60.0)

    def test_each_set_of_devices_has_a_worker_that_sees_only_these(self, pool, tmp_path):
        drive = pool(tells_devices, start="auto")
        seen = {}
        for number in range(4):
            gpu = {"devices": (str(number % 2),), "resources": {"gpu": 1}}
            (end,) = drive.run(segment(tmp_path, number, **gpu))
            seen.setdefault(end.metrics["device"], set()).add(loss(end))
        assert sorted(seen) == [0.0, 1.0]
        assert all(len(pids) == 1 for pids in seen.values())
        assert seen[0.0] != seen[1.0]


class TestReplacing:
    def test_after_so_many_trials(self, pool, tmp_path):
        first, second, third, fourth = run_each(pool(tells_pid, recycle_after=2), tmp_path, 4)
        assert first == second != third == fourth

    def test_after_growing_too_much(self, pool, tmp_path):
        drive = pool(grows, recycle_growth_bytes=50 << 20)
        small, large = {"bytes": 1}, {"bytes": 100 << 20}
        sizes = [small, small, large, small]
        pids = [loss(drive.run(segment(tmp_path, number, params=size))[0]) for number, size in enumerate(sizes)]
        assert pids[0] == pids[1] == pids[2] != pids[3]

    def test_when_the_file_of_the_function_has_changed(self, pool, tmp_path):
        file = tmp_path / "mine.py"
        file.write_text("def train(trial):\n    return 1.0\n")
        drive = pool(f"{file}:train")
        assert loss(drive.run(segment(tmp_path, 0))[0]) == 1
        file.write_text("def train(trial):\n    return 2.0 + 0 * len('so that the size differs too')\n")
        assert loss(drive.run(segment(tmp_path, 1))[0]) == 2

    @pytest.mark.parametrize("function", [leaves_a_child, leaves_a_daemon])
    def test_processes_that_a_trial_leaves_end_with_it_and_with_its_worker(self, pool, tmp_path, function):
        drive = pool(function)
        first, second = (drive.run(segment(tmp_path, number))[0] for number in range(2))
        assert loss(first) != loss(second)
        for end in (first, second):
            assert wait_for_end(int(end.metrics["child"]), 0.0)

    def test_a_child_that_has_ended_is_none_that_is_left(self, pool, tmp_path):
        assert len(set(run_each(pool(leaves_a_zombie), tmp_path, 3))) == 1


class TestEnding:
    def test_a_crash_is_the_trials_own_and_the_next_one_runs(self, pool, tmp_path):
        drive = pool(crashes)
        ends = [drive.run(segment(tmp_path, number))[0] for number in range(2)]
        for end in ends:
            assert (end.outcome, end.error.reason) == (OutcomeKind.SIGNALLED, FailureReason.SIGNAL)
            assert "SIGSEGV" in end.error.message

    def test_one_that_closes_what_is_its_workers_fails_and_hangs_nobody(self, pool, tmp_path):
        (end,) = pool(closes_everything).run(segment(tmp_path))
        assert end.outcome is OutcomeKind.RAISED
        assert "disturbed the connection" in end.error.message

    def test_one_that_stops_its_worker_takes_nobody_elses_time(self, pool, tmp_path):
        drive = pool(stops_everybody_or_waits, residents=3)
        items = [segment(tmp_path, number, timeout_s=2.0) for number in range(3)]
        for item in items:
            drive.executor.start(item)
        drive.until(lambda: all(drive.ended(item.key) for item in items))
        lost = drive.of(LostSignal)
        assert {key for told in lost for key in told.keys} == {item.key for item in items}
        assert all(told.is_blameless for told in lost)
        assert "several trials in it took too long at once" in lost[0].message
        ends = drive.run(*(segment(tmp_path, number, attempt=2, timeout_s=5.0) for number in range(3)))
        outcomes = [end.outcome for end in ends]
        assert outcomes == [OutcomeKind.TIMED_OUT, OutcomeKind.RETURNED, OutcomeKind.RETURNED]

    @pytest.mark.parametrize("residents", [1, 2])
    def test_one_that_closes_what_is_its_workers_and_returns_fails_too(self, pool, tmp_path, residents):
        (end,) = pool(closes_everything_and_returns, residents=residents).run(segment(tmp_path))
        assert end.outcome is OutcomeKind.EXITED
        assert "has lost its files or its connection: Bad file descriptor" in end.error.message

    def test_the_next_one_finds_signals_and_umask_as_they_were(self, pool, tmp_path):
        drive = pool(leaves_its_marks)
        assert [loss(drive.run(segment(tmp_path, number))[0]) for number in range(3)] == [0, 0, 0]

    def test_a_worker_that_died_before_it_saw_its_next_trial_is_not_the_trials_fault(self, pool, tmp_path):
        drive = pool(tells_pid)
        pid = loss(drive.run(segment(tmp_path, 0))[0])
        os.kill(pid, signal.SIGSTOP)
        item = segment(tmp_path, 1, timeout_s=FOR_EVER_S)
        drive.executor.start(item)
        probe = segment(tmp_path, 2)  # orders are taken one by one: when this one has ended, the other was handed over
        assert loss(drive.run(probe)[0]) != pid
        os.kill(pid, signal.SIGKILL)
        drive.until(lambda: drive.ended(item.key))
        (lost,) = drive.of(LostSignal)
        assert lost.keys == (item.key,)
        assert "SIGKILL" in lost.message

    def test_a_worker_that_cannot_start_says_why_at_its_trial(self, tmp_path):
        executor = PoolExecutor(_without_us, start="spawn")
        try:
            (end,) = Drive(executor).run(segment(tmp_path))
        finally:
            executor.close()
        assert end.outcome is OutcomeKind.EXITED
        assert "No module named 'trialist'" in end.error.message

    @pytest.mark.parametrize(("order", "outcome"), [("stop", OutcomeKind.STOPPED), ("kill", OutcomeKind.KILLED)])
    def test_one_that_never_speaks_ends_with_its_worker_at_once(self, pool, tmp_path, order, outcome):
        drive = pool(hangs, grace_s=FOR_EVER_S)
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ReportedSignal))
        getattr(drive.executor, order)(item.key)
        drive.until(lambda: drive.ended(item.key))
        assert (drive.end(item.key).outcome, drive.end(item.key).error) == (outcome, None)

    def test_beside_others_one_that_has_not_spoken_yet_is_waited_for(self, pool, tmp_path):
        drive = pool(speaks_late, residents=2, grace_s=FOR_EVER_S)
        go = tmp_path / "go"
        item = segment(tmp_path, params={"go": str(go)})
        drive.executor.start(item)
        drive.until(lambda: drive.of(ReportedSignal))
        drive.executor.stop(item.key)
        go.touch()
        drive.until(lambda: drive.ended(item.key))
        assert drive.end(item.key).outcome is OutcomeKind.STOPPED

    def test_a_timeout(self, pool, tmp_path):
        (end,) = pool(hangs).run(segment(tmp_path, timeout_s=0.5))
        assert (end.outcome, end.error.reason) == (OutcomeKind.TIMED_OUT, FailureReason.TIMEOUT)

    def test_what_it_prints_is_capped_and_read_to_the_end(self, pool, tmp_path):
        (end,) = pool(floods).run(segment(tmp_path, timeout_s=600.0))
        assert loss(end) == 1
        assert (tmp_path / "trial-0" / "stdout.log").stat().st_size < 18 << 20

    def test_workers_end_with_the_warden(self, pool, tmp_path):
        drive = pool(parks)
        item = segment(tmp_path, to_step=1)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ParkedSignal))
        os.kill(int(drive.executor.worker().split()[1]), signal.SIGKILL)
        drive.until(lambda: drive.of(LostSignal))
        assert wait_for_end(int(drive.of(ReportedSignal)[0].metrics["loss"]), 60.0)

    def test_what_cannot_be_started_says_why(self, tmp_path):
        executor = PoolExecutor(_nowhere, start="spawn")
        try:
            (end,) = Drive(executor).run(segment(tmp_path))
        finally:
            executor.close()
        assert end.outcome is OutcomeKind.NOT_STARTED
        assert "/no/such/directory" in end.error.message


def _nowhere(item):
    launch = function_launch(f"{__file__}:tells_pid")(item)
    return Launch(stdout=launch.stdout, env=launch.env, call=launch.call, cwd=Path("/no/such/directory"))


def _without_us(item):
    launch = function_launch(f"{__file__}:tells_pid")(item)
    return Launch(stdout=launch.stdout, env=launch.env, call=Call(target="m:f", path=[]))


class TestMemory:
    LIMIT = {"memory_gb": 0.3}
    TOO_MUCH = {"bytes": 600_000_000}

    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_one_that_uses_more_than_it_asked_for_ends_and_says_so(self, pool, tmp_path, start):
        drive = pool(parks_then_grows, start=start)
        (end,) = drive.run(segment(tmp_path, resources=self.LIMIT, params=self.TOO_MUCH))
        assert (end.outcome, end.error.reason) == (OutcomeKind.SIGNALLED, FailureReason.OUT_OF_MEMORY)
        assert "GB of the 0.3 GB it asked for (memory_gb)" in end.error.message

    def test_beside_others_the_worker_is_lost_and_next_time_the_end_is_its_own(self, pool, tmp_path):
        drive = pool(parks_then_grows, residents=2)
        small = segment(tmp_path, 0, to_step=1, resources=self.LIMIT, params={"bytes": 1})
        large = segment(tmp_path, 1, resources=self.LIMIT, params={"bytes": 900_000_000})
        drive.executor.start(small)
        drive.until(lambda: drive.of(ParkedSignal))
        drive.executor.start(large)
        drive.until(lambda: drive.of(LostSignal))
        (lost,) = drive.of(LostSignal)
        assert set(lost.keys) == {small.key, large.key}
        assert "GB of the 0.6 GB that its trials asked for" in lost.message
        again = [
            segment(tmp_path, item.trial, attempt=2, resources=item.resources, params=item.params, to_step=item.to_step)
            for item in (small, large)
        ]
        drive.executor.start(again[0])
        (end,) = drive.run(again[1])
        assert (end.outcome, end.error.reason) == (OutcomeKind.SIGNALLED, FailureReason.OUT_OF_MEMORY)
        assert not drive.ended(again[0].key)
