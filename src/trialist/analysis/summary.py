"""What a study adds up to, as data: leaderboard, counts, failures. Prints nothing and knows no column width."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trialist.analysis.series import flat, varying
from trialist.core.records import FailureReason, Metric, Mode, Trial
from trialist.core.states import TrialStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the leaderboard."""

    rank: int | None
    """From 1; ``None`` for a trial without a value that counts."""
    number: int
    params: Mapping[str, Any]
    """By dotted path; only what varies within the study."""
    value: float | None
    metrics: Mapping[str, float]
    status: TrialStatus
    seconds: float
    error: str = ""
    """One line, for a trial that failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroup:
    """Trials that failed in the same way."""

    reason: FailureReason
    message: str
    """Of the first of them."""
    trials: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What to tell of a study in a few lines."""

    counts: Mapping[TrialStatus, int]
    """Statuses without trials are left out."""
    best: Row | None
    failures: tuple[FailureGroup, ...] = ()
    """The most frequent first."""
    varying: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    """Names of all metrics told, in the order of their first appearance."""
    trial_seconds: float = 0.0
    """Time spent running, summed over trials."""
    spread: tuple[float, float] | None = None
    """Smallest and largest value that counts."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Dotted path to the shortest tail that is still unambiguous, for table heads."""


def summarise(trials: Sequence[Trial], metric: Metric | None = None) -> Summary:
    """The summary of a study's trials.

    Args:
        trials: In any order.
        metric: What is optimised; ``None``: nothing is best.
    """
    rows = leaderboard(trials, metric)
    values = [row.value for row in rows if row.rank is not None and row.value is not None]
    names: dict[str, None] = {}
    for trial in trials:
        names.update(dict.fromkeys(trial.metrics))
    changing = tuple(varying(trials))
    return Summary(
        counts=dict(Counter(trial.status for trial in trials)),
        best=rows[0] if rows and rows[0].rank == 1 else None,
        failures=failures(trials),
        varying=changing,
        metrics=tuple(names),
        trial_seconds=sum(trial.seconds for trial in trials),
        spread=(min(values), max(values)) if values else None,
        names=short_names(changing),
    )


def leaderboard(trials: Sequence[Trial], metric: Metric | None = None, limit: int | None = None) -> list[Row]:
    """Trials, the best first, then those without a value by number; without a metric all by number.

    Args:
        trials: In any order.
        metric: What is optimised.
        limit: At most so many rows; ``None``: all.
    """
    changing = varying(trials)
    ranked = sorted((trial for trial in trials if _ranks(trial, metric)), key=lambda trial: _key(trial, metric))
    ranks = {trial.number: rank for rank, trial in enumerate(ranked, start=1)}
    rest = sorted((trial for trial in trials if trial.number not in ranks), key=lambda trial: trial.number)
    shown = [*ranked, *rest][: limit if limit is None else max(0, limit)]
    return [_row(trial, ranks.get(trial.number), changing) for trial in shown]


def failures(trials: Iterable[Trial]) -> tuple[FailureGroup, ...]:
    """Failed trials, grouped by reason and by message (numbers in it aside), the most frequent first."""
    groups: dict[tuple[FailureReason, str], list[Trial]] = {}
    for trial in trials:
        if trial.status is TrialStatus.FAILED and trial.error is not None:
            shape = "".join("#" if char.isdigit() else char for char in trial.error.message)
            groups.setdefault((trial.error.reason, shape), []).append(trial)
    out = [
        FailureGroup(reason=reason, message=_message(group[0]), trials=tuple(sorted(trial.number for trial in group)))
        for (reason, _), group in groups.items()
    ]
    return tuple(sorted(out, key=lambda group: (-len(group.trials), group.trials)))


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Each dotted path to its shortest tail that no other path shares."""
    parts = {path: path.split(".") for path in paths}
    out: dict[str, str] = {}
    for path, own in parts.items():
        others = [other for name, other in parts.items() if name != path]
        length = 1
        while length < len(own) and any(other[-length:] == own[-length:] for other in others):
            length += 1
        out[path] = ".".join(own[-length:])
    return out


def _row(trial: Trial, rank: int | None, changing: Sequence[str]) -> Row:
    params = flat(trial.params)
    return Row(
        rank=rank,
        number=trial.number,
        params={name: params[name] for name in changing if name in params},
        value=trial.value,
        metrics=trial.metrics,
        status=trial.status,
        seconds=trial.seconds,
        error=_message(trial),
    )


def _ranks(trial: Trial, metric: Metric | None) -> bool:
    usable = trial.value is not None and math.isfinite(trial.value)
    return metric is not None and trial.status.counts and usable


def _key(trial: Trial, metric: Metric | None) -> tuple[float, int]:
    value = trial.value or 0.0
    return (value if metric is None or metric.mode is Mode.MIN else -value, trial.number)


def _message(trial: Trial) -> str:
    return trial.error.message if trial.error is not None else ""
