"""Made-up functions that cost nothing: noise, conditions, discrete spaces, many dimensions. For development; none counts.

Knows no searcher.
"""

from __future__ import annotations

import math

from tasks.spaces import integer, log, one_of, uniform
from tasks.task import Params, Task
from trialist.space import SearchSpace


def _branin(params: Params) -> float:
    x, y = params["x"], params["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def _valley(params: Params) -> float:
    points = [params[f"x{k}"] for k in range(10)]
    return math.fsum((x - 0.31 - 0.05 * k) ** 2 * (10 if k < 3 else 0.1) for k, x in enumerate(points))


def _network(params: Params) -> float:
    """A deep space: an optimizer with parameters of its own, a scheduler inside of it, and a regularizer."""
    optimizer, regularizer = params["optimizer"], params["regularizer"]
    loss = 0.3 if optimizer["name"] == "sgd" else 0.2
    loss += 0.05 * (math.log10(optimizer["lr"]) - (-1.3 if optimizer["name"] == "sgd" else -2.8)) ** 2
    if optimizer["name"] == "sgd":
        loss += 0.4 * (optimizer["momentum"] - 0.9) ** 2
        schedule = optimizer["schedule"]
        if schedule["name"] == "cosine":
            loss -= 0.15 * math.exp(-((schedule["warmup"] - 6) ** 2) / 20)
        elif schedule["name"] == "step":
            loss -= 0.1 * math.exp(-40 * (schedule["gamma"] - 0.3) ** 2)
    if regularizer["name"] == "dropout":
        loss -= 0.05 * math.exp(-30 * (regularizer["rate"] - 0.2) ** 2)
    elif regularizer["name"] == "decay":
        loss -= 0.06 * math.exp(-((math.log10(regularizer["weight"]) + 3.5) ** 2))
    return loss + 0.02 * abs(params["depth"] - 4)


def _discrete(params: Params) -> float:
    """Choices that act together: none of them can be found alone."""
    picked = [params[f"c{k}"] for k in range(6)]
    hits = sum(one == two for one, two in zip(picked, ("a", "c", "b", "d", "a", "b"), strict=True))
    pairs = sum(picked[k] == picked[k + 2] for k in range(4))
    return 6.0 - hits - 0.3 * pairs + 0.05 * abs(params["n"] - 7) + (0.5 if hits == 5 else 0.0)


def _needle(params: Params) -> float:
    """A slope that leads away from a narrow optimum."""
    x, y = params["x"], params["y"]
    return (
        1
        - 0.5 * math.exp(-((x - 0.8) ** 2 + (y - 0.8) ** 2) / 0.3)
        - math.exp(-((x - 0.2) ** 2 + (y - 0.3) ** 2) / 0.005)
    )


SPACES = {
    "branin": {"x": uniform(-5.0, 10.0), "y": uniform(0.0, 15.0)},
    "valley": {f"x{k}": uniform(0.0, 1.0) for k in range(10)},
    "network": {
        "depth": integer(1, 8),
        "optimizer": one_of(
            {"name": "adam", "lr": log(1e-5, 0.1)},
            {
                "name": "sgd",
                "lr": log(1e-4, 1.0),
                "momentum": uniform(0.0, 0.99),
                "schedule": one_of(
                    {"name": "constant"},
                    {"name": "cosine", "warmup": integer(0, 20)},
                    {"name": "step", "gamma": uniform(0.05, 0.9), "every": integer(1, 30)},
                ),
            },
        ),
        "regularizer": one_of(
            {"name": "none"},
            {"name": "dropout", "rate": uniform(0.0, 0.8)},
            {"name": "decay", "weight": log(1e-7, 0.1)},
        ),
    },
    "discrete": {**{f"c{k}": one_of("a", "b", "c", "d") for k in range(6)}, "n": integer(0, 12)},
    "needle": {"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)},
}
LOSSES = {"branin": _branin, "valley": _valley, "network": _network, "discrete": _discrete, "needle": _needle}
NOISE = {"branin": 5.0, "network": 0.05, "valley": 0.2}


def synthetic_tasks() -> list[Task]:
    """Each function, and the noisy ones again without being so sure of what they see."""
    tasks = []
    for name, loss in LOSSES.items():
        space = SearchSpace.of(SPACES[name])
        tasks.append(Task(name=name, group="synthetic", space=space, loss=loss, pool=2000))
        if name in NOISE:
            noisy = Task(name=f"{name}-noisy", group="synthetic", space=space, loss=loss, noise=NOISE[name], pool=2000)
            tasks.append(noisy)
    return tasks
