"""Where a study's files live, and how callables and people are named. Knows no store's inside and no study's state."""

from __future__ import annotations

import inspect
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trialist.core.errors import ConfigError, ObjectiveError
from trialist.store.files import data_dir

ENV_ARTIFACTS = "TRIALIST_ARTIFACTS"
_NAME_BYTES = 200


def check_name(name: object) -> str:
    """A study's name, or the error that says what is wrong with it."""
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"a study's name must be a text of at least one letter, not {name!r}", path="name")
    if any("\ud800" <= char <= "\udfff" for char in name):
        raise ConfigError(f"a study's name must be valid Unicode, not {name!r}", path="name")
    if len(name.encode()) > _NAME_BYTES:
        raise ConfigError(
            f"a study's name may take {_NAME_BYTES} bytes; this one takes {len(name.encode())}", path="name"
        )
    if any(ord(char) < 32 for char in name) or "/" in name or name.startswith("-"):
        raise ConfigError(
            f"a study's name may not hold control characters or '/', nor start with '-': {name!r}", path="name"
        )
    return name


def artifacts_root(store_url: str) -> Path:
    """Where the artifacts of a store's studies lie: beside the database and named after it, or in the temporary directory.

    ``TRIALIST_ARTIFACTS`` names another place, for a store whose workers are on several machines: a directory of this store's
    alone. Databases in one directory never share it, so that what belongs to no study of a store belongs to nobody.
    """
    named = os.environ.get(ENV_ARTIFACTS, "")
    if named:
        return Path(named).expanduser().absolute()
    if store_url.startswith("sqlite:///"):
        database = Path(store_url.removeprefix("sqlite:///")).resolve()
        return database.with_name(f"{database.name}-artifacts")
    if store_url.startswith("postgresql://"):
        return data_dir() / "artifacts"  # studies of all servers: their ids tell them apart
    return Path(tempfile.gettempdir()) / f"trialist-artifacts-{os.getuid()}"  # no two users share it


def artifacts_dir(store_url: str, study_id: str, name: str) -> Path:
    """The directory of a study's checkpoints and logs."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:60].strip(".") or "study"
    return artifacts_root(store_url) / f"{safe}-{study_id[:8]}"


def trial_dir(root: Path, number: int) -> Path:
    """A trial's own directory."""
    return root / f"trial-{number:05d}"


def describe_objective(objective: Callable[..., Any]) -> Mapping[str, Any]:
    """What a callable is called, as data: ``{"function": "module:qualname"}``.

    A function of ``__main__`` is named by its script, so that a study knows it again when the script runs anew.

    Raises:
        ObjectiveError: It is not callable.
    """
    if not callable(objective):
        raise ObjectiveError(
            f"the objective must be a function that takes the trial (or its params), not {type(objective).__name__}"
        )
    module = getattr(objective, "__module__", None) or type(objective).__module__
    qualname = getattr(objective, "__qualname__", None) or type(objective).__qualname__
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None)
        module = Path(script).name if script else "__main__"
    return {"function": f"{module}:{qualname}"}


def importable(objective: Callable[..., Any]) -> str | None:
    """``module:qualname`` or ``path.py:qualname`` under which another process finds the function; ``None``: it cannot."""
    if (
        not inspect.isfunction(objective)
        or "<locals>" in objective.__qualname__
        or "<lambda>" in objective.__qualname__
    ):
        return None
    if objective.__module__ != "__main__":
        return f"{objective.__module__}:{objective.__qualname__}"
    script = getattr(sys.modules["__main__"], "__file__", None)
    return f"{Path(script).resolve()}:{objective.__qualname__}" if script else None
