"""Events as lines for people: ``12:30:45  trial 3 completed  loss 0.12``. Knows events, not where they come from."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.text import Text

from trialist.cli.output import FAINT, clean, duration, number, params_text, plural, size, status_text
from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Body,
    BudgetChanged,
    Checkpointed,
    CheckpointFreed,
    CommandApplied,
    CommandRefused,
    Decided,
    Event,
    LeaseLapsed,
    LeaseTaken,
    Noted,
    ReplyReceived,
    ReplyRequested,
    Reported,
    RunConfigured,
    StudyCreated,
    StudyStatusChanged,
    TrialEnded,
    TrialPaused,
    TrialResumed,
    TrialSuggested,
)
from trialist.core.records import CommandKind

_QUIET = (Reported, Checkpointed, CheckpointFreed, RunConfigured, LeaseTaken, LeaseLapsed)
_TOLD_AT_ONCE = frozenset({CommandKind.STOP, CommandKind.STOP_TRIAL, CommandKind.CANCEL_TRIAL, CommandKind.PAUSE_TRIAL})
"""Commands whose effect comes later; what the others do is an event of its own right before."""


def tells(event: Event) -> bool:
    """Whether somebody who follows a study wants a line for this event."""
    match event.body:
        case Decided(decision=decision):
            return decision != "continue"
        case CommandApplied(command_kind=kind):
            return kind in _TOLD_AT_ONCE
    return not isinstance(event.body, _QUIET)


def line(event: Event) -> Text:
    """An event as one line."""
    text = Text(f"{clock(event.at)}  ", style=FAINT, no_wrap=True, overflow="ellipsis")
    return text.append_text(Text("", style="default").append_text(_told(event.body)))


def clock(at: float) -> str:
    """The time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def _told(body: Body) -> Text:
    trial = getattr(body, "trial", None)
    said = _trial_told(body) if trial is not None else _study_told(body)
    return said if trial is None else Text(f"trial {trial} ").append_text(said)


def _trial_told(body: Body) -> Text:
    match body:
        case TrialSuggested():
            return Text(f"suggested by {clean(body.source)}  {params_text(body.params, 20)}")
        case AttemptStarted():
            again = f", attempt {body.attempt}" if body.attempt > 1 else ""
            start = f" from step {body.from_step}" if body.from_step else ""
            return Text(f"started{again}{start}  ").append(clean(body.worker), style=FAINT)
        case AttemptContinued():
            return Text(f"goes on from step {body.from_step}")
        case Reported():
            return Text(f"step {body.step}  {_metrics(body.metrics)}")
        case Checkpointed():
            return Text(f"checkpoint at step {body.step}, {size(body.num_bytes)}")
        case CheckpointFreed():
            return Text("checkpoint freed")
        case Decided():
            return Text(f"{body.decision} by {clean(body.by)}" + _why(body.reason))
        case TrialPaused():
            return status_text("paused").append(f" by {clean(body.by)}" + _why(body.reason), style="default")
        case TrialResumed():
            return Text(f"may go on: {clean(body.by)}" + _why(body.reason))
        case AttemptEnded():
            return Text(f"attempt {body.attempt} {body.outcome.value}, now {body.status.value}" + _why(body.message))
        case TrialEnded():
            error = "" if body.error is None else f"  {clean(body.error.message)}"
            return status_text(body.status.value).append(f"  {_metrics(body.metrics)}{error}", style="default")
    return Text(type(body).__name__)


def _study_told(body: Body) -> Text:
    match body:
        case StudyCreated():
            return Text(f"study made by {clean(body.spec.door)}")
        case LeaseTaken():
            return Text(f"led by {clean(body.holder)}")
        case LeaseLapsed():
            return Text("the last leader was gone")
        case StudyStatusChanged():
            return Text("study ").append_text(status_text(body.status.value)).append(_why(body.reason), style="default")
        case BudgetChanged():
            budget = body.budget
            total = "no limit" if budget.num_trials is None else plural(budget.num_trials, "trial")
            limit = "" if budget.time_budget_s is None else f", {duration(budget.time_budget_s)}"
            return Text(f"budget: {total}, {budget.jobs} at once{limit}")
        case RunConfigured():
            return Text(f"runs with executor {body.executor.name}")
        case CommandApplied():
            message = body.result.get("message", "done")
            return Text(f"{body.command_kind.replace('_', ' ')}: {clean(str(message))}")
        case CommandRefused():
            return Text(f"{body.command_kind.replace('_', ' ')} refused: {clean(body.error)}", style="red")
        case ReplyRequested():
            return Text("asked for a reply")
        case ReplyReceived():
            return Text(f"got a reply, {body.cost_usd:.4f} USD")
        case Noted():
            return Text(clean(body.message), style="yellow" if body.level != "info" else "")
    return Text(type(body).__name__)


def _metrics(metrics: Mapping[str, float]) -> str:
    shown = "  ".join(f"{clean(name)} {number(value)}" for name, value in list(metrics.items())[:4])
    return shown + (" …" if len(metrics) > 4 else "")


def _why(reason: str) -> str:
    return f": {clean(reason)}" if reason else ""
