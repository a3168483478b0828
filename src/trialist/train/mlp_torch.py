"""The network of model type ``mlp`` and its losses. Knows torch and tables as numbers, and no config."""

from __future__ import annotations

from typing import Any

import numpy as np

from trialist import registry
from trialist.train.data import Split, Table, standardize
from trialist.train.learning import Learning
from trialist.train.mlp import WHAT, Shape
from trialist.train.model_type import Job
from trialist.train.torch_fit import Course, device_of, fit, own_randomness

torch = registry.optional("torch", WHAT)

_ACTIVATIONS = {"relu": "ReLU", "gelu": "GELU", "tanh": "Tanh", "silu": "SiLU", "leaky_relu": "LeakyReLU"}
_AT_ONCE = 8192
"""Rows that are validated together."""


def train(job: Job, shape: Shape, learning: Learning, table: Table, split: Split) -> dict[str, float]:
    """Train the network on a table; see ``torch_fit.fit``."""
    device = device_of(learning)
    x = standardize(table.x, split.train) if shape.standardize else table.x
    with own_randomness(learning.seed, device):
        module = network(shape, x.shape[1], len(table.classes) or 1).to(device)
        inputs = torch.as_tensor(x, dtype=torch.float32, device=device)
        make = _classifying if table.classes else _regressing
        return fit(job, learning, make(module, inputs, table, split, learning))


def network(shape: Shape, num_features: int, num_outputs: int) -> Any:
    """The layers: linear, norm, activation and dropout for each width, and a linear one at the end."""
    layers: list[Any] = []
    last = num_features
    for width in shape.hidden:
        layers.append(torch.nn.Linear(last, width))
        if shape.norm != "none":
            layers.append(torch.nn.BatchNorm1d(width) if shape.norm == "batch" else torch.nn.LayerNorm(width))
        layers.append(getattr(torch.nn, _ACTIVATIONS[shape.activation])())
        if shape.dropout > 0:
            layers.append(torch.nn.Dropout(shape.dropout))
        last = width
    layers.append(torch.nn.Linear(last, num_outputs))
    return torch.nn.Sequential(*layers)


def _classifying(module: Any, inputs: Any, table: Table, split: Split, learning: Learning) -> Course:
    targets = torch.as_tensor(table.y, dtype=torch.long, device=inputs.device)
    cross_entropy = torch.nn.functional.cross_entropy

    def loss(rows: np.ndarray) -> Any:
        chosen = torch.from_numpy(split.train[rows]).to(inputs.device)
        return cross_entropy(module(inputs[chosen]), targets[chosen], label_smoothing=learning.label_smoothing)

    def evaluate() -> dict[str, float]:
        told, right = _outputs(module, inputs, split.val), targets[torch.from_numpy(split.val).to(inputs.device)]
        accuracy = float((told.argmax(dim=1) == right).double().mean())
        return {"val_loss": float(cross_entropy(told, right)), "val_accuracy": accuracy, "score": accuracy}

    return Course(module=module, rows=len(split.train), loss=loss, evaluate=evaluate)


def _regressing(module: Any, inputs: Any, table: Table, split: Split, learning: Learning) -> Course:
    # The network learns the target with mean 0 and deviation 1; what is told is in the target's own unit.
    mean, deviation = float(table.y[split.train].mean()), float(table.y[split.train].std()) or 1.0
    targets = torch.as_tensor((table.y - mean) / deviation, dtype=torch.float32, device=inputs.device)

    def loss(rows: np.ndarray) -> Any:
        chosen = torch.from_numpy(split.train[rows]).to(inputs.device)
        return torch.nn.functional.mse_loss(module(inputs[chosen]).squeeze(1), targets[chosen])

    def evaluate() -> dict[str, float]:
        told = _outputs(module, inputs, split.val).squeeze(1).double().cpu().numpy() * deviation + mean
        right = table.y[split.val]
        with np.errstate(over="ignore", invalid="ignore"):
            squares = float(np.mean((told - right) ** 2))
        spread = float(np.mean((right - right.mean()) ** 2))
        r2 = 1.0 - squares / spread if spread > 0 else float("nan")
        return {"val_loss": squares, "val_r2": r2, "score": r2}

    return Course(module=module, rows=len(split.train), loss=loss, evaluate=evaluate)


def _outputs(module: Any, inputs: Any, rows: np.ndarray) -> Any:
    chosen = torch.from_numpy(rows).to(inputs.device)
    return torch.cat([module(inputs[part]) for part in chosen.split(_AT_ONCE)])
