"""Plots of how it went: learning curves by step, and which trial ran when. Reads reports of a bounded number of trials."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from trialist.analysis.plots.axes import counted, told, value_axis
from trialist.analysis.plots.record import Ink, Mark, Panel, Plot, Shape
from trialist.analysis.plots.values import about
from trialist.analysis.series import Axis
from trialist.analysis.snapshot import Snapshot, kept_reports
from trialist.core.records import Metric, Trial
from trialist.core.states import TrialStatus

MOST_CURVES = 100
MOST_POINTS = 200
"""Points of one curve; a longer one is thinned evenly, its last point kept."""
MOST_LANES = 60
MOST_SPANS = 4000

Curve = tuple[int, list[tuple[float, float]]]
"""Place of the trial, and its points."""


def learning_curves(snapshot: Snapshot, metric: Metric, top_k: int | None = None) -> Plot:
    """The metric by step, a line a trial: the best one, those that completed, those that were stopped early.

    Args:
        snapshot: The study.
        metric: What lies along y.
        top_k: Only so many of the best trials; ``None``: all, or the best and an even part of the others where there are
            more than a hundred.
    """
    ranked = snapshot.best_first(metric)
    best = ranked[:1]
    chosen = ranked[:top_k] if top_k is not None else _some(snapshot, ranked)
    curves = [(place, _points(snapshot, snapshot.trials[place], metric)) for place in chosen]
    curves = [(place, points) for place, points in curves if len(points) > 1]
    groups = (
        (
            "stopped early",
            Ink.SECOND,
            [c for c in curves if c[0] not in best and _is(snapshot, c, TrialStatus.STOPPED)],
        ),
        ("failed", Ink.BAD, [c for c in curves if _is(snapshot, c, TrialStatus.FAILED)]),
        ("completed", Ink.MAIN, [c for c in curves if c[0] not in best and _is(snapshot, c, TrialStatus.COMPLETED)]),
        ("running", Ink.QUIET, [c for c in curves if not snapshot.trials[c[0]].status.is_terminal]),
        ("best", Ink.BEST, [c for c in curves if c[0] in best]),
    )
    values = snapshot.values(metric)
    marks = [
        _lines(label, ink, group, [told(snapshot.trials[k], values[k], metric) for k, _ in group])
        for label, ink, group in groups
        if group
    ]
    steps = [x for _, points in curves for x, _ in points]
    note = "" if curves else "no trial has reported at two steps or more"
    there = sum(trial.step is not None for trial in snapshot.trials)
    thin = f"the curves of {len(curves):,} of {there:,} trials that reported are shown"
    return Plot(
        kind="learning-curves",
        title="Learning curves",
        subtitle=about(snapshot, metric),
        panels=(
            Panel(
                x=Axis(label="step", whole=all(step == int(step) for step in steps)),
                y=value_axis(metric, [y for _, points in curves for _, y in points]),
                marks=tuple(marks),
                clip=metric.mode,
                note=note,
            ),
        ),
        note=thin if curves and len(chosen) < there else "",
    )


def timeline(snapshot: Snapshot) -> Plot:
    """Which trial ran when, in as few rows as there were trials at one time."""
    started = [trial for trial in snapshot.trials if trial.started_at is not None]
    title = "Timeline"
    if not started:
        note = "no trial has started" if snapshot.trials else "no trials yet"
        return Plot(kind="timeline", title=title, panels=(Panel(x=Axis(label="time"), y=Axis(label=""), note=note),))
    shown = started[-MOST_SPANS:]
    zero = min(_start(trial) for trial in shown)
    latest = max([*(_end(trial, 0.0) for trial in shown), *(_start(trial) for trial in shown)])
    now = max(latest, snapshot.at) if any(not trial.status.is_terminal for trial in shown) else latest
    unit, seconds = _unit(now - zero)
    lanes = _lanes(shown, now)
    looks = (
        ("completed", Ink.MAIN, (TrialStatus.COMPLETED,)),
        ("stopped early", Ink.SECOND, (TrialStatus.STOPPED,)),
        ("failed", Ink.BAD, (TrialStatus.FAILED,)),
        ("cancelled", Ink.QUIET, (TrialStatus.CANCELLED,)),
        ("still running", Ink.BEST, (TrialStatus.RUNNING, TrialStatus.PAUSED, TrialStatus.WAITING)),
    )
    marks = []
    for label, ink, statuses in looks:
        rows = [(trial, lane) for trial, lane in zip(shown, lanes, strict=True) if trial.status in statuses]
        rows = [(trial, lane) for trial, lane in rows if lane < MOST_LANES]
        if rows:
            marks.append(
                Mark(
                    shape=Shape.SPANS,
                    ink=ink,
                    label=label,
                    base=tuple((_start(trial) - zero) / seconds for trial, _ in rows),
                    x=tuple((_end(trial, now) - zero) / seconds for trial, _ in rows),
                    y=tuple(float(lane) for _, lane in rows),
                    thickness=0.78,
                    text=tuple(f"trial {trial.number}: {trial.status}, {trial.seconds:.4g} s" for trial, _ in rows),
                )
            )
    rows_there = max(lanes) + 1
    notes = [
        f"the last {len(shown):,} of {len(started):,} trials shown" if len(shown) < len(started) else "",
        f"{MOST_LANES} of {rows_there} rows shown" if rows_there > MOST_LANES else "",
    ]
    subtitle = f"{snapshot.name} · {counted(len(started), 'trial')} · at most {rows_there} at one time"
    return Plot(
        kind="timeline",
        title=title,
        subtitle=subtitle,
        panels=(
            Panel(
                x=Axis(label=f"{unit} since the first trial began"),
                y=Axis(label="at one time", whole=True),
                marks=tuple(marks),
            ),
        ),
        note="; ".join(filter(None, notes)),
    )


def _some(snapshot: Snapshot, ranked: list[int]) -> list[int]:
    """The best, and an even part of the others."""
    others = sorted(set(range(len(snapshot.trials))) - set(ranked[: MOST_CURVES // 4]))
    head = ranked[: MOST_CURVES // 4]
    room = MOST_CURVES - len(head)
    others = [k for k in others if snapshot.trials[k].step is not None]
    return head + (others if len(others) <= room else [others[k * len(others) // room] for k in range(room)])


def _points(snapshot: Snapshot, trial: Trial, metric: Metric) -> list[tuple[float, float]]:
    """A trial's reports of a metric by step, thinned; what is not finite is left out."""
    points: list[tuple[float, float]] = []
    for report in kept_reports(snapshot.reports(trial.number)):
        value = report.metrics.get(metric.name)
        if value is not None and math.isfinite(value):
            points.append((float(report.step), value))
    if len(points) <= MOST_POINTS:
        return points
    return [points[round(k * (len(points) - 1) / (MOST_POINTS - 1))] for k in range(MOST_POINTS)]


