"""Records as rows of the SQL store and back.

The JSON in a row is that of ``core.wire``, field by field, those at their defaults left out; an event's body is read with
``wire.event_from_json``. The four events that every trial has, and the trial's own row, are written by hand here, because
a generic walk over their fields costs more than the database does. Knows no connection and no SQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from trialist.core.events import (
    EVENT_KINDS,
    AttemptEnded,
    AttemptStarted,
    Checkpointed,
    CommandApplied,
    CommandRefused,
    Event,
    Reported,
    TrialEnded,
    TrialSuggested,
)
from trialist.core.records import (
    Attempt,
    Budget,
    Checkpoint,
    Command,
    CommandKind,
    CommandStatus,
    Failure,
    Holder,
    Metrics,
    Report,
    Study,
    StudySpec,
    Trial,
    WarmStartFrom,
    Worker,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.core.wire import decode_float, decode_metrics, encode_float, encode_metrics, from_json, to_json

Json = dict[str, Any]
Row = tuple[Any, ...]


def _encoder() -> Callable[[Any], str]:
    """Compact strict JSON.

    ASCII only: lone surrogates (a path that is no UTF-8) and NUL travel as escapes, which every database keeps. CPython
    makes a new C encoder for each call of ``encode``, which takes longer than the encoding: so one is kept here.
    """
    encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    fast = make(None, encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
    return lambda value: "".join(fast(value, 0))


dumps = _encoder()
loads = json.loads

_TRIAL_STATUS = {status.value: status for status in TrialStatus}

# --- studies ---------------------------------------------------------------------------------------------------------


def spec_text(spec: StudySpec) -> str:
    """The spec without its budget, which is part of the state."""
    return dumps(to_json(replace(spec, budget=Budget())))


def study_state(study: Study) -> str:
    """What of a study's row changes, but for the status and the sequence number."""
    state = to_json(replace(study, status=StudyStatus.CREATED, seq=0))
    del state["spec"]
    state["budget"] = to_json(study.spec.budget)
    return dumps(state)


def read_study(spec: str, status: str, seq: int, state: str) -> Study:
    """A study from its row and its spec."""
    fields = loads(state)
    fields.update(spec=loads(spec), status=status, seq=seq)
    fields["spec"]["budget"] = fields.pop("budget")
    return from_json(Study, fields)


def holder_text(holder: Holder) -> str:
    """A holder as it stands in the study's row."""
    return dumps(to_json(holder))


def read_holder(text: str | None) -> Holder | None:
    """The inverse of ``holder_text``; ``None`` where nobody holds the lease."""
    return None if text is None else from_json(Holder, loads(text))


def worker_text(worker: Worker) -> str:
    """A worker as its row has it."""
    return dumps(to_json(worker))


def read_worker(text: str) -> Worker:
    """The inverse of ``worker_text``."""
    return from_json(Worker, loads(text))


# --- trials ----------------------------------------------------------------------------------------------------------


def trial_origin(trial: Trial) -> str:
    """What of a trial's row never changes, but for its params."""
    out: Json = {}
    if trial.seed:
        out["seed"] = trial.seed
    if trial.source:
        out["source"] = trial.source
    if not trial.counted:
        out["counted"] = False
    if trial.parent is not None:
        out["parent"] = trial.parent
    if trial.repeat_of is not None:
        out["repeat_of"] = trial.repeat_of
    if trial.warm_start_from is not None:
        out["warm_start_from"] = to_json(trial.warm_start_from)
    if trial.note:
        out["note"] = dict(trial.note)
    if trial.seen_seq:
        out["seen_seq"] = trial.seen_seq
    if trial.suggested_at:
        out["suggested_at"] = trial.suggested_at
    return dumps(out)


