"""The trial's side: reports, checkpoints, scripts, environments."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import trialist.runtime as runtime
from trialist.core.errors import ObjectiveError
from trialist.runtime import process
from trialist.runtime.call import load
from trialist.runtime.context import TrialContext
from trialist.runtime.current import Bound
from trialist.runtime.protocol import Order, ProtocolError, decode, decode_metrics, decode_step, encode, encode_metrics


class Recorder:
    """A channel that keeps what it was told, and gives an order when it is asked to."""

    def __init__(self):
        self.reports, self.checkpoints, self.order = [], [], None

    def report(self, step, metrics, target):
        self.reports.append((step, dict(metrics), target))
        return self.order

    def checkpointed(self, step, path, num_bytes):
        self.checkpoints.append((step, Path(path), num_bytes))


@pytest.fixture
def channel():
    return Recorder()


@pytest.fixture
def trial(channel, tmp_path):
    return TrialContext(channel, number=3, params={"lr": 0.1}, seed=7, run_dir=str(tmp_path / "run"))


class TestReport:
    def test_steps_count_from_one_and_go_on_from_a_given_one(self, trial, channel):
        trial.report(loss=1)
        trial.report(loss=2)
        trial.report(step=10, loss=3)
        trial.report({"val/loss": 4}, loss=5)
        trial.report(20, {"a": 6})
        assert channel.reports == [
            (1, {"loss": 1.0}, None),
            (2, {"loss": 2.0}, None),
            (10, {"loss": 3.0}, None),
            (11, {"val/loss": 4.0, "loss": 5.0}, None),
            (20, {"a": 6.0}, None),
        ]

    def test_they_go_on_behind_a_resumed_step(self, channel, tmp_path):
        trial = TrialContext(channel, number=0, params={}, seed=0, run_dir=str(tmp_path), resume_step=6)
        trial.report(loss=1)
        assert channel.reports[0][0] == 7

    @pytest.mark.parametrize("value", [np.float32(0.5), np.array(0.5), 0.5])
    def test_numbers_of_other_libraries(self, trial, channel, value):
        trial.report(step=np.int64(4), loss=value, flag=True)
        assert channel.reports == [(4, {"loss": 0.5, "flag": 1.0}, None)]

    @pytest.mark.parametrize("value", ["low", None, [1.0], {"a": 1}, np.zeros(3), 1j])
    def test_what_is_no_number_is_named(self, trial, channel, value):
        with pytest.raises(ObjectiveError, match="metric 'loss' is"):
            trial.report(step=1, loss=value)
        assert channel.reports == []

    @pytest.mark.parametrize("step", [-1, 1.5, 2.0, "3", True, 1 << 63])
    def test_what_is_no_step_is_refused(self, trial, step):
        with pytest.raises(ObjectiveError, match="whole number from 0 on"):
            trial.report(step=step, loss=1)

    def test_an_order_is_raised_now_and_at_every_later_report(self, trial, channel):
        channel.order = Order.EVICT
        for _ in range(2):
            with pytest.raises(runtime.Paused) as told:
                trial.report(loss=1)
            assert told.value.code == 43
        assert len(channel.reports) == 1

    def test_stop_and_pause_are_exits_and_no_exceptions(self):
        assert issubclass(runtime.Stopped, SystemExit)
        assert not issubclass(runtime.Stopped, Exception)
        assert runtime.Stopped().code == 42


class TestCheckpoints:
    def test_it_appears_whole_and_is_told(self, trial, channel):
        trial.report(step=12, loss=1)
        path = trial.save_checkpoint(lambda folder: (folder / "w").write_bytes(b"12345"))
        assert path == trial.dir / "checkpoints" / "step-000012"
        assert channel.checkpoints == [(12, path, 5)]
        assert [p.name for p in path.parent.iterdir()] == ["step-000012"]

    def test_a_writer_that_fails_leaves_nothing(self, trial, channel):
        def write(folder):
            (folder / "deep" / "er").mkdir(parents=True)
            (folder / "deep" / "er" / "w").write_text("half")
            (folder / "link").symlink_to(folder.parent)
            raise RuntimeError("disk on fire")

        with pytest.raises(RuntimeError):
            trial.save_checkpoint(write)
        assert list((trial.dir / "checkpoints").iterdir()) == []
        assert channel.checkpoints == []

    def test_a_second_one_at_a_step_has_a_name_of_its_own(self, trial):
        first = trial.save_checkpoint(lambda folder: (folder / "w").write_text("1"))
        second = trial.save_checkpoint(lambda folder: (folder / "w").write_text("2"))
        assert ((first / "w").read_text(), (second / "w").read_text()) == ("1", "2")

    def test_what_a_killed_attempt_left_is_removed(self, channel, tmp_path):
        stale = tmp_path / "checkpoints" / ".tmp-1-99-abcd"
        own = tmp_path / "checkpoints" / ".tmp-2-99-abcd"
        for folder in (stale, own):
            folder.mkdir(parents=True)
        trial = TrialContext(channel, number=0, params={}, seed=0, run_dir=str(tmp_path), attempt=2)
        trial.save_checkpoint(lambda folder: None)
        assert (stale.exists(), own.exists()) == (False, True)


class TestScripts:
    def test_outside_a_trial_everything_works_and_nothing_happens(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert runtime.current_trial() is None
        assert runtime.params() == {}
        runtime.report(step=1, loss=0.5)
        runtime.report(loss="anything")
        runtime.emit_progress(step=1, step_target=10, metrics={"loss": 1})
        assert runtime.checkpoint_dir().resolve() == tmp_path / "checkpoints"
        assert capsys.readouterr() == ("", "")

    def test_inside_they_act_on_the_bound_trial(self, trial, channel):
        with Bound(trial):
            assert runtime.params() == {"lr": 0.1}
            runtime.params()["lr"] = 5
            runtime.report(loss=1)
            runtime.emit_progress(step=4, step_target=10, metrics={"loss": 2})
            assert runtime.checkpoint_dir() == trial.dir / "checkpoints"
        assert channel.reports == [(1, {"loss": 1.0}, None), (4, {"loss": 2.0}, 10)]
        assert runtime.params() == {}

    def test_a_thread_without_a_trial_is_told_so_where_there_are_several(self, trial, tmp_path):
        other = TrialContext(Recorder(), number=4, params={}, seed=0, run_dir=str(tmp_path))
        errors = []

        def look():
            try:
                runtime.report(loss=1)
            except ObjectiveError as error:
                errors.append(str(error))

        with Bound(trial), Bound(other):
            thread = threading.Thread(target=look, name="loader")
            thread.start()
            thread.join()
        assert "thread 'loader' belongs to none of them" in errors[0]


class TestProcess:
    def test_the_environment_describes_the_trial(self, tmp_path):
        environment = {
            "TRIALIST_TRIAL": "t",
            "TRIALIST_NUMBER": "5",
            "TRIALIST_ATTEMPT": "2",
            "TRIALIST_SEED": "9",
            "TRIALIST_RUN_DIR": str(tmp_path),
            "TRIALIST_PARAMS_JSON": '{"lr": 0.5}',
            "TRIALIST_RESUME_STEP": "3",
            "TRIALIST_CHECKPOINT": "/c",
            "TRIALIST_WARM_START": "resume",
            "TRIALIST_DEVICES": "0,1",
        }
        found = process.context_of(environment, process.channel_of(environment))
        assert (found.number, found.attempt, found.seed, found.resume_step) == (5, 2, 9, 3)
        assert (found.params, found.devices) == ({"lr": 0.5}, ("0", "1"))
        assert (found.checkpoint, found.warm_start, found.dir) == (Path("/c"), "resume", tmp_path)
        found.report(loss=1)  # a name and no way to speak: nothing happens

    def test_importing_it_loads_no_library(self):
        code = "import sys, trialist.runtime; print(sorted({'numpy', 'inspect', 'socket', 'dataclasses'} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_a_script_alone_runs_to_its_end(self):
        code = "from trialist.runtime import report, params; report(step=1, x=1); print(params())"
        environment = {name: text for name, text in os.environ.items() if not name.startswith("TRIALIST_")}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, "{}\n", "")


class TestProtocol:
    def test_metrics_travel_as_strict_json(self):
        line = encode({"op": "report", "metrics": encode_metrics({"a": 1.5, "b": float("nan"), "c": float("-inf")})})
        assert json.loads(line, parse_constant=pytest.fail)["metrics"] == {"a": 1.5, "b": "NaN", "c": "-Infinity"}
        back = decode_metrics(decode(line)["metrics"])
        assert (back["a"], back["b"] != back["b"], back["c"]) == (1.5, True, float("-inf"))

    @pytest.mark.parametrize("line", [b"", b"{", b"[]", b"3", b"{}", b'{"op": 3}', b"\xff", b"[" * 100000])
    def test_rubbish_is_no_message(self, line):
        with pytest.raises(ProtocolError):
            decode(line)

    @pytest.mark.parametrize("metrics", [None, [], {"a": "x"}, {"a": None}, {"a": True}, {"a": {}}])
    def test_what_is_no_metric(self, metrics):
        with pytest.raises(ProtocolError):
            decode_metrics(metrics)

    def test_numbers_too_large_for_a_float_are_infinite(self):
        assert decode_metrics({"a": 2**70, "b": 10**400}) == {"a": 2.0**70, "b": float("inf")}

    @pytest.mark.parametrize("step", [None, -1, 1.0, "1", True, 1 << 63])
    def test_what_is_no_step(self, step):
        with pytest.raises(ProtocolError):
            decode_step(step)


class TestLoading:
    def test_by_module_and_by_file(self, tmp_path, monkeypatch):
        file = tmp_path / "training_job.py"
        file.write_text("class A:\n    @staticmethod\n    def f(trial): return 1\n")
        monkeypatch.setattr(sys, "path", list(sys.path))
        assert load(f"{file}:A.f")(None) == 1
        assert load("training_job:A.f")(None) == 1
        sys.modules.pop("training_job")

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("nothing", "names no function"),
            ("no_such_module_7:f", "no module 'no_such_module_7'"),
            ("no_such_file_7.py:f", "no file"),
            ("json:no_such_name", "no 'no_such_name'"),
        ],
    )
    def test_what_cannot_be_found(self, target, words):
        with pytest.raises(ObjectiveError, match=words):
            load(target)
