"""The pool's templates: what is shared, what is not, when a trial starts cold, and what happens when a template dies."""

import os
import resource
import signal
import sys
import textwrap
from pathlib import Path

import cloudpickle
import pytest

from trialist.core.ports import LostSignal, ReportedSignal
from trialist.core.records import FailureReason, OutcomeKind
from trialist.execute.command import Launch, function_launch
from trialist.execute.pool import PoolExecutor
from trialist.execute.warm import warm_command
from trialist.testing import executors
from trialist.testing.executors import Drive, end_all, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all trials start cold")


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """Make pools for functions of a module ``mine`` (its text) or for scripts; ``cold`` is what they said of cold starts."""
    made = []

    def make(prepare, **given):
        cold = []
        made.append(PoolExecutor(prepare, say=cold.append, grace_s=0.5, **given))
        drive = Drive(made[-1])
        drive.cold = cold
        return drive

    def of_function(text, name="mine:f", **options):
        (tmp_path / "mine.py").write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(tmp_path)
        return make(function_launch(name, metric_names=("loss",)), **options)

    def of_script(text, **launch):
        file = tmp_path / "script.py"
        file.write_text(textwrap.dedent(text))
        argv = [sys.executable, str(file)]
        warm = warm_command(argv)
        return make(lambda item: Launch(argv=argv, warm=warm, stdout=Path(item.run_dir) / "stdout.log", **launch))

    make.of_function, make.of_script = of_function, of_script
    yield make
    for executor in made:
        executor.close()
        left = wait_until_gone(executor._wardens.mark, 60.0)
        end_all(executor._wardens.mark)
        assert not left


def segment(tmp_path, trial=0, **fields):
    return executors.segment(tmp_path, trial, **{"params": {"x": 3.0}, **fields})


def log_of(tmp_path, trial=0):
    return (tmp_path / f"trial-{trial}" / "stdout.log").read_text()


TELLS_ITS_PARENT = """
import os
count = 0
def f(trial):
    global count
    count += 1
    return {"loss": count, "parent": os.getppid(), "pid": os.getpid()}
"""


