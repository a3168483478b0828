"""Sweeps of Python scripts start warm, say so, and remember where they were asked not to."""

from __future__ import annotations

import sys

import pytest

import trialist
from trialist.sweep.options import SweepOptions
from trialist.sweep.plan import make_plan

PARENT = """
import os, sys
sys.path.insert(0, "")
print("parent=%d" % os.getppid())
if os.environ["TRIALIST_NUMBER"] == "2" and not os.path.exists("again"):
    sys.exit("no data yet")
"""


def plan_of(command, **options):
    return make_plan(
        {"x": [1, 2], "command": command}, SweepOptions(**options), source="c.yaml", line_of=lambda _: None
    )


@pytest.mark.parametrize(
    ("command", "options", "warm"),
    [
        (["python", "train.py"], {}, True),
        (["python", "-m", "pkg", "{config}"], {}, True),
        (["python", "train.py"], {"cold": True}, False),
        (["python", "train.py"], {"gpus_per_run": 1.0}, False),
        (["python", "-c", "pass"], {}, False),
        (["./train.sh"], {}, False),
    ],
)
def test_the_plan_says_whether_runs_start_warm(command, options, warm):
    plan = plan_of(command, **options)
    assert plan.warm is warm


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all runs start cold")
@pytest.mark.parametrize("cold", [False, True])
def test_a_sweep_goes_on_as_it_was_started(place, cold):
    place.write("c.yaml", "x: [1, 2, 3]\ncommand: [python, tells.py]\n")
    place.write("tells.py", PARENT)
    ran = place.sweep(config="c.yaml", cold=cold, metric="parent", mode="min")
    assert ran.code == 1
    assert ("warm starts" in ran.text) is not cold
    (study,) = trialist.list_studies()
    assert study.row.spec.executor.name == ("command" if cold else "pool")
    parents = {trial.metrics["parent"] for trial in study.trials() if trial.status == "completed"}
    assert len(parents) == 1
    place.write("again", "")
    study.trial(2).retry()
    assert place.sweep(resume=study.name).code in (0, 1)
    (study,) = trialist.list_studies()
    assert study.row.spec.executor.name == ("command" if cold else "pool")
    assert study.trials()[-1].status == "completed"
