"""Trials that misbehave, as real processes: nothing of them survives, and nobody else suffers."""

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trialist.core.ports import LostSignal, ParkedSignal, ReportedSignal
from trialist.core.records import FailureReason, OutcomeKind
from trialist.execute.command import CommandExecutor, Launch
from trialist.execute.pool import PoolExecutor
from trialist.execute.warm import warm_command
from trialist.testing.executors import Drive, end_all, processes_with, segment, wait_for_end, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="detached grandchildren are only found on Linux")

GRACE_S = 0.5
FOR_EVER_S = 3600.0
"""A grace or a sleep that no test sees the end of: what ends all the same did not wait for it."""


def launch_of(script, folder, **launch):
    """A Python script (or an argv) as a program: cold as ``-c``, warm as a file."""
    if not isinstance(script, str):
        return lambda item: Launch(argv=script, stdout=Path(item.run_dir) / "stdout.log", **launch)
    file = folder / f"script-{hashlib.sha256(script.encode()).hexdigest()[:8]}.py"
    file.write_text(script)
    argv = [sys.executable, str(file)]
    warm = warm_command(argv)
    return lambda item: Launch(argv=argv, warm=warm, stdout=Path(item.run_dir) / "stdout.log", **launch)


@pytest.fixture(params=[CommandExecutor, PoolExecutor], ids=lambda cls: cls.name)
def command(tmp_path, request):
    """Make executors that run a Python script (or an argv), and look that nothing of them is left."""
    made = []

    def make(script, *, grace_s=GRACE_S, **launch):
        made.append(request.param(launch_of(script, tmp_path, **launch), grace_s=grace_s))
        return Drive(made[-1])

    yield make
    for executor in made:
        executor.close()
        left = wait_until_gone(executor._wardens.mark, 60.0)
        end_all(executor._wardens.mark)
        assert not left


def memory_kib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def warden_pid(drive):
    return int(drive.executor.worker().split()[1])


def of_trials(executor):
    """Its processes that are no templates."""
    templates = processes_with(f"{executor._wardens.mark}.1-template")
    return processes_with(executor._wardens.mark).keys() - templates.keys()


def log_of(tmp_path, trial=0):
    return (tmp_path / f"trial-{trial}" / "stdout.log").read_bytes()


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {daemon}
        time.sleep(600)
    os._exit(0)
os.wait()
"""

TIDIES_AFTER_TERM = """
import os, signal
def tidy(*_):
    print('step=2 told=1', flush=True)
    signal.sigwait({signal.SIGUSR1})
    print('tidied up', flush=True)
    os._exit(0)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
signal.signal(signal.SIGTERM, tidy)
print('step=1 pid=%d' % os.getpid(), flush=True)
while True: signal.pause()
"""
TIDIES_AFTER_STOP = """
import os, signal, time
from trialist.runtime import report
if os.environ['TRIALIST_NUMBER'] == '0':
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        while True:
            report(pid=os.getpid())
            time.sleep(0.01)
    finally:
        signal.sigwait({signal.SIGUSR1})
        print('tidied up', flush=True)
