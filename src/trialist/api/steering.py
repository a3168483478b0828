"""Commands to a study: through the store to its leader, or carried out here where nobody leads.

One ``Steering`` a handle. Where nobody leads it keeps the study folded between calls, so that ``ask`` and ``tell`` cost
one commit each; another process that was faster is noticed by the store, and the call is made again on what that one did.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from trialist.core.errors import ConfigError, Conflict, NotFound, StudyLed, TrialistError, error_retold
from trialist.core.ports import Clock, Scheduler, Searcher, Store
from trialist.core.records import Checkpoint, Command, CommandKind, CommandStatus, Params, Study, Trial
from trialist.engine.clients import Clients
from trialist.engine.context import Context, check_not_found
from trialist.engine.control import apply
from trialist.engine.lead import Lead
from trialist.engine.outcome import Leaving
from trialist.engine.recover import take_up

ANSWER_WITHIN_S = 30.0
"""How long a leader may take to answer a command before the caller is told that it has not."""
ASK_EXPIRES_S = 25.0
"""How long a leader may take to begin with an ``ask``; less than ``ANSWER_WITHIN_S``, so that its commit is still heard of."""
_LOOK_EVERY_S = 0.02
_CLIENT_KINDS = frozenset({CommandKind.ASK, CommandKind.TELL, CommandKind.REPORT})
_TRIES = 50


class Leader(Protocol):
    """What an engine is to calls from its own process."""

    def carry_out(self, command: Command) -> dict[str, Any]:
        """Carry a command out at once; on the engine's own thread alone."""
        ...

    def settle(self) -> None:
        """Make durable what has happened so far; on any thread."""
        ...


class _Leading(NamedTuple):
    """An engine of this process."""

    thread: int
    leader: Leader


_LEADING: dict[str, _Leading] = {}
"""The studies that threads of this process lead, by id: a callback on an engine's own thread cannot wait for its loop."""

os.register_at_fork(after_in_child=_LEADING.clear)  # a child's copy of an engine leads nothing