class TestFunctions:
    def test_trials_are_forks_of_one_template_and_leave_no_state(self, pool, tmp_path):
        drive = pool.of_function(TELLS_ITS_PARENT)
        ends = drive.run(*(segment(tmp_path, number) for number in range(4)))
        assert {end.metrics["loss"] for end in ends} == {1.0}
        assert len({end.metrics["parent"] for end in ends}) == 1
        assert ends[0].metrics["parent"] != int(drive.executor.worker().split()[1])
        assert len({end.metrics["pid"] for end in ends}) == 4
        assert drive.cold == []

    def test_a_function_by_value(self, pool, tmp_path):
        factor = 3.0
        drive = pool(function_launch(cloudpickle.dumps(lambda x: x * factor), metric_names=("loss",)))
        ends = drive.run(segment(tmp_path, 0), segment(tmp_path, 1))
        assert [dict(end.metrics) for end in ends] == [{"loss": 9.0}, {"loss": 9.0}]
        folder = Path(drive.executor._wardens.shared()._folder)
        (file,) = folder.glob("*.pkl")
        assert file.stat().st_mode & 0o077 == 0 or folder.stat().st_mode & 0o077 == 0
        drive.executor.close()
        assert not folder.exists()
        assert drive.cold == []

    def test_the_module_is_read_again_when_its_file_has_changed(self, pool, tmp_path):
        drive = pool.of_function("def f(x): return 1.0")
        (first,) = drive.run(segment(tmp_path, 0))
        (tmp_path / "mine.py").write_text("def f(x): return 2.0  # and longer\n")
        ends = drive.run(segment(tmp_path, 1), segment(tmp_path, 2))
        assert [end.metrics["loss"] for end in (first, *ends)] == [1.0, 2.0, 2.0]

    def test_an_import_that_raises_is_said_once_and_is_the_trials_own_failure(self, pool, tmp_path):
        drive = pool.of_function("import no_such_module_7\ndef f(x): return x")
        ends = drive.run(segment(tmp_path, 0), segment(tmp_path, 1))
        assert [end.error.reason for end in ends] == [FailureReason.NOT_STARTED] * 2
        assert "no_such_module_7" in ends[0].error.message
        assert len(drive.cold) == 1
        assert "no_such_module_7" in drive.cold[0]

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (
                "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='busy').start()",
                "busy",
            ),
            (
                "import os, sys\nif 'template.py' in sys.orig_argv[1]: print('broken', flush=True); os._exit(3)",
                "broken",
            ),
        ],
        ids=["thread", "exit"],
    )
    def test_imports_that_must_not_be_forked_make_trials_start_cold(self, pool, tmp_path, text, why):
        drive = pool.of_function(text + "\ndef f(x): return x")
        ends = drive.run(segment(tmp_path, 0), segment(tmp_path, 1))
        assert [end.metrics["loss"] for end in ends] == [3.0, 3.0]
        assert len(drive.cold) == 1
        assert why in drive.cold[0]

    def test_a_trial_can_be_ended_while_the_imports_hang(self, pool, tmp_path):
        drive = pool.of_function("import time\ntime.sleep(600)\ndef f(x): return x")
        items = [segment(tmp_path, 0, timeout_s=0.3), segment(tmp_path, 1), segment(tmp_path, 2)]
        for item in items:
            drive.executor.start(item)
        drive.executor.kill(items[1].key)
        drive.executor.stop(items[2].key)
        drive.until(lambda: all(drive.ended(item.key) for item in items))
        outcomes = [drive.end(item.key).outcome for item in items]
        assert outcomes == [OutcomeKind.TIMED_OUT, OutcomeKind.KILLED, OutcomeKind.STOPPED]

    @pytest.mark.slow
    def test_imports_that_take_long_are_told_of(self, pool, tmp_path):
        go = tmp_path / "go"
        drive = pool.of_function(
            f"""
            import pathlib, time
            while not pathlib.Path({str(go)!r}).exists():
                time.sleep(0.01)
            def f(x): return x
            """
        )
        item = segment(tmp_path)
        drive.executor.start(item)
        drive.until(lambda: drive.cold)
        assert drive.cold == ["trials wait for the imports of mine:f, which take longer than 5 s"]
        go.touch()
        drive.until(lambda: drive.ended(item.key))
        assert drive.end(item.key).metrics["loss"] == 3.0

    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_more_trials_than_a_process_may_open_files(self, pool, tmp_path, start):
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        drive = pool.of_function(
            """
            import resource
            def f(trial):
                trial.report(step=1, loss=resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            """,
            start=start,
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1]))
        try:
            items = [segment(tmp_path, number, to_step=1) for number in range(30)]
            drive.executor.worker()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        drive._answer = lambda executor, told: None
        for item in items:
            drive.executor.start(item)
        drive.until(lambda: len(drive.of(ReportedSignal)) == len(items))
        assert {told.metrics["loss"] for told in drive.of(ReportedSignal)} == {100.0}

    def test_a_directory_that_is_gone_is_named(self, pool, tmp_path, monkeypatch):
        drive = pool.of_function("def f(x): return x")
        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)
        here.rmdir()
        (end,) = drive.run(segment(tmp_path))
        assert end.error.message == "the directory that the study was started in is no longer there"

    def test_params_too_long_for_a_packet(self, pool, tmp_path):
        drive = pool.of_function("def f(x): return len(x)")
        (end,) = drive.run(segment(tmp_path, params={"x": 'ä"' * 8000}))
        assert end.metrics["loss"] == 16000.0

    def test_classes_of_a_notebook_can_be_pickled_by_its_trials(self, pool, tmp_path):
        space = {"__name__": "__main__"}
        exec(
            "class Net: pass\ndef f(x):\n    import pickle\n    pickle.loads(pickle.dumps(Net()))\n    return x", space
        )
        here = sys.modules["__main__"].__dict__
        here["Net"] = space["Net"]
        try:
            pickled = cloudpickle.dumps(space["f"])
        finally:
            del here["Net"]
        (end,) = pool(function_launch(pickled, metric_names=("loss",))).run(segment(tmp_path))
        assert (end.error, end.metrics["loss"]) == (None, 3.0)

    @pytest.mark.parametrize("how", ["sys.stdout = sys.stderr = None", "sys.stdout.close(); sys.stderr.close()"])
    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_a_function_that_takes_its_streams_away_returns_and_fails_as_any_other(self, pool, tmp_path, how, start):
        drive = pool.of_function(
            f"""
            import sys
            def f(trial):
                {how}
                if trial.number == 1:
                    raise ValueError("no")
                return 1.0
            """,
            start=start,
        )
        returned, raised, after = drive.run(*(segment(tmp_path, number) for number in range(3)))
        assert (dict(returned.metrics), dict(after.metrics)) == ({"loss": 1.0}, {"loss": 1.0})
        assert raised.error.message == "ValueError: no"


