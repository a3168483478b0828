"""The records that every room passes on: frozen, keyword-only, plain data.

Nothing here knows a store, a clock or a process. ``params`` and all values inside records are JSON: ``None``, ``bool``,
``int``, ``float``, ``str``, lists and dicts of these; metrics are finite or non-finite floats by name.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from trialist.core.quick import quick
from trialist.core.states import StudyStatus, TrialStatus

Params = Mapping[str, Any]
Metrics = Mapping[str, float]
PERSON = "person"
"""What ``by`` says where no scheduler and no engine decided."""


class Mode(StrEnum):
    """Which way a metric is better."""

    MIN = "min"
    MAX = "max"

    def better(self, a: float, b: float) -> bool:
        """Whether ``a`` beats ``b``; a non-finite ``a`` never does."""
        if not math.isfinite(a):
            return False
        return a < b if self is Mode.MIN else a > b


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A metric that the study optimises."""

    name: str
    mode: Mode
    required: bool = True
    """Whether a trial that ends without it has failed. False where it only ranks what is tried anyway (a grid)."""


class Bound(StrEnum):
    """Which side of its limit a metric must be on."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeConstraint:
    """What a trial's result must keep to be of use: ``memory_gb <= 8``. A trial that breaks one is never the best."""

    metric: str
    """What trials tell; need not be one of the study's metrics."""
    bound: Bound
    limit: float

    def __str__(self) -> str:
        return f"{self.metric} {self.bound} {self.limit:g}"

    def excess(self, metrics: Metrics) -> float:
        """By how much it is broken: 0 where it holds, infinite where the metric is not told or not finite.

        >>> OutcomeConstraint(metric="memory_gb", bound=Bound.AT_MOST, limit=8).excess({"memory_gb": 9.5})
        1.5
        """
        value = metrics.get(self.metric, math.nan)
        if not math.isfinite(value):
            return math.inf
        return max(0.0, value - self.limit if self.bound is Bound.AT_MOST else self.limit - value)