"""


class TestEnding:
    def test_a_trial_that_ignores_term_is_killed_after_the_grace(self, command, tmp_path):
        drive = command(
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('step=1 a=1', flush=True); time.sleep(600)"
        )
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ReportedSignal))
        drive.executor.kill(item.key)
        drive.until(lambda: drive.ended(item.key))
        assert drive.end(item.key).outcome is OutcomeKind.KILLED

    def test_a_killed_trial_may_tidy_up_in_its_grace(self, command, tmp_path):
        drive = command(TIDIES_AFTER_TERM, grace_s=FOR_EVER_S)
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ReportedSignal))
        drive.executor.kill(item.key)
        drive.until(lambda: len(drive.of(ReportedSignal)) == 2)
        os.kill(int(drive.of(ReportedSignal)[0].metrics["pid"]), signal.SIGUSR1)
        drive.until(lambda: drive.ended(item.key))
        assert drive.end(item.key).outcome is OutcomeKind.KILLED
        assert log_of(tmp_path).endswith(b"tidied up\n")

    def test_one_that_runs_for_ever_ends_at_its_timeout(self, command, tmp_path):
        drive = command("while True: pass")
        (end,) = drive.run(segment(tmp_path, timeout_s=0.5))
        assert (end.outcome, end.error.reason) == (OutcomeKind.TIMED_OUT, FailureReason.TIMEOUT)
        assert end.error.message.startswith("timed out after 0.5 s")

    def test_one_that_stops_itself_ends_at_its_timeout(self, command, tmp_path):
        drive = command("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
        (end,) = drive.run(segment(tmp_path, timeout_s=0.3))
        assert end.outcome is OutcomeKind.TIMED_OUT

    def test_stop_ends_a_trial_that_never_speaks_at_once(self, command, tmp_path):
        drive = command("print('step=1 a=1', flush=True); import time; time.sleep(600)", grace_s=FOR_EVER_S)
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ReportedSignal))
        drive.executor.stop(item.key)
        drive.until(lambda: drive.ended(item.key))
        assert (drive.end(item.key).outcome, drive.end(item.key).error) == (OutcomeKind.STOPPED, None)

    def test_stop_gives_one_that_speaks_the_grace(self, command, tmp_path):
        drive = command(TIDIES_AFTER_STOP, grace_s=FOR_EVER_S)
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ReportedSignal))
        drive.executor.stop(item.key)
        drive.run(segment(tmp_path, 1))  # orders are followed in turn: by now the first trial has been told to stop
        assert not drive.ended(item.key)
        os.kill(int(drive.of(ReportedSignal)[0].metrics["pid"]), signal.SIGUSR1)
        drive.until(lambda: drive.ended(item.key))
        assert drive.end(item.key).outcome is OutcomeKind.STOPPED
        assert log_of(tmp_path).endswith(b"tidied up\n")

    def test_stop_ends_one_that_spoke_once_after_the_grace(self, command, tmp_path):
        drive = command("from trialist.runtime import report; report(a=1); import time; time.sleep(600)")
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ReportedSignal))
        drive.executor.stop(item.key)
        drive.until(lambda: drive.ended(item.key))
        assert drive.end(item.key).outcome is OutcomeKind.STOPPED

    @pytest.mark.parametrize(
        "daemon",
        ["pass", "os.close(1); os.close(2)", "os.environ.clear(); os.execve('/bin/sleep', ['sleep', '600'], {})"],
    )
    def test_daemons_of_a_finished_trial_are_ended_and_delay_nothing(self, command, tmp_path, daemon):
        drive = command(DAEMON.format(daemon=daemon) + "print('value=7')")
        (end,) = drive.run(segment(tmp_path))
        assert (end.outcome, dict(end.printed)) == (OutcomeKind.RETURNED, {"value": 7.0})
        assert not family_of(warden_pid(drive))

    def test_a_daemon_of_one_trial_goes_and_the_other_trial_stays(self, command, tmp_path):
        drive = command(
            "import os, sys\nif os.environ['TRIALIST_NUMBER'] == '1':\n    from trialist.runtime import report\n"
            "    report(a=1)\n    import time; time.sleep(600)\n" + DAEMON.format(daemon="pass")
        )
        other = segment(tmp_path, 1)
        drive.executor.start(other)
        drive.until(lambda: drive.of(ReportedSignal))
        drive.run(segment(tmp_path, 0))
        assert len(family_of(warden_pid(drive))) == 1
        assert not drive.ended(other.key)
        drive.executor.kill(other.key)
        drive.until(lambda: drive.ended(other.key))

    def test_a_crowd_of_forks_is_ended(self, command, tmp_path):
        drive = command("import os, time\nfor _ in range(6): os.fork()\ntime.sleep(600)")
        (end,) = drive.run(segment(tmp_path, timeout_s=1.0))
        assert end.outcome is OutcomeKind.TIMED_OUT
        assert not of_trials(drive.executor)

    def test_closing_ends_what_runs(self, command, tmp_path):
        drive = command(
            DAEMON.format(daemon="pass") + "from trialist.runtime import report; report(a=1); time.sleep(600)"
        )
        drive.executor.start(segment(tmp_path))
        drive.until(lambda: drive.of(ReportedSignal))
        assert len(of_trials(drive.executor)) == 2
        drive.executor.close()
        assert not processes_with(drive.executor._wardens.mark)


class TestHowItEnded:
    def test_a_segmentation_fault_is_named(self, command, tmp_path):
        (end,) = command("print('before', flush=True); import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").run(
            segment(tmp_path)
        )
        assert (end.outcome, end.error.reason) == (OutcomeKind.SIGNALLED, FailureReason.SIGNAL)
        assert end.error.message == "segmentation fault (SIGSEGV): before"

    def test_a_kill_that_was_not_ours_is_said_to_be_none(self, command, tmp_path):
        (end,) = command("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").run(segment(tmp_path))
        assert end.outcome is OutcomeKind.SIGNALLED
        assert "memory limit" in end.error.message

    def test_an_exit_code_comes_with_the_last_line(self, command, tmp_path):
        (end,) = command("import sys; print('loss=0.3'); print('no more data\\n\\n'); sys.exit(3)").run(
            segment(tmp_path)
        )
        assert (end.outcome, end.error.reason) == (OutcomeKind.EXITED, FailureReason.EXIT_CODE)
        assert end.error.message == "exit code 3: no more data"
        assert dict(end.printed) == {"loss": 0.3}

    def test_running_out_of_memory_has_a_reason_of_its_own(self, command, tmp_path):
        script = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28)); bytearray(1 << 30)"
        (end,) = command(script).run(segment(tmp_path))
        assert end.error.reason is FailureReason.OUT_OF_MEMORY

    @pytest.mark.parametrize(
        ("argv", "launch", "words"),
        [
            (["no-such-program-7"], {}, "command not found: 'no-such-program-7'"),
            ([__file__], {}, "permission denied: "),
            (["true"], {"cwd": Path("/no/such/place")}, "there is no '/no/such/place'"),
            (["true", "a\0b"], {}, "null byte"),
            (["true", "x" * (1 << 22)], {}, "too long for the system"),
        ],
    )
    def test_what_cannot_be_started_says_why(self, command, tmp_path, argv, launch, words):
        (end,) = command(argv, **launch).run(segment(tmp_path))
        assert (end.outcome, end.error.reason) == (OutcomeKind.NOT_STARTED, FailureReason.NOT_STARTED)
        assert words in end.error.message

    def test_a_log_that_is_a_link_is_refused(self, command, tmp_path):
        target = tmp_path / "precious"
        target.write_text("mine")
        (tmp_path / "trial-0").mkdir()
        (tmp_path / "trial-0" / "stdout.log").symlink_to(target)
        (end,) = command("print('overwritten')").run(segment(tmp_path))
        assert end.outcome is OutcomeKind.NOT_STARTED
        assert target.read_text() == "mine"

    def test_a_trial_that_leaves_by_itself_with_our_exit_codes_was_not_told_to(self, command, tmp_path):
        for code in (42, 43):
            (end,) = command(f"raise SystemExit({code})").run(segment(tmp_path, code))
            assert end.outcome is OutcomeKind.EXITED


class TestOutput:
    def test_300_mib_leave_a_capped_log_and_flat_memory(self, command, tmp_path):
        drive = command(
            "import sys\nline = b'x' * 1023 + b'\\n'\nfor _ in range(300): sys.stdout.buffer.write(line * 1024)\nprint('loss=0.5')"
        )
        (end,) = drive.run(segment(tmp_path))
        log = log_of(tmp_path)
        assert (end.outcome, dict(end.printed)) == (OutcomeKind.RETURNED, {"loss": 0.5})
        assert (17 << 20) <= len(log) < (17 << 20) + 200
        left_out = (300 << 20) + len("loss=0.5\n") - (17 << 20)
        assert f"… truncated: {left_out} bytes left out …".encode() in log
        assert log.endswith(b"loss=0.5\n")
        assert memory_kib(warden_pid(drive)) < 60 * 1024

    def test_100_mib_without_a_newline(self, command, tmp_path):
        drive = command(
            "import sys\nfor _ in range(100): sys.stdout.buffer.write(b'a=1 ' * (1 << 18))\nprint('\\nloss=0.5')"
        )
        (end,) = drive.run(segment(tmp_path))
        assert dict(end.printed) == {"loss": 0.5}
        assert memory_kib(warden_pid(drive)) < 60 * 1024

    def test_bytes_that_are_no_text_harm_nobody(self, command, tmp_path):
        drive = command(
            "import sys; sys.stdout.buffer.write(bytes(range(256)) * 40 + b'\\n\\x1b[31mloss\\x1b[0m=0.25\\n\\xff\\xfe\\0 bad\\n'); sys.exit(1)"
        )
        (end,) = drive.run(segment(tmp_path))
        assert dict(end.printed) == {"loss": 0.25}
        assert end.error.message.endswith("bad")
        assert "\0" not in end.error.message + end.error.detail
        assert bytes(range(256)) in log_of(tmp_path)

    def test_closing_stdout_and_going_on(self, command, tmp_path):
        drive = command(
            "import os, sys\nfrom trialist.runtime import report\nos.close(1); os.close(2)\nreport(step=5, loss=0.1)\nos._exit(0)"
        )
        (end,) = drive.run(segment(tmp_path))
        assert end.outcome is OutcomeKind.RETURNED
        assert [r.step for r in drive.of(ReportedSignal)] == [5]

    def test_a_full_disk_for_logs_lets_the_trial_go_on(self, command, tmp_path):
        full = Path("/dev/full")
        if not full.exists():
            pytest.skip("needs /dev/full")

        def prepare(item):
            return Launch(argv=[sys.executable, "-c", "print('x' * 100000); print('loss=0.5')"], stdout=full)

        executor = CommandExecutor(prepare)
        try:
            (end,) = Drive(executor).run(segment(tmp_path))
        finally:
            executor.close()
        assert (end.outcome, dict(end.printed)) == (OutcomeKind.RETURNED, {"loss": 0.5})

    def test_standard_error_may_have_a_file_of_its_own(self, command, tmp_path):
        drive = command(
            "import sys; print('out'); print('err', file=sys.stderr); sys.exit(2)", stderr=tmp_path / "e" / "err.log"
        )
        (end,) = drive.run(segment(tmp_path))
        assert (log_of(tmp_path), (tmp_path / "e" / "err.log").read_bytes()) == (b"out\n", b"err\n")
        assert end.error.message == "exit code 2: err"

    def test_a_second_attempt_appends(self, command, tmp_path):
        drive = command("print('line')")
        drive.run(segment(tmp_path))
        drive.run(segment(tmp_path, attempt=2))  # never beside the first: unbuffered, a line is two writes
        assert log_of(tmp_path) == b"line\nline\n"


class TestMetrics:
    def test_10000_reports_arrive_in_order(self, command, tmp_path):
        drive = command("from trialist.runtime import report\nfor i in range(10000): report(step=i, loss=i / 2)")
        drive.run(segment(tmp_path))
        reports = drive.of(ReportedSignal)
        assert [r.step for r in reports] == list(range(10000))
        assert reports[-1].metrics == {"loss": 4999.5}

    def test_reports_wait_where_nobody_reads_them(self, command, tmp_path):
        drive = command("from trialist.runtime import report\nfor i in range(200000): report(step=i, loss=0.5)")
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ReportedSignal))
        pid = warden_pid(drive)
        seen, idle = -1, 0
        while idle < 5:  # until neither the trial nor the warden uses any time: both wait for us
            used = sum(cpu_ticks(p) for p in (pid, *family_of(pid)))
            idle, seen = (idle + 1 if used == seen else 0), used
            time.sleep(0.05)
        assert memory_kib(pid) < 40 * 1024
        drive.executor.kill(item.key)
        drive.until(lambda: drive.ended(item.key))
        assert len(drive.of(ReportedSignal)) < 100000

    def test_printed_lines_with_a_step_are_reports(self, command, tmp_path):
        drive = command("print('epoch 1 loss=0.5'); print('step=2 loss=0.25 acc=0.9'); print('best=0.2')")
        (end,) = drive.run(segment(tmp_path))
        assert [(r.step, dict(r.metrics)) for r in drive.of(ReportedSignal)] == [
            (1, {"loss": 0.5}),
            (2, {"loss": 0.25, "acc": 0.9}),
        ]
        assert dict(end.printed) == {"best": 0.2}

    def test_of_what_is_printed_the_last_counts(self, command, tmp_path):
        lines = ["epoch 1 loss=0.5 acc=0.8", "loss=0.45", "epoch 2 loss=0.4 acc=0.9", "loss=0.3 best=0.2"]
        drive = command(f"for line in {lines!r}: print(line)")
        drive.run(segment(tmp_path))
        told = [(r.step, dict(r.metrics)) for r in drive.of(ReportedSignal)]
        assert told[2:] == [(2, {"loss": 0.3})]
        assert told[1] == (2, {"loss": 0.4, "acc": 0.9})

    def test_what_is_printed_beside_reports_is_no_report(self, command, tmp_path):
        drive = command("from trialist.runtime import report\nreport(step=2, loss=0.123)\nprint('step=2 loss=0.12')")
        (end,) = drive.run(segment(tmp_path))
        assert [dict(r.metrics) for r in drive.of(ReportedSignal)] == [{"loss": 0.123}]
        assert dict(end.printed) == {"loss": 0.12}

    def test_metrics_json_is_told_apart(self, command, tmp_path):
        file = tmp_path / "metrics.json"
        script = f"import json; json.dump({{'loss': 0.1, 'name': 'x', 'nan': float('nan')}}, open({str(file)!r}, 'w')); print('loss=0.3')"
        (end,) = command(script, metrics_file=file).run(segment(tmp_path))
        assert (end.metrics["loss"], dict(end.printed)) == (0.1, {"loss": 0.3})
        assert sorted(end.metrics) == ["loss", "nan"]

    def test_a_metrics_json_of_ten_thousand_keeps_the_last_too(self, command, tmp_path):
        file = tmp_path / "metrics.json"
        script = f"import json; json.dump({{**{{f'm{{i}}': i for i in range(10000)}}, 'loss': 0.5}}, open({str(file)!r}, 'w'))"
        (end,) = command(script, metrics_file=file).run(segment(tmp_path))
        assert (len(end.metrics), end.metrics["loss"]) == (10_001, 0.5)

    def test_a_stale_metrics_json_says_nothing(self, command, tmp_path):
        file = tmp_path / "metrics.json"
        file.write_text('{"loss": 0.0}')
        (end,) = command("print('loss=0.3')", metrics_file=file).run(segment(tmp_path))
        assert dict(end.metrics) == {}

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("{", "not JSON"),
            ("[1]", "no JSON object"),
            ('{"loss": "good"}', "'loss' is \"good\""),
            ("[" * 100000, "not JSON"),
            ("x" * (2 << 20), "larger than"),
        ],
    )
    def test_a_bad_metrics_json_fails_a_trial_that_has_nothing_else(self, command, tmp_path, content, words):
        file = tmp_path / "metrics.json"
        written = repr(content) if len(content) < 100 else f"{content[0]!r} * {len(content)}"
        script = f"open({str(file)!r}, 'w').write({written})"
        (end,) = command(script, metrics_file=file).run(segment(tmp_path))
        assert end.error.reason is FailureReason.BAD_RESULT
        assert words in end.error.message
        (end,) = command(script + "; print('loss=1')", metrics_file=file).run(segment(tmp_path, 1))
        assert end.outcome is OutcomeKind.RETURNED

    def test_a_pipe_in_place_of_metrics_json_hangs_nobody(self, command, tmp_path):
        file = tmp_path / "metrics.json"
        (end,) = command(f"import os; os.mkfifo({str(file)!r})", metrics_file=file).run(segment(tmp_path))
        assert "no regular file" in end.error.message


class TestSpeaking:
    def test_rubbish_on_the_channel_is_refused(self, command, tmp_path):
        drive = command(
            "import os, socket\ns = socket.socket(socket.AF_UNIX); s.connect(os.environ['TRIALIST_SOCKET'])\n"
            "s.sendall(b'GET / HTTP/1.0\\n'); print(s.recv(1000).decode())\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(os.environ['TRIALIST_SOCKET'])\n"
            's.sendall(b\'{"op":"hello","version":1,"trial":"guess"}\\n\'); print(s.recv(1000).decode())\n'
        )
        (end,) = drive.run(segment(tmp_path))
        assert end.outcome is OutcomeKind.RETURNED
        assert log_of(tmp_path).count(b'"op":"refused"') == 2

    def test_a_metric_that_is_no_number_on_the_wire_is_refused(self, command, tmp_path):
        drive = command(
            "import os\nfrom trialist.runtime.process import SocketChannel\n"
            "c = SocketChannel(os.environ['TRIALIST_SOCKET'], os.environ['TRIALIST_TRIAL'])\n"
            "c.say({'op': 'report', 'step': 1, 'metrics': {'a': [1]}, 'wait': False})\nc.say({'op': 'result', 'metrics': {}}); c._read(wait=True)"
        )
        (end,) = drive.run(segment(tmp_path))
        assert end.outcome is OutcomeKind.EXITED
        assert "metric 'a' is no number" in end.error.message
        assert drive.of(ReportedSignal) == []

    def test_a_launcher_that_closes_descriptors_and_a_shell_between_change_nothing(self, command, tmp_path):
        inner = f"{shlex.quote(sys.executable)} -c 'from trialist.runtime import report, params; report(step=1, x=params()[\"x\"])'"
        drive = command(["sh", "-c", f"exec 3>&- 4>&-; {inner}; exit 0"])
        drive.run(segment(tmp_path))
        assert [dict(r.metrics) for r in drive.of(ReportedSignal)] == [{"x": 3.0}]

    def test_a_fork_of_the_users_code_may_report_too(self, command, tmp_path):
        drive = command(
            "import os\nfrom trialist.runtime import report\nreport(step=1, a=1)\n"
            "pid = os.fork()\nif pid == 0:\n    report(step=2, b=2)\n    os._exit(0)\nos.waitpid(pid, 0)\nreport(step=3, a=3)"
        )
        (end,) = drive.run(segment(tmp_path))
        assert end.outcome is OutcomeKind.RETURNED
        assert [r.step for r in drive.of(ReportedSignal)] == [1, 2, 3]

    def test_threads_may_report(self, command, tmp_path):
        drive = command(
            "import threading\nfrom trialist.runtime import report\n"
            "ts = [threading.Thread(target=lambda: [report(a=1) for _ in range(200)]) for _ in range(8)]\n"
            "[t.start() for t in ts]; [t.join() for t in ts]"
        )
        drive.run(segment(tmp_path))
        assert [r.step for r in drive.of(ReportedSignal)] == list(range(1, 1601))

    def test_parked_time_does_not_count_against_the_timeout(self, command, tmp_path):
        drive = command(
            "from trialist.runtime import current_trial, report\nreport(step=1, a=1)\n"
            "while current_trial().number == 1: pass\nreport(step=2, a=2)"
        )
        drive._answer = lambda executor, told: None
        item = segment(tmp_path, to_step=1, timeout_s=3.0)
        drive.executor.start(item)
        drive.until(lambda: drive.of(ParkedSignal))
        (clock,) = drive.run(segment(tmp_path, 1, timeout_s=3.0))
        assert clock.outcome is OutcomeKind.TIMED_OUT, "so that much time has passed since the other was parked"
        assert not drive.ended(item.key)
        drive.executor.go_on(item.key, None)
        drive.until(lambda: drive.ended(item.key))
        assert drive.end(item.key).outcome is OutcomeKind.RETURNED

    def test_params_too_long_for_an_environment_go_through_a_file(self, command, tmp_path):
        drive = command("from trialist.runtime import report, params\nreport(length=len(params()['text']))")
        drive.run(segment(tmp_path, params={"text": "ä" * 300000}))
        assert [dict(r.metrics) for r in drive.of(ReportedSignal)] == [{"length": 300000.0}]

    def test_a_trial_inside_a_trial_knows_only_itself(self, command, tmp_path, monkeypatch):
        monkeypatch.setenv("TRIALIST_TRIAL", "outer-1-")
        monkeypatch.setenv("TRIALIST_CHECKPOINT", "/outer")
        drive = command("import os; print(os.environ['TRIALIST_WITHIN'], os.environ.get('TRIALIST_CHECKPOINT'))")
        drive.run(segment(tmp_path))
        assert log_of(tmp_path) == b"outer-1- None\n"

    def test_devices_are_set_where_gpus_are_asked_for_and_left_alone_else(self, command, tmp_path, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        drive = command("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])")
        drive.run(
            segment(tmp_path, 0, devices=("2", "3"), resources={"gpu": 2}), segment(tmp_path, 1, resources={"cpu": 1})
        )
        assert (log_of(tmp_path, 0), log_of(tmp_path, 1)) == (b"2,3\n", b"7\n")


class TestPreparing:
    def test_what_prepare_raises_ends_the_attempt(self, tmp_path):
        def prepare(item):
            raise PermissionError(13, "Permission denied", "/secret")

        executor = CommandExecutor(prepare)
        try:
            (end,) = Drive(executor).run(segment(tmp_path))
        finally:
            executor.close()
        assert end.outcome is OutcomeKind.NOT_STARTED
        assert end.error.message == "Permission denied: /secret"

    def test_a_full_disk_is_raised_and_nothing_is_begun(self, tmp_path):
        def prepare(item):
            raise OSError(28, "No space left on device")

        executor = CommandExecutor(prepare)
        try:
            with pytest.raises(OSError, match="No space left"):
                executor.start(segment(tmp_path))
            told = []
            executor.poll(0.01, told.append)
            assert told == []
        finally:
            executor.close()


ENGINE = """
import sys, time
from pathlib import Path
from trialist.execute.command import CommandExecutor, Launch
from trialist.testing.executors import Drive, segment
from trialist.core.ports import ReportedSignal
script, folder = sys.argv[1], Path(sys.argv[2])
executor = CommandExecutor(lambda item: Launch(argv=[sys.executable, "-c", script], stdout=Path(item.run_dir) / "o.log"))
drive = Drive(executor)
for number in range(3):
    executor.start(segment(folder, number))
