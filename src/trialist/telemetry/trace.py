"""What a study's events look like on a timeline: records of the Chrome trace event format, which Perfetto reads too.

"Trace Event Format", Google, 2016. Knows no file. One lane for each trial that runs at a time, a span for each stretch
that a trial ran, marks for decisions and checkpoints, a curve of the best value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Body,
    Checkpointed,
    Decided,
    Event,
    LeaseTaken,
    StudyCreated,
    StudyStatusChanged,
    TrialEnded,
    TrialPaused,
)
from trialist.core.records import Mode, Params
from trialist.core.wire import encode_float

Record = dict[str, Any]
READS: frozenset[type[Body]] = frozenset(
    {
        StudyCreated,
        LeaseTaken,
        StudyStatusChanged,
        AttemptStarted,
        AttemptContinued,
        AttemptEnded,
        Checkpointed,
        Decided,
        TrialPaused,
        TrialEnded,
    }
)
MAX_TEXT = 500
"""Characters of reasons and messages."""
MAX_PARAMS = 4096
"""Characters of params as JSON; longer ones are told by their length."""


class _Stretch(NamedTuple):
    """A trial that is running."""

    lane: int
    start: int
    """Microseconds."""
    attempt: int
    from_step: int
    worker: str


class Trace:
    """Folds events into trace records; its state can be read back from the records it gave.

    Guarantee: records depend on the events and params alone; each holds the ``seq`` of its event.
    """

    def __init__(self) -> None:
        self._running: dict[int, _Stretch] = {}
        self._workers: list[str] = []
        """Who ran last on each lane; lane 1 is the first."""
        self._metric = ""
        self._mode = Mode.MIN
        self._best: float | None = None

    def add(self, event: Event, params: Params | None) -> list[Record]:
        """The records of an event.

        Args:
            event: The next one.
            params: Of the trial that it concerns, where they are known.
        """
        body, at = event.body, microseconds(event.at)
        match body:
            case StudyCreated():
                records = [self._study(body, at)]
            case LeaseTaken():
                records = [_mark(f"led by {body.holder}", "study", at, 0, {"epoch": body.epoch})]
            case StudyStatusChanged():
                records = [_mark(f"study {body.status}", "study", at, 0, {"reason": _short(body.reason)})]
            case AttemptStarted():
                records = self._start(body.trial, body.attempt, body.from_step, body.worker, at)
            case AttemptContinued():
                if body.trial in self._running:
                    return []
                records = self._start(body.trial, body.attempt, body.from_step, "", at)
            case Decided():
                told = {"trial": body.trial, "step": body.step, "by": body.by, "reason": _short(body.reason)}
                name = f"{body.decision} trial {body.trial}"
                records = [_mark(name, "decision", at, self._lane(body.trial), told)]
            case Checkpointed():
                told = {"trial": body.trial, "step": body.step, "bytes": body.num_bytes}
                records = [_mark(f"checkpoint of trial {body.trial}", "checkpoint", at, self._lane(body.trial), told)]
            case TrialPaused():
                told = {"by": body.by, "reason": _short(body.reason)}
                records = self._end(body.trial, "paused", at, params, told)
            case AttemptEnded():
                told = {"message": _short(body.message)}
                records = self._end(body.trial, str(body.outcome), at, params, told)
            case TrialEnded():
                records = self._ended(body, at, params)
            case _:
                return []
        for record in records:
            record["seq"] = event.seq
        return records

    def restore(self, record: Record) -> None:
        """Take up a record that an earlier trace of this study gave, in order."""
        args = record.get("args", {})
        match record.get("ph"), record.get("cat"):
            case "M", "study":
                self._metric, self._mode = args["metric"], Mode(args["mode"])
            case "i", "start":
                stretch = _Stretch(record["tid"], record["ts"], args["attempt"], args["from_step"], args["worker"])
                self._occupy(args["trial"], stretch)
            case "X", "attempt":
                self._running.pop(args["trial"], None)
            case "C", "best":
                self._best = args[self._metric]

    def still_running(self, at: float) -> list[Record]:
        """Spans up to ``at`` for the trials that have not ended: for a file that is made once, of the past so far."""
        now = microseconds(at)
        return [_span(number, stretch, "running", now, None, {}) for number, stretch in self._running.items()]

    def _study(self, body: StudyCreated, at: int) -> Record:
        metric = body.spec.metrics[0] if len(body.spec.metrics) == 1 else None
        self._metric, self._mode = (metric.name, metric.mode) if metric else ("", Mode.MIN)
        args = {
            "name": f"study {body.spec.name}",
            "study": body.spec.id,
            "metric": self._metric,
            "mode": str(self._mode),
        }
        return {"name": "process_name", "cat": "study", "ph": "M", "ts": at, "pid": 1, "tid": 0, "args": args}

    # --- lanes ---

    def _lane(self, trial: int) -> int:
        stretch = self._running.get(trial)
        return 0 if stretch is None else stretch.lane

    def _start(self, trial: int, attempt: int, from_step: int, worker: str, at: int) -> list[Record]:
        lane = self._free_lane(worker)
        records = []
        if lane > len(self._workers):
            args = {"name": f"slot {lane}"}
            records.append({"name": "thread_name", "ph": "M", "ts": at, "pid": 1, "tid": lane, "args": args})
        self._occupy(trial, _Stretch(lane, at, attempt, from_step, worker))
        told = {"trial": trial, "attempt": attempt, "from_step": from_step, "worker": worker}
        records.append(_mark(f"trial {trial} starts", "start", at, lane, told))
        return records

    def _free_lane(self, worker: str) -> int:
        """The lane on which a worker ran last, or else the lowest that is free: lanes are as many as ran at once."""
        taken = {stretch.lane for stretch in self._running.values()}
        free = [lane for lane in range(1, len(self._workers) + 2) if lane not in taken]
        return next((lane for lane in free[:-1] if worker and self._workers[lane - 1] == worker), free[0])

    def _occupy(self, trial: int, stretch: _Stretch) -> None:
        while len(self._workers) < stretch.lane:
            self._workers.append("")
        self._workers[stretch.lane - 1] = stretch.worker
        self._running[trial] = stretch

    # --- ends ---

    def _end(self, trial: int, end: str, at: int, params: Params | None, told: Record) -> list[Record]:
        stretch = self._running.pop(trial, None)
        if stretch is None:
            return [_mark(f"trial {trial} {end}", "end", at, 0, {"trial": trial, **told})]
        return [_span(trial, stretch, end, at, params, told)]

    def _ended(self, body: TrialEnded, at: int, params: Params | None) -> list[Record]:
        told: Record = {"value": None if body.value is None else encode_float(body.value)}
        if body.error is not None:
            told["error"] = _short(f"{body.error.reason}: {body.error.message}")
        if body.reason:
            told["reason"] = _short(body.reason)
        records = self._end(body.trial, str(body.status), at, params, told)
        if self._metric and body.status.counts and body.value is not None and self._beats(body.value):
            self._best = body.value
            args = {self._metric: body.value}
            name = f"best {self._metric}"
            records.append({"name": name, "cat": "best", "ph": "C", "ts": at, "pid": 1, "tid": 0, "args": args})
        return records

    def _beats(self, value: float) -> bool:
        return math.isfinite(value) if self._best is None else self._mode.better(value, self._best)


def microseconds(at: float) -> int:
    """A time in the trace's unit."""
    return round(at * 1e6)


def _mark(name: str, category: str, at: int, lane: int, args: Mapping[str, Any]) -> Record:
    scope = "t" if lane else "p"
    return {
        "name": name, "cat": category, "ph": "i", "s": scope, "ts": at, "pid": 1, "tid": lane, "args": dict(args),
    }  # fmt: skip


def _span(trial: int, stretch: _Stretch, end: str, at: int, params: Params | None, told: Mapping[str, Any]) -> Record:
    args: Record = {
        "trial": trial, "attempt": stretch.attempt, "from_step": stretch.from_step, "worker": stretch.worker, "end": end,
    }  # fmt: skip
    if params is not None:
        text = json.dumps(params)
        args["params"] = dict(params) if len(text) <= MAX_PARAMS else f"{len(text)} characters"
    start = min(stretch.start, at)  # a clock may be set back
    return {
        "name": f"trial {trial}", "cat": "attempt", "ph": "X", "ts": start, "dur": at - start, "pid": 1,
        "tid": stretch.lane, "args": {**args, **told},
    }  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