class Broken(NamedTuple):
    """An outcome constraint that a trial's result does not keep."""

    constraint: OutcomeConstraint
    excess: float
    """By how much; infinite: the metric was not told."""

    def __str__(self) -> str:
        if math.isinf(self.excess):
            return f"{self.constraint}: {self.constraint.metric} was not told"
        return f"{self.constraint} broken by {self.excess:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierTrial:
    """A trial of an earlier study, as a new one learns from it."""

    params: Params
    """They lie in the new study's space."""
    metrics: Metrics
    """Those that the new study optimises or constrains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierStudy:
    """What a study knows of an earlier one: a copy, so that the earlier one may go."""

    name: str
    trials: tuple[EarlierTrial, ...] = ()
    """By number; at least one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A registered searcher, scheduler or executor by name, with the options it was given."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """JSON; what cannot be JSON (a callable, say) is kept by the door and is not part of the spec."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How much a study may do; may be changed while it runs."""

    num_trials: int | None = None
    """Total of the study, over all its runs: what searchers and people suggested. ``None``: until the searcher ends."""
    time_budget_s: float | None = None
    """Time during which the study was led, over all its runs."""
    max_failures: int | None = None
    """The study fails when more trials than this have failed. ``None``: never for that reason."""
    retries: int = 0
    """How often a failed trial is tried again, each time as a new trial with ``parent``."""
    jobs: int = 1
    """How many trials run at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOrder:
    """How a worker runs a study's trials, when whoever submitted it has gone: all that another process needs to know."""

    run: Mapping[str, Any]
    """``{"function": "module:name"}`` (or ``/path/to/file.py:name``), ``{"command": [...]}``, ``{"trainer": {...}}``, or
    ``{"door": "sweep"}``: as the door that made the study leads it."""
    cwd: str = ""
    """Where it was submitted: the directory in which trials run, and from which modules are imported, where it is there."""
    path: tuple[str, ...] = ()
    """Further directories from which modules are imported."""
    timeout_s: float | None = None
    """Limit of one attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySpec:
    """What a study was made with. Immutable but for what ``BudgetChanged``, ``RunConfigured`` and ``StudySubmitted`` replace."""

    id: str
    """32 hexadecimal digits."""
    name: str
    """Unique in its store."""
    space: Mapping[str, Any]
    """JSON of the search space (``SearchSpace.to_json``)."""
    metrics: tuple[Metric, ...] = ()
    """Empty: nothing is optimised (a sweep without a metric). Two or more: multi-objective."""
    seed: int = 0
    searcher: Spec
    scheduler: Spec | None = None
    executor: Spec
    objective: Mapping[str, Any] | None = None
    """What runs, as data: ``{"function": "module:name"}``, ``{"command": [...]}``; ``None``: ask and tell."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What one trial takes: ``{"cpu": 1, "gpu": 0.5}``."""
    budget: Budget = field(default_factory=Budget)
    outcome_constraints: tuple[OutcomeConstraint, ...] = ()
    """What results must keep; a trial that breaks one is never the best, and searchers keep away from such."""
    warm_start: tuple[EarlierStudy, ...] = ()
    """Earlier studies that searchers learn from."""
    default: Params | None = None
    """The configuration that people would take unasked; lies in the space. ``None``: nobody said."""
    order: WorkOrder | None = None
    """How workers run it; ``None``: it was not handed to them, and they leave it alone."""
    door: str = "study"
    """Which front door made it: ``study``, ``sweep``, ``hpo``, ``research``, ``finetune``, ``service``."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The door's own; the engine never looks inside."""
    created_at: float = 0.0
    """Seconds since the epoch, like every ``…_at``."""
    version: str = ""
    """Version of Trialist that made it."""

    def broken(self, metrics: Metrics) -> list[Broken]:
        """The outcome constraints that a result does not keep, in their order."""
        found = ((constraint, constraint.excess(metrics)) for constraint in self.outcome_constraints)
        return [Broken(constraint, excess) for constraint, excess in found if excess > 0]

    def is_feasible(self, metrics: Metrics) -> bool:
        """Whether a result keeps all outcome constraints."""
        return not self.outcome_constraints or not self.broken(metrics)


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A study's row: its spec and what its events add up to (``core.fold``)."""

    spec: StudySpec
    status: StudyStatus = StudyStatus.CREATED
    reason: str = ""
    """Why it has this status, as a sentence fit for a person; empty where the status says it all."""
    seq: int = 0
    """Sequence number of the last event."""
    num_trials: int = 0
    """Trials in the store; also the number that the next one gets."""
    num_suggested: int = 0
    """Trials that count against ``budget.num_trials``."""
    counts: Mapping[TrialStatus, int] = field(default_factory=dict)
    """Trials by status; a status without trials may be left out."""
    best_number: int | None = None
    best_value: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    active_s: float = 0.0
    """Time during which the study was led, up to the last event."""
    led_since: float | None = None
    """When the present or last leader began; ``active_s`` up to then is in ``active_before_s``."""
    active_before_s: float = 0.0
    stopping: str = ""
    """Why no new trial may start, where a person stopped the study and its running trials have not all ended yet."""
    submitted_at: float | None = None
    """When it was last handed to workers; ``None``: they leave it alone. The first submitted is taken first."""
    worker: str = ""
    """Name of the worker that leads it, or led it last and died."""
    claims: int = 0
    """How many workers took it in a row of which none got anywhere: no trial ended, none reached a new checkpoint."""

    @property
    def in_line_since(self) -> float | None:
        """Its place in the line of what workers have to do; ``None``: it is none of theirs now."""
        return self.submitted_at if self.status in (StudyStatus.QUEUED, StudyStatus.RUNNING) else None

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def metric(self) -> Metric | None:
        """The one metric that is optimised; ``None`` where there is none or more than one."""
        return self.spec.metrics[0] if len(self.spec.metrics) == 1 else None

    def count(self, *statuses: TrialStatus) -> int:
        return sum(self.counts.get(status, 0) for status in statuses)


class WarmStart(StrEnum):
    """What a trial takes over from the checkpoint it starts from; its own params always win over restored ones."""

    WEIGHTS = "weights"
    OPTIMIZER = "optimizer"
    """Weights and optimizer state."""
    RESUME = "resume"
    """Everything, to go on as if never stopped: a trial after a crash, a promotion or a pause."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmStartFrom:
    """Where a trial starts from, if not from nothing."""

    trial: int
    checkpoint: str
    """Id of the checkpoint's row."""
    what: WarmStart = WarmStart.WEIGHTS


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """Params to try: a fresh start, a PBT exploit, a clone or a code change are all this one record."""

    params: Params
    warm_start_from: WarmStartFrom | None = None
    parent: int | None = None
    """The trial it was made from."""
    repeat_of: int | None = None
    """The trial of which it is another seed."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """The searcher's own memory of this suggestion (JSON), given back to it with the event; shown to people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhausted:
    """The searcher has nothing left to suggest, now or later."""

    reason: str = "the search space is exhausted"


@dataclass(frozen=True, kw_only=True, slots=True)
class NeedsReply:
    """The searcher needs an answer from outside before it can suggest; the engine asks and folds the answer in."""

    request: Mapping[str, Any]
    """JSON; equal requests are one request (``request_key``)."""

    @property
    def key(self) -> str:
        return request_key(self.request)