drive.until(lambda: len(drive.of(ReportedSignal)) == 3)
print(executor._wardens.mark, executor.worker().split()[1], executor._wardens.shared()._folder, flush=True)
time.sleep(600)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    + DAEMON.format(daemon="pass")
    + "from trialist.runtime import report; report(a=1); time.sleep(600)"
)


class TestDeaths:
    def test_kill_9_of_the_engine_leaves_nothing(self, tmp_path):
        engine = subprocess.Popen(
            [sys.executable, "-c", ENGINE, STUBBORN, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        mark, warden, folder = engine.stdout.readline().split()
        assert len(processes_with(mark)) == 6
        engine.kill()
        engine.wait()
        engine.stdout.close()
        left = wait_until_gone(mark, 60.0)
        end_all(mark)
        assert not left
        assert wait_for_end(int(warden), 60.0)
        assert not Path(folder).exists()

    def test_kill_9_of_the_warden_is_told_and_leaves_nothing_and_a_new_one_serves(self, command, tmp_path):
        drive = command(STUBBORN)
        items = [segment(tmp_path, number) for number in range(2)]
        for item in items:
            drive.executor.start(item)
        drive.until(lambda: len(drive.of(ReportedSignal)) == 2)
        worker = drive.executor.worker()
        os.kill(warden_pid(drive), signal.SIGKILL)
        drive.until(lambda: drive.of(LostSignal))
        (lost,) = drive.of(LostSignal)
        assert (lost.worker, set(lost.keys)) == (worker, {item.key for item in items})
        assert "signal 9" in lost.message
        assert not processes_with(drive.executor._wardens.mark)
        again = segment(tmp_path, 5)
        drive.executor.start(again)
        drive.until(lambda: len(drive.of(ReportedSignal)) == 3)
        assert drive.executor.worker() != worker
        drive.executor.kill(again.key)
        drive.until(lambda: drive.ended(again.key))

    def test_a_parked_trial_leaves_with_a_clear_line_when_its_warden_is_gone(self, tmp_path):
        import socket

        address = str(tmp_path / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        environment = {
            **os.environ,
            "TRIALIST_SOCKET": address,
            "TRIALIST_TRIAL": "t",
            "TRIALIST_RUN_DIR": str(tmp_path),
        }
        script = "from trialist.runtime import report\ntry:\n    report(step=1, a=1)\nexcept Exception:\n    pass"
        trial = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True)
        endpoint, _ = listener.accept()
        assert b"hello" in endpoint.recv(1000)
        endpoint.sendall(b'{"op":"welcome","to_step":1,"order":null}\n')
        assert b'"wait":true' in endpoint.recv(1000)
        endpoint.close()
        listener.close()
        _, words = trial.communicate(timeout=20)
        assert trial.returncode == 1
        assert "the process that runs this trial is gone" in words
        assert "Traceback" not in words

    def test_the_folder_of_the_socket_goes_with_the_executor(self, command, tmp_path):
        drive = command("import os; print(os.environ['TRIALIST_SOCKET'])")
        drive.run(segment(tmp_path))
        folder = Path(log_of(tmp_path).decode().strip()).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        drive.executor.close()
        assert not folder.exists()


def family_of(warden):
    """Children of a warden, or of its templates, which are none of the trials'."""
    children = children_of(warden)
    templates = [pid for pid, (_, line) in children.items() if b"template.py" in line]
    for template in templates:
        del children[template]
        children |= children_of(template)
    return children


def children_of(pid):
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == pid and state not in "ZX":
                    found[int(entry.name)] = state, (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
