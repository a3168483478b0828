"""Model type ``mlp``: a network of fully connected layers for tables, classes and amounts alike, in torch.

Reads and checks what a config says of it; the network itself is in ``mlp_torch``, loaded when training starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from trialist import registry
from trialist.core.errors import ConfigError
from trialist.core.records import Metric, Mode
from trialist.train import data as tables
from trialist.train.learning import TRAINING, Learning
from trialist.train.model_type import Config, Declaration, Job
from trialist.train.values import number, one_of, switch, whole

MODEL = frozenset({"activation", "depth", "dropout", "hidden", "norm", "task", "width"})
ACTIVATIONS = ("relu", "gelu", "tanh", "silu", "leaky_relu")
NORMS = ("none", "batch", "layer")
TASKS = ("auto", "classification", "regression")
WHAT = "model type 'mlp'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The model section, read and checked."""

    hidden: tuple[int, ...]
    """Width of each hidden layer."""
    activation: str
    norm: str
    dropout: float
    classify: bool | None
    """``None``: the data says."""
    standardize: bool

    @classmethod
    def of(cls, job: Job) -> Shape:
        """What a job says.

        Raises:
            ConfigError: A value is wrong; names path and rule.
        """
        task = one_of(job, "model", "task", TASKS, "auto")
        return cls(
            hidden=_hidden(job),
            activation=one_of(job, "model", "activation", ACTIVATIONS, "relu"),
            norm=one_of(job, "model", "norm", NORMS, "none"),
            dropout=number(job, "model", "dropout", 0.0, high=1.0, below=True),
            classify=None if task == "auto" else task == "classification",
            standardize=switch(job, "data", "standardize", default=True),
        )


class MlpModel:
    """A multilayer perceptron; features are standardised unless ``data.standardize`` says ``false``.

    Classifiers report ``val_loss`` (log loss), ``val_accuracy`` and ``score`` (= accuracy); regressors ``val_loss`` (mean
    squared error in the target's own unit), ``val_r2`` and ``score`` (= R²); both ``train_loss``, as it is minimised.
    """

    def describe(self, model: Config) -> Declaration:
        registry.require("torch", WHAT)
        told = {"classification": ("val_accuracy",), "regression": ("val_r2",)}.get(str(model.get("task")))
        return Declaration(
            model=MODEL,
            data=tables.NAMES,
            training=TRAINING,
            metrics=("train_loss", "val_loss", *(told or ("val_accuracy", "val_r2")), "score"),
            primary=Metric(name="val_loss", mode=Mode.MIN),
        )

    def check(self, job: Job) -> None:
        Shape.of(job), _learning(job)

    def train(self, job: Job) -> dict[str, float]:
        shape, learning = Shape.of(job), _learning(job)
        table = tables.load(job.data, classify=shape.classify)
        metrics: dict[str, float] = registry.resolve("trialist.train.mlp_torch:train", WHAT)(
            job, shape, learning, table, tables.split(table, job.data)
        )
        return metrics


def _learning(job: Job) -> Learning:
    return Learning.of(job, epochs=20, batch_size=64, lr=1e-3)


def _hidden(job: Job) -> tuple[int, ...]:
    given = job.model.get("hidden")
    if given is None:
        return (whole(job, "model", "width", 64),) * whole(job, "model", "depth", 2, least=0)
    path = job.path("model", "hidden")
    if not isinstance(given, list | tuple) or not all(type(one) is int and one > 0 for one in given):
        raise ConfigError(f"must be a list of layer widths, such as [64, 32], not {given!r}", path=path)
    for other in ("width", "depth"):
        if other in job.model:
            raise ConfigError(f"says the same as {job.path('model', other)}; keep one of them", path=path)
    return tuple(given)
