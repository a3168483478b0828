"""What is stored of a sweep, so that another process can go on with it: the study's ``config``.

With it and a trial's number and params everything about a run is determined: its directory, its config, its command.
Knows JSON and names; touches no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trialist.core.errors import ConfigError
from trialist.sweep.layout import SweepFiles

VERSION = 1
_KEY = "sweep"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepRecord:
    """A sweep as it is stored."""

    stem: str
    """Prefix and start time: what the names of its directories begin with; also the study's name."""
    source: str
    """The config's file, as the user gave it."""
    text: str
    """The config's text at the start: later changes of the file do not reach a sweep that is under way."""
    paths: tuple[str, ...]
    """Dotted paths of what varies, in the order of the names."""
    runs: str
    """The directory ``runs/``, absolute."""
    cwd: str
    """Where it was started, and where its commands run; absolute."""
    command: tuple[str, ...]
    timeout_s: float | None = None

    @property
    def files(self) -> SweepFiles:
        return SweepFiles(runs=Path(self.runs), stem=self.stem)

    def to_json(self) -> dict[str, Any]:
        return {_KEY: VERSION, **asdict(self), "paths": list(self.paths), "command": list(self.command)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], name: str) -> SweepRecord:
        """The record of the study ``name``.

        Raises:
            ConfigError: The study is no sweep, or was made by a newer Trialist.
        """
        version = data.get(_KEY)
        if version is None:
            raise ConfigError(f"the study '{name}' is no sweep; go on with it through the door that made it.")
        if version != VERSION:
            raise ConfigError(f"the sweep '{name}' was made by a newer Trialist: pip install --upgrade trialist")
        values = {key: value for key, value in data.items() if key != _KEY}
        return cls(**{**values, "paths": tuple(values["paths"]), "command": tuple(values["command"])})
