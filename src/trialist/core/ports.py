"""All ports of the engine: what it needs from the outside, each with its contract. Imports records and nothing else.

Whoever implements one of these registers it (``trialist.registry``) and is tested by the suites of ``trialist.testing``.

How implementations are made (by the front doors, through the registry):

    searcher   = cls(space, metrics=(Metric(...), ...), seed=0, **options)        space: trialist.space.SearchSpace
    scheduler  = cls(metrics=(Metric(...), ...), **options)                       one whose signature names space and seed
                                                                                  gets these too: it makes params itself
    executor   = cls(...)                      each executor's own; the door that uses it knows it
    store      = cls(url)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from trialist.core.events import Body, Event
from trialist.core.quick import quick
from trialist.core.records import (
    Attempt,
    AttemptKey,
    Checkpoint,
    Command,
    Decision,
    Exhausted,
    Failure,
    Holder,
    Lease,
    Metrics,
    NeedsReply,
    OutcomeKind,
    Promotion,
    Report,
    Segment,
    Study,
    StudySpec,
    Suggestion,
    Trial,
    Worker,
)
from trialist.core.states import StudyStatus, TrialStatus

# --- deciding --------------------------------------------------------------------------------------------------------


class Searcher(Protocol):
    """Proposes params from the history: a fold over events plus a pure function of what was folded.

    Guarantee: ``suggest(n)`` depends on the space, the seed, ``n`` and the events given to ``update`` so far, and on
    nothing else: no clock, no global random state, no state left by earlier ``suggest`` calls. So replaying a study's
    events into a new searcher gives every suggestion again, bit for bit.

    Called from one thread. Must not keep what it is given from being garbage-collected without bound: memory that grows
    with history is bounded or a few numbers a trial.

        >>> searcher = RandomSearcher(space, metrics=(), seed=7)          # doctest: +SKIP
        >>> first = searcher.suggest(0)
        >>> searcher.suggest(0) == first                                  # asking changes nothing
        True
        >>> searcher.update(Event(seq=2, at=0.0, body=TrialSuggested(trial=0, params=first.params, ...)), trial)
        >>> searcher.suggest(1) != first
        True

    One around a library with a random state of its own may be unable to keep that. It says so with an attribute ``replays``
    that is False (``replays(searcher)`` asks; a searcher without the attribute keeps it), and then promises only that
    ``suggest(n)`` gives the same again until trial ``n`` is there, and that all that was committed is known to it after its
    events were replayed. Then neither is a stored suggestion drawn again, nor does a killed study end like an uninterrupted
    one.

    Budget, outcome constraints, default and earlier studies reach a searcher with ``StudyCreated`` (and ``BudgetChanged``),
    where it reads these. One that tries the spec's ``default`` first, or learns from its ``warm_start``, names them in an
    attribute ``heeds`` (a set of ``"default"`` and ``"warm_start"``); to others they cannot be given.
    """

    name: str
    """What ``source`` says of its trials."""
    reads: frozenset[type[Body]]
    """The events it folds; only these are replayed into it. Empty: it ignores history."""

    def suggest(self, number: int) -> Suggestion | Exhausted | NeedsReply:
        """What trial ``number`` should try.

        ``NeedsReply``: the engine performs the request, commits it and its answer (``ReplyReceived``), folds that in and
        asks again with the same number.
        """
        ...

    def update(self, event: Event, trial: Trial | None) -> None:
        """Fold one event in, in the order of ``seq``; ``trial`` is the row after it, where it concerns a trial.

        ``TrialSuggested`` comes for every trial, whoever suggested it (``trial.source``).
        """
        ...


def replays(searcher: Searcher) -> bool:
    """Whether a searcher keeps the guarantee of its port: replayed events give every suggestion again, bit for bit."""
    return bool(getattr(searcher, "replays", True))


class Scheduler(Protocol):
    """Decides, at reports, which trials go on. A fold like a searcher: same purity, same single thread.

    One that decides at boundaries (``boundary`` returns steps) is exact: the trial waits for its decision. One that
    decides at any report acts when it can; the step it acted on is recorded.
    """

    name: str
    reads: frozenset[type[Body]]
    """The events it folds."""

    def boundary(self, trial: Trial, step: int) -> int | None:
        """The next step above ``step`` at which the trial must wait for a decision; ``None``: never again.

        Asked with ``step=0`` before a trial starts.
        """
        ...

    def update(self, event: Event, trial: Trial | None) -> None:
        """Fold one event in; comes before ``decide`` for the report it is about."""
        ...

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        """What becomes of a trial that has just reported at ``step``.

        Away from boundaries only ``Continue``, ``Stop`` and ``Fork`` mean anything; ``Continue.to_step`` is heeded at
        boundaries alone.
        """
        ...

    def promote(self, *, last: bool = False) -> Promotion | None:
        """A paused trial of this scheduler's that should go on now, best first; asked when a place is free.

        The engine answers with ``TrialResumed`` events, which ``update`` sees before the next call; with ``fork`` it ends
        the trial (``TrialEnded``) and suggests the fork (``TrialSuggested``, ``source`` this scheduler's name), in one commit.

        Args:
            last: Nothing runs and nothing new will come: whoever waited for others need wait no longer. Trials that are
                not named now end as ``stopped``.
        """
        ...


# --- running ---------------------------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedSignal:
    """A trial reported. It does not wait, unless ``Parked`` follows."""

    key: AttemptKey
    step: int
    metrics: Metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedSignal:
    """The trial waits in ``report`` at a boundary; comes right after the ``ReportedSignal`` of that step."""

    key: AttemptKey
    step: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointedSignal:
    """A checkpoint lies complete at ``path``; the engine gives it its row."""

    key: AttemptKey
    step: int
    path: str
    num_bytes: int


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class ExitedSignal:
    """An attempt ended; nothing of it runs any more, and no further signal of it comes."""

    key: AttemptKey
    outcome: OutcomeKind
    metrics: Metrics = field(default_factory=dict)
    """What it returned or left in ``metrics.json``: wins over reports, name by name."""
    printed: Metrics = field(default_factory=dict)
    """What it printed: reports win over it, name by name."""
    error: Failure | None = None
    """Set exactly when the outcome is a failure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LostSignal:
    """A worker died with these attempts in it; nothing of them runs any more."""

    worker: str
    keys: tuple[AttemptKey, ...]
    message: str = ""
    is_blameless: bool = False
    """None of them is taken for the cause: another attempt is, or nobody knows which of them, and the executor starts each
    of them apart the next time, where the one to blame will be lost alone."""


Signal = ReportedSignal | ParkedSignal | CheckpointedSignal | ExitedSignal | LostSignal


class Executor(Protocol):
    """Runs segments somewhere.

    Every call is made from the engine's thread and returns at once, but for ``poll``, which waits. ``poll`` calls
    ``sink`` for each signal, on the caller's thread, in the order in which they happened to each attempt; ``sink`` may
    call ``start``, ``go_on``, ``evict``, ``stop`` and ``kill``. Everything is idempotent: a call about an attempt that
    has ended, or that is already on its way out, does nothing.

    For each started attempt there is exactly one ``ExitedSignal`` or mention in a ``LostSignal``, and it is the last.
    After ``close`` nothing that the executor started is left running, grandchildren included.
    """

    name: str
    runs_ahead: bool
    """True: an attempt has no side effect before its suggestion is committed worth waiting for (it runs in this very
    process and dies with it), so ``start`` may be called ahead of the commit."""
    parks: bool
    """True: a parked trial may wait while others run. False: ``sink`` must answer a ``ParkedSignal`` with ``go_on``,
    ``evict`` or ``stop`` before it returns."""
    is_elsewhere: bool
    """True: trials run on other machines, where somebody else finds them room; of what this one has nothing is counted."""

    def worker(self) -> str:
        """Where the next attempt will run, e.g. ``pid 4711 on gpu-box``."""
        ...

    def start(self, segment: Segment) -> None:
        """Begin an attempt. What goes wrong in starting it comes as an ``ExitedSignal`` (``NOT_STARTED``)."""
        ...

    def go_on(self, key: AttemptKey, to_step: int | None) -> None:
        """A parked trial runs on, to the next boundary."""
        ...

    def evict(self, key: AttemptKey) -> None:
        """A trial leaves at its next report (at once where it is parked): ``EVICTED``."""
        ...

    def stop(self, key: AttemptKey) -> None:
        """A trial ends at its next report (at once where it is parked); one that does not within the grace is ended:
        ``STOPPED`` either way."""
        ...

    def kill(self, key: AttemptKey) -> None:
        """An attempt ends now: TERM, grace, KILL, then everything that carries its mark: ``KILLED``."""
        ...

    def poll(self, timeout_s: float, sink: Callable[[Signal], None]) -> None:
        """Deliver signals; waits at most ``timeout_s`` for the first one where there is none.

        An executor that runs trials in this thread runs them here.
        """
        ...

    def wake(self) -> None:
        """Make a waiting ``poll`` return soon; may be called from any thread, and from a signal handler at any moment."""
        ...

    def lead_for(self, seconds: float) -> None:
        """The engine may count on its lease for so long from now: unless told again, every attempt has ended by then.

        So the trials of an engine that is frozen are gone before another engine starts them anew. They end as
        ``INTERRUPTED``, also those that are started after that time. An executor whose attempts cannot outlive the
        engine's silence (they run in this very thread) need not do anything. May be called from any thread; before the
        first call there is no such limit.
        """
        ...

    def close(self) -> None:
        """End what still runs and release everything; idempotent."""
        ...


class Reply(NamedTuple):
    """The answer to a ``NeedsReply``."""

    reply: Mapping[str, Any]
    """JSON."""
    cost_usd: float = 0.0


Replier = Callable[[Mapping[str, Any]], Reply]
"""Performs a searcher's request, on a thread beside the loop. Raising gives ``{"error": "…"}`` to the searcher."""


# --- remembering -----------------------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """What one commit writes: events, and the rows they add up to.

    The store derives the rows of reports, attempts, checkpoints and commands from the events; the study's row and those
    of the touched trials are given, folded by the caller (``core.fold``).
    """

    study: Study
    """The row after these events; ``study.seq`` is the last event's."""
    events: Sequence[Event]
    """In order, without a gap after the stored ``seq``. Empty only in a commit that renews nothing but the row."""
    new_trials: Sequence[Trial] = ()
    """Rows to insert: their ``TrialSuggested`` is among the events."""
    changed_trials: Sequence[Trial] = ()
    """Rows to replace; none of the stored ones is terminal."""


class TrialOrder(NamedTuple):
    """An order of trials that pages can be cut from: by ``number`` or by ``value``.

    Trials without a value, or with a non-finite one, come last either way.
    """

    by: str = "number"
    """``number`` or ``value``."""
    descending: bool = False


BY_NUMBER = TrialOrder()


class TrialPage(NamedTuple):
    """A page of trials."""

    trials: list[Trial]
    cursor: str | None
    """Give it back for the next page; ``None``: this was the last one."""


class StudyPage(NamedTuple):
    """A page of studies, newest first."""

    studies: list[Study]
    cursor: str | None


FORGET_WORKERS_S = 3600.0
"""How long a worker that died unseen stays in the list."""


class Store(Protocol):
    """The durable truth.

    Guarantees:
        - *Atomic*: a commit is there whole or not at all, after a crash at any instant.
        - *Durable*: what ``commit`` returned from survives kill -9 and loss of power.
        - *Fenced*: a commit under a lease whose epoch is no longer the study's writes nothing and raises ``LeaseLost``.
        - *Gapless*: events of a study have ``seq`` 1, 2, 3 …, each once.
        - *Immutable ends*: the row of a terminal trial never changes, nor do the params of any trial.
        - *Bounded*: no call costs more as history grows, but for those that return all of it, and these are iterators
          that hold a page at a time.

    Threads may share a store; processes may share what it points at. A store that was used before a fork must be opened
    anew in the child (it notices, and does).

    Raises, everywhere: ``StoreBusy``, ``StoreFull``, ``SchemaMismatch``, ``StoreError``; after any of them nothing of the
    failed call was written, and the call may be made again.
    """

    url: str

    # studies

    def create_study(self, spec: StudySpec) -> Study:
        """Insert a study with its ``StudyCreated`` event (seq 1).

        Raises:
            StudyExists: The name is taken.
        """
        ...

    def find_study(self, name_or_id: str) -> Study | None:
        """The study of this name, or else of this id; ``None`` where there is none."""
        ...

    def list_studies(
        self, *, status: StudyStatus | None = None, search: str = "", limit: int = 100, cursor: str | None = None
    ) -> StudyPage:
        """Studies, newest first; ``search`` is a part of the name, in any case."""
        ...

    def delete_study(self, study_id: str) -> None:
        """Remove a study and everything of it.

        Raises:
            NotFound: No such study.
            StudyLed: A live process leads it.
        """
        ...

    # leading

    def take_lease(self, study_id: str, holder: Holder, ttl_s: float) -> Lease:
        """Become the leader: the epoch rises by one.

        A lease can be taken when there is none, when it has run out, or when its holder is a process of this machine
        that is dead. Of several takers at one time one wins.

        Raises:
            StudyLed: Another live process holds it.
        """
        ...

    def renew_lease(self, lease: Lease) -> None:
        """Let it run ``ttl_s`` from now on. Called from a thread of its own, beside commits.

        Raises:
            LeaseLost: The epoch has moved on.
        """
        ...

    def release_lease(self, lease: Lease) -> None:
        """Leave; does nothing when the epoch has moved on."""
        ...

    def leader(self, study_id: str) -> Holder | None:
        """Who leads the study now; ``None`` when nobody lives that does."""
        ...

    def claimable(self, *, limit: int = 100, cursor: str | None = None) -> StudyPage:
        """Studies that a worker could take now, the first submitted first; a page may hold fewer than there is room for.

        These were handed to workers (``StudySubmitted``), are queued or running, and nobody leads them: no lease, one
        that has run out, or one whose holder is known to be dead. Costs nothing for studies that have ended.
        """
        ...

    def claim_study(
        self, holder: Holder, ttl_s: float, *, accepts: Callable[[Study], bool] | None = None
    ) -> Lease | None:
        """Take the lease of the first claimable study that is accepted; ``None``: there is none.

        Of several claimers each study goes to exactly one, and none waits for another: a study that somebody else has in
        hand is passed over. Looking and taking are not one moment, but taking is: a study that was claimed, ended or
        withdrawn since it was looked at is not taken.

        Args:
            holder: Who will lead.
            ttl_s: As for ``take_lease``.
            accepts: Asked about each study in turn, outside of any transaction; ``None``: the first one will do.
        """
        ...

    def commit(self, lease: Lease | None, commit: Commit) -> None:
        """Write events and rows in one transaction.

        Args:
            lease: The caller's; ``None`` writes for a single call where nobody leads (``ask``, ``tell``).
            commit: With events that continue the stored ``seq``.

        Raises:
            LeaseLost: The epoch has moved on.
            StudyLed: ``lease`` is ``None`` and somebody leads.
            Conflict: ``lease`` is ``None`` and another caller was faster: read again, and try again.
        """
        ...

    # workers

    def beat_worker(self, worker: Worker) -> None:
        """Say that a worker lives, with what it presents; one of an unknown id is added, one long silent forgotten.

        ``seen_at`` is the caller's; those not seen for ``FORGET_WORKERS_S`` before it are removed.
        """
        ...

    def workers(self, *, seen_after: float = 0.0) -> list[Worker]:
        """All workers that were seen after a moment, by the time they started."""
        ...

    def remove_worker(self, worker_id: str) -> None:
        """A worker left in order; does nothing for one that is not there."""
        ...

    # commands

    def send_command(self, study_id: str, command: Command) -> Command:
        """Put a command before the leader; one with a known ``key`` is not added again. Returns the stored one."""
        ...

    def pending_commands(self, study_id: str) -> list[Command]:
        """Commands without an answer yet, oldest first, at most 1,000."""
        ...

    def command(self, study_id: str, command_id: int) -> Command:
        """One command, with its fate.

        Raises:
            NotFound: No such command.
        """
        ...

    # reading

    def trial(self, study_id: str, number: int) -> Trial:
        """One trial.

        Raises:
            NotFound: No such trial.
        """
        ...

    def trials(
        self,
        study_id: str,
        *,
        status: Sequence[TrialStatus] = (),
        order: TrialOrder = BY_NUMBER,
        limit: int = 100,
        cursor: str | None = None,
    ) -> TrialPage:
        """A page of trials, by keyset: as fast in the middle of a million as at the start."""
        ...

    def iter_trials(self, study_id: str, *, status: Sequence[TrialStatus] = ()) -> Iterator[Trial]:
        """All trials by number, a page at a time."""
        ...

    def live_trials(self, study_id: str) -> list[Trial]:
        """All trials that are not terminal, by number."""
        ...

    def events(
        self, study_id: str, *, after: int = 0, limit: int = 1000, kinds: Sequence[type[Body]] = ()
    ) -> list[Event]:
        """Events with ``seq > after``, in order, at most ``limit``; ``kinds`` picks some classes."""
        ...

    def reports(self, study_id: str, trial: int) -> list[Report]:
        """All reports of a trial, by attempt and step; ``superseded`` where a later attempt began below them."""
        ...

    def attempts(self, study_id: str, trial: int) -> list[Attempt]:
        """All attempts of a trial, in order."""
        ...

    def checkpoints(self, study_id: str, trial: int | None = None) -> list[Checkpoint]:
        """Checkpoint rows of a trial, or of the whole study, by time."""
        ...

    def checkpoint(self, study_id: str, checkpoint_id: str) -> Checkpoint:
        """One checkpoint's row.

        Raises:
            NotFound: No such checkpoint.
        """
        ...

    def close(self) -> None:
        """Release connections; idempotent. The store may not be used afterwards."""
        ...


class Sink(Protocol):
    """Reads events as they are committed: a JSONL file, a ledger, a timeline, a tracker.

    Called after the commit, never twice at one time: on the engine's thread, or on the one that commits beside a trial
    that keeps the engine's busy. One that raises is switched off with a note; it never fails or slows a study.
    """

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        """Take committed events; ``trials`` has the row after the commit of each trial they concern."""
        ...

    def close(self) -> None:
        """Flush and release; idempotent.

        Not called where the lease was lost: what it writes to belongs to another engine's sinks now.
        """
        ...


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...
