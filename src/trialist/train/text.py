"""Model type ``text_classifier``: an encoder of the Hugging Face kind, and a head that is a list of layers.

Reads and checks what a config says; encoder and head are made in ``text_torch``, loaded when training starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trialist import registry
from trialist.core.errors import ConfigError, nearest
from trialist.core.records import Metric, Mode
from trialist.train import text_data
from trialist.train.data import split
from trialist.train.learning import TRAINING, Learning
from trialist.train.model_type import Config, Declaration, Job
from trialist.train.values import number, one_of, switch, whole

TINY = "tiny"
"""The encoder that is made here, with random weights and a vocabulary of the training texts: needs no download."""

MODEL = frozenset({"classification_head", "dropout", "freeze", "max_length", "name", "pooling"})
TINY_MODEL = frozenset({"depth", "heads", "vocab_size", "width"})
"""What else the section may hold for ``tiny``; other encoders bring their shape along."""

LAYERS: Mapping[str, frozenset[str]] = {
    "linear": frozenset({"out_features"}),
    "relu": frozenset(),
    "gelu": frozenset(),
    "tanh": frozenset(),
    "dropout": frozenset({"p"}),
    "layernorm": frozenset(),
}
"""Kinds of layers of a head, and what each may be given."""

WHAT = "model type 'text_classifier'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One layer of the head."""

    kind: str
    out_features: int | None = None
    """Of ``linear``; ``None`` in the last one: as many as there are classes."""
    p: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """The model section, read and checked."""

    name: str
    head: tuple[Layer, ...]
    head_path: str
    """Where it was written."""
    pooling: str
    freeze: bool
    max_length: int
    """Tokens of a text that are read."""
    width: int
    depth: int
    heads: int
    vocab_size: int

    @classmethod
    def of(cls, job: Job) -> Reader:
        """What a job says.

        Raises:
            ConfigError: A value is wrong; names path and rule.
        """
        name = job.model.get("name", TINY)
        if not isinstance(name, str) or not name:
            raise ConfigError(f"must be '{TINY}', a directory or a model's name, not {name!r}", path="model.name")
        width, heads = whole(job, "model", "width", 64), whole(job, "model", "heads", 2)
        if width % heads:
            raise ConfigError(f"must divide the width {width}, and {heads} does not", path=job.path("model", "heads"))
        return cls(
            name=name,
            head=_head(job),
            head_path=job.path("model", "classification_head") + ".architecture",
            pooling=one_of(job, "model", "pooling", ("mean", "first"), "mean"),
            freeze=switch(job, "model", "freeze", default=False),
            max_length=whole(job, "model", "max_length", 128, least=2),
            width=width,
            depth=whole(job, "model", "depth", 2),
            heads=heads,
            vocab_size=whole(job, "model", "vocab_size", 4000, least=4),
        )


class TextClassifier:
    """An encoder, the mean (or the first) of its outputs, and a head; all of it is trained, or the head with ``freeze``.

    ``model.name`` is ``tiny`` (made here), a directory that ``save_pretrained`` wrote, or a model of the Hugging Face hub.
    Reports ``train_loss``, ``val_loss``, ``val_accuracy`` and ``score`` (= accuracy) each epoch.
    """

    def describe(self, model: Config) -> Declaration:
        registry.require("transformers", WHAT)
        registry.require("torch", WHAT)
        return Declaration(
            model=MODEL | TINY_MODEL if model.get("name", TINY) == TINY else MODEL,
            data=text_data.NAMES,
            training=TRAINING,
            metrics=("train_loss", "val_loss", "val_accuracy", "score"),
            primary=Metric(name="val_accuracy", mode=Mode.MAX),
        )

    def check(self, job: Job) -> None:
        _learning(job, Reader.of(job))

    def train(self, job: Job) -> dict[str, float]:
        reader = Reader.of(job)
        learning = _learning(job, reader)
        texts = text_data.load_texts(job.data)
        metrics: dict[str, float] = registry.resolve("trialist.train.text_torch:train", WHAT)(
            job, reader, learning, texts, split(texts, job.data)
        )
        return metrics


def _learning(job: Job, reader: Reader) -> Learning:
    rate = 1e-3 if reader.name == TINY else 2e-5
    return Learning.of(job, epochs=3, batch_size=32, lr=rate, optimizer="adamw")


def _head(job: Job) -> tuple[Layer, ...]:
    """The head's layers; without any: dropout and one linear layer."""
    usual = number(job, "model", "dropout", 0.1, high=1.0, below=True)
    path = job.path("model", "classification_head")
    head = job.model.get("classification_head")
    if head is None:
        return (Layer(kind="dropout", p=usual), Layer(kind="linear"))
    layers = head.get("architecture") if isinstance(head, Mapping) else None
    if not isinstance(layers, list) or not layers:
        raise ConfigError("must hold 'architecture', a list of layers such as {type: linear}", path=path)
    for other in [name for name in head if name != "architecture"]:
        raise ConfigError("nothing reads this name; a head has 'architecture' alone", path=f"{path}.{other}")
    read = tuple(_layer(layer, f"{path}.architecture.{place}", usual) for place, layer in enumerate(layers))
    if read[-1].kind != "linear":
        raise ConfigError("the last layer must be linear: it tells the classes", path=f"{path}.architecture")
    for place, one in enumerate(read[:-1]):
        if one.kind == "linear" and one.out_features is None:
            raise ConfigError(
                "needs out_features, as every linear layer but the last", path=f"{path}.architecture.{place}"
            )
    return read


def _layer(layer: Any, path: str, usual: float) -> Layer:
    if isinstance(layer, str):
        layer = {"type": layer}
    if not isinstance(layer, Mapping) or not isinstance(layer.get("type"), str):
        raise ConfigError("must be a mapping with the 'type' of a layer, such as {type: relu}", path=path)
    kind = layer["type"]
    if kind not in LAYERS:
        raise ConfigError(f"no layer is called '{kind}'.{nearest(kind, LAYERS)}", path=f"{path}.type")
    for name in layer:
        if name != "type" and name not in LAYERS[kind]:
            raise ConfigError(
                f"a {kind} layer has no '{name}'.{nearest(str(name), LAYERS[kind])}", path=f"{path}.{name}"
            )
    # A layer's values are checked as those of a section are.
    one = Job(
        model=layer, data={}, training={}, report=_silent, paths={f"model.{name}": f"{path}.{name}" for name in layer}
    )
    return Layer(
        kind=kind,
        out_features=whole(one, "model", "out_features"),
        p=number(one, "model", "p", usual, high=1.0, below=True) if kind == "dropout" else 0.0,
    )


def _silent(*, step: int, **metrics: float) -> None:
    """A layer reports nothing."""
