"""What a study has shown, as one plain dict: the best trial, what mattered, how it converged, what failed, what was saved.

Reads trials alone, no reports, so that ten thousand take a second. Knows no plot and no page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from trialist.analysis.importance import importance
from trialist.analysis.plots.axes import is_failed
from trialist.analysis.plots.values import best_so_far
from trialist.analysis.snapshot import Snapshot, snapshot_of
from trialist.analysis.summary import failures
from trialist.core.errors import ConfigError
from trialist.core.records import Metric, Trial
from trialist.core.states import TrialStatus

MOST_FAILURES = 10
NEAR = 0.05
"""A trial is near the best when it lies within this share of the way from the median to the best."""


def analyze(studied: Any, *, method: str = "ped_anova", metric: str | None = None, top_k: int = 10) -> dict[str, Any]:
    """What a study has shown, as JSON.

    Every key is there whatever the study is; where there is nothing to tell, values are ``None``, 0 or empty.

    Args:
        studied: A study, its results or a snapshot.
        method: Of the importance: ``ped_anova`` or ``fanova`` (needs scikit-learn).
        metric: One of the study's; ``None``: the first.
        top_k: How many of the best trials are told.

    Returns:
        ``best_trial`` (``score``, ``params``, ``number``), ``parameter_importance`` (name to share), ``top_k_trials``,
        ``convergence``, ``failures``, ``duration`` and ``early_stopping_savings``; with them ``study``, ``metric``,
        ``mode``, ``trials`` by status, ``importance_method`` and ``importance_note``.

    Raises:
        UnknownName: There is no such method or metric.
        MissingExtra: ``fanova`` without scikit-learn.
        ConfigError: ``top_k`` is below 1.
    """
    if top_k < 1:
        raise ConfigError(f"must be at least 1; got {top_k}.", path="top_k")
    snapshot = snapshot_of(studied)
    chosen = snapshot.metric_named(metric)
    shares = importance(snapshot, method=method, metric=metric)
    ranked = snapshot.best_first(chosen)
    values = snapshot.values(chosen)
    top = [_told(snapshot, place, values[place]) for place in ranked[:top_k]]
    best = top[0] if top else {"number": None, "score": None, "params": {}}
    return {
        "study": snapshot.name,
        "metric": chosen.name,
        "mode": chosen.mode.value,
        "trials": {"total": len(snapshot.trials), **_by_status(snapshot)},
        "best_trial": {name: best[name] for name in ("number", "score", "params")},
        "parameter_importance": shares.shares,
        "importance_method": method,
        "importance_note": shares.note,
        "top_k_trials": top,
        "convergence": _convergence(snapshot, chosen, ranked, values),
        "failures": _failures(snapshot),
        "duration": _duration(snapshot),
        "early_stopping_savings": _savings(snapshot),
    }


def _told(snapshot: Snapshot, place: int, value: float | None) -> dict[str, Any]:
    trial = snapshot.trials[place]
    return {
        "number": trial.number,
        "score": value,
        "params": dict(trial.params),
        "status": trial.status.value,
        "metrics": {name: one for name, one in trial.metrics.items() if abs(one) < float("inf")},
        "step": trial.step,
        "seconds": trial.seconds,
        "source": trial.source,
    }


def _by_status(snapshot: Snapshot) -> dict[str, int]:
    found = Counter(trial.status for trial in snapshot.trials)
    return {status.value: found[status] for status in TrialStatus}


def _convergence(
    snapshot: Snapshot, metric: Metric, ranked: Sequence[int], values: Sequence[float | None]
) -> dict[str, Any]:
    """How the best value came about, and when the search was near it."""
    stairs = best_so_far(snapshot, metric)
    steps = [{"number": int(number), "score": score} for number, score in stairs]
    if len(steps) > 1 and steps[-1]["score"] == steps[-2]["score"]:
        steps.pop()  # the staircase goes on to the last trial; nothing got better there
    told = {"best_so_far": steps, "first_score": None, "best_score": None, "improvement": None}
    if not ranked:
        return {**told, "trials_to_best": None, "trials_to_near_best": None, "trials_since_best": None}
    scores = [value for place in ranked if (value := values[place]) is not None]
    best, first, middle = stairs[-1][1], stairs[0][1], median(scores)
    near = best + NEAR * (middle - best)
    reached = next(one["number"] for one in steps if not metric.mode.better(near, one["score"]))
    return {
        "best_so_far": steps,
        "first_score": first,
        "best_score": best,
        "improvement": abs(best - first),
        "trials_to_best": steps[-1]["number"] + 1,
        "trials_to_near_best": reached + 1,
        "trials_since_best": snapshot.trials[-1].number - steps[-1]["number"],
    }


def _failures(snapshot: Snapshot) -> dict[str, Any]:
    failed = [trial for trial in snapshot.trials if is_failed(trial)]
    groups = failures(failed)
    return {
        "total": len(failed),
        "share": len(failed) / len(snapshot.trials) if snapshot.trials else 0.0,
        "by_reason": dict(Counter(str(t.error.reason) if t.error else "not_finite" for t in failed).most_common()),
        "commonest": [
            {
                "reason": str(group.reason),
                "message": group.message,
                "times": len(group.trials),
                "trials": group.trials[:10],
            }
            for group in groups[:MOST_FAILURES]
        ],
    }


def _duration(snapshot: Snapshot) -> dict[str, Any]:
    ran = [trial for trial in snapshot.trials if trial.started_at is not None]
    starts = [trial.started_at for trial in ran if trial.started_at is not None]
    ends = [trial.ended_at for trial in ran if trial.ended_at is not None]
    seconds = [trial.seconds for trial in ran if trial.status.is_terminal]
    wall = max(0.0, max(ends) - min(starts)) if ends else 0.0
    total = sum(trial.seconds for trial in ran)
    return {
        "started_at": min(starts, default=None),
        "ended_at": max(ends, default=None),
        "wall_s": wall,
        "active_s": snapshot.active_s,
        "trials_s": total,
        "mean_trial_s": sum(seconds) / len(seconds) if seconds else None,
        "median_trial_s": median(seconds) if seconds else None,
        "longest_trial_s": max(seconds, default=None),
        "mean_parallel": total / wall if wall > 0 else None,
    }


def _savings(snapshot: Snapshot) -> dict[str, Any]:
    """What stopping trials early saved: steps that were not run, and their seconds at each trial's own pace.

    The full length is the longest that a trial which ran to its end has reached.
    """
    counting = [trial for trial in snapshot.trials if trial.status.counts and trial.step is not None]
    ended = [_steps(trial) for trial in counting if trial.status is TrialStatus.COMPLETED]
    stopped = [trial for trial in counting if trial.status is TrialStatus.STOPPED]
    full = max(ended, default=None)
    if full is None or not stopped:
        return {
            "stopped_trials": len(stopped),
            "full_steps": full,
            "steps_saved": 0,
            "share": 0.0,
            "seconds_saved": 0.0,
        }
    saved = sum(max(0, full - _steps(trial)) for trial in stopped)
    run = sum(_steps(trial) for trial in counting)
    seconds = sum(
        trial.seconds * max(0, full - _steps(trial)) / _steps(trial) for trial in stopped if _steps(trial) > 0
    )
    return {
        "stopped_trials": len(stopped),
        "full_steps": full,
        "steps_saved": saved,
        "share": saved / (saved + run) if saved else 0.0,
        "seconds_saved": seconds,
    }


def _steps(trial: Trial) -> int:
    return trial.step or 0
