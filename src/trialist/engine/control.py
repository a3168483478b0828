"""Commands from people and other processes, turned into events: idempotent, last write wins, dry-runnable.

``apply`` is the one function for a person's stop, a service's cancel and a notebook's enqueue, under a leader or without
one. Knows no store and no transport.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from trialist.core.errors import Conflict, InternalError, NotFound, SpaceError, UnknownName, UserError, error_told
from trialist.core.events import BudgetChanged, CommandApplied, CommandRefused, StudyStatusChanged
from trialist.core.records import Budget, Command, CommandKind
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine import trial_control
from trialist.engine.context import Context

REFUSALS = (UserError, Conflict, NotFound, InternalError)
"""What refuses a command; after anything else (a store that is away) it is still to be answered."""


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
            trial_control.end(context, trial, TrialStatus.STOPPED, "the study was stopped")
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
        trial_control.end(context, trial, TrialStatus.CANCELLED, "the study was cancelled")
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
    CommandKind.ENQUEUE: trial_control.enqueue,
    CommandKind.CLONE: trial_control.clone,
    CommandKind.RETRY: trial_control.retry,
    CommandKind.STOP_TRIAL: trial_control.stop_trial,
    CommandKind.CANCEL_TRIAL: trial_control.cancel_trial,
    CommandKind.PAUSE_TRIAL: trial_control.pause_trial,
    CommandKind.RESUME_TRIAL: trial_control.resume_trial,
    CommandKind.ASK: _client,
    CommandKind.TELL: _client,
    CommandKind.REPORT: _client,
}