def _is(snapshot: Snapshot, curve: Curve, status: TrialStatus) -> bool:
    return snapshot.trials[curve[0]].status is status


def _lines(label: str, ink: Ink, curves: Sequence[Curve], text: Sequence[str]) -> Mark:
    starts: list[int] = []
    xs: list[float] = []
    ys: list[float] = []
    for _, points in curves:
        starts.append(len(xs))
        xs += [x for x, _ in points]
        ys += [y for _, y in points]
    return Mark(
        shape=Shape.LINE,
        ink=ink,
        label=label,
        x=tuple(xs),
        y=tuple(ys),
        starts=tuple(starts),
        text=tuple(text),
        faint=ink is not Ink.BEST,
    )


def _start(trial: Trial) -> float:
    assert trial.started_at is not None
    return trial.started_at


def _end(trial: Trial, now: float) -> float:
    """When it ended, or now; a clock that was set back does not make a bar run backwards."""
    return max(_start(trial), now if trial.ended_at is None else trial.ended_at)


def _lanes(trials: Sequence[Trial], now: float) -> list[int]:
    """A row for each trial so that no two overlap: the lowest that is free."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    out = dict.fromkeys(range(len(trials)), 0)
    used = 0
    for k in sorted(out, key=lambda k: (_start(trials[k]), trials[k].number)):
        while busy and busy[0][0] <= _start(trials[k]):
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane, used = used, used + 1
        out[k] = lane
        heapq.heappush(busy, (_end(trials[k], now), lane))
    return [out[k] for k in range(len(trials))]


def _unit(span_s: float) -> tuple[str, float]:
    for name, seconds in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if span_s >= 3 * seconds:
            return name, seconds
    return ("milliseconds", 0.001) if 0 < span_s < 0.3 else ("seconds", 1.0)