_STATE_FIELDS = (
    ("attempt", 0),
    ("step", None),
    ("to_step", None),
    ("checkpoint", None),
    ("checkpoint_step", None),
    ("parked", False),
    ("paused_by", ""),
    ("ordered", ""),
    ("worker", ""),
    ("run_dir", ""),
    ("reason", ""),
    ("started_at", None),
    ("running_since", None),
    ("ended_at", None),
    ("seconds", 0.0),
)
"""JSON as they are; metrics, value and error are not."""


def trial_state(trial: Trial) -> str:
    """What of a trial's row changes, but for its status."""
    out: Json = {}
    for name, default in _STATE_FIELDS:
        value = getattr(trial, name)
        if value != default:
            out[name] = value
    if trial.metrics:
        out["metrics"] = encode_metrics(trial.metrics)
    if trial.value is not None:
        out["value"] = encode_float(trial.value)
    if trial.error is not None:
        out["error"] = to_json(trial.error)
    return dumps(out)


class Result(NamedTuple):
    """A trial's value and metrics."""

    value: float | None
    metrics: Metrics


def result_of(state: str) -> Result:
    """The result alone, of a trial's changing part."""
    fields = loads(state)
    value = fields.get("value")
    return Result(None if value is None else decode_float(value), decode_metrics(fields.get("metrics", {})))


def read_trial(number: int, status: str, params: str, origin: str, state: str) -> Trial:
    """A trial from its row. Fields that this version does not know are skipped."""
    fields: Json = loads(origin)
    fields.update(loads(state))
    if "metrics" in fields:
        fields["metrics"] = decode_metrics(fields["metrics"])
    if "value" in fields:
        fields["value"] = decode_float(fields["value"])
    if "error" in fields:
        fields["error"] = from_json(Failure, fields["error"])
    if "warm_start_from" in fields:
        fields["warm_start_from"] = from_json(WarmStartFrom, fields["warm_start_from"])
    if not fields.keys() <= _TRIAL_FIELDS:
        fields = {name: value for name, value in fields.items() if name in _TRIAL_FIELDS}
    return Trial(number=number, params=loads(params), status=_TRIAL_STATUS[status], **fields)


_TRIAL_FIELDS = frozenset(Trial.__dataclass_fields__) - {"number", "params", "status"}

# --- events ----------------------------------------------------------------------------------------------------------


def _suggested(body: TrialSuggested) -> Json:
    out: Json = {"trial": body.trial, "params": dict(body.params), "seed": body.seed, "source": body.source}
    if not body.counted:
        out["counted"] = False
    out["seen_seq"] = body.seen_seq
    if body.parent is not None:
        out["parent"] = body.parent
    if body.repeat_of is not None:
        out["repeat_of"] = body.repeat_of
    if body.warm_start_from is not None:
        out["warm_start_from"] = to_json(body.warm_start_from)
    if body.note:
        out["note"] = dict(body.note)
    if body.to_step is not None:
        out["to_step"] = body.to_step
    return out


def _started(body: AttemptStarted) -> Json:
    out: Json = {"trial": body.trial, "attempt": body.attempt}
    if body.from_step:
        out["from_step"] = body.from_step
    if body.to_step is not None:
        out["to_step"] = body.to_step
    if body.checkpoint is not None:
        out["checkpoint"] = body.checkpoint
    if body.worker:
        out["worker"] = body.worker
    if body.devices:
        out["devices"] = list(body.devices)
    if body.run_dir:
        out["run_dir"] = body.run_dir
    if body.metrics:
        out["metrics"] = encode_metrics(body.metrics)
    return out


def _reported(body: Reported) -> Json:
    return {
        "trial": body.trial,
        "attempt": body.attempt,
        "step": body.step,
        "metrics": encode_metrics(body.metrics),
    }


def _ended(body: TrialEnded) -> Json:
    out: Json = {"trial": body.trial, "attempt": body.attempt, "status": body.status.value}
    if body.step is not None:
        out["step"] = body.step
    if body.metrics:
        out["metrics"] = encode_metrics(body.metrics)
    if body.value is not None:
        out["value"] = encode_float(body.value)
    if body.error is not None:
        out["error"] = to_json(body.error)
    if body.outcome is not None:
        out["outcome"] = body.outcome.value
    if body.by:
        out["by"] = body.by
    if body.reason:
        out["reason"] = body.reason
    return out


