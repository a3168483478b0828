"""Functions on their way to other processes: by path where that finds the same, by value else, and never twice the script."""

import functools
import subprocess
import sys
import textwrap
import threading

import pytest

from trialist import ObjectiveError, create_study
from trialist.api.shipping import shipped
from trialist.testing.executors import returns_square


class Model:
    def __init__(self, factor):
        self.factor = factor

    def fit(self, x):
        return self.factor * x

    __call__ = fit


def test_by_path_where_the_module_has_this_very_function(monkeypatch):
    assert shipped(returns_square) == "trialist.testing.executors:returns_square"


@pytest.mark.parametrize(
    "objective",
    [lambda x: 2 * x, Model(2.0).fit, Model(2.0), functools.partial(lambda k, x: k * x, 2.0)],
    ids=["lambda", "bound method", "callable object", "partial"],
)
def test_by_value_all_else(objective):
    assert isinstance(shipped(objective), bytes)


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: (lambda lock: lambda x: lock and x)(threading.Lock()), "'lock', which it uses, cannot (lock)"),
        (lambda: lambda x, lock=LOCK: x, "the default of its 'lock' cannot"),
        (lambda: Model(threading.Lock()).fit, "the object that it is a method of cannot (Model)"),
        (lambda: Model(threading.Lock()), "its 'factor' cannot (lock)"),
    ],
    ids=["closure", "default", "method", "object"],
)
def test_what_cannot_be_pickled_is_named(make, words):
    with pytest.raises(ObjectiveError) as caught:
        shipped(make())
    assert words in str(caught.value)
    assert "jobs=1" in str(caught.value)


SCRIPT = """
import trialist
print("the script runs", flush=True)

class Net:
    pass

def helper(x):
    return 2 * x

def objective(x):
    import pickle
    pickle.loads(pickle.dumps(Net()))
    return helper(x)

study = trialist.create_study(
    "s", {"x": [1.0, 2.0, 3.0]}, metric="y", mode="min", searcher="grid", store="memory"
)
study.run(objective, jobs=2, progress=False)
print([(trial.value, trial.error) for trial in study.trials()])
"""


@pytest.mark.parametrize("executor", ["pool", "command"])
def test_a_script_without_a_guard_runs_once(tmp_path, executor):
    text = SCRIPT.replace("jobs=2", f"jobs=2, executor={executor!r}")
    (tmp_path / "study.py").write_text(text)
    done = subprocess.run([sys.executable, "study.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "the script runs\n[(2.0, None), (4.0, None), (6.0, None)]\n"


def test_a_notebook_may_define_its_function_anew():
    session = """
    import trialist
    def run(name):
        study = trialist.create_study(name, {"x": [1.0, 2.0]}, metric="y", mode="min", searcher="grid", store="memory")
        study.run(objective, jobs=4, progress=False)
        print([trial.value for trial in study.trials()])

    def objective(x): return x

    run("first")
    def objective(x): return -x

    run("second")
    """
    done = subprocess.run(
        [sys.executable, "-i"], input=textwrap.dedent(session) + "\n", capture_output=True, text=True, check=True
    )
    assert done.stdout == "[1.0, 2.0]\n[-1.0, -2.0]\n"


def test_several_jobs_are_a_pool_and_the_study_says_so():
    study = create_study("p", {"x": [1.0, 2.0]}, metric="y", mode="min", searcher="grid", store="memory")
    study.run(lambda x: x, jobs=2, progress=False)
    assert study.row.spec.executor.name == "pool"
    assert [trial.value for trial in study.trials()] == [1.0, 2.0]
