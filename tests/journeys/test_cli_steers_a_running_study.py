"""One story from two terminals: a script runs a study, and the command line watches, pauses, clones, resumes and stops it.

The script's trials wait for files that the test writes, so nothing depends on how fast the machine is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

import trialist

SCRIPT = '''
import sys
import threading
from pathlib import Path

import trialist

HERE = Path(sys.argv[1])


def wait_for(name):
    """Until the test lets this trial go on."""
    while not (HERE / name).exists():
        threading.Event().wait(0.01)


def objective(trial):
    start = trial.resume_step or 0
    for step in range(start + 1, 4):
        wait_for(f"go-{trial.number}-{step}")
        trial.save_checkpoint(lambda directory: (directory / "step").write_text(str(step)))
        trial.report(step=step, loss=trial.params["lr"] / step)
    print("trial", trial.number, "started from", start, "with lr", trial.params["lr"], flush=True)


study = trialist.create_study(
    "digits", {"lr": [0.1, 0.2, 0.3, 0.4]}, searcher="grid", metric="loss", mode="min", resume=True
)
study.run(objective, num_trials=4)
print("end", study.status, flush=True)
'''


class Terminal:
    """The second terminal."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {**os.environ, "TRIALIST_STORE": str(directory / "trials.db"), "COLUMNS": "100"}

    def run_script(self) -> subprocess.Popen[str]:
        script = self.directory / "train.py"
        script.write_text(SCRIPT)
        return subprocess.Popen(
            [sys.executable, str(script), str(self.directory)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment, cwd=self.directory,
        )  # fmt: skip

    def type(self, *args: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "trialist", *args],
            capture_output=True, text=True, env=self.environment, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, (args, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def json(self, *args: str) -> Any:
        return json.loads(self.type(*args, "--json"))

    def type_while_busy(self, verb: str, then: Callable[[], None]) -> str:
        """Type a command to a leader that is busy; ``then`` once it lies before the leader."""
        with _typing(self, verb, "digits") as typed:
            self.until("the command is sent", lambda: bool(self.study.store.pending_commands(self.study.id)))
            then()
            return _said(typed)

    def let(self, trial: int, *steps: int) -> None:
        for step in steps:
            (self.directory / f"go-{trial}-{step}").touch()

    @cached_property
    def study(self) -> trialist.Study:
        """The script's study: what is waited for is read here, since a command line for each look would take long."""
        return trialist.load_study("digits", store=self.environment["TRIALIST_STORE"])

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, f"never: {what}"
            time.sleep(0.01)  # a store tells another process nothing by itself

    def until_led(self, script: subprocess.Popen[str]) -> None:
        def led() -> bool:
            assert script.poll() is None, script.stdout.read() if script.stdout else ""
            try:
                return self.study.leader is not None
            except trialist.TrialistError:  # the script is still making it
                return False

        self.until("the script leads its study", led)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    if "study" in vars(made):
        made.study.store.close()


@pytest.mark.slow
def test_a_study_is_steered_from_another_terminal(terminal: Terminal) -> None:
    script = terminal.run_script()
    try:
        terminal.let(0, 1, 2, 3)
        terminal.let(1, 1)
        terminal.until_led(script)
        terminal.until("trial 1 reports", lambda: {t.number: t.step for t in terminal.study.trials()}.get(1) == 1)

        status = terminal.json("status", "digits")
        assert (status["status"], status["trials"]["completed"], status["trials"]["running"]) == ("running", 1, 1)
        assert status["leader"] == f"pid {script.pid} on {os.uname().nodename}"
        assert "trialist watch digits" in terminal.type("status", "digits")
        assert "is led by" in terminal.type("delete", "digits", "--yes", code=3)

        # The trial is busy, so the leader hears at its next report; the command line waits for the answer.
        assert "paused by a person" in terminal.type_while_busy("pause", then=lambda: terminal.let(1, 2))
        terminal.let(1, 3)
        terminal.until("it pauses", lambda: not terminal.study.counts.get("running"))
        assert terminal.json("status", "digits")["status"] == "paused"
        assert script.poll() is None, "its process waits"

        clone = terminal.json("clone", "digits", "--trial", "0", "--set", "lr=0.4", "--warm-start", "weights")
        number = clone["trial"]
        assert clone["next"][0]["do"] == "trialist resume digits"
        assert "must be one of" in terminal.type("clone", "digits", "--trial", "0", "--set", "lr=0.5", code=2)
        terminal.let(number, 1, 2, 3)
        assert "trialist watch digits" in terminal.type("resume", "digits")
        terminal.until("the clone completes", lambda: terminal.study.trial(number).status == "completed")
        shown = terminal.type("show", "digits", str(number))
        assert "clone of trial 0 starting from the weights of trial 0" in shown

        terminal.until("another trial runs", lambda: terminal.study.counts.get("running") == 1)
        running = terminal.json("trials", "digits", "--status", "running")["trials"][0]["number"]
        said = terminal.type_while_busy("stop", then=lambda: terminal.let(running, 1, 2, 3))
        assert "starts no more trials" in said
        out, _ = script.communicate(timeout=120)
    finally:
        script.kill()
        script.wait()
    assert "end completed" in out
    assert f"trial {number} started from 0 with lr 0.4" in out
    after = terminal.json("status", "digits")
    assert (after["status"], after["leader"], after["reason"]) == ("completed", None, "stopped by a person")
    assert after["trials"]["total"] < 5

    # Nobody leads it now: a clone waits, and says how it will run.
    assert "run train.py again" in terminal.type("clone", "digits", "--trial", "0")
    assert terminal.json("status", "digits")["status"] == "queued"


@pytest.mark.slow
def test_watch_follows_to_the_end(terminal: Terminal) -> None:
    script = terminal.run_script()
    try:
        terminal.until_led(script)
        terminal.until("it runs", lambda: terminal.study.status == "running")
        assert "running" in terminal.type("list")
        with _typing(terminal, "watch", "digits") as watching:
            assert watching.stdout is not None
            assert "digits is running, led by pid" in watching.stdout.readline()
            for trial in range(4):
                terminal.let(trial, 1, 2, 3)
            said = _said(watching)
        script.communicate(timeout=120)
    finally:
        script.kill()
        script.wait()
    assert "trial 3 completed" in said
    assert "study completed" in said
    assert "4 of 4" in said


def _typing(terminal: Terminal, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trialist", *args],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=terminal.environment,
    )  # fmt: skip


def _said(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out
