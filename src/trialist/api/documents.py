"""The JSON of studies, trials and what hangs on them: every key always there, in a fixed order, whatever the values are.

Times are seconds since the epoch, spans are seconds; numbers that are not finite are ``"NaN"``, ``"Infinity"`` and
``"-Infinity"``, as in the events. Knows records, not how they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trialist.core.records import Attempt, Broken, Checkpoint, Report, Spec, Study, StudySpec, Trial
from trialist.core.states import TrialStatus
from trialist.core.wire import encode_float


def strict(value: Any) -> Any:
    """A value as strict JSON."""
    if isinstance(value, float):
        return encode_float(value)
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def study_document(study: Study, leader: str | None) -> dict[str, Any]:
    """A study, without its trials."""
    spec, budget = study.spec, study.spec.budget
    return {
        "name": spec.name,
        "id": spec.id,
        "door": spec.door,
        "status": study.status.value,
        "reason": study.reason,
        "leader": leader,
        "worker": study.worker or None,
        "submitted_at": study.submitted_at,
        "metrics": [{"name": metric.name, "mode": metric.mode.value} for metric in spec.metrics],
        "outcome_constraints": [str(constraint) for constraint in spec.outcome_constraints],
        "trials": {"total": study.num_trials, **{status.value: study.count(status) for status in TrialStatus}},
        "budget": {
            "num_trials": budget.num_trials,
            "used": study.num_suggested,
            "time_budget_s": budget.time_budget_s,
            "max_failures": budget.max_failures,
            "retries": budget.retries,
            "jobs": budget.jobs,
        },
        "best": {"trial": study.best_number, "value": study.best_value},
        "searcher": _spec(spec.searcher),
        "scheduler": None if spec.scheduler is None else _spec(spec.scheduler),
        "executor": _spec(spec.executor),
        "default": None if spec.default is None else dict(spec.default),
        "warm_start": [{"study": earlier.name, "trials": len(earlier.trials)} for earlier in spec.warm_start],
        "seed": spec.seed,
        "created_at": spec.created_at,
        "started_at": study.started_at,
        "ended_at": study.ended_at,
        "active_s": study.active_s,
        "version": spec.version,
    }


def _spec(spec: Spec) -> dict[str, Any]:
    return {"name": spec.name, "options": dict(spec.options)}


def trial_document(trial: Trial, spec: StudySpec) -> dict[str, Any]:
    """A trial's row, and what of its study's outcome constraints it breaks."""
    warm, error = trial.warm_start_from, trial.error
    return {
        "number": trial.number,
        "status": trial.status.value,
        "reason": trial.reason,
        "value": trial.value,
        "broken": [_broken(one) for one in broken_by(trial, spec)],
        "params": dict(trial.params),
        "metrics": dict(trial.metrics),
        "step": trial.step,
        "source": trial.source,
        "counted": trial.counted,
        "parent": trial.parent,
        "repeat_of": trial.repeat_of,
        "warm_start_from": None
        if warm is None
        else {"trial": warm.trial, "checkpoint": warm.checkpoint, "what": warm.what.value},
        "seed": trial.seed,
        "attempt": trial.attempt,
        "worker": trial.worker,
        "run_dir": trial.run_dir or None,
        "checkpoint": None if trial.checkpoint is None else {"id": trial.checkpoint, "step": trial.checkpoint_step},
        "suggested_at": trial.suggested_at,
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
        "seconds": trial.seconds,
        "error": None
        if error is None
        else {"reason": error.reason.value, "message": error.message, "detail": error.detail},
    }


def broken_by(trial: Trial, spec: StudySpec) -> list[Broken]:
    """The outcome constraints that a trial's result breaks; none while it runs, and of one whose result does not count."""
    return spec.broken(trial.metrics) if trial.status.counts else []


def _broken(broken: Broken) -> dict[str, Any]:
    return {"constraint": str(broken.constraint), "excess": encode_float(broken.excess)}


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """One go at a trial."""
    return {
        "attempt": attempt.attempt,
        "from_step": attempt.from_step,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "outcome": attempt.outcome,
        "message": attempt.message,
        "worker": attempt.worker,
        "devices": list(attempt.devices),
    }


def report_document(report: Report) -> dict[str, Any]:
    """Metrics at a step."""
    return {
        "attempt": report.attempt,
        "step": report.step,
        "metrics": dict(report.metrics),
        "at": report.at,
        "superseded": report.superseded,
    }


def checkpoint_document(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint that is kept."""
    return {
        "id": checkpoint.id,
        "step": checkpoint.step,
        "path": checkpoint.path,
        "num_bytes": checkpoint.num_bytes,
        "at": checkpoint.at,
    }


def command_document(
    study: str, result: Mapping[str, Any], next_steps: Sequence[Mapping[str, str]], trial: int | None = None
) -> dict[str, Any]:
    """What became of a command."""
    return {
        "study": study,
        "message": str(result.get("message", "")),
        "trial": result.get("trial", trial),
        "dry_run": bool(result.get("dry_run", False)),
        "next": [dict(step) for step in next_steps],
    }
