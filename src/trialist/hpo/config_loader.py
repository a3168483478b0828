"""``ConfigLoader``: config files that stand on others and on the environment.

``extends:`` names one file or several that a config stands on; ``${VAR}`` and ``${VAR:-default}`` stand for variables of the
environment. Presets ship with the package and are found by name. Knows files; nothing of what a config means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trialist.config import Document, load_yaml, parse_value
from trialist.core.errors import ConfigError, nearest

PRESETS = Path(__file__).parent / "presets"
"""Configs that ship with the package: ``hpo`` is ``presets/hpo.yaml``."""
_EXTENDS = "extends"
_VARIABLE = re.compile(r"\$\$(?=\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class ConfigLoader:
    """Reads configs.

    >>> ConfigLoader().load_config("hpo")["experiments"]["quick_test"]["num_trials"]
    5
    """

    def load_config(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """A config as plain data, with what it extends and the environment's variables in it.

        A mapping is merged with the one that it stands on; anything else replaces it. A value that is a variable alone is
        read as YAML, so that ``${TRIALS}`` may be a number or a list; ``$${…}`` stands for ``${…}`` itself.

        Args:
            path: A file, or the name of a preset (``"hpo"``).

        Raises:
            ConfigError: A file cannot be read, stands on itself, or names a variable that is not set.
        """
        return _load(_find(os.fspath(path), Path()), ())

    @staticmethod
    def presets() -> list[str]:
        """The names of the presets that ship with the package."""
        return sorted(file.stem for file in PRESETS.glob("*.yaml"))


def _find(name: str, folder: Path) -> Path:
    """The file that is meant: a preset where it is a preset's name and no file's."""
    file = folder / Path(name).expanduser()
    if not file.exists() and name in ConfigLoader.presets():
        return PRESETS / f"{name}.yaml"
    if not file.exists() and not file.suffix:
        known = ConfigLoader.presets()
        raise ConfigError(
            f"there is no such file, and no preset of this name.{nearest(name, known)} A file is given with its suffix, "
            "such as 'my.yaml'.",
            file=name,
        )
    return file


def _load(file: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    document = load_yaml(file)
    here = file.resolve()
    if here in above:
        raise document.error(f"'{file.name}' stands on itself", _EXTENDS)
    given = document.data.get(_EXTENDS)
    bases = [given] if isinstance(given, str) else given or []
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise document.error("must be the path of a file, or a list of paths", _EXTENDS)
    merged: dict[str, Any] = {}
    for base in bases:
        merged = _merged(merged, _load(_find(_filled(base, document, (_EXTENDS,)), file.parent), (*above, here)))
    own = {name: value for name, value in document.data.items() if name != _EXTENDS}
    filled = _filled(own, document, ())
    return _merged(merged, filled)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for name, value in over.items():
        below = out.get(name)
        out[name] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out


def _filled(value: Any, document: Document, path: tuple[str, ...]) -> Any:
    """A value with variables replaced."""
    if isinstance(value, dict):
        return {name: _filled(item, document, (*path, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, document, (*path, str(index))) for index, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replaced(match: re.Match[str]) -> str:
        name: str | None = match["name"]
        if name is None:
            return "$"
        default: str | None = match["default"]
        found = os.environ.get(name, default)
        if found is None:
            raise document.error(
                f"the environment has no variable '{name}'. Set it, or give a default: ${{{name}:-value}}.", path
            )
        return found

    whole = _VARIABLE.fullmatch(value)
    text = _VARIABLE.sub(replaced, value)
    if whole is None or whole["name"] is None:
        return text
    try:
        found = parse_value(text)
    except ConfigError:
        return text  # a variable may hold any text; what is no YAML is that text
    return text if isinstance(found, Mapping) else found  # "at 12: 30" is no mapping to anybody
