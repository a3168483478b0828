"""A sweep from the command line that is interrupted, killed and taken up again: nothing lost, nothing twice, nobody left."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFIG = """\
metric: loss
x: [1, 2, 3, 4, 5, 6]
command: [python, train.py, "{x}", "{run_dir}"]
"""
# Each run leaves a mark when it ends, and blocks for as long as 'gate' says so: the tests decide what runs when.
TRAIN = """\
import os, pathlib, sys, time
x, run = sys.argv[1], pathlib.Path(sys.argv[2])
with open("starts", "a") as file:
    file.write(f"{x} {os.getpid()}\\n")
print("starting", x, flush=True)
while pathlib.Path("gate").exists() and int(x) >= int(pathlib.Path("gate").read_text()):
    time.sleep(0.01)
print(f"loss={x}")
"""


class Sweep:
    """``trialist sweep`` in a process of its own."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from trialist.cli import main; main()", "sweep", *arguments],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TRIALIST_STORE": f"sqlite:///{root / 'trials.db'}"},
        )
        self.lines: list[str] = []

    def until(self, words: str) -> None:
        """Read until a line has these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return
        raise AssertionError(f"never said '{words}':\n" + "".join(self.lines))

    def end(self) -> tuple[int, str]:
        assert self.process.stdout is not None
        self.lines += self.process.stdout.readlines()
        return self.process.wait(60), "".join(self.lines)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


@pytest.fixture
def sweep(root):
    begun: list[Sweep] = []

    def begin(*arguments: str) -> Sweep:
        begun.append(Sweep(root, *arguments))
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()
        one.process.stdout.close()


def starts(root):
    return [line.split()[0] for line in (root / "starts").read_text().splitlines()]


def wait_for_starts(root, count, sweep):
    while len(starts(root)) < count:
        assert sweep.process.poll() is None, sweep.end()
        time.sleep(0.01)


def alive(root):
    found = []
    for line in (root / "starts").read_text().splitlines():
        try:
            os.kill(int(line.split()[1]), 0)
        except ProcessLookupError:
            continue
        found.append(line)
    return found


def check_complete(root):
    (board,) = (root / "runs").glob("*.csv")
    with board.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["x"], row["loss"], row["status"]) for row in rows] == [
        (str(x), f"{x}.0", "completed") for x in range(1, 7)
    ]
    for row in rows:
        run = root / "runs" / row["run"]
        assert json.loads((run / "result.json").read_text())["metrics"] == {"loss": float(row["x"])}
        assert [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [
            float(row["x"])
        ]
    assert len([path for path in (root / "runs").iterdir() if path.is_dir()]) == 6


@pytest.mark.slow
def test_ctrl_c_twice_over_and_resumed_without_repeating_a_finished_run(root, sweep):
    (root / "gate").write_text("3")
    first = sweep("--config", "c.yaml", "--run-prefix", "lr", "--jobs", "2")
    first.until("[2/6]")
    wait_for_starts(root, 4, first)
    first.process.send_signal(signal.SIGINT)
    first.until("starting no more")
    (root / "gate").write_text("99")
    code, text = first.end()
    assert code == 130, text
    assert "Interrupted with 4 of 6 runs done" in text
    assert "trialist sweep --resume lr_" in text
    assert sorted(starts(root)) == ["1", "2", "3", "4"]

    (root / "gate").write_text("5")
    second = sweep("--resume")
    second.until("Going on with lr_")
    wait_for_starts(root, 6, second)
    second.process.send_signal(signal.SIGINT)
    second.until("starting no more")
    second.process.send_signal(signal.SIGINT)
    code, text = second.end()
    assert code == 130, text
    assert "Interrupted with 4 of 6 runs done" in text
    assert alive(root) == []

    (root / "gate").unlink()
    code, text = sweep("--resume").end()
    assert code == 0, text
    assert "4 of 6 runs are done" in text
    assert sorted(starts(root)) == ["1", "2", "3", "4", "5", "5", "6", "6"]
    check_complete(root)

    code, text = sweep("--resume").end()
    assert code == 2
    assert "nothing to resume" in text


def test_kill_9_leaves_nobody_and_loses_nothing(root, sweep):
    (root / "gate").write_text("3")
    first = sweep("--config", "c.yaml", "--run-prefix", "lr", "--jobs", "2")
    first.until("[2/6]")
    wait_for_starts(root, 4, first)
    first.kill()
    (root / "gate").unlink()
    name = next((root / "runs").glob("*.csv")).stem
    code, text = sweep("--resume", name).end()
    assert code == 0, text
    assert [starts(root).count(x) for x in ("1", "2", "5", "6")] == [1, 1, 1, 1]
    assert alive(root) == []
    check_complete(root)


def test_files_that_a_crash_kept_from_being_written_are_written_at_the_next_start(root, sweep):
    (root / "gate").write_text("3")
    first = sweep("--config", "c.yaml", "--run-prefix", "lr", "--jobs", "2")
    first.until("[2/6]")
    first.kill()
    for path in (root / "runs").glob("*_x_[12]/result.json"):
        path.unlink()
        (path.parent / "metrics.jsonl").unlink()
    next((root / "runs").glob("*.csv")).unlink()
    (root / "gate").unlink()
    code, text = sweep("--resume").end()
    assert code == 0, text
    check_complete(root)
