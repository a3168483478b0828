"""Without any optional library everything still imports; only use fails, and says which line installs what is missing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from trialist import registry

ROOT = Path(__file__).resolve().parents[2]

BLOCK = """
import sys
class Absent:
    names = {names!r}
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in self.names:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Absent())
"""


def extras() -> dict[str, list[str]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]["optional-dependencies"]  # type: ignore[no-any-return]


def run_without(names: list[str], code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCK.format(names=set(names)) + code],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


OF_A_LIBRARY = (
    "trialist.analysis.draw.with_",
    "trialist.analysis.fanova",
    "trialist.execute.ray",
    "trialist.hpo.ray_",
    "trialist.search.cmaes",
    "trialist.search.optuna",
    "trialist.store.postgresql",
    "trialist.train.",
)
"""What the modules are called that are around one optional library each: the registry loads them, and names the extra."""


def test_every_module_imports_without_any_extra() -> None:
    code = f"""
import importlib, pkgutil, trialist
from trialist.registry import EXTRAS
seen = 0
for module in pkgutil.walk_packages(trialist.__path__, "trialist."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        missing = error.missing if isinstance(error, trialist.MissingExtra) else error.name
        assert missing.partition(".")[0] in EXTRAS, error
        assert module.name.startswith({OF_A_LIBRARY!r}), error
    seen += 1
assert seen > 15, seen
print("imported", seen)
"""
    done = run_without(sorted({*registry.EXTRAS, "sklearn", "torch", "optuna", "ray", "matplotlib", "psycopg"}), code)
    assert done.returncode == 0, done.stderr
    assert "imported" in done.stdout


def test_testing_needs_pytest_only_for_what_uses_it() -> None:
    code = """
import importlib, pkgutil
from trialist import MissingExtra, testing
for module in pkgutil.iter_modules(testing.__path__, "trialist.testing."):
    try:
        importlib.import_module(module.name)
    except MissingExtra as error:
        assert "pip install 'trialist[dev]'" in str(error), error
    else:
        print(module.name.rpartition(".")[2])
"""
    done = run_without(["pytest", "_pytest", "hypothesis"], code)
    assert done.returncode == 0, done.stderr
    free = set(done.stdout.split())
    assert free >= {"counting", "executors", "fakes", "processes", "schedulers", "searchers", "sinks"}
    assert not free & {"libraries", "spaces", "store_machine", "stores"}


@pytest.mark.parametrize(
    ("missing", "model", "extra"),
    [
        ("sklearn", {"type": "sklearn", "estimator": "LogisticRegression"}, "sklearn"),
        ("torch", {"type": "mlp"}, "torch"),
        ("transformers", {"type": "text_classifier"}, "text"),
        ("stable_baselines3", {"type": "ppo"}, "rl"),
    ],
)
def test_a_missing_library_is_named_with_its_line(missing: str, model: dict[str, str], extra: str) -> None:
    code = f"""
from trialist import MissingExtra, TrainingEngine
engine, model, data = TrainingEngine(), {model!r}, {{"dataset": "iris"}}
for ask in (engine.train, engine.inspect, lambda model, data: engine.check({{"model": model, "data": data}})):
    try:
        ask(model, data)
    except MissingExtra as error:
        print(error)
"""
    done = run_without(["sklearn", "torch", "transformers", "stable_baselines3"], code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"needs '{missing}', which is not installed: pip install 'trialist[{extra}]'") == 3


@pytest.mark.parametrize("module", sorted(registry.EXTRAS))
def test_the_named_extra_exists(module: str) -> None:
    assert registry.EXTRAS[module] in extras()


def test_all_holds_every_user_extra() -> None:
    listed = extras()
    inner = listed["all"][0].removeprefix("trialist[").removesuffix("]").split(",")
    assert sorted(inner) == sorted(set(listed) - {"all", "bench", "dev", "dev-extras", "tuning"})
