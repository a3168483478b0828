"""What trials are compared by: what was asked for, else what the model type says."""

from __future__ import annotations

import pytest

from trialist import ConfigError
from trialist.core.records import Metric, Mode
from trialist.hpo.goals import choose_goals
from trialist.train.model_type import Declaration


def declared(*metrics: str, mode: Mode = Mode.MAX, any_name: bool = False) -> Declaration:
    names = None if any_name else frozenset({"x"})
    primary = Metric(name=metrics[0], mode=mode)
    return Declaration(model=names, data=names, training=names, metrics=metrics, primary=primary)


NET = declared("val_accuracy", "val_loss", "score")


@pytest.mark.parametrize(
    ("metric", "mode", "goals"),
    [
        (None, None, (["val_accuracy"], ["max"])),
        (None, "max", (["val_accuracy"], ["max"])),
        ("val_loss", None, (["val_loss"], ["min"])),
        ("val_loss", "max", (["val_loss"], ["max"])),
        ("score", None, (["score"], ["max"])),
        (["val_loss", "score"], None, (["val_loss", "score"], ["min", "max"])),
        (["val_loss", "score"], ["min", "min"], (["val_loss", "score"], ["min", "min"])),
    ],
)
def test_goals(
    metric: str | list[str] | None, mode: str | list[str] | None, goals: tuple[list[str], list[str]]
) -> None:
    assert choose_goals(metric, mode, [NET]) == goals


def test_the_primary_metric_brings_its_mode_whatever_its_name_says() -> None:
    assert choose_goals("val_loss", None, [declared("val_loss", mode=Mode.MAX)]).modes == ["max"]


def test_what_cannot_be_optimised_is_said() -> None:
    with pytest.raises(ConfigError, match=r"metric: the model tells no metric 'val_los'.*Did you mean 'val_loss'"):
        choose_goals("val_los", None, [NET])
    with pytest.raises(ConfigError, match="mode: must be 'min' or 'max', not 'up'"):
        choose_goals("val_loss", "up", [NET])
    with pytest.raises(ConfigError, match="mode: 2 metrics need 2 modes, not 3"):
        choose_goals(["val_loss", "score"], ["min", "max", "min"], [NET])
    with pytest.raises(ConfigError, match=r"several primary metrics \(val_accuracy \(max\), val_r2 \(max\)\)"):
        choose_goals(None, None, [NET, declared("val_r2")])
    with pytest.raises(ConfigError, match="does not tell whether smaller or larger is better"):
        choose_goals("novelty", None, [declared("score", any_name=True)])
    with pytest.raises(ConfigError, match="needs the name of a metric"):
        choose_goals([], None, [NET])
    with pytest.raises(ConfigError, match="say what to optimise"):
        choose_goals(None, None, [])
