"""A commit folded again: are the rows that it brings what its events add up to?

The memory store asks this before every commit where it verifies, so every test on it checks the arithmetic of whoever made
the commit. Where it trusts, it asks only what any store must know: that the commit fits on what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trialist.core.errors import IllegalTransition, InternalError
from trialist.core.events import AttemptStarted, Event, TrialSuggested
from trialist.core.fold import StudyFold, fold_trial
from trialist.core.ports import Commit
from trialist.core.records import Study, Trial
from trialist.core.wire import to_json


def check_fit(study: Study, stored: Sequence[Trial], commit: Commit) -> None:
    """Whether a commit can be written at all: what every store refuses, and no arithmetic.

    Args:
        study: The stored row.
        stored: The stored trials, by number.
        commit: What is to be written.

    Raises:
        InternalError: The events or the new trials leave a gap, or a row that may not change would.
    """
    _check_gapless(study.seq, commit.events)
    if [trial.number for trial in commit.new_trials] != list(range(len(stored), len(stored) + len(commit.new_trials))):
        raise InternalError(f"a new trial has another number than {len(stored)}, which is due, and those after it.")
    for trial in commit.changed_trials:
        if not 0 <= trial.number < len(stored) or stored[trial.number].status.is_terminal:
            raise InternalError(f"a row came for trial {trial.number}, which is not there to change.")


def _check_gapless(seq: int, events: Sequence[Event]) -> None:
    for due, event in enumerate(events, seq + 1):
        if event.seq != due:
            raise InternalError(f"an event has seq {event.seq} where {due} is due: {event}")


def check_commit(study: Study, stored: Sequence[Trial], commit: Commit) -> None:
    """Fold the commit's events over what is stored, and compare with the rows it brings.

    Args:
        study: The stored row.
        stored: The stored trials, by number.
        commit: What is to be written.

    Raises:
        InternalError: They differ, the events leave a gap, or something immutable would change.
    """
    fold = StudyFold(study)
    names = tuple(metric.name for metric in study.spec.metrics)
    rows: dict[int, Trial] = {}
    new: list[int] = []
    _check_gapless(study.seq, commit.events)
    for event in commit.events:
        number, was, now = event.trial, None, None
        if number is not None:
            is_new = type(event.body) is TrialSuggested
            if is_new:
                if number != len(stored) + len(new):
                    raise InternalError(f"a new trial has number {number} where {len(stored) + len(new)} is due.")
                new.append(number)
            else:
                was = rows.get(number) or (stored[number] if 0 <= number < len(stored) else None)
                if was is None:
                    raise InternalError(f"there is no trial {number} for this event: {event}")
            now = _fold_trial(was, event, names)
            rows[number] = now
        try:
            fold.add(event, was, now)
        except IllegalTransition as error:
            raise InternalError(f"{error} By this event: {event}") from error
    _same("the study's row", fold.study(), commit.study)
    _check_rows(stored, commit, rows, new)


def _fold_trial(was: Trial | None, event: Event, names: tuple[str, ...]) -> Trial:
    try:
        now = fold_trial(was, event, names)
    except IllegalTransition as error:
        raise InternalError(f"{error} By this event: {event}") from error
    if was is not None and now is not was and was.status.is_terminal:
        raise InternalError(f"trial {was.number} is {was.status}: nothing may change it any more. Event: {event}")
    if isinstance(event.body, AttemptStarted) and was is not None and event.body.attempt <= was.attempt:
        raise InternalError(f"trial {was.number} had its attempt {was.attempt} already. Event: {event}")
    return now


def _check_rows(stored: Sequence[Trial], commit: Commit, rows: Mapping[int, Trial], new: Sequence[int]) -> None:
    """The rows of a commit are exactly those that its events made or changed, as folded."""
    if [trial.number for trial in commit.new_trials] != list(new):
        raise InternalError(f"new trials are {[t.number for t in commit.new_trials]}, but events suggest {list(new)}.")
    given = {trial.number: trial for trial in (*commit.new_trials, *commit.changed_trials)}
    if len(given) != len(commit.new_trials) + len(commit.changed_trials):
        raise InternalError("a trial has two rows in one commit.")
    for number, folded in rows.items():
        row = given.pop(number, None)
        if row is not None:
            _same(f"the row of trial {number}", folded, row)
        elif folded is not stored[number]:
            raise InternalError(f"the events change trial {number}, but its row is not in the commit.")
    for number, row in given.items():
        if not 0 <= number < len(stored) or stored[number].status.is_terminal:
            raise InternalError(f"a row came for trial {number}, which is not there to change.")
        _same(f"the row of trial {number}", stored[number], row)


def _same(what: str, folded: Study | Trial, given: Study | Trial) -> None:
    # NaN differs from itself, but not in JSON.
    if folded != given and to_json(folded) != to_json(given):
        raise InternalError(f"{what} is not what its events add up to.\nevents: {folded}\ngiven:  {given}")
