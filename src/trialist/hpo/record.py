"""What is stored of an optimisation, so that another process can go on with it: the study's ``config``.

With it and a trial's params everything about a training is determined. Knows JSON and names; touches no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trialist.core.errors import ConfigError
from trialist.hpo.sections import Sections

DOOR = "hpo"
VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class HPORecord:
    """An optimisation as it is stored."""

    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    places: dict[str, str]
    """Dotted path of a parameter to the dotted path of its place: ``{"lr": "training.lr"}``."""
    modules: tuple[str, ...] = ()
    """Modules that register the model types in use; empty: those that come with Trialist, or with a plugin."""
    engine: str = "local"
    """Which engine runs the trials."""
    own_engine: str = ""
    """The class of a training engine of the user's own, which only the user's process has."""
    timeout_s: float | None = None

    @property
    def sections(self) -> Sections:
        return Sections(self.model, self.data, self.training)

    def to_json(self) -> dict[str, Any]:
        return {DOOR: VERSION, **asdict(self), "modules": list(self.modules)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], name: str) -> HPORecord:
        """The record of the study ``name``.

        Raises:
            ConfigError: The study was not made by ``optimize``, or by a newer Trialist.
        """
        version = data.get(DOOR)
        if version is None:
            raise ConfigError(f"the study '{name}' was not made by HPOptimizer; go on with it as it was made.")
        if version != VERSION:
            raise ConfigError(f"the study '{name}' was made by a newer Trialist: pip install --upgrade trialist")
        values = {key: value for key, value in data.items() if key != DOOR}
        return cls(**{**values, "modules": tuple(values["modules"])})

    def differences(self, other: HPORecord) -> dict[str, tuple[Any, Any]]:
        """What of the trainings differs, as ``{path: (here, there)}``; how they are run may change."""
        out: dict[str, tuple[Any, Any]] = {}
        for section, here in self.sections.tree.items():
            there = other.sections.tree[section]
            for name in dict.fromkeys([*here, *there]):
                if here.get(name) != there.get(name):
                    out[f"{section}_config.{name}"] = (_said(here, name), _said(there, name))
        for name in dict.fromkeys([*self.places, *other.places]):
            if self.places.get(name) != other.places.get(name):
                out[f"place of {name}"] = (self.places.get(name, "none"), other.places.get(name, "none"))
        return out


def _said(config: Mapping[str, Any], name: str) -> str:
    return repr(config[name]) if name in config else "not there"
