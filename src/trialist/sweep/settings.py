"""How to sweep, as a config's own keys and the options say it: the command, the metric, and which way it is better.

Knows trees and names; reads no file and asks no registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from trialist.config.marks import FixedValue
from trialist.config.metric_names import infer_mode
from trialist.core.errors import ConfigError
from trialist.core.records import Metric, Mode


class Optimised(NamedTuple):
    """What the runs are compared by."""

    metric: Metric | None
    why: str = ""
    """Where its name and its mode come from, for the plan."""


def command_of(tree: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The config's ``command:``; ``None`` where it has none.

    Raises:
        ConfigError: It is no list of words.
    """
    command = _unmarked(tree.get("command"))
    if command is None:
        return None
    shape = "is a list of words, such as [python, train.py, --config, '{config}']"
    if isinstance(command, str):
        raise ConfigError(f"{shape}, and never one line for a shell.", path="command")
    if not isinstance(command, list) or not command:
        raise ConfigError(f"{shape}.", path="command")
    for index, word in enumerate(command):
        if isinstance(word, Mapping | list) or word is None:
            hint = " Quote words with braces: '{config}'." if isinstance(word, Mapping) else ""
            raise ConfigError(f"{shape}; this is no word.{hint}", path=f"command.{index}")
    return tuple(str(word).lower() if isinstance(word, bool) else str(word) for word in command)


def optimised(tree: Mapping[str, Any], metric: str | None, mode: str | None) -> Optimised:
    """The metric that the runs are compared by: the option's, else the config's, else none.

    Raises:
        ConfigError: ``mode`` is neither min nor max, or nothing says which way the metric is better.
    """
    name, whence = (metric, "--metric") if metric is not None else (_name(tree), "the config's metric")
    if name is None:
        if mode is not None:
            raise ConfigError("--mode says which way a metric is better, and there is none: give --metric NAME too.")
        return Optimised(None)
    if not name.strip():
        raise ConfigError("--metric needs the name of a metric, such as val_loss.")
    # 'mode' is the config's word on its metric only beside one that it names itself; else it is the user's own key.
    word = _unmarked(tree.get("mode")) if tree.get("metric") is not None else None
    own = None if word is None else _mode(word, "", "mode")
    if mode is not None:
        return Optimised(Metric(name=name, mode=_mode(mode, "--mode ", "")), f"{whence} and --mode")
    if own is not None and metric in (None, _name(tree)):
        return Optimised(Metric(name=name, mode=own), f"{whence} and mode")
    inferred = infer_mode(name)
    if inferred is None:
        raise ConfigError(
            f"the name '{name}' does not tell whether smaller or larger is better: say --mode min or --mode max."
        )
    why = f"{whence}; going by its name {_said(inferred)}, else give --mode"
    return Optimised(Metric(name=name, mode=inferred), why)


def _name(tree: Mapping[str, Any]) -> str | None:
    name = _unmarked(tree.get("metric"))
    if name is None or isinstance(name, str):
        return name
    raise ConfigError(
        "is the name of the metric that the leaderboard is sorted by, so it is one word and does not vary. A setting of "
        "your own needs another key, or a section above it.",
        path="metric",
    )


def _mode(mode: object, what: str, path: str) -> Mode:
    if mode in ("min", "max"):
        return Mode(mode)
    raise ConfigError(f"{what}is min or max, not {mode!r}.", path=path)


def _said(mode: Mode) -> str:
    return "smaller is better" if mode is Mode.MIN else "larger is better"


def _unmarked(value: Any) -> Any:
    return value.value if isinstance(value, FixedValue) else value
