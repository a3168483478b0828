"""The statuses of trials and studies, and the one table of what may follow what.

A status changes only through ``check_trial`` / ``check_study``; stores apply a change by compare-and-set against the
status that the change names. Terminal trial statuses have no way out: a retry is a new trial with ``parent``.
"""

from __future__ import annotations

from enum import StrEnum

from trialist.core.errors import IllegalTransition


class TrialStatus(StrEnum):
    """``waiting → running ⇄ paused → completed | stopped | failed | cancelled``."""

    WAITING = "waiting"
    """Suggested and durable; no attempt runs. A trial whose attempt was lost waits again."""
    RUNNING = "running"
    """An attempt runs, or sits parked in a worker at a boundary."""
    PAUSED = "paused"
    """Can go on later: a rung that may be promoted, or a trial that a person parked."""
    COMPLETED = "completed"
    """Ran to its end."""
    STOPPED = "stopped"
    """Ended early by a scheduler or a person; its value counts at the step it reached."""
    FAILED = "failed"
    """Ended with an error; it has a reason and no value."""
    CANCELLED = "cancelled"
    """Ended by a person; nothing of it counts."""

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL

    @property
    def counts(self) -> bool:
        """Whether the trial's value may be the best one."""
        return self is TrialStatus.COMPLETED or self is TrialStatus.STOPPED


_TERMINAL = frozenset({TrialStatus.COMPLETED, TrialStatus.STOPPED, TrialStatus.FAILED, TrialStatus.CANCELLED})


class StudyStatus(StrEnum):
    """``created → queued → running ⇄ paused → completed | failed | cancelled``."""

    CREATED = "created"
    QUEUED = "queued"
    """Waits for a worker to lead it."""
    RUNNING = "running"
    PAUSED = "paused"
    """Starts nothing until it is resumed; also what an interrupted study is."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Ended without a single trial that counts, or by ``max_failures``; has a reason."""
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        return self in _ENDED


_ENDED = frozenset({StudyStatus.COMPLETED, StudyStatus.FAILED, StudyStatus.CANCELLED})

_T, _S = TrialStatus, StudyStatus

TRIAL_TRANSITIONS: dict[TrialStatus, frozenset[TrialStatus]] = {
    _T.WAITING: frozenset({_T.RUNNING, _T.PAUSED, _T.STOPPED, _T.FAILED, _T.CANCELLED}),
    _T.RUNNING: frozenset({_T.WAITING, _T.PAUSED, _T.COMPLETED, _T.STOPPED, _T.FAILED, _T.CANCELLED}),
    _T.PAUSED: frozenset({_T.WAITING, _T.RUNNING, _T.STOPPED, _T.FAILED, _T.CANCELLED}),
    _T.COMPLETED: frozenset(),
    _T.STOPPED: frozenset(),
    _T.FAILED: frozenset(),
    _T.CANCELLED: frozenset(),
}
"""``running → waiting``: the attempt was lost. ``waiting → paused``: by a person. ``paused → waiting``: promoted or resumed,
and no place yet."""

STUDY_TRANSITIONS: dict[StudyStatus, frozenset[StudyStatus]] = {
    _S.CREATED: frozenset({_S.QUEUED, _S.RUNNING, _S.PAUSED, _S.COMPLETED, _S.FAILED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.PAUSED, _S.COMPLETED, _S.CANCELLED}),
    _S.RUNNING: frozenset({_S.QUEUED, _S.PAUSED, _S.COMPLETED, _S.FAILED, _S.CANCELLED}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.RUNNING, _S.COMPLETED, _S.FAILED, _S.CANCELLED}),
    # An ended study may be taken up again: a larger budget, an enqueued or cloned trial. Its ended trials stay ended.
    _S.COMPLETED: frozenset({_S.QUEUED, _S.RUNNING}),
    _S.FAILED: frozenset({_S.QUEUED, _S.RUNNING}),
    _S.CANCELLED: frozenset({_S.QUEUED, _S.RUNNING}),
}


def check_trial(number: int, present: TrialStatus, wanted: TrialStatus) -> None:
    """Raise IllegalTransition unless a trial may go from ``present`` to ``wanted``."""
    if wanted not in TRIAL_TRANSITIONS[present]:
        raise IllegalTransition(f"trial {number}", present, wanted)


def check_study(name: str, present: StudyStatus, wanted: StudyStatus) -> None:
    """Raise IllegalTransition unless a study may go from ``present`` to ``wanted``."""
    if wanted not in STUDY_TRANSITIONS[present]:
        raise IllegalTransition(f"study '{name}'", present, wanted)
