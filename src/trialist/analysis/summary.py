"""What trials have in common, as data: why they failed, and the names by which their params are told apart. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trialist.core.records import FailureReason, Trial
from trialist.core.states import TrialStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroup:
    """Trials that failed in the same way."""

    reason: FailureReason
    message: str
    """Of the first of them that was looked at."""
    trials: tuple[int, ...]


def failures(trials: Iterable[Trial]) -> tuple[FailureGroup, ...]:
    """Failed trials, grouped by reason and by message (numbers in it aside), the most frequent first."""
    groups: dict[tuple[FailureReason, str], list[int]] = {}
    messages: dict[tuple[FailureReason, str], str] = {}
    for trial in trials:
        if trial.status is TrialStatus.FAILED and trial.error is not None:
            shape = "".join("#" if char.isdigit() else char for char in trial.error.message)
            groups.setdefault((trial.error.reason, shape), []).append(trial.number)
            messages.setdefault((trial.error.reason, shape), trial.error.message)
    out = [
        FailureGroup(reason=key[0], message=messages[key], trials=tuple(sorted(group))) for key, group in groups.items()
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
