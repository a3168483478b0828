"""Commands from people and other processes, turned into events: idempotent, last write wins, dry-runnable.

``apply`` is the one function for a person's stop, a service's cancel and a notebook's enqueue, under a leader or without
one. Knows no store and no transport.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple, Protocol

from trialist.core.errors import Conflict, InternalError, NotFound, SpaceError, UnknownName, UserError, error_told
from trialist.core.events import (
    BudgetChanged,
    CommandApplied,
    CommandRefused,
    Decided,
    StudyStatusChanged,
    TrialPaused,
    TrialResumed,
)
from trialist.core.fold import StudyFold
from trialist.core.records import (
    PERSON,
    Budget,
    Checkpoint,
    Command,
    CommandKind,
    Params,
    Suggestion,
    Trial,
    WarmStart,
    WarmStartFrom,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving, end_at_rest

REFUSALS = (UserError, Conflict, NotFound, InternalError)
"""What refuses a command; after anything else (a store that is away) it is still to be answered."""


class Floor(Protocol):
    """What control needs of the running trials; ``None`` where nobody leads and nothing runs."""

    def is_active(self, number: int) -> bool: ...

    def leave(self, number: int, leaving: Leaving) -> None: ...


class Context(NamedTuple):
    """What a command may need beside the lead."""

    lead: Lead
    floor: Floor | None
    check_params: Callable[[Params], dict[str, Any]]
    """Normalises params or raises SpaceError."""
    find_trial: Callable[[int], Trial]
    """Any trial of the study, ended ones too; raises NotFound."""
    find_checkpoint: Callable[[int], Checkpoint | None]
    """The last kept checkpoint of a trial."""
    clients: Mapping[CommandKind, Callable[[Command], dict[str, Any]]] = {}
    """Handlers of ``ask``, ``tell`` and ``report``."""


def apply(context: Context, command: Command) -> dict[str, Any]:
    """Carry a command out and answer it with an event; returns the result, raises what refused it.

    One that has expired is refused: whoever sent it has gone, and would never hear of a trial that was made for it.

    Raises:
        UserError, Conflict, NotFound: It was refused; ``CommandRefused`` says why, and nothing else was changed.
    """
    lead = context.lead
    with lead.lock:
        try:
            if command.expires_at is not None and lead.clock.now() > command.expires_at:
                raise Conflict(
                    f"'{command.kind}' came too late: {command.sender or 'its sender'} no longer waits for it"
                )
            result = _HANDLERS[command.kind](context, command)
        except REFUSALS as error:
            lead.emit(
                CommandRefused(
                    command=command.id,
                    command_kind=command.kind,
                    error=str(error),
                    sender=command.sender,
                    refusal=error_told(error),
                )
            )
            raise
        lead.emit(
            CommandApplied(
                command=command.id,
                command_kind=command.kind,
                sender=command.sender,
                args=command.args,
                result=result,
            )
        )
        return result


# --- the study -------------------------------------------------------------------------------------------------------


def _set_status(context: Context, status: StudyStatus, done: str, already: str) -> dict[str, Any]:
    fold = context.lead.fold
    if fold.status is status:
        return {"message": already}
    context.lead.emit(StudyStatusChanged(was=fold.status, status=status, reason=done))
    return {"message": done}


def _pause(context: Context, command: Command) -> dict[str, Any]:
    name, status = context.lead.fold.spec.name, context.lead.fold.status
    if status.is_ended:
        raise Conflict(f"study '{name}' is {status}: there is nothing to pause")
    return _set_status(context, StudyStatus.PAUSED, "paused by a person", f"study '{name}' is paused already")


def _resume(context: Context, command: Command) -> dict[str, Any]:
    fold = context.lead.fold
    if fold.status is StudyStatus.RUNNING:
        if fold.stopping:  # the answer itself takes it back
            return {"message": f"study '{fold.spec.name}' goes on; it was being stopped"}
        return {"message": f"study '{fold.spec.name}' is running already"}
    wanted = StudyStatus.RUNNING if context.floor is not None else StudyStatus.QUEUED
    return _set_status(context, wanted, "resumed by a person", f"study '{fold.spec.name}' is {wanted} already")


def _stop(context: Context, command: Command) -> dict[str, Any]:
    """Without a leader nothing runs, so the study is over at once; with one, the loop ends it when the last trial has."""
    fold = context.lead.fold
    if fold.status.is_ended:
        return {"message": f"study '{fold.spec.name}' is {fold.status} already"}
    if context.floor is None:
        for trial in context.lead.live():
            _end(context, trial, TrialStatus.STOPPED, "the study was stopped")
        return _set_status(context, StudyStatus.COMPLETED, "stopped by a person", "")
    if fold.stopping:
        return {"message": f"study '{fold.spec.name}' is being stopped already"}
    return {"message": "starts no more trials; the running ones end"}


def _cancel(context: Context, command: Command) -> dict[str, Any]:
    fold = context.lead.fold
    if fold.status is StudyStatus.CANCELLED:
        return {"message": f"study '{fold.spec.name}' is cancelled already"}
    if fold.status.is_ended:
        raise Conflict(f"study '{fold.spec.name}' is {fold.status}: there is nothing to cancel")
    live = context.lead.live()
    for trial in live:
        _end(context, trial, TrialStatus.CANCELLED, "the study was cancelled")
    done = _set_status(context, StudyStatus.CANCELLED, "cancelled by a person", "")
    return {**done, "message": f"cancelled, with {len(live)} live trial{'s' * (len(live) != 1)}"}


def _set_budget(context: Context, command: Command) -> dict[str, Any]:
    lead = context.lead
    known = {f.name for f in fields(Budget)}
    for name in command.args:
        if name not in known:
            raise UnknownName("part of the budget", name, known)
    budget = replace(lead.fold.spec.budget, **command.args)
    check_budget(budget)
    if budget == lead.fold.spec.budget:
        return {"message": "the budget is so already"}
    lead.emit(BudgetChanged(budget=budget))
    said = ", ".join(f"{name}={value}" for name, value in command.args.items())
    return {"message": f"budget changed: {said}"}


def check_budget(budget: Budget) -> None:
    """Raise SpaceError-like errors for a budget that makes no sense."""
    for name, least in (("num_trials", 1), ("max_failures", 0), ("retries", 0), ("jobs", 1)):
        value = getattr(budget, name)
        if value is None and name in ("num_trials", "max_failures"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise SpaceError(name, f"must be a whole number of at least {least}, not {value!r}")
    limit = budget.time_budget_s
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0):
        raise SpaceError("time_budget_s", f"must be a number of seconds above 0, not {limit!r}")


# --- trials ----------------------------------------------------------------------------------------------------------


def check_open(fold: StudyFold) -> None:
    """Raise Conflict while a study is being stopped: what is added now would end before it has begun."""
    if fold.stopping:
        raise Conflict(f"study '{fold.spec.name}' is being stopped: resume it first, or add trials when it has ended")


def _enqueue(context: Context, command: Command) -> dict[str, Any]:
    check_open(context.lead.fold)
    params = context.check_params(_mapping(command, "params"))
    number = context.lead.suggested(Suggestion(params=params), source="enqueue")
    _reopen(context)
    return {"message": f"trial {number} waits for a place", "trial": number}


def _clone(context: Context, command: Command) -> dict[str, Any]:
    check_open(context.lead.fold)
    origin = context.find_trial(_number(command))
    changes = _mapping(command, "params")
    params = context.check_params(merged(origin.params, changes))
    warm_start = None
    what = command.args.get("warm_start") or False
    if what:
        kind = WarmStart.WEIGHTS if what is True else warm_start_named(str(what))
        checkpoint = context.find_checkpoint(origin.number)
        if checkpoint is None:
            raise Conflict(
                f"trial {origin.number} has no checkpoint to start from: clone it without warm_start, or have the "
                "objective save checkpoints (trial.save_checkpoint)"
            )
        warm_start = WarmStartFrom(trial=origin.number, checkpoint=checkpoint.id, what=kind)
    suggestion = Suggestion(params=params, parent=origin.number, warm_start_from=warm_start)
    number = context.lead.suggested(suggestion, source="clone")
    _reopen(context)
    start = f", starting from its {warm_start.what}" if warm_start else ""
    return {"message": f"trial {number} is a clone of trial {origin.number}{start}", "trial": number}


def warm_start_named(name: str) -> WarmStart:
    """``weights`` or ``optimizer``; anything else is an error that says so."""
    if name not in (WarmStart.WEIGHTS, WarmStart.OPTIMIZER):
        raise UnknownName("warm start", name, (WarmStart.WEIGHTS, WarmStart.OPTIMIZER))
    return WarmStart(name)


def merged(params: Params, changes: Params) -> dict[str, Any]:
    """Params with changes laid over them; nested mappings merge, dotted names reach into them."""
    out: dict[str, Any] = dict(params)
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        if name not in out and rest and isinstance(out.get(head), Mapping):
            out[head] = merged(out[head], {rest: value})
        elif isinstance(value, Mapping) and isinstance(out.get(name), Mapping):
            out[name] = merged(out[name], value)
        else:
            out[name] = value
    return out


def _retry(context: Context, command: Command) -> dict[str, Any]:
    check_open(context.lead.fold)
    trial = context.find_trial(_number(command))
    if not trial.status.is_terminal:
        raise Conflict(f"trial {trial.number} is {trial.status}: only a trial that has ended can be tried again")
    number = context.lead.retry(trial, 0)
    _reopen(context)
    return {"message": f"trial {number} tries trial {trial.number} again", "trial": number}


def _stop_trial(context: Context, command: Command) -> dict[str, Any]:
    return _end_trial(context, command, TrialStatus.STOPPED, Errand.STOP)


def _cancel_trial(context: Context, command: Command) -> dict[str, Any]:
    return _end_trial(context, command, TrialStatus.CANCELLED, Errand.CANCEL)


def _end_trial(context: Context, command: Command, status: TrialStatus, errand: Errand) -> dict[str, Any]:
    trial = context.find_trial(_number(command))
    if trial.status.is_terminal:
        if trial.status is status:
            return {"message": f"trial {trial.number} is {status} already"}
        raise Conflict(f"trial {trial.number} is {trial.status}: it cannot become {status}")
    reason = f"{status} by a person"
    if context.floor is not None and context.floor.is_active(trial.number):
        _send_away(context, context.lead.trials[trial.number], errand, reason)
        return {"message": f"trial {trial.number} is told to leave"}
    _end(context, context.lead.trials[trial.number], status, reason)
    return {"message": f"trial {trial.number} is {status}"}


def _pause_trial(context: Context, command: Command) -> dict[str, Any]:
    trial = context.find_trial(_number(command))
    if trial.status is TrialStatus.PAUSED:
        return {"message": f"trial {trial.number} is paused already"}
    if trial.status.is_terminal:
        raise Conflict(f"trial {trial.number} is {trial.status}: it cannot be paused")
    if context.floor is not None and context.floor.is_active(trial.number):
        _send_away(context, context.lead.trials[trial.number], Errand.PAUSE, "paused by a person")
        return {"message": f"trial {trial.number} leaves at its next report"}
    if trial.status is TrialStatus.RUNNING:
        raise Conflict(f"trial {trial.number} runs outside the engine ({trial.worker}): it cannot be paused from here")
    body = TrialPaused(
        trial=trial.number, attempt=trial.attempt, step=trial.step, parked=False, by=PERSON, reason="paused by a person"
    )
    context.lead.emit(body)
    return {"message": f"trial {trial.number} is paused"}


def _resume_trial(context: Context, command: Command) -> dict[str, Any]:
    trial = context.find_trial(_number(command))
    if trial.status in (TrialStatus.RUNNING, TrialStatus.WAITING):
        return {"message": f"trial {trial.number} is {trial.status} already"}
    if trial.status.is_terminal:
        raise Conflict(f"trial {trial.number} is {trial.status}: retry or clone it instead")
    context.lead.emit(TrialResumed(trial=trial.number, to_step=None, by=PERSON, reason="resumed by a person"))
    _reopen(context)
    return {"message": f"trial {trial.number} waits for a place"}


def _end(context: Context, trial: Trial, status: TrialStatus, reason: str) -> None:
    """End a live trial; one that runs is told to leave, and its end follows."""
    if context.floor is not None and context.floor.is_active(trial.number):
        errand = Errand.CANCEL if status is TrialStatus.CANCELLED else Errand.STOP
        _send_away(context, trial, errand, reason)
        return
    context.lead.emit(end_at_rest(trial, status, by=PERSON, reason=reason))


def _send_away(context: Context, trial: Trial, errand: Errand, reason: str) -> None:
    """Tell a trial that runs to leave; its end follows, and the event that says so holds also if the engine dies first."""
    assert context.floor is not None
    context.lead.emit(
        Decided(
            trial=trial.number, attempt=trial.attempt, step=trial.step, decision=errand.value, by=PERSON, reason=reason
        )
    )
    context.floor.leave(trial.number, Leaving(errand, PERSON, reason))


def _reopen(context: Context) -> None:
    """A study that had ended has something to do again."""
    fold = context.lead.fold
    if fold.status.is_ended:
        body = StudyStatusChanged(was=fold.status, status=StudyStatus.QUEUED, reason="a trial was added")
        context.lead.emit(body)


def _client(context: Context, command: Command) -> dict[str, Any]:
    handler = context.clients.get(command.kind)
    if handler is None:
        raise UserError(f"this study's leader takes no '{command.kind}'")
    return handler(command)


_HANDLERS: dict[CommandKind, Callable[[Context, Command], dict[str, Any]]] = {
    CommandKind.PAUSE: _pause,
    CommandKind.RESUME: _resume,
    CommandKind.STOP: _stop,
    CommandKind.CANCEL: _cancel,
    CommandKind.SET_BUDGET: _set_budget,
    CommandKind.ENQUEUE: _enqueue,
    CommandKind.CLONE: _clone,
    CommandKind.RETRY: _retry,
    CommandKind.STOP_TRIAL: _stop_trial,
    CommandKind.CANCEL_TRIAL: _cancel_trial,
    CommandKind.PAUSE_TRIAL: _pause_trial,
    CommandKind.RESUME_TRIAL: _resume_trial,
    CommandKind.ASK: _client,
    CommandKind.TELL: _client,
    CommandKind.REPORT: _client,
}


def _number(command: Command) -> int:
    """The number of the trial that a command is about."""
    return check_not_found(command.args.get("trial"))


def _mapping(command: Command, name: str) -> Mapping[str, Any]:
    """A mapping from a command's args, which may come from anywhere; empty where it was not given."""
    given = command.args.get(name) or {}
    if not isinstance(given, Mapping):
        raise SpaceError(name, f"must be a mapping, not {given!r}")
    return given


def check_not_found(number: object) -> int:
    """A trial number from a command's args, or the error that says it is none."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise NotFound("trial", number)
    return number
