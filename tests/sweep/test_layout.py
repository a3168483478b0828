"""Stems, claims and files that are replaced in one step."""

from __future__ import annotations

import contextlib
import re
import threading
import time

import pytest

from trialist.core.errors import ConfigError
from trialist.sweep.layout import SweepFiles, check_prefix, claimed_stem, replacing

NOON = time.mktime((2026, 3, 1, 12, 30, 45, 0, 0, -1))


def stem_of(runs, prefix=None, varies=True, now=NOON):
    with claimed_stem(runs, prefix, varies=varies, now=now) as stem:
        return stem


def test_the_stem_is_prefix_and_time(tmp_path):
    assert stem_of(tmp_path, "mlp_experiment") == "mlp_experiment_123045"


def test_the_prefix_defaults_to_run(tmp_path):
    assert stem_of(tmp_path) == "run_123045"


def test_a_single_run_is_called_by_date_and_time(tmp_path):
    assert stem_of(tmp_path, varies=False) == "2026-03-01_123045"


def test_a_single_run_with_a_prefix_keeps_it(tmp_path):
    assert stem_of(tmp_path, "base", varies=False) == "base_123045"


@pytest.mark.parametrize("taken", ["lr_123045_depth_3", "lr_123045", "LR_123045.csv"])
def test_within_one_second_the_next_free_one_is_taken(tmp_path, taken):
    (tmp_path / taken).mkdir()
    assert stem_of(tmp_path, "lr") == "lr_123046"


def test_two_that_start_at_once_get_two_stems(tmp_path):
    with claimed_stem(tmp_path, "lr", varies=True, now=NOON) as first:
        with claimed_stem(tmp_path, "lr", varies=True, now=NOON) as second:
            assert {first, second} == {"lr_123045", "lr_123046"}
    assert list(tmp_path.iterdir()) == []


def test_many_that_start_at_once_share_nothing(tmp_path):
    stems: list[str] = []

    def start():
        with claimed_stem(tmp_path, "lr", varies=True, now=NOON) as stem:
            (tmp_path / f"{stem}_x_1").mkdir()
            stems.append(stem)

    threads = [threading.Thread(target=start) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(stems)) == 12


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ConfigError, match=re.escape(f"cannot write to '{tmp_path / 'runs'}'")):
        stem_of(tmp_path / "runs")


def test_a_prefix_that_would_leave_the_directory_is_refused():
    with pytest.raises(ConfigError, match=r"--run-prefix '\.\./x' begins with '\.'.*Use letters"):
        check_prefix("../x")


def test_readers_see_the_old_file_or_the_new_one(tmp_path):
    path = SweepFiles(runs=tmp_path, stem="lr_123045").leaderboard
    path.write_text("old")
    with contextlib.suppress(RuntimeError), replacing(path) as file:
        file.write("half")
        assert path.read_text() == "old"
        raise RuntimeError
    assert path.read_text() == "old"
    with replacing(path) as file:
        file.write("new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["lr_123045.csv"]


def test_the_files_of_a_run(tmp_path):
    run = SweepFiles(runs=tmp_path, stem="s").run("s_x_1")
    names = [run.config, run.stdout, run.reports, run.result, run.metrics]
    assert [path.name for path in names] == [
        "config.yaml",
        "stdout.log",
        "metrics.jsonl",
        "result.json",
        "metrics.json",
    ]
    assert {path.parent for path in names} == {tmp_path / "s_x_1"}
