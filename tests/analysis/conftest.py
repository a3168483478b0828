"""Studies of every kind for the tests of this room, as snapshots."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest

from trialist.analysis.snapshot import Snapshot
from trialist.core.records import Failure, FailureReason, Metric, Mode, Report, Trial
from trialist.core.states import TrialStatus
from trialist.space import SearchSpace

LOSS = Metric(name="loss", mode=Mode.MIN)
SIZE = Metric(name="size", mode=Mode.MAX)
S = TrialStatus

SPACE = SearchSpace.of(
    {
        "lr": {"type": "loguniform", "low": 1e-5, "high": 0.1},
        "model": [
            {"kind": "mlp", "width": {"type": "randint", "low": 8, "high": 256}},
            {"kind": "tree", "depth": {"type": "randint", "low": 1, "high": 8}},
        ],
        "act": ["relu", "tanh"],
        "drop": {"type": "uniform", "low": 0.0, "high": 0.5},
    }
)


def trial(number: int, value: float | None, status: S = S.COMPLETED, message: str = "", **params: Any) -> Trial:
    error = (
        Failure(reason=FailureReason.EXCEPTION, message=message or "bad", detail=message)
        if status is S.FAILED
        else None
    )
    return Trial(
        number=number,
        params=params,
        value=value,
        status=status,
        error=error,
        metrics={} if value is None else {"loss": value, "size": number % 7},
        step=None if status is S.WAITING else 5,
        seconds=2.0,
        started_at=None if status is S.WAITING else 100.0 + number,
        ended_at=102.0 + number if status.is_terminal else None,
    )


def snapshot(trials: Sequence[Trial], space: SearchSpace | None = None, *metrics: Metric, **more: Any) -> Snapshot:
    def reports(number: int) -> list[Report]:
        return [Report(trial=number, attempt=1, step=k, metrics={"loss": 1.0 / k}, at=0.0) for k in range(1, 6)]

    return Snapshot(
        name="study", trials=tuple(trials), metrics=metrics or (LOSS,), space=space, reports=reports, at=1000.0, **more
    )


def searched(count: int, seed: int = 0, *metrics: Metric) -> Snapshot:
    """A random search of ``SPACE`` in which ``lr`` and ``model`` matter, and ``act`` and ``drop`` do not."""
    rng = random.Random(seed)
    trials = []
    for number in range(count):
        params = SPACE.sample(rng)
        value = abs(math.log10(params["lr"]) + 3) + (1.0 if params["model"]["kind"] == "tree" else 0.0)
        draw = rng.random()
        status = S.FAILED if draw < 0.05 else S.STOPPED if draw < 0.2 else S.COMPLETED
        trials.append(trial(number, None if status is S.FAILED else value + 0.1 * rng.random(), status, **params))
    return snapshot(trials, SPACE, *metrics)


ODD: dict[str, Callable[[], Snapshot]] = {
    "none": lambda: snapshot([]),
    "none of a space": lambda: snapshot([], SPACE),
    "one": lambda: snapshot([trial(0, 0.5, lr=0.1)]),
    "one of a space": lambda: searched(1, 3),
    "one failed": lambda: snapshot([trial(0, None, S.FAILED, lr=0.1)]),
    "all failed": lambda: snapshot([trial(k, None, S.FAILED, "<script>alert(1)</script>", lr=k) for k in range(5)]),
    "not finite": lambda: snapshot([trial(k, v, lr=k) for k, v in enumerate([math.nan, math.inf, -math.inf, 0.5])]),
    "only nan": lambda: snapshot([trial(k, math.nan, lr=k) for k in range(3)]),
    "equal": lambda: snapshot([trial(k, 1.0, lr=0.1, b=k % 2) for k in range(4)]),
    "huge": lambda: snapshot([trial(k, 10.0 ** (k * 30), lr=10.0**-k, b=k % 2) for k in range(10)]),
    "tiny": lambda: snapshot([trial(k, 1e-300 * k, lr=1e-300, b=k % 2) for k in range(4)]),
    "below zero": lambda: snapshot([trial(k, -1e300 * k, lr=-1.0 * k) for k in range(20)]),
    "mixed": lambda: snapshot(
        [trial(k, float(k), x=v, y=k % 2) for k, v in enumerate([None, True, 1, 1.5, "a", [1, 2], {"z": {"w": 1}}, {}])]
    ),
    "long names": lambda: snapshot(
        [trial(k, float(k), **{"a" * 150 + ".p": "v" * 200 + str(k), "wide": "漢字" * 30 + str(k)}) for k in range(5)]
    ),
    "markup": lambda: snapshot(
        [trial(k, float(k), **{"<script>alert(1)</script>": f"$x$ & \x1b[31m {k}", "a\nb": "=cmd()"}) for k in range(5)]
    ),
    "waiting": lambda: snapshot([trial(k, None, S.WAITING, lr=k) for k in range(3)]),
    "running": lambda: snapshot([trial(k, None if k else 0.5, S.RUNNING, lr=k) for k in range(3)]),
    "some without": lambda: snapshot(
        [trial(0, 0.1, kind="a", p=1), trial(1, 0.2, kind="b"), trial(2, 0.3, kind="a", p=2)]
    ),
    "another space": lambda: snapshot([trial(k, 0.1 * k, other=k) for k in range(4)], SPACE),
    "outlier": lambda: snapshot([*(trial(k, 0.5 + k / 100, lr=k) for k in range(20)), trial(20, 1e9, lr=20)]),
    "no metric": lambda: Snapshot(name="swept", trials=tuple(trial(k, None, x=k) for k in range(4))),
    "infeasible": lambda: snapshot(
        [trial(k, 1.0 - 0.1 * k, lr=k) for k in range(6)], None, infeasible=frozenset({4, 5})
    ),
    "all infeasible": lambda: snapshot([trial(k, 1.0, lr=k) for k in range(3)], None, infeasible=frozenset({0, 1, 2})),
    "two metrics": lambda: searched(40, 1, LOSS, SIZE),
    "four metrics": lambda: searched(
        40, 2, LOSS, SIZE, Metric(name="loss2", mode=Mode.MIN), Metric(name="m", mode=Mode.MAX)
    ),
    "10,000": lambda: searched(10_000, 4),
}


@cache
def odd_study(name: str) -> Snapshot:
    return ODD[name]()


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest) -> Snapshot:
    """Each of the odd studies."""
    return odd_study(request.param)


@pytest.fixture
def search() -> Callable[..., Snapshot]:
    """``search(count, seed, *metrics)``: a random search in which ``lr`` and ``model`` matter."""
    return searched


@pytest.fixture
def taken() -> Callable[..., Snapshot]:
    """``taken(trials, space, *metrics)``: a snapshot of given trials."""
    return snapshot


@pytest.fixture
def tried() -> Callable[..., Trial]:
    """``tried(number, value, status, message, **params)``: a trial."""
    return trial
