"""The worker process that runs many trials, over a socket pair: what it runs, where output goes, and what it says."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

BOOT = "from trialist.runtime.host import main; main()"
MODULE = """
import os, sys, threading
meeting = threading.Barrier(2, timeout=60)

def prints(trial):
    print("out of", trial.number)
    print("err of", trial.number, file=sys.stderr)
    os.write(1, b"raw\\n")
    return {"pid": os.getpid(), "number": trial.number}

def meets(trial):
    print("before", trial.number)
    meeting.wait()
    print("after", trial.number)
    return 1.0

def spoils(trial):
    os.environ["LEFT_BEHIND"] = "1"
    os.environ["HOME"] = "/elsewhere"
    os.environ.pop("KEPT", None)
    os.chdir("/")
    return float(os.environ["TRIALIST_NUMBER"])

def looks(trial):
    mine = os.environ.get("LEFT_BEHIND"), os.environ["HOME"], os.environ["KEPT"], os.environ.get("TRIALIST_TRIAL")
    print(*mine, os.getcwd())
    return 0.0

def closes_its_output(trial):
    sys.stdout.close()
    return 1.0

def raises(trial):
    raise ValueError("no such optimiser")

def returns_much(trial):
    return {f"a rather long name of a metric {n}": 1.0 for n in range(40_000)}