@dataclass(frozen=True, kw_only=True, slots=True)
class Continue:
    """Go on; at a boundary, to ``to_step`` (``None``: to the end)."""

    to_step: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Wait at the boundary; may be promoted later."""

    leaves: bool = False
    """Leave the worker also where it could hold the trial: what the trial saves on leaving is what others start from."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """End early; the value at the step reached counts."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fork:
    """End this trial here and start another one from what it (or a better one) has learned."""

    suggestion: Suggestion
    reason: str = ""


Decision = Continue | Pause | Stop | Fork


@dataclass(frozen=True, kw_only=True, slots=True)
class Promotion:
    """A paused trial that is to go on."""

    trial: int
    to_step: int | None = None
    """Next boundary; ``None``: to the end."""
    fork: Suggestion | None = None
    """Where set, the trial does not go on: it ends where it is paused, and this starts in its place. Only a trial that has
    left its worker (``Pause.leaves``) may be named so."""
    reason: str = ""


class FailureReason(StrEnum):
    """Why a trial failed: one machine-readable word."""

    EXCEPTION = "exception"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    NOT_FINITE = "not_finite"
    NO_METRIC = "no_metric"
    BAD_RESULT = "bad_result"
    NOT_STARTED = "not_started"
    LOST = "lost"
    TAINTED = "tainted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a trial failed."""

    reason: FailureReason
    message: str
    """One line, fit for a table."""
    detail: str = ""
    """Traceback, or the tail of the log; at most 16 KiB."""
    exit_code: int | None = None
    """What the process exited with, where it exited by itself."""


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A trial's row: what its events add up to (``core.fold``)."""

    number: int
    params: Params
    status: TrialStatus = TrialStatus.WAITING
    seed: int = 0
    source: str = ""
    """Who suggested it: a searcher's or scheduler's name, ``enqueue``, ``clone``, ``retry``, ``fallback`` …"""
    counted: bool = True
    """Whether it counts against ``budget.num_trials``; forks, repeats and retries do not."""
    parent: int | None = None
    repeat_of: int | None = None
    warm_start_from: WarmStartFrom | None = None
    note: Mapping[str, Any] = field(default_factory=dict)
    seen_seq: int = 0
    """The suggestion is a function of the events up to this sequence number."""
    attempt: int = 0
    """Number of the last attempt, from 1; 0: none yet."""
    step: int | None = None
    """Last step reported in the last attempt."""
    to_step: int | None = None
    """The boundary it runs to; ``None``: to the end."""
    metrics: Metrics = field(default_factory=dict)
    """By name, the last value known in the last attempt."""
    value: float | None = None
    """The first of the study's metrics, at the step reached; ``None`` while unknown, and for failed trials."""
    checkpoint: str | None = None
    """Id of its last checkpoint."""
    checkpoint_step: int | None = None
    parked: bool = False
    """Whether a worker holds it at a boundary, ready to go on."""
    paused_by: str = ""
    """Who paused it: a scheduler's name or ``person``; empty otherwise."""
    ordered: str = ""
    """What a person told its running attempt, which has not left yet: ``stop``, ``cancel`` or ``pause``."""
    worker: str = ""
    """Where the last attempt ran, e.g. ``pid 4711 on gpu-box``."""
    run_dir: str = ""
    error: Failure | None = None
    reason: str = ""
    """Why it was stopped, paused or cancelled, as a sentence."""
    suggested_at: float = 0.0
    started_at: float | None = None
    running_since: float | None = None
    ended_at: float | None = None
    seconds: float = 0.0
    """Time spent running, over all attempts."""


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One go at a trial, as the store keeps it."""

    trial: int
    attempt: int
    from_step: int = 0
    started_at: float
    ended_at: float | None = None
    outcome: str | None = None
    """``OutcomeKind`` of its end; ``None`` while it runs."""
    message: str = ""
    worker: str = ""
    devices: tuple[str, ...] = ()


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Metrics of one trial at one step."""

    trial: int
    attempt: int
    step: int
    metrics: Metrics
    at: float
    superseded: bool = False
    """True when a later attempt started again below this step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A checkpoint's row; its files lie in a directory that was written atomically."""

    id: str
    trial: int
    attempt: int
    step: int
    path: str
    num_bytes: int
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Fresh:
    """Start from nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FromCheckpoint:
    """Start from a checkpoint."""

    id: str
    path: str
    step: int
    """The step at which it was taken; what ``resume_step`` says with ``what == RESUME``."""
    what: WarmStart


@dataclass(frozen=True, kw_only=True, slots=True)
class Resident:
    """Go on inside the worker that holds it."""

    worker: str
    incarnation: int


State = Fresh | FromCheckpoint | Resident


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """The only unit of work an executor gets: a trial, from a step, to a step, from a state."""

    study_id: str
    study: str
    """Name of the study."""
    trial: int
    attempt: int
    from_step: int = 0
    to_step: int | None = None
    """The trial blocks in its first report at or above this step; ``None``: it runs to the end."""
    state: State = field(default_factory=Fresh)
    params: Params
    seed: int
    run_dir: str
    """A directory of this trial's own: logs, checkpoints, outputs. It may not exist yet."""
    devices: tuple[str, ...] = ()
    """Ids of the accelerators it may use; meaningful where resources name ``gpu``."""
    resources: Mapping[str, float] = field(default_factory=dict)
    timeout_s: float | None = None

    @property
    def key(self) -> AttemptKey:
        return AttemptKey(trial=self.trial, attempt=self.attempt)


