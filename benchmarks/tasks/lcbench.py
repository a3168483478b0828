"""LCBench: neural networks on real data sets, epoch by epoch, as a surrogate (``data/lcbench``).

Ten data sets to develop and measure on. Knows no searcher and no scheduler.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.task import ROOM, Params, Task
from trialist.space import SearchSpace

DATA = ROOM / "data" / "lcbench"
INSTANCES = (3945, 7593, 34539, 126025, 126029, 146212, 167104, 168868, 189354, 189909)
EPOCHS = 52
SPACE = SearchSpace.of(
    {
        "batch_size": {"type": "lograndint", "low": 16, "high": 512},
        "learning_rate": {"type": "loguniform", "low": 1e-4, "high": 0.1},
        "momentum": {"type": "uniform", "low": 0.1, "high": 0.99},
        "weight_decay": {"type": "uniform", "low": 1e-5, "high": 0.1},
        "num_layers": {"type": "randint", "low": 1, "high": 5},
        "max_units": {"type": "lograndint", "low": 64, "high": 1024},
        "max_dropout": {"type": "uniform", "low": 0.0, "high": 1.0},
    }
)
OUTPUTS = (
    "time",
    "val_accuracy",
    "val_cross_entropy",
    "val_balanced_accuracy",
    "test_cross_entropy",
    "test_balanced_accuracy",
)
_NAMES = tuple(SPACE.paths)


@cache
def _session() -> Any:
    import onnxruntime  # here, so that real tasks are there without it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(DATA / "model.onnx"), sess_options=options, providers=["CPUExecutionProvider"]
    )


@cache
def _codes() -> dict[str, int]:
    return json.loads((DATA / "encoding.json").read_text("utf-8"))["OpenML_task_id"]


def predict(instance: int, points: Sequence[Params], epochs: Sequence[int]) -> NDArray[np.float64]:
    """What trainings reach: (points, epochs, outputs), in the order of ``OUTPUTS``."""
    rows = np.array([[point[name] for name in _NAMES] for point in points], dtype=np.float32)
    steps = np.tile(np.asarray(epochs, dtype=np.float32), len(points))[:, None]
    continuous = np.hstack([steps, np.repeat(rows, len(epochs), axis=0)])
    session = _session()
    inputs = {}
    for given in session.get_inputs():
        if given.type == "tensor(float)":
            inputs[given.name] = continuous
        else:
            kind = np.int32 if given.type == "tensor(int32)" else np.int64
            inputs[given.name] = np.full((len(continuous), 1), _codes()[str(instance)], dtype=kind)
    (out,) = session.run(None, inputs)
    return np.asarray(out, dtype=np.float64).reshape(len(points), len(epochs), len(OUTPUTS))


def error(instance: int, points: Sequence[Params]) -> NDArray[np.float64]:
    """The share of the validation data that a full training gets wrong, for each of many params."""
    return 1.0 - predict(instance, points, [EPOCHS])[:, 0, OUTPUTS.index("val_accuracy")] / 100.0


def _loss(instance: int, params: Params) -> float:
    return float(error(instance, [params])[0])


def lcbench_tasks() -> list[Task]:
    """A task a data set: the validation error after a full training."""
    return [
        Task(
            name=f"lcbench-{instance}",
            group="lcbench",
            space=SPACE,
            loss=partial(_loss, instance),
            losses=partial(error, instance),
            pool=5000,
        )
        for instance in INSTANCES
    ]
