"""Tasks whose trials report every epoch: learning curves that schedulers may cut short.

LCBench's surrogates, by accuracy or by cross-entropy; and real trainings of scikit-learn's multi-layer perceptrons on bundled
data, tabulated once (a searcher that proposes params gets the nearest thing: an own training). Knows no scheduler.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks import lcbench
from tasks.real import data
from tasks.spaces import integer, log, log_integer, one_of, uniform
from tasks.task import Params, cache_room
from trialist.core.records import Metric, Mode
from trialist.space import SearchSpace

Floats = NDArray[np.float64]
MLP_EPOCHS = 40
MLP_DATA = ("digits", "breast_cancer", "wine", "diabetes")
POOL = 400


class Curve(NamedTuple):
    """A whole training, epoch by epoch, from epoch 1."""

    values: Floats
    """The metric, without noise."""
    seconds: Floats
    """Since the start."""


@dataclass(frozen=True, kw_only=True)
class CurveTask:
    """Something to train."""

    name: str
    space: SearchSpace
    steps: int
    metric: Metric
    curves: Callable[[Sequence[Params]], list[Curve]]
    """Many at once."""
    table: Callable[[], tuple[list[Params], list[Curve]]] | None = None
    """Trainings that were done already, where one takes seconds: random search draws from these."""
    version: int = 1

    @property
    def sign(self) -> float:
        """Times this, a value is a loss."""
        return 1.0 if self.metric.mode is Mode.MIN else -1.0

    def drawn(self, rng: random.Random, trials: int) -> tuple[list[Params], list[Curve]]:
        """Random params, all different, with their curves."""
        if self.table is None:
            params = [self.space.sample(rng) for _ in range(trials)]
            return params, self.curves(params)
        params, curves = self.table()
        picked = rng.sample(range(len(params)), trials)
        return [params[at] for at in picked], [curves[at] for at in picked]

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The least loss of any epoch, and the median loss after full trainings, of random params."""
        path = cache_room() / "pools" / f"curves-{self.name}-{self.metric.name}-{self.version}.npy"
        if path.is_file():
            best, median = np.load(path)
            return float(best), float(median)
        _, curves = self.drawn(random.Random("scale"), POOL) if self.table is None else self.table()
        losses = self.sign * np.array([curve.values for curve in curves])
        scale = float(losses.min()), float(np.median(losses[:, -1]))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.array(scale))
        return scale

    @property
    def unit(self) -> float:
        """From the best to the median: what noise is measured in."""
        best, median = self.scale
        return median - best


METRICS = {
    "val_accuracy": Metric(name="val_accuracy", mode=Mode.MAX),
    "val_cross_entropy": Metric(name="val_cross_entropy", mode=Mode.MIN),
    "val_balanced_accuracy": Metric(name="val_balanced_accuracy", mode=Mode.MAX),
}


def _lcbench_curves(instance: int, metric: str, points: Sequence[Params]) -> list[Curve]:
    out = lcbench.predict(instance, points, range(1, lcbench.EPOCHS + 1))
    seconds, values = out[:, :, 0], out[:, :, lcbench.OUTPUTS.index(metric)]
    # A surrogate's time may fall by a little from one epoch to the next.
    seconds = np.maximum.accumulate(np.maximum(seconds, 1e-3), axis=1)
    return [Curve(values[at], seconds[at]) for at in range(len(points))]


def lcbench_curves(metric: str = "val_accuracy") -> list[CurveTask]:
    """The ten data sets, by one metric."""
    return [
        CurveTask(
            name=f"lcbench-{instance}",
            space=lcbench.SPACE,
            steps=lcbench.EPOCHS,
            metric=METRICS[metric],
            curves=partial(_lcbench_curves, instance, metric),
        )
        for instance in lcbench.INSTANCES
    ]


# --- real trainings ---

MLP_SPACE = SearchSpace.of(
    {
        "layers": integer(1, 3),
        "units": log_integer(8, 96),
        "activation": one_of("relu", "tanh"),
        "alpha": log(1e-6, 1.0),
        "batch_size": log_integer(8, 128),
        "lr": log(1e-4, 0.3),
        "momentum": uniform(0.0, 0.98),
    }
)
MLP_TRAININGS = 220


def train(name: str, params: Params, seed: int = 0) -> Curve:
    """A perceptron on a bundled data set: log loss (classes) or relative squared error after each epoch."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x, y, x_test, y_test = data(name, 500, 1).folds[0]
    kind: Any = MLPRegressor if name == "diabetes" else MLPClassifier
    model = kind(
        hidden_layer_sizes=(params["units"],) * params["layers"],
        activation=params["activation"],
        alpha=params["alpha"],
        batch_size=params["batch_size"],
        solver="sgd",
        learning_rate_init=params["lr"],
        momentum=params["momentum"],
        random_state=seed,
    )
    values, seconds, began = [], [], time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(MLP_EPOCHS):
            try:
                more = {} if name == "diabetes" else {"classes": np.unique(y)}
                values.append(_judge(model.partial_fit(x, y, **more), x_test, y_test))
            except ValueError:  # it diverged: so it stays
                values.append(WORST)
            seconds.append(time.process_time() - began)
    return Curve(np.array(values), np.array(seconds))


WORST = 5.0
"""What a training that diverged shows; greater losses are cut there."""


def _judge(model: Any, x: Floats, y: NDArray[Any]) -> float:
    if not hasattr(model, "predict_proba"):
        loss = np.mean((model.predict(x) - y) ** 2) / np.var(y)
    else:
        chances = model.predict_proba(x)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
        loss = -np.mean(np.log(np.clip(chances, 1e-6, 1.0)))
    return float(min(loss, WORST)) if np.isfinite(loss) else WORST


@cache
def _table(name: str) -> tuple[list[Params], list[Curve]]:
    """Trainings with random params, done once on this machine."""
    rng = random.Random(f"table of {name}")
    params = [MLP_SPACE.sample(rng) for _ in range(MLP_TRAININGS)]
    path = cache_room() / "pools" / f"mlp-{name}-1-{MLP_TRAININGS}.npz"
    if path.is_file():
        kept = np.load(path)
        return params, [Curve(*pair) for pair in zip(kept["values"], kept["seconds"], strict=True)]
    curves = [train(name, one) for one in params]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, values=[one.values for one in curves], seconds=[one.seconds for one in curves])
    return params, curves


def mlp_curves() -> list[CurveTask]:
    """A task a bundled data set."""
    return [
        CurveTask(
            name=f"mlp-{name}",
            space=MLP_SPACE,
            steps=MLP_EPOCHS,
            metric=Metric(name="val_loss", mode=Mode.MIN),
            curves=lambda points, name=name: [train(name, one) for one in points],
            table=partial(_table, name),
        )
        for name in MLP_DATA
    ]
