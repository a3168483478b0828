"""Everything the engine does is an event: frozen, tagged, past tense, one union.

``Event`` is the envelope: ``seq`` is one gapless counter a study, from 1, given by whoever leads the study, inside the
commit. JSONL files, the ledger, the timeline and the dashboard are readers of these and of nothing else; the rows of
studies and trials are their fold (``core.fold``). ``core.wire`` turns them into JSON and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args

from trialist.core.quick import quick
from trialist.core.records import (
    Budget,
    Failure,
    Metrics,
    OutcomeKind,
    Params,
    Spec,
    StudySpec,
    WarmStartFrom,
    WorkOrder,
)
from trialist.core.states import StudyStatus, TrialStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyCreated:
    spec: StudySpec


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseTaken:
    """A process began to lead the study."""

    epoch: int
    holder: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseLapsed:
    """Somebody found that the last leader was gone; the time since its last event was led by nobody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatusChanged:
    was: StudyStatus
    status: StudyStatus
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetChanged:
    budget: Budget


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfigured:
    """Said what runs the trials, and how; replaces these parts of the spec."""

    objective: Mapping[str, Any] | None
    executor: Spec
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySubmitted:
    """Handed to workers: from now on they lead it whenever it is queued, or whoever leads it dies."""

    order: WorkOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyWithdrawn:
    """Taken back from workers: a person leads it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyClaimed:
    """A worker took it, and is about to lead it."""

    worker: str
    epoch: int


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSuggested:
    """A trial came into being; its params never change from here on."""

    trial: int
    params: Params
    seed: int
    source: str
    counted: bool = True
    seen_seq: int
    parent: int | None = None
    repeat_of: int | None = None
    warm_start_from: WarmStartFrom | None = None
    note: Mapping[str, Any] = field(default_factory=dict)
    to_step: int | None = None


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptStarted:
    """``waiting`` or ``paused`` → ``running``: a segment was given to an executor."""

    trial: int
    attempt: int
    from_step: int = 0
    to_step: int | None = None
    checkpoint: str | None = None
    """The checkpoint it starts from."""
    worker: str = ""
    devices: tuple[str, ...] = ()
    run_dir: str = ""
    metrics: Metrics = field(default_factory=dict)
    """What is known at ``from_step``; later reports of earlier attempts are superseded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptContinued:
    """``paused`` (and parked in a worker) or ``running`` → ``running``: it was told to go on from a boundary."""

    trial: int
    attempt: int
    from_step: int
    to_step: int | None = None
    by: str = ""


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """Metrics at a step; the same step reported again carries the union of both."""

    trial: int
    attempt: int
    step: int
    metrics: Metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpointed:
    trial: int
    attempt: int
    step: int
    checkpoint: str
    path: str
    num_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointFreed:
    """Its row is gone; its files go after the commit."""

    trial: int
    checkpoint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A scheduler or a person decided; what follows from it are events of their own."""

    trial: int
    attempt: int
    step: int | None
    decision: str
    """``continue``, ``pause``, ``stop`` or ``fork``."""
    by: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPaused:
    """``running`` → ``paused`` with the attempt parked in its worker; ``waiting`` → ``paused`` by a person."""

    trial: int
    attempt: int
    step: int | None
    parked: bool
    by: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResumed:
    """``paused`` → ``waiting``: promoted by a scheduler or resumed by a person, and waits for a place."""

    trial: int
    to_step: int | None = None
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptEnded:
    """An attempt ended and its trial did not: lost, interrupted or evicted."""

    trial: int
    attempt: int
    outcome: OutcomeKind
    status: TrialStatus
    """What the trial is now: ``waiting`` or ``paused``."""
    by: str = ""
    message: str = ""
    until: float | None = None
    """When it was last known to run, where its engine died: it computed no longer than that. ``None``: until now."""


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialEnded:
    """A trial reached a terminal status; its running attempt, if any, ended with it."""

    trial: int
    attempt: int
    """0 where it never ran."""
    status: TrialStatus
    step: int | None = None
    metrics: Metrics = field(default_factory=dict)
    value: float | None = None
    error: Failure | None = None
    outcome: OutcomeKind | None = None
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandApplied:
    command: int
    command_kind: str
    sender: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRefused:
    command: int
    command_kind: str
    error: str
    sender: str = ""
    refusal: Mapping[str, Any] = field(default_factory=dict)
    """Which error it is (``core.errors.error_told``); empty in what older versions wrote."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyRequested:
    """A searcher asked for something from outside; committed before the request is made."""

    key: str
    request: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyReceived:
    """The answer, which is never paid for twice."""

    key: str
    reply: Mapping[str, Any]
    cost_usd: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """Something a person should know that changes no state: a full disk, a store that was away."""

    message: str
    level: str = "info"


Body = (
    StudyCreated
    | LeaseTaken
    | LeaseLapsed
    | StudyStatusChanged
    | BudgetChanged
    | RunConfigured
    | StudySubmitted
    | StudyWithdrawn
    | StudyClaimed
    | TrialSuggested
    | AttemptStarted
    | AttemptContinued
    | Reported
    | Checkpointed
    | CheckpointFreed
    | Decided
    | TrialPaused
    | TrialResumed
    | AttemptEnded
    | TrialEnded
    | CommandApplied
    | CommandRefused
    | ReplyRequested
    | ReplyReceived
    | Noted
)


def kind_of(body: Body | type) -> str:
    """The tag of an event: ``TrialSuggested`` → ``trial_suggested``."""
    return _TAGS[body if isinstance(body, type) else type(body)]


def _tag(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


_TAGS: dict[type, str] = {cls: _tag(cls.__name__) for cls in get_args(Body)}
EVENT_KINDS: dict[str, type] = {tag: cls for cls, tag in _TAGS.items()}
"""Every event class by its tag."""


class Event(NamedTuple):
    """An event in its study's order."""

    seq: int
    at: float
    """Seconds since the epoch."""
    body: Body

    @property
    def kind(self) -> str:
        return _TAGS[type(self.body)]

    @property
    def trial(self) -> int | None:
        return getattr(self.body, "trial", None)