class TestScripts:
    def test_what_a_trial_imports_late_is_there_for_the_next_ones(self, pool, tmp_path):
        drive = pool.of_script(
            "import sys\nprint('there', int('sklearn' in sys.modules))\ndef main():\n    import sklearn.linear_model\nmain()"
        )
        drive.run(segment(tmp_path, 0))
        drive.run(segment(tmp_path, 1))
        assert [log_of(tmp_path, number) for number in (0, 1)] == ["there 0\n", "there 1\n"]
        assert drive.cold == []

    def test_imports_at_the_top_are_there_for_the_first_one(self, pool, tmp_path):
        (tmp_path / "beside.py").write_text("try:\n    import sklearn.linear_model\nexcept ImportError:\n    pass\n")
        drive = pool.of_script(
            "import sys\nprint('sklearn.linear_model' in sys.modules, 'beside' in sys.modules)\nimport beside"
        )
        drive.run(segment(tmp_path))
        assert log_of(tmp_path) == "True False\n"

    def test_late_imports_that_must_not_be_forked_are_left_to_the_trials(self, pool, tmp_path):
        site = tmp_path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        site.mkdir(parents=True)
        thread = "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
        (site / "restless.py").write_text(f"import threading, time\n{thread}\n")
        drive = pool.of_script(
            "import os, sys\nprint(int('restless' in sys.modules), os.getppid())\ndef main():\n    import restless\nmain()",
            env={"PYTHONUSERBASE": str(tmp_path), "PYTHONPATH": str(site)},
        )
        for number in range(4):
            drive.run(segment(tmp_path, number))
        there, parents = zip(*(log_of(tmp_path, number).split() for number in range(4)), strict=True)
        assert set(there) == {"0"}
        assert len(set(parents)) == 2, "the one that has learnt too much, and its successor"
        assert str(drive.executor.worker().split()[1]) not in parents
        assert drive.cold == []

    def test_a_file_that_hides_a_module_of_pythons_makes_them_start_cold(self, pool, tmp_path):
        (tmp_path / "json.py").write_text("mine = True\n")
        drive = pool.of_script("import json\nprint(json.mine)")
        drive.run(segment(tmp_path, 0), segment(tmp_path, 1))
        assert log_of(tmp_path) == "True\n"
        assert len(drive.cold) == 1
        assert "json.py" in drive.cold[0]

    @pytest.mark.parametrize("hidden", ["collections/__init__.py", "random.py"])
    def test_so_does_one_that_a_library_would_take_for_its_own(self, pool, tmp_path, hidden):
        file = tmp_path / hidden
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine = True\n")
        name = hidden.partition("/")[0].removesuffix(".py")
        drive = pool.of_script(f"import {name}\nprint({name}.mine)\nimport tempfile")
        drive.run(segment(tmp_path, 0), segment(tmp_path, 1))
        assert log_of(tmp_path).startswith("True\n")
        assert len(drive.cold) == 1
        assert name in drive.cold[0]

    def test_a_file_that_comes_later_and_hides_a_library_is_seen_by_the_next_trial(self, pool, tmp_path):
        drive = pool.of_script("def main():\n    import sqlite3\n    print(hasattr(sqlite3, 'mine'))\nmain()")
        for number in range(2):
            drive.run(segment(tmp_path, number))
        (tmp_path / "sqlite3.py").write_text("mine = True\n")
        drive.run(segment(tmp_path, 2))
        assert [log_of(tmp_path, number) for number in range(3)] == ["False\n", "False\n", "True\n"]

    def test_a_library_that_blocks_the_signal_of_ended_children_hangs_nobody(self, pool, tmp_path):
        drive = pool.of_function(
            """
            import signal
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
            def f(x): return len(signal.pthread_sigmask(signal.SIG_BLOCK, []))
            """
        )
        ends = drive.run(segment(tmp_path, 0), segment(tmp_path, 1))
        assert [dict(end.metrics) for end in ends] == [{"loss": 1.0}] * 2

    @pytest.mark.parametrize("where", ["argument", "environment"])
    def test_a_nul_cannot_be_given_to_a_process(self, pool, tmp_path, where):
        file = tmp_path / "script.py"
        file.write_text("print(1)")
        argv = [sys.executable, str(file), *(["a\0b"] if where == "argument" else [])]
        env = {"A": "a\0b"} if where == "environment" else {}
        stdout = tmp_path / "stdout.log"
        drive = pool(lambda item: Launch(argv=argv, warm=warm_command(argv), stdout=stdout, env=env))
        (end,) = drive.run(segment(tmp_path))
        assert end.outcome is OutcomeKind.NOT_STARTED
        assert "embedded null byte" in end.error.message

    def test_a_crash_that_python_prints_does_not_name_our_files(self, pool, tmp_path):
        drive = pool.of_script("import faulthandler, os\nfaulthandler.enable()\nos.abort()")
        (end,) = drive.run(segment(tmp_path))
        assert end.error.message.endswith('script.py", line 3 in <module>')

    def test_each_environment_has_a_template_of_its_own(self, pool, tmp_path):
        file = tmp_path / "script.py"
        file.write_text("import os\nprint(os.environ['KIND'], os.getppid())\n")
        argv = [sys.executable, str(file)]

        def prepare(item):
            env = {"KIND": str(item.trial % 6)}
            return Launch(argv=argv, warm=warm_command(argv), env=env, stdout=Path(item.run_dir) / "stdout.log")

        drive = pool(prepare)
        for number in range(12):
            drive.run(segment(tmp_path, number))
        found = [log_of(tmp_path, number).split() for number in range(12)]
        assert [kind for kind, _ in found] == [str(number % 6) for number in range(12)]
        assert len({parent for _, parent in found}) > 6, "no more than four are kept"

    def test_a_gpu_makes_a_plain_process(self, pool, tmp_path):
        drive = pool.of_script("import os; print(os.getppid())")
        drive.run(segment(tmp_path, devices=("0",), resources={"gpu": 1}))
        assert log_of(tmp_path).strip() == drive.executor.worker().split()[1]


