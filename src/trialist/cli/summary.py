"""How a study stands, on one screen: who leads it, how far it is, the best trial, what failed, what to do next.

Reads a bounded part of the store, however many trials there are. Knows nothing of how it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from trialist.analysis.summary import FailureGroup, failures
from trialist.api import Study
from trialist.api.progress import expected
from trialist.api.workforce import waited_for
from trialist.cli.output import (
    FAINT,
    age,
    clean,
    duration,
    number,
    params_text,
    print_named,
    say,
    shortened,
    status_line,
    status_text,
)
from trialist.core.ports import TrialOrder
from trialist.core.records import Metric
from trialist.core.records import Study as StudyRow
from trialist.core.states import StudyStatus, TrialStatus

_ORDER = (
    TrialStatus.COMPLETED,
    TrialStatus.STOPPED,
    TrialStatus.FAILED,
    TrialStatus.CANCELLED,
    TrialStatus.RUNNING,
    TrialStatus.PAUSED,
    TrialStatus.WAITING,
)
_ENDED = _ORDER[:4]
_COUNTING = _ORDER[:2]
_LOOKED_AT = 500
"""Failed trials that are looked at for the commonest reasons: the last ones."""
_BAR = 24
_LINE = 140
"""Characters of a message; the whole of it is in 'trialist show'."""
_DOORS = {"study": "in Python", "sweep": "by a sweep", "hpo": "by HPOptimizer"}


class Pace(NamedTuple):
    """How fast a study goes."""

    seconds_each: float
    """From one trial's end to the next one's, on average."""
    left_s: float | None
    """Until the last trial ends, at this pace; ``None``: nobody knows how many there will be."""


def commonest_failures(study: Study, row: StudyRow, most: int = 3) -> Sequence[FailureGroup]:
    """The commonest ways to fail among the last failed trials."""
    if not row.count(TrialStatus.FAILED):
        return ()
    page = study.store.trials(
        study.id, status=(TrialStatus.FAILED,), order=TrialOrder("number", descending=True), limit=_LOOKED_AT
    )
    return failures(page.trials)[:most]


def pace(row: StudyRow) -> Pace | None:
    """How fast a study goes; ``None`` before its first trial has ended."""
    ended = row.count(*_ENDED)
    if not ended or row.active_s <= 0:
        return None
    each = row.active_s / ended
    everything = expected(row)
    return Pace(each, None if everything is None else (everything - ended) * each)


def progress(row: StudyRow) -> str:
    """Ended trials of all that there will be, or of those that there are: ``12/40``."""
    total = expected(row)
    return f"{row.count(*_ENDED):,}/{row.num_trials if total is None else total:,}"


def best_params(study: Study, row: StudyRow) -> dict[str, Any]:
    """The best trial's params by path."""
    if row.best_number is None:
        return {}
    return dict(study.space.flatten(study.store.trial(study.id, row.best_number).params))


def print_summary(to: Console, study: Study, row: StudyRow, leader: str | None) -> None:
    """The whole screen, but for next steps."""
    why = row.reason or (f"{row.stopping}; what runs ends first" if row.stopping else "")
    title = Text.assemble((clean(row.name), "bold"), "  ", status_line(row.status.value, why))
    say(to, title)
    print_named(to, list(_rows(study, row, leader)))


def _rows(study: Study, row: StudyRow, leader: str | None) -> Iterator[tuple[str, str | Text]]:
    yield "leader", _led(row, leader, waited_for(study.store, row, time.time()))
    yield "search", _search(row)
    yield "trials", _progress(row)
    if row.num_trials:
        yield "", _counts(row)
    yield from _best(study, row)
    if row.status is StudyStatus.RUNNING and leader is not None:
        speed = pace(row)
        if speed is not None:
            left = "" if speed.left_s is None else f", about {duration(speed.left_s)} left"
            yield "pace", f"a trial every {duration(speed.seconds_each)}{left}"
    yield "time", _time(row)
    for place, failure in enumerate(commonest_failures(study, row)):
        times, last = len(failure.trials), failure.trials[-1]
        what = f"{times} × {shortened(failure.message, _LINE)}  (trial {last})"
        yield "" if place else "failures", Text(what, style="red")


def _led(row: StudyRow, leader: str | None, workers: int | None = None) -> str | Text:
    if leader is not None:
        return f"worker {clean(row.worker)}, {leader}" if row.worker else leader
    if workers is not None:
        return waits_for_worker(workers)
    if row.status is StudyStatus.RUNNING:
        return Text("nobody: the process that led it is gone", style="yellow")
    return "nobody"


def waits_for_worker(workers: int) -> Text:
    """What is said of a study that was handed to workers and that none leads."""
    if workers:
        return Text(f"waits for a worker ({workers} connected)")
    return Text("waits for a worker (none is connected)", style="yellow")


def _search(row: StudyRow) -> str:
    spec = row.spec
    parts = [spec.searcher.name]
    if spec.scheduler is not None:
        parts.append(f"scheduler {spec.scheduler.name}")
    parts += [f"seed {spec.seed}", f"{spec.budget.jobs} at a time"]
    goals = ", ".join([*map(goal, spec.metrics), *(clean(str(one)) for one in spec.outcome_constraints)])
    return " · ".join([*parts, goals] if goals else parts)


def goal(metric: Metric) -> str:
    """``min loss``."""
    return f"{metric.mode} {clean(metric.name)}"


def _progress(row: StudyRow) -> Text:
    ended, everything = row.count(*_ENDED), expected(row)
    if everything is None:
        return Text(f"{ended:,} of {row.num_trials:,} ended; as many as the search has")
    filled = round(_BAR * ended / everything) if everything else 0
    bar = Text("━" * filled, style="cyan")
    bar.append("━" * (_BAR - filled), style=FAINT)
    bar.append(f"  {ended:,} of {everything:,}", style="")
    return bar


def _counts(row: StudyRow) -> Text:
    parts = []
    for status in _ORDER:
        count = row.count(status)
        if count:
            parts.append(Text.assemble(f"{count:,} ", status_text(status.value)))
    return Text(" · ").join(parts)


def _best(study: Study, row: StudyRow) -> Iterator[tuple[str, str | Text]]:
    if row.best_number is None:
        if row.metric is not None and row.spec.outcome_constraints and row.count(*_COUNTING):
            wanted = " and ".join(map(str, row.spec.outcome_constraints))
            yield "best", Text(f"none keeps {clean(wanted)} (yet)", style="yellow")
        return
    metric = row.metric
    name = clean(metric.name) if metric is not None else "value"
    yield "best", Text.assemble((f"{name} {number(row.best_value)}", "bold"), f"  trial {row.best_number}")
    yield "", params_text(best_params(study, row))


def _time(row: StudyRow) -> str:
    parts = [f"made {age(row.spec.created_at)} {_DOORS.get(row.spec.door, f'by {row.spec.door}')}"]
    if row.active_s:
        parts.append(f"ran {duration(row.active_s)}")
    if row.ended_at is not None:
        parts.append(f"ended {age(row.ended_at)}")
    return " · ".join(parts)
