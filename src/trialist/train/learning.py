"""How a network learns, apart from what it is: optimizer, learning rate over time, early stopping, seed and device.

Reads the training section that the types built on torch share. Knows numbers, and no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trialist.core.errors import ConfigError
from trialist.train.data import seed_of
from trialist.train.model_type import Job
from trialist.train.values import number, one_of, optional_number, whole

TRAINING = frozenset(
    {
        "batch_size", "betas", "clip", "device", "epochs", "label_smoothing", "lr", "min_delta", "momentum", "optimizer",
        "patience", "schedule", "seed", "warmup", "weight_decay",
    }
)  # fmt: skip
"""What the training section may hold for the types that learn by gradients."""

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
SCHEDULES = ("constant", "linear", "cosine")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True, slots=True)
class Learning:
    """The training section, read and checked."""

    epochs: int
    batch_size: int
    lr: float
    """At its highest; ``rate`` tells it at each step."""
    optimizer: str
    betas: tuple[float, float]
    """Of Adam and AdamW."""
    momentum: float
    """Of SGD and RMSprop."""
    weight_decay: float
    schedule: str
    warmup: float
    """Share of all steps over which the rate climbs from 0."""
    clip: float | None
    """The largest norm that a gradient may have."""
    label_smoothing: float
    patience: int | None
    """Epochs without a better validation loss after which training ends; ``None``: it goes on to the last."""
    min_delta: float
    """By how much a loss must be lower to be better."""
    seed: int
    device: str

    @classmethod
    def of(cls, job: Job, *, epochs: int, batch_size: int, lr: float, optimizer: str = "adam") -> Learning:
        """What a job's training section says; the arguments hold where it says nothing.

        Raises:
            ConfigError: A value is wrong; names path and rule.
        """
        return cls(
            epochs=whole(job, "training", "epochs", epochs),
            batch_size=whole(job, "training", "batch_size", batch_size),
            lr=number(job, "training", "lr", lr),
            optimizer=one_of(job, "training", "optimizer", OPTIMIZERS, optimizer),
            betas=_betas(job),
            momentum=number(job, "training", "momentum", 0.9, high=1.0, below=True),
            weight_decay=number(job, "training", "weight_decay", 0.0),
            schedule=one_of(job, "training", "schedule", SCHEDULES, "constant"),
            warmup=number(job, "training", "warmup", 0.0, high=1.0, below=True),
            clip=optional_number(job, "training", "clip"),
            label_smoothing=number(job, "training", "label_smoothing", 0.0, high=1.0, below=True),
            patience=whole(job, "training", "patience"),
            min_delta=number(job, "training", "min_delta", 0.0),
            seed=seed_of(job.training, job.path("training", "seed")),
            device=one_of(job, "training", "device", DEVICES, "auto"),
        )

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at a step of so many.

        A function of both alone, so a resumed training has the rates of a whole one, and a changed ``lr`` acts at once.

        Args:
            step: From 0.
            steps: All steps of the training, over all epochs.
        """
        climb = round(self.warmup * steps)
        if step < climb:
            return self.lr * (step + 1) / climb
        share = (step - climb) / max(1, steps - climb)
        if self.schedule == "linear":
            return self.lr * (1.0 - share)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1.0 + math.cos(math.pi * share))
        return self.lr


def _betas(job: Job) -> tuple[float, float]:
    given = job.training.get("betas")
    if given is None:
        return 0.9, 0.999
    if (
        isinstance(given, list | tuple)
        and len(given) == 2
        and all(isinstance(beta, int | float) and not isinstance(beta, bool) and 0 <= beta < 1 for beta in given)
    ):
        return float(given[0]), float(given[1])
    raise ConfigError(
        f"must be two numbers from 0 and below 1, such as !fixed [0.9, 0.999], not {given!r}",
        path=job.path("training", "betas"),
    )
