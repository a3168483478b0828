"""``trialist fsck``: says what is wrong, where and how badly, and nothing else."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import trialist


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "trialist", "fsck", *arguments], capture_output=True, text=True, check=False
    )


def made(path, name="one"):
    with closing(
        trialist.create_study(
            name, {"x": [1, 2, 3]}, metric="y", mode="min", searcher="random", store=f"sqlite:///{path}"
        ).store
    ) as store:
        trialist.load_study(name, store=store).run(lambda trial: float(trial.params["x"]), num_trials=3)
    return path


def test_a_clean_store(tmp_path):
    path = made(tmp_path / "a.db")
    done = run("--store", str(path), "--replay")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Everything adds up: 1 study, ")
    assert done.stdout.endswith(", 3 suggestions drawn again.\n")


def test_a_damaged_store(tmp_path):
    path = made(tmp_path / "a.db")
    made(path, "two")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE trials SET status = 'failed' WHERE sid = 1 AND number = 2")
    done = run("--store", str(path))
    assert done.returncode == 65
    assert "wrong study 'one': trial 2: status is 'failed', but its events add up to 'completed'.\n" in done.stdout
    told = json.loads(run("--store", str(path), "--json").stdout)
    assert (told["ok"], told["studies"]) == (False, 2)
    assert {finding["study"] for finding in told["findings"]} == {"one"}
    assert run("two", "--store", str(path)).returncode == 0


def test_a_store_that_is_not_there_and_a_study_that_is_not(tmp_path):
    done = run()
    assert (done.returncode, done.stdout) == (0, "Everything adds up: 0 studies, 0 events.\n")
    done = run("--store", str(tmp_path / "none.db"))
    assert done.returncode == 74
    assert "there is no such file" in done.stderr
    path = made(tmp_path / "a.db")
    done = run("onw", "--store", str(path))
    assert done.returncode == 2
    assert "'one'" in done.stderr
    assert "Traceback" not in done.stderr