@quick
@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class AttemptKey:
    """Names a running attempt towards an executor."""

    trial: int
    attempt: int


class OutcomeKind(StrEnum):
    """How an attempt ended."""

    RETURNED = "returned"
    """The function returned, or the process exited with 0."""
    RAISED = "raised"
    """The function raised."""
    EXITED = "exited"
    """The process exited with another code than 0."""
    SIGNALLED = "signalled"
    """The process was killed by a signal that we did not send."""
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    """It left because it was told to stop."""
    EVICTED = "evicted"
    """It left because it was told to pause."""
    KILLED = "killed"
    """We killed it."""
    INTERRUPTED = "interrupted"
    """Ctrl-C, or the engine left in order; it runs again."""
    NOT_STARTED = "not_started"
    """It could not be started."""
    LOST = "lost"
    """Its worker or engine died."""


class CommandKind(StrEnum):
    """What people and other processes may ask of a study's leader."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    CANCEL = "cancel"
    SET_BUDGET = "set_budget"
    ENQUEUE = "enqueue"
    CLONE = "clone"
    RETRY = "retry"
    PAUSE_TRIAL = "pause_trial"
    RESUME_TRIAL = "resume_trial"
    STOP_TRIAL = "stop_trial"
    CANCEL_TRIAL = "cancel_trial"
    ASK = "ask"
    TELL = "tell"
    REPORT = "report"


class CommandStatus(StrEnum):
    PENDING = "pending"
    APPLIED = "applied"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """Something asked of a study's leader through the store.

    Idempotent: commands with one ``key`` are one command, and asking for what is already so is applied without an effect.
    """

    kind: CommandKind
    args: Mapping[str, Any] = field(default_factory=dict)
    key: str
    """Unique in the study; whoever sends a command again with its key gets the first one's fate."""
    sender: str = ""
    id: int = 0
    """Given by the store, ascending."""
    status: CommandStatus = CommandStatus.PENDING
    result: Mapping[str, Any] = field(default_factory=dict)
    """Set when applied: what was done (``message``, and e.g. the number of a new trial)."""
    error: str = ""
    """Set when refused."""
    refusal: Mapping[str, Any] = field(default_factory=dict)
    """Which error refused it (``core.errors.error_told``); may be empty."""
    created_at: float = 0.0
    expires_at: float | None = None
    """Seconds since the epoch after which its sender no longer waits, and does not want it any more; ``None``: never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a lease: enough to see from the same machine whether that process still lives."""

    host: str
    machine: str
    """Boot id and PID namespace: two holders with one ``machine`` can see each other's processes and share a clock."""
    pid: int
    pid_started: str
    """Start time of the process as the kernel counts it: tells a reused PID from the process that was meant."""

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to write a study, until somebody else takes it with a higher epoch."""

    study_id: str
    epoch: int
    holder: Holder
    ttl_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A process that leads queued studies, as it presents itself."""

    id: str
    """32 hexadecimal digits."""
    name: str
    """For people; not unique."""
    holder: Holder
    """Its process."""
    version: str = ""
    """Of Trialist."""
    capacity: Mapping[str, float] = field(default_factory=dict)
    """What all trials of its studies may take together, by name of the resource."""
    max_studies: int | None = None
    """How many studies it leads at once; ``None``: as many as fit."""
    started_at: float = 0.0
    seen_at: float = 0.0
    """When it last said that it lives."""
    beat_s: float = 5.0
    """How often it says so."""
    is_draining: bool = False
    """It takes no more studies and ends when those that it leads are done or handed back."""


def trial_seed(study_seed: int, number: int, repeat: int = 0) -> int:
    """The seed of a trial: 0 … 2**31 - 1, so that every library takes it.

    >>> trial_seed(0, 3) == trial_seed(0, 3) != trial_seed(0, 4)
    True
    """
    text = f"{study_seed}/{number}/{repeat}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") & 0x7FFF_FFFF


def request_key(request: Mapping[str, Any]) -> str:
    """A hash that is equal for equal requests."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]
