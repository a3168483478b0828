"""The suite keeps its own rules: it measures no time, and finds no store but a test's own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trialist.store.files import data_dir
from trialist.store.locate import default_url

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("src/trialist/testing/*.py")])
CLOCKS = re.compile(r"\b(perf_counter|process_time|thread_time|timeit)\b|assert .*\bmonotonic\(\) *-")


@pytest.mark.parametrize("line", ["assert time.monotonic() - began < 2", "began = time.perf_counter()"])
def test_a_clock_is_recognised(line: str) -> None:
    assert CLOCKS.search(line)


def test_no_test_measures_time() -> None:
    """How long something takes is the benchmarks' question; a test may wait for something, with a generous deadline."""
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in FILES
        if file != Path(__file__)
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if CLOCKS.search(line)
    ]
    assert len(FILES) > 50
    assert found == []


def test_the_default_store_is_the_tests_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show = "from trialist.store.locate import *; from trialist.store.files import *; print(default_url(), data_dir())"
    for _ in range(2):
        for told in (default_url(), str(data_dir())):
            assert str(tmp_path) in told
        done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == f"{default_url()} {data_dir()}\n"
        monkeypatch.delenv("TRIALIST_STORE", raising=False)  # and then what the data directory holds
    monkeypatch.delenv("XDG_DATA_HOME")
    assert "trialist-tests-home-" in default_url()
