"""What a model type is: the port that every built-in type and every registered one implements.

Knows the shape of a training job and nothing of any library; a type is a file of its own around its one library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trialist.core.records import Metric

Config = Mapping[str, Any]
"""A section of a config: JSON."""


ALIASES = {"learning_rate": "lr", "num_epochs": "epochs"}
"""Names in the training section that mean another one, the same for every type."""


class Reporter(Protocol):
    """Where metrics go while a model trains. May raise ``Stopped`` or ``Paused``: let them pass."""

    def __call__(self, *, step: int, **metrics: float) -> object: ...


class Checkpoints(Protocol):
    """Where a training keeps its state, and finds the one to start from; a study's trial handle is one."""

    @property
    def checkpoint(self) -> Path | None:
        """The directory to start from; ``None``: start from nothing."""
        ...

    @property
    def resume_step(self) -> int | None:
        """The step to go on from, as if never stopped; ``None``: take over what was learned, and count from 0."""
        ...

    @property
    def warm_start(self) -> str | None:
        """What to take over from ``checkpoint``: ``weights``, ``optimizer`` (both) or ``resume`` (everything)."""
        ...

    def save_checkpoint(self, write: Callable[[Path], object]) -> object:
        """Call ``write`` with an empty directory that becomes the checkpoint of the last reported step."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    """What a model type, with this model config, understands and tells."""

    model: frozenset[str] | None
    """Names that the model section may hold; ``None``: any."""
    data: frozenset[str] | None
    training: frozenset[str] | None
    metrics: tuple[str, ...]
    """What it reports; ``score`` is among them: higher is better, whatever the type."""
    primary: Metric
    """What to optimise where nobody says otherwise."""

    def section_of(self, name: str) -> str | None:
        """The section that consumes a bare parameter name: ``model``, ``training`` or ``data``; ``None``: nobody does."""
        for section, names in (("model", self.model), ("training", self.training), ("data", self.data)):
            if names is not None and name in names:
                return section
        if self.training is not None and ALIASES.get(name) in self.training:
            return "training"
        return "model" if self.model is None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One training, ready to go: aliases resolved, unknown names refused."""

    model: Config
    """The hyperparameters, flat and under ``hyperparameters`` alike, without ``type``."""
    data: Config
    training: Config
    """``lr``, ``epochs``, ``batch_size`` and ``seed`` under these names, whichever alias was written."""
    report: Reporter
    checkpoints: Checkpoints | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    """``section.name`` to the dotted path it was written at, where that is another one."""

    def path(self, section: str, name: str) -> str:
        """The dotted path a name was written at, for messages."""
        return self.paths.get(f"{section}.{name}", f"{section}.{name}")


class ModelType(Protocol):
    """A kind of model that can be trained; made anew for each training, without arguments.

    One that also has ``check(job)`` says there what is wrong with the values of a job, before any data is touched: whoever
    plans many trainings asks it first.
    """

    def describe(self, model: Config) -> Declaration:
        """What this type understands and tells, given the model section (``type`` left out).

        Raises:
            ConfigError: The section does not say which model is meant.
            MissingExtra: The library of this type is not installed.
        """
        ...

    def train(self, job: Job) -> dict[str, float]:
        """Train, report per epoch where there are epochs, and return the last metrics.

        Same job, same machine, same library versions: same metrics. Where ``job.checkpoints`` is given and the training
        has epochs, it checkpoints after each report and goes on from there.

        Raises:
            ConfigError: A value, or the data, is wrong; says where.
        """
        ...