class TestDeaths:
    WAITS = """
    import os
    from trialist.runtime import report
    report(parent=os.getppid(), pid=os.getpid())
    if os.environ["TRIALIST_NUMBER"] in "01":
        import time
        time.sleep(600)
    """

    def test_a_templates_death_loses_its_trials_and_a_new_one_serves(self, pool, tmp_path):
        drive = pool.of_script(self.WAITS)
        items = [segment(tmp_path, number) for number in range(2)]
        for item in items:
            drive.executor.start(item)
        drive.until(lambda: len(drive.of(ReportedSignal)) == 2)
        worker = drive.executor.worker()
        (parent,) = {int(told.metrics["parent"]) for told in drive.of(ReportedSignal)}
        os.kill(parent, signal.SIGKILL)
        drive.until(lambda: all(drive.ended(item.key) for item in items))
        lost = drive.of(LostSignal)
        assert {key for told in lost for key in told.keys} == {item.key for item in items}
        assert "signal 9" in lost[0].message
        drive.run(segment(tmp_path, 2))
        assert drive.executor.worker() == worker
        assert drive.of(ReportedSignal)[-1].metrics["parent"] != parent
        assert drive.cold == []

    def test_a_trial_that_dies_hurts_neither_its_template_nor_its_siblings(self, pool, tmp_path):
        drive = pool.of_script(
            """
            import os, signal, sys, time
            from trialist.runtime import report
            number = int(os.environ["TRIALIST_NUMBER"])
            report(parent=os.getppid())
            if number == 0: time.sleep(600)
            if number == 1: os.kill(os.getpid(), signal.SIGSEGV)
            if number == 2: os._exit(9)
            if number == 3: os.close(1); os.close(2); signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if number == 4: os.closerange(0, 100); os._exit(0)
            if number == 5: os.kill(0, signal.SIGKILL)
            if number == 6: os.setpgid(0, 0) if os.getpgrp() != os.getpid() else None; signal.raise_signal(signal.SIGHUP)
            """
        )
        first = segment(tmp_path, 0)
        drive.executor.start(first)
        drive.until(lambda: drive.of(ReportedSignal))
        for number in range(1, 8):
            drive.run(segment(tmp_path, number))
        assert not drive.ended(first.key)
        assert len({told.metrics["parent"] for told in drive.of(ReportedSignal)}) == 1
        drive.executor.kill(first.key)
        drive.until(lambda: drive.ended(first.key))
        assert drive.of(LostSignal) == []
