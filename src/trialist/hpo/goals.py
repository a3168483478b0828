"""What an optimisation compares trials by: what was asked for, else what the model type says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trialist.config.metric_names import infer_mode
from trialist.core.errors import ConfigError, nearest
from trialist.core.records import Mode
from trialist.train.model_type import Declaration


class Goals(NamedTuple):
    """Metrics and which way each is better, in the order of the lists."""

    metrics: list[str]
    modes: list[str]


def choose_goals(
    metric: str | Sequence[str] | None, mode: str | Sequence[str] | None, declared: Sequence[Declaration]
) -> Goals:
    """The metrics to optimise.

    Args:
        metric: What was asked for; ``None``: the model type's primary metric.
        mode: ``min`` or ``max``, one for all metrics or one for each; ``None``: the type's, else as the name tells.
        declared: What the model types say; empty: nothing.

    Raises:
        ConfigError: Nothing says what to optimise or which way, or a metric is none that the model type tells.
    """
    names = _names(metric, declared)
    for name in names:
        _check_told(name, declared)
    modes = [mode] if isinstance(mode, str) else list(mode or ())
    if len(modes) == 1:
        modes *= len(names)
    if not modes:
        return Goals(names, [_mode_of(name, declared) for name in names])
    if len(modes) != len(names):
        raise ConfigError(f"{len(names)} metrics need {len(names)} modes, not {len(modes)}", path="mode")
    for one in modes:
        if one not in (Mode.MIN, Mode.MAX):
            raise ConfigError(f"must be 'min' or 'max', not {one!r}", path="mode")
    return Goals(names, [str(one) for one in modes])


def _names(metric: str | Sequence[str] | None, declared: Sequence[Declaration]) -> list[str]:
    if metric is not None:
        names = [metric] if isinstance(metric, str) else list(metric)
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            raise ConfigError("needs the name of a metric, such as 'val_loss', or a list of names", path="metric")
        return names
    primary = list(dict.fromkeys(one.primary for one in declared))
    if len(primary) == 1:
        return [primary[0].name]
    if not primary:
        raise ConfigError("say what to optimise: metric='…', mode='min' or 'max'", path="metric")
    said = ", ".join(f"{one.name} ({one.mode})" for one in primary)
    raise ConfigError(f"the searched models have several primary metrics ({said}): say which one counts", path="metric")


def _check_told(name: str, declared: Sequence[Declaration]) -> None:
    for one in declared:
        # A type that takes any name is a function of the user's own, which may tell more than it says.
        if one.model is not None and name not in one.metrics:
            raise ConfigError(
                f"the model tells no metric '{name}', so no trial would have a value.{nearest(name, one.metrics)}",
                path="metric",
            )


def _mode_of(name: str, declared: Sequence[Declaration]) -> str:
    for one in declared:
        if one.primary.name == name:
            return one.primary.mode.value
    found = Mode.MAX if name == "score" else infer_mode(name)
    if found is None:
        raise ConfigError(
            f"the name '{name}' does not tell whether smaller or larger is better: say 'min' or 'max'", path="mode"
        )
    return found.value