_FAST: dict[type, Callable[[Any], Json]] = {
    TrialSuggested: _suggested,
    AttemptStarted: _started,
    Reported: _reported,
    TrialEnded: _ended,
}


def event_body(event: Event) -> str:
    """The JSON of an event's body: ``dumps(to_json(body))``, sooner."""
    body = event.body
    return dumps(_FAST.get(type(body), to_json)(body))


def read_event(seq: int, at: float, kind: str, body: str) -> Event:
    """An event from its row."""
    return Event(seq, at, from_json(EVENT_KINDS[kind], loads(body)))


# --- what events leave behind ----------------------------------------------------------------------------------------


def attempt_start(event: Event, body: AttemptStarted) -> str:
    """How an attempt began."""
    out: Json = {"started_at": event.at}
    if body.from_step:
        out["from_step"] = body.from_step
    if body.worker:
        out["worker"] = body.worker
    if body.devices:
        out["devices"] = list(body.devices)
    return dumps(out)


def attempt_ending(event: Event, body: AttemptEnded | TrialEnded) -> str:
    """How an attempt ended."""
    out: Json = {"ended_at": event.at}
    if body.outcome is not None:
        out["outcome"] = body.outcome.value
    if isinstance(body, AttemptEnded):
        message = body.message
    else:
        message = body.reason if body.error is None else body.error.message
    if message:
        out["message"] = message
    return dumps(out)


def read_attempt(trial: int, attempt: int, start: str, ending: str | None) -> Attempt:
    """An attempt from its row."""
    fields = {**loads(start), **(loads(ending) if ending is not None else {}), "trial": trial, "attempt": attempt}
    return from_json(Attempt, fields)


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Metrics as they stand in a report's row."""
    return dumps(encode_metrics(metrics))


def read_metrics(text: str) -> dict[str, float]:
    """The inverse of ``metrics_text``."""
    return decode_metrics(loads(text))


def read_report(trial: int, attempt: int, step: int, at: float, metrics: str, superseded: bool) -> Report:
    """A report from its row."""
    return Report(trial=trial, attempt=attempt, step=step, metrics=read_metrics(metrics), at=at, superseded=superseded)


def checkpoint_text(event: Event, body: Checkpointed) -> str:
    """A checkpoint's row, but for its id and its trial."""
    return dumps(
        {
            "attempt": body.attempt,
            "step": body.step,
            "path": body.path,
            "num_bytes": body.num_bytes,
            "at": event.at,
        }
    )


def read_checkpoint(checkpoint_id: str, trial: int, data: str) -> Checkpoint:
    """A checkpoint from its row."""
    return from_json(Checkpoint, {**loads(data), "id": checkpoint_id, "trial": trial})


def command_request(command: Command) -> str:
    """What was asked."""
    return dumps(
        {
            "kind": command.kind.value,
            "args": dict(command.args),
            "sender": command.sender,
            "created_at": command.created_at,
            **({} if command.expires_at is None else {"expires_at": command.expires_at}),
        }
    )


def applied_answer(body: CommandApplied) -> str:
    """What a command did."""
    return dumps({"result": dict(body.result)})


def refused_answer(body: CommandRefused) -> str:
    """Why a command was refused."""
    return dumps({"error": body.error, **({"refusal": dict(body.refusal)} if body.refusal else {})})


def read_command(command_id: int, key: str, status: str, request: str, answer: str | None) -> Command:
    """A command from its row."""
    fields = loads(request)
    fields.update(loads(answer) if answer is not None else {})
    return Command(
        id=command_id,
        key=key,
        status=CommandStatus(status),
        kind=CommandKind(fields.pop("kind")),
        **fields,
    )
