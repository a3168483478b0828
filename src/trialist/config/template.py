"""The command of a run: a list with ``{config}``, ``{run_dir}``, ``{trial}`` and ``{dotted.path}`` in it, filled in.

A list stays a list: nothing is ever given to a shell, and a value with spaces in it is one argument. Knows nothing of
config files or runs; who fills in says what each name stands for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from trialist.core.errors import ConfigError, nearest

BUILT_IN_NAMES = ("config", "run_dir", "trial")
TRAINING_COMMAND = ("python", "-m", "trialist.train", "--config", "{config}")
"""The built-in TrainingEngine, as a command like any other."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_PYTHON = re.compile(r"python3?(\.\d+)?")


def placeholders(command: Sequence[str]) -> list[str]:
    """The names between braces, in order, each once."""
    found = (match[1] for word in command for match in _TOKEN.finditer(word) if match[1] is not None)
    return list(dict.fromkeys(found))


def fill(command: Sequence[str], value_of: Callable[[str], Any]) -> list[str]:
    """The command with each ``{name}`` replaced; ``{{`` and ``}}`` become ``{`` and ``}``.

    Args:
        command: The template.
        value_of: What a name stands for.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        return match[0][0] if name is None else argument_text(value_of(name))

    return [_TOKEN.sub(replaced, word) for word in command]


def argument_text(value: Any) -> str:
    """A value as an argument: text as it is, numbers as Python writes them, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def program(argv: Sequence[str]) -> list[str]:
    """The command as it is started: ``python`` is the one that runs Trialist, so that both see the same packages."""
    return [sys.executable, *argv[1:]] if argv[0] == "python" else list(argv)


def check_command(command: Sequence[str], known: Iterable[str], cwd: Path) -> None:
    """Look a command over before any directory is made.

    Args:
        command: The template.
        known: Dotted paths that the config has.
        cwd: Where it is to run.

    Raises:
        ConfigError: A placeholder stands for nothing, or the program or its script is not there.
    """
    names = {*BUILT_IN_NAMES, *known}
    for name in placeholders(command):
        if name not in names:
            raise ConfigError(
                f"the command has '{{{name}}}' in it, which is neither {{config}}, {{run_dir}}, {{trial}} nor a path "
                f"of the config.{nearest(name, names)} For the braces themselves write '{{{{{name}}}}}'."
            )
    first = command[0]
    if placeholders([first]):
        return
    if first != "python" and _which(first, cwd) is None:
        if os.sep in first and (cwd / first).is_file():
            raise ConfigError(f"the command's program '{first}' may not be executed: make it so with chmod +x.")
        raise ConfigError(
            f"the command's program '{first}' is not found. Give a path, or check the PATH; the command is a list of "
            "words, not one line for a shell."
        )
    script = command[1] if len(command) > 1 else ""
    is_script = _PYTHON.fullmatch(Path(first).name) and script.endswith(".py") and not placeholders([script])
    if is_script and not (cwd / script).is_file():
        raise ConfigError(f"the command's script '{script}' is not there; it was looked for in '{cwd}'.")


def _which(name: str, cwd: Path) -> str | None:
    return shutil.which(str(cwd / name)) if os.sep in name else shutil.which(name)
