"""Commands about trials: what each changes in a study, whether a leader runs it or nobody does.

Knows the lead and the floor; which command it is, and that it is answered, is ``control``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trialist.core.errors import Conflict, SpaceError, UnknownName
from trialist.core.events import Decided, StudyStatusChanged, TrialPaused, TrialResumed
from trialist.core.records import PERSON, Command, Params, Suggestion, Trial, WarmStart, WarmStartFrom
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.context import Context, check_not_found, check_open
from trialist.engine.outcome import Errand, Leaving, end_at_rest


def enqueue(context: Context, command: Command) -> dict[str, Any]:
    """Add a trial with a person's params."""
    check_open(context.lead.fold)
    params = context.check_params(_mapping(command, "params"))
    number = context.lead.suggested(Suggestion(params=params), source="enqueue")
    reopen(context)
    return {"message": f"trial {number} waits for a place", "trial": number}


def clone(context: Context, command: Command) -> dict[str, Any]:
    """Add a trial like another one, with some params changed."""
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
    reopen(context)
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


def retry(context: Context, command: Command) -> dict[str, Any]:
    """Try an ended trial again, as a new one."""
    check_open(context.lead.fold)
    trial = context.find_trial(_number(command))
    if not trial.status.is_terminal:
        raise Conflict(f"trial {trial.number} is {trial.status}: only a trial that has ended can be tried again")
    number = context.lead.retry(trial, 0)
    reopen(context)
    return {"message": f"trial {number} tries trial {trial.number} again", "trial": number}


def stop_trial(context: Context, command: Command) -> dict[str, Any]:
    """End a trial early; its value counts."""
    return _end_trial(context, command, TrialStatus.STOPPED, Errand.STOP)


def cancel_trial(context: Context, command: Command) -> dict[str, Any]:
    """End a trial; nothing of it counts."""
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
    end(context, context.lead.trials[trial.number], status, reason)
    return {"message": f"trial {trial.number} is {status}"}


def pause_trial(context: Context, command: Command) -> dict[str, Any]:
    """Have a trial leave, to go on when somebody says so."""
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


def resume_trial(context: Context, command: Command) -> dict[str, Any]:
    """Let a paused trial go on."""
    trial = context.find_trial(_number(command))
    if trial.status in (TrialStatus.RUNNING, TrialStatus.WAITING):
        return {"message": f"trial {trial.number} is {trial.status} already"}
    if trial.status.is_terminal:
        raise Conflict(f"trial {trial.number} is {trial.status}: retry or clone it instead")
    context.lead.emit(TrialResumed(trial=trial.number, to_step=None, by=PERSON, reason="resumed by a person"))
    reopen(context)
    return {"message": f"trial {trial.number} waits for a place"}


def end(context: Context, trial: Trial, status: TrialStatus, reason: str) -> None:
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


def reopen(context: Context) -> None:
    """A study that had ended has something to do again."""
    fold = context.lead.fold
    if fold.status.is_ended:
        body = StudyStatusChanged(was=fold.status, status=StudyStatus.QUEUED, reason="a trial was added")
        context.lead.emit(body)


def _number(command: Command) -> int:
    """The number of the trial that a command is about."""
    return check_not_found(command.args.get("trial"))


def _mapping(command: Command, name: str) -> Mapping[str, Any]:
    """A mapping from a command's args, which may come from anywhere; empty where it was not given."""
    given = command.args.get(name) or {}
    if not isinstance(given, Mapping):
        raise SpaceError(name, f"must be a mapping, not {given!r}")
    return given