"""


class Hosting:
    """A host and our end of its control socket."""

    def __init__(self, folder, places):
        self.folder = folder
        self.control, theirs = socket.socketpair()
        self.log = folder / "host.log"
        with theirs, self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOT, str(theirs.fileno()), str(places)],
                pass_fds=(theirs.fileno(),),
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "TRIALIST_SYS_PATH": json.dumps([str(folder), *sys.path]),
                    "PYTHONUNBUFFERED": "1",
                    "HOME": "/root/of/tests",
                    "KEPT": "yes",
                },
                cwd=folder,
            )
        self.lines = self.control.makefile("rb")

    def begin(self, number, target, *, cwd=None, **env):
        with self.out(number).open("wb") as out, self.err(number).open("wb") as err:
            order = {
                "op": "begin",
                "id": number,
                "target": target,
                "metrics": ["loss"],
                "cwd": str(cwd or self.folder),
                "env": {"TRIALIST_TRIAL": f"t-{number}", "TRIALIST_NUMBER": str(number), **env},
            }
            descriptors = [out.fileno(), err.fileno()]
            socket.send_fds(self.control, [json.dumps(order).encode() + b"\n"], descriptors)

    def ended(self):
        while (told := json.loads(self.lines.readline()))["op"] == "begun":
            pass
        return told

    def run(self, number, target, **given):
        self.begin(number, target, **given)
        told = self.ended()
        assert (told["op"], told["id"]) == ("ended", number)
        return told

    def out(self, number):
        return self.folder / f"out-{number}"

    def err(self, number):
        return self.folder / f"err-{number}"

    def leave(self):
        self.control.sendall(b'{"op":"leave"}\n')
        return self.process.wait(60)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.lines.close()
        self.control.close()


@pytest.fixture
def host(tmp_path):
    (tmp_path / "work.py").write_text(MODULE)
    made = []

    def make(places=1):
        made.append(Hosting(tmp_path, places))
        return made[-1]

    yield make
    for one in made:
        one.close()


class TestOnePlace:
    def test_trials_share_the_process_and_nothing_of_their_output(self, host):
        host = host()
        first, second = host.run(0, "work:prints"), host.run(1, "work:prints")
        assert first["code"] == second["code"] == 0
        assert first["result"] == {"pid": host.process.pid, "number": 0.0}
        assert second["result"]["pid"] == host.process.pid
        assert host.out(0).read_text() == "out of 0\nraw\n"
        assert host.err(1).read_text() == "err of 1\n"
        assert host.leave() == 0
        assert host.log.read_text() == ""

    def test_what_a_trial_changes_around_itself_is_put_back(self, host):
        host = host()
        spoilt = host.run(7, "work:spoils")
        host.run(8, "work:looks")
        assert spoilt["result"] == {"loss": 7.0}
        assert host.out(8).read_text() == f"None /root/of/tests yes t-8 {host.folder}\n"

    def test_a_trial_that_closes_its_output_costs_the_next_one_nothing(self, host):
        host = host()
        assert host.run(0, "work:closes_its_output")["code"] == 0
        assert host.run(1, "work:looks")["code"] == 0

    def test_a_pickled_function(self, host):
        host = host()
        offset = 4.0
        file = host.folder / "function.pkl"
        file.write_bytes(cloudpickle.dumps(lambda trial: trial.number + offset))
        assert host.run(1, str(file))["result"] == {"loss": 5.0}
        assert host.run(2, str(host.folder / "gone.pkl"))["failed"]["reason"] == "not_started"

    def test_a_failure_is_told_and_printed(self, host):
        host = host()
        told = host.run(0, "work:raises")
        assert told["code"] == 1
        assert (told["failed"]["reason"], told["failed"]["message"]) == ("exception", "ValueError: no such optimiser")
        assert "ValueError: no such optimiser" in host.err(0).read_text()

    @pytest.mark.parametrize("given", [{"cwd": "/no/such/directory"}, {"TRIALIST_PARAMS_FILE": "/no/such/directory"}])
    def test_what_cannot_begin_says_why_and_the_next_one_runs(self, host, given):
        host = host()
        told = host.run(0, "work:prints", **given)
        assert told["failed"]["reason"] == "not_started"
        assert "/no/such/directory" in told["failed"]["message"]
        assert host.run(1, "work:prints")["code"] == 0

    def test_it_says_that_a_trial_begins_before_it_runs(self, host):
        host = host()
        host.begin(3, "work:prints")
        assert json.loads(host.lines.readline()) == {"op": "begun", "id": 3}

    def test_a_missing_function_is_named(self, host):
        assert "no 'absent'" in host().run(0, "work:absent")["failed"]["message"]

    def test_more_metrics_than_a_line_holds_are_a_bad_result(self, host):
        told = host().run(0, "work:returns_much")
        assert "result" not in told
        assert told["failed"]["reason"] == "bad_result"
        assert "40,000 metrics" in told["failed"]["message"]

    def test_it_tells_its_memory_and_where_functions_came_from(self, host):
        host = host()
        told = host.run(0, "work:prints")
        found = (host.folder / "work.py").stat()
        assert told["sources"] == {str(host.folder / "work.py"): [found.st_mtime_ns, found.st_size]}
        assert told["memory_bytes"] > 1 << 20


class TestManyPlaces:
    def test_trials_run_beside_each_other_and_print_to_their_own_logs(self, host):
        host = host(2)
        for number in (0, 1):
            host.begin(number, "work:meets")
        assert {host.ended()["id"], host.ended()["id"]} == {0, 1}
        for number in (0, 1):
            assert host.out(number).read_text() == f"before {number}\nafter {number}\n"
        assert host.leave() == 0

    def test_what_is_written_past_python_goes_to_the_log_of_all(self, host):
        host = host(2)
        told = host.run(0, "work:prints")
        assert told["result"]["pid"] == host.process.pid
        assert host.out(0).read_text() == "out of 0\n"
        assert host.err(0).read_text() == "err of 0\n"
        assert host.log.read_bytes() == b"raw\n"

    def test_it_ends_when_nobody_gives_orders_any_more(self, host):
        host = host(2)
        host.run(0, "work:prints")
        host.control.shutdown(socket.SHUT_RDWR)
        assert host.process.wait(60) == 0


def test_descriptors_do_not_pile_up(host):
    host = host(2)
    host.run(0, "work:prints")
    before = len(list(Path(f"/proc/{host.process.pid}/fd").iterdir()))
    for number in range(1, 9):
        host.run(number, "work:prints")
    assert len(list(Path(f"/proc/{host.process.pid}/fd").iterdir())) == before
