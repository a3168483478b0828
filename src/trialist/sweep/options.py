"""What somebody asks of a sweep: the options of the command line as one record. Knows no command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trialist.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepOptions:
    """A sweep as it is asked for; every default is that of the command line."""

    config: Path | str | None = None
    """``None``: the first ``.yaml`` or ``.yml`` of ``config/``, alphabetically."""
    run_prefix: str | None = None
    """``None``: ``run``."""
    param_variations: Sequence[str] | Mapping[str, Any] = ()
    """``["path=v1,v2", "+path=v1"]`` or ``{"path": [v1, v2]}``."""
    command: Sequence[str] = ()
    """What follows ``--``."""
    execute: bool = True
    """``False``: directories and configs only."""
    search: str | None = None
    """A searcher's name; ``None``: ``grid``."""
    num_trials: int | None = None
    jobs: int | None = None
    """How many runs at once; ``None``: 1, or with ``resume`` what the sweep had."""
    metric: str | None = None
    mode: str | None = None
    scheduler: str | None = None
    gpus_per_run: float | None = None
    seed: int = 0
    timeout_s: float | None = None
    cold: bool = False
    """Start each run as a new process with its own imports."""
    queue: bool = False
    """Hand it to workers instead of leading it here."""
    plan: bool = False
    """Print what would be done, and do nothing."""
    resume: str | None = None
    """A sweep's name; ``""``: the last one of this directory that was interrupted."""
    quiet: bool = False
    json: bool = False
    retries: int = 0
    max_failures: int | None = None
    store: str | None = None
    """URL of the store; ``None``: the user's own."""

    def check(self) -> None:
        """Raise ConfigError where a number is out of its range or options contradict each other."""
        for name, least in (("num_trials", 1), ("jobs", 1), ("retries", 0), ("max_failures", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{option(name)} must be at least {least}, not {value}.")
        for name in ("gpus_per_run", "timeout_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{option(name)} must be above 0, not {value}.")
        if self.queue and not self.execute:
            raise ConfigError(
                "--queue has workers execute the runs, and --no-execute has nobody do so: give one of them."
            )
        if self.resume is not None and self.queue:
            raise ConfigError("a sweep that is there already is handed to workers with 'trialist queue NAME'.")
        if self.resume is not None:
            given = [option(name) for name in self._given() if name not in _WITH_RESUME]
            if given:
                raise ConfigError(
                    f"--resume goes on with the settings that the sweep was started with, so {' and '.join(given)} cannot "
                    "be given with it; --jobs, --num-trials, --timeout-s, --quiet and --json can."
                )

    def _given(self) -> list[str]:
        return [one.name for one in fields(self) if getattr(self, one.name) != one.default]


_WITH_RESUME = frozenset({"resume", "jobs", "num_trials", "timeout_s", "quiet", "json", "store"})


def option(name: str) -> str:
    """What an option is called on the command line."""
    return {"execute": "--no-execute", "command": "the command after --"}.get(name, f"--{name.replace('_', '-')}")


def first_config(directory: Path) -> Path:
    """The first config of ``config/``, alphabetically.

    Raises:
        ConfigError: There is none.
    """
    folder = directory / "config"
    found = sorted(
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix in (".yaml", ".yml") and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        why = "has no .yaml or .yml file in it" if folder.is_dir() else "is not there"
        raise ConfigError(f"which config? Without --config the first one of '{folder}' is taken, and that {why}.")
    return found[0]
