"""The three sections of a training: ``model``, ``data`` and ``training``, as plain JSON.

Knows nothing of what they mean; the training engine does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from trialist.config import set_path
from trialist.core.errors import ConfigError, InternalError, SpaceError
from trialist.space.values import as_json

NAMES = ("model", "data", "training")


class Sections(NamedTuple):
    """The configs of one training. Treat what is inside as read-only."""

    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]

    @classmethod
    def of(cls, model: object, data: object, training: object) -> Sections:
        """The configs as they are stored: plain JSON, files by their absolute paths.

        Raises:
            ConfigError: One is no mapping, or holds what is no JSON; names it.
        """
        found = cls(*(_plain(name, value) for name, value in zip(NAMES, (model, data, training), strict=True)))
        path = found.data.get("path")
        if isinstance(path, str) and Path(path).expanduser().exists():
            found.data["path"] = str(Path(path).expanduser().absolute())
        return found

    @property
    def tree(self) -> dict[str, dict[str, Any]]:
        """As one mapping, as config files have it."""
        return self._asdict()

    def laid(self, places: Mapping[str, str], params: Mapping[str, Any]) -> Sections:
        """These sections with a trial's params in their places; missing parents are made.

        Args:
            places: Dotted path of a parameter to the dotted path of its place: ``{"lr": "training.lr"}``.
            params: The params, nested as their space is.
        """
        tree: Any = self.tree
        for path, value in placed(places, params):
            tree = set_path(tree, path, value, create=True)
        return Sections(**tree)


def placed(places: Mapping[str, str], params: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Where each value of some params goes.

    Raises:
        InternalError: A value has no place.
    """
    out: list[tuple[str, Any]] = []
    for name, value in params.items():
        path = f"{prefix}{name}"
        if path in places:
            out.append((places[path], value))
        elif isinstance(value, Mapping):
            out += placed(places, value, f"{path}.")
        else:
            raise InternalError(f"parameter '{path}' has no place in the configs")
    return out


def _plain(name: str, given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"must be a mapping, not a {type(given).__name__}", path=f"{name}_config")
    out: dict[str, Any] = {}
    for key, value in given.items():
        if not isinstance(key, str):
            raise ConfigError(f"the key {key!r} is no text", path=f"{name}_config")
        try:
            out[key] = as_json(os.fspath(value) if isinstance(value, os.PathLike) else value)
        except SpaceError as error:
            raise ConfigError(error.rule, path=f"{name}_config.{key}") from None
    return out