@contextmanager
def leading_here(study_id: str, leader: Leader) -> Iterator[None]:
    """While this thread leads a study: commands that it sends itself are carried out at once, and what it reads is new."""
    _LEADING[study_id] = _Leading(threading.get_ident(), leader)
    try:
        yield
    finally:
        _LEADING.pop(study_id, None)


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class Steering:
    """Sends commands about one study.

    ``_lock`` keeps two threads of one handle from folding the study at the same time.

    Args:
        store: Where the study is.
        study_id: The study.
        make_searcher: A new searcher for it.
        make_scheduler: A new scheduler for it.
        check_params: Normalises params or raises SpaceError.
        clock: Time.
    """

    def __init__(
        self,
        store: Store,
        study_id: str,
        *,
        make_searcher: Callable[[], Searcher],
        make_scheduler: Callable[[], Scheduler],
        check_params: Callable[[Params], dict[str, Any]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._study_id = study_id
        self._make_searcher = make_searcher
        self._make_scheduler = make_scheduler
        self._check_params = check_params
        self._clock = clock
        self._lock = threading.Lock()
        self._lead: Lead | None = None
        self._sender = f"pid {os.getpid()} on {socket.gethostname()}"

    def command(self, kind: CommandKind, args: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Have a command carried out; returns its result.

        Args:
            kind: What to do.
            args: With what.
            dry_run: Only say what would be done, as if nobody led; nothing is changed.

        Raises:
            UserError, Conflict, NotFound: It was refused, and nothing was changed.
        """
        if dry_run:
            with self._lock:
                return self._pretend(kind, args)
        leading = _LEADING.get(self._study_id)
        if leading is not None and leading.thread == threading.get_ident():
            return leading.leader.carry_out(self._send(kind, args))
        if kind in _CLIENT_KINDS:
            # The hot path: no row of its own, and it is not asked who leads: the store says so where somebody does.
            try:
                if self._lead is not None or self._store.leader(self._study_id) is None:
                    with self._lock:
                        return self._commit(lambda lead: self._client(lead, kind, args))
            except StudyLed:
                self._lead = None
        return self._answer(self._send(kind, args))

    def settle(self) -> None:
        """Before a read: where this process leads the study, what its trials did must be in the store.

        An inline trial runs ahead of its commit, and could not find itself there.
        """
        leading = _LEADING.get(self._study_id)
        if leading is not None:
            leading.leader.settle()

    def _send(self, kind: CommandKind, args: Mapping[str, Any]) -> Command:
        return self._store.send_command(self._study_id, self._new_command(kind, args))

    def _answer(self, sent: Command) -> dict[str, Any]:
        """What becomes of a command: of its leader's doing, or of ours while nobody leads."""
        deadline = self._clock.monotonic() + ANSWER_WITHIN_S
        waiting = threading.Event()
        while True:
            answer = self._store.command(self._study_id, sent.id)
            if answer.status is not CommandStatus.PENDING:
                return _fate(answer)
            if self._store.leader(self._study_id) is None:
                with suppress(StudyLed), self._lock:  # somebody has begun to lead meanwhile, and will see it
                    return self._apply(answer)
            if self._clock.monotonic() > deadline:
                if sent.expires_at is not None:
                    raise Conflict(
                        f"the leader ({self._store.leader(self._study_id)}) has not answered within {ANSWER_WITHIN_S:.0f} s; "
                        "no trial will be made for this: ask again"
                    )
                return {
                    "message": f"sent; the leader has not answered within {ANSWER_WITHIN_S:.0f} s and will see it at its "
                    "trial's next report"
                }
            waiting.wait(_LOOK_EVERY_S)

    def _new_command(self, kind: CommandKind, args: Mapping[str, Any]) -> Command:
        try:
            json.dumps(args, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"'{kind}' takes what JSON can hold: {error}") from None
        now = self._clock.now()
        return Command(
            kind=kind,
            args=args,
            key=uuid.uuid4().hex,
            sender=self._sender,
            created_at=now,
            # Whoever asks for a trial waits for it; whatever else is sent is meant also when its sender has gone.
            expires_at=now + ASK_EXPIRES_S if kind is CommandKind.ASK else None,
        )

    # --- without a leader ---

    def _apply(self, command: Command) -> dict[str, Any]:
        refused: list[TrialistError] = []

        def carry_out(lead: Lead) -> dict[str, Any]:
            refused.clear()
            # A leader may have answered and left since: what is still pending now is so until our commit, or that fails.
            stored = self._store.command(self._study_id, command.id)
            try:
                if stored.status is not CommandStatus.PENDING:
                    return _fate(stored)
                return apply(self._context(lead, None), replace(command, expires_at=None))  # we still wait
            except TrialistError as error:
                refused.append(error)  # its refusal is an event, and is committed
                return {}

        result = self._commit(carry_out)
        if refused:
            raise refused[0]
        return result

    def _commit(self, act: Callable[[Lead], dict[str, Any]]) -> dict[str, Any]:
        """Act on the study as it stands and commit; again, where another process was faster."""
        for _ in range(_TRIES):
            lead = self._current()
            try:
                result = act(lead)
                lead.commit()
                return result
            except StudyLed:
                self._lead = None
                raise
            except Conflict:
                stored = self._store.find_study(self._study_id)
                self._lead = None
                if stored is None:
                    raise NotFound("study", self._study_id) from None
                if stored.seq <= lead.fold.seq - lead.pending:
                    raise  # refused for what it asked, not because another process was faster
            except BaseException:
                self._lead = None
                raise
        raise Conflict("other processes write this study all the time; try again")

    def _current(self) -> Lead:
        """The study folded up to what is stored as far as this handle knows."""
        if self._lead is None:
            study = self._study()
            self._lead = take_up(
                store=self._store,
                lease=None,
                study=study,
                searcher=self._make_searcher(),
                scheduler=self._make_scheduler(),
                clock=self._clock,
            )
        return self._lead

    def _client(self, lead: Lead, kind: CommandKind, args: Mapping[str, Any]) -> dict[str, Any]:
        return _clients(lead)[kind](Command(kind=kind, args=args, key="", sender=self._sender))

    def _context(self, lead: Lead, floor: _Pretend | None) -> Context:
        return Context(
            lead=lead,
            floor=floor,
            check_params=self._check_params,
            find_trial=lambda number: self._find_trial(lead, number),
            find_checkpoint=self._find_checkpoint,
            clients=_clients(lead),
        )

    def _find_trial(self, lead: Lead, number: int) -> Trial:
        number = check_not_found(number)
        return lead.trials.get(number) or self._store.trial(self._study_id, number)

    def _find_checkpoint(self, number: int) -> Checkpoint | None:
        return max(self._store.checkpoints(self._study_id, number), key=lambda row: row.at, default=None)

    def _study(self) -> Study:
        study = self._store.find_study(self._study_id)
        if study is None:
            raise NotFound("study", self._study_id, self._store.url)
        return study

    # --- dry run ---

    def _pretend(self, kind: CommandKind, args: Mapping[str, Any]) -> dict[str, Any]:
        """What a command would do, on a copy that is thrown away."""
        study = self._study()
        lead = take_up(store=self._store, lease=None, study=study, searcher=None, scheduler=None, clock=self._clock)
        floor = _Pretend(lead) if self._store.leader(self._study_id) is not None else None
        result = apply(self._context(lead, floor), Command(kind=kind, args=args, key="", sender=self._sender))
        lead.forget()
        return {**result, "dry_run": True}


def _clients(lead: Lead) -> Mapping[CommandKind, Callable[[Command], dict[str, Any]]]:
    """What answers ``ask``, ``tell`` and ``report`` where nobody leads; a dry run has neither searcher nor scheduler."""
    if lead.searcher is None or lead.scheduler is None:
        return {}
    return Clients(lead, lead.searcher, lead.scheduler).handlers()


def _fate(answered: Command) -> dict[str, Any]:
    """The result of a command that was applied; raises what a refused one was told."""
    if answered.status is CommandStatus.REFUSED:
        raise error_retold(answered.refusal, answered.error)
    return dict(answered.result)


class _Pretend:
    """Running trials of another process, for a dry run: told to leave, they stay."""

    def __init__(self, lead: Lead) -> None:
        self._active = {number for number, trial in lead.trials.items() if trial.running_since is not None}

    def is_active(self, number: int) -> bool:
        return number in self._active

    def leave(self, number: int, leaving: Leaving) -> None:
        self._active.discard(number)
