"""``trialist show``: everything about one trial, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from trialist.analysis.terminal import sparkline
from trialist.api import Study
from trialist.api.documents import (
    attempt_document,
    broken_by,
    checkpoint_document,
    report_document,
    trial_document,
)
from trialist.api.trials import TrialHandle
from trialist.cli.options import JsonOption, StoreOption, StudyArgument, find_trial, opened
from trialist.cli.output import (
    FAINT,
    Column,
    clean,
    console,
    duration,
    emit,
    moment,
    number,
    plural,
    print_named,
    print_table,
    running_time,
    say,
    size,
    status_line,
    value_text,
)
from trialist.core.errors import Conflict
from trialist.core.records import Attempt, Report
from trialist.core.states import TrialStatus

_LOG_LINES = 10
_SPARK = 40


def show(
    name: StudyArgument,
    trial: Annotated[
        int | None, typer.Argument(metavar="[TRIAL]", min=0, help="Its number; without one, the best trial.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything about one trial.

    Its params, where it came from, its attempts, what it reported, its error, the end of its log, its checkpoint.
    """
    with opened(name, store) as study:
        handle = find_trial(study, _best(study) if trial is None else trial)
        if as_json:
            kept = handle.checkpoint
            emit(
                {
                    "study": study.name,
                    "trial": trial_document(handle.record, study.row.spec),
                    "attempts": [attempt_document(attempt) for attempt in handle.attempts],
                    "reports": [report_document(report) for report in study.store.reports(study.id, handle.number)],
                    "checkpoint": None if kept is None else checkpoint_document(kept),
                    "log_tail": _log_tail(handle),
                }
            )
            return
        _print(study, handle)


def _best(study: Study) -> int:
    row = study.row
    number = row.best_number
    if number is None and row.spec.outcome_constraints and row.count(TrialStatus.COMPLETED, TrialStatus.STOPPED):
        wanted = " and ".join(map(str, row.spec.outcome_constraints))
        raise Conflict(f"study '{study.name}' has no best trial (yet): none keeps {wanted}. Say which one to show.")
    if number is None:
        raise Conflict(f"study '{study.name}' has no best trial (yet): say which one to show.")
    return number


def _print(study: Study, trial: TrialHandle) -> None:
    to, record = console(), trial.record
    title = Text.assemble((f"{clean(study.name)} trial {trial.number}", "bold"), "  ")
    title.append_text(status_line(trial.status.value, record.reason))
    say(to, title)
    print_named(to, list(_facts(study, trial)))
    _section(to, "params")
    flat = study.space.flatten(trial.params)
    print_named(to, [(f"  {clean(path)}", value_text(value, 200)) for path, value in flat.items()])
    _print_metrics(to, trial)
    attempts = trial.attempts
    if len(attempts) > 1:
        _section(to, "attempts")
        _print_attempts(to, attempts)
    if trial.error is not None:
        _section(to, "error")
        say(to, "  " + clean(trial.error.message), "red")
        if trial.error.detail.strip():
            say(to, _indented(trial.error.detail), FAINT)
    tail = _log_tail(trial)
    if tail and (trial.error is None or tail not in trial.error.detail):
        _section(to, f"log, the last {plural(len(tail.splitlines()), 'line')}")
        say(to, _indented(tail), FAINT)


def _section(to: Console, title: str) -> None:
    say(to, "")
    say(to, title, FAINT)


def _facts(study: Study, trial: TrialHandle) -> Iterator[tuple[str, str | Text]]:
    record, metric = trial.record, study.row.metric
    if record.value is not None and metric is not None:
        best = "  the best" if study.row.best_number == trial.number else ""
        yield clean(metric.name), Text.assemble((number(record.value), "bold"), best)
    for place, broken in enumerate(broken_by(record, study.row.spec)):
        yield "" if place else "infeasible", Text(clean(str(broken)), style="yellow")
    yield "from", _lineage(trial)
    if record.step is not None:
        yield "step", f"{record.step}" + ("" if record.to_step is None else f", to {record.to_step}")
    if record.started_at is not None:
        ended = "" if record.ended_at is None else f", ended {moment(record.ended_at)}"
        yield "time", f"{duration(running_time(record))}, started {moment(record.started_at)}{ended}"
    if record.worker:
        yield "worker", clean(record.worker)
    if record.run_dir:
        yield "files", clean(record.run_dir)
    kept = trial.checkpoint
    if kept is not None:
        inside = Path(kept.path)
        shown = inside.relative_to(record.run_dir) if inside.is_relative_to(record.run_dir or "/") else inside
        yield "checkpoint", f"step {kept.step}, {size(kept.num_bytes)}  {clean(str(shown))}"
    yield "seed", str(record.seed)


def _lineage(trial: TrialHandle) -> str:
    record = trial.record
    parts = [clean(record.source)]
    if record.parent is not None:
        parts.append(f"of trial {record.parent}")
    if record.repeat_of is not None:
        parts.append(f"another seed of trial {record.repeat_of}")
    if record.warm_start_from is not None:
        parts.append(f"starting from the {record.warm_start_from.what} of trial {record.warm_start_from.trial}")
    if not record.counted:
        parts.append("(outside the budget)")
    return " ".join(parts)


def _print_metrics(to: Console, trial: TrialHandle) -> None:
    reports = trial.reports
    metrics = trial.metrics
    names = list(dict.fromkeys([*metrics, *(name for report in reports for name in report.metrics)]))
    if not names:
        if trial.status is not TrialStatus.WAITING:
            _section(to, "metrics")
            say(to, "  none reported")
        return
    _section(to, f"metrics, {plural(len(reports), 'report')}" if reports else "metrics")
    columns = [Column("  NAME"), Column("LAST", right=True)]
    rows = [_metric_row(name, metrics, reports) for name in names]
    if len(reports) > 1:
        columns += [Column("FIRST", right=True), Column("MIN", right=True), Column("MAX", right=True), Column("COURSE")]
    print_table(to, columns, [row[: len(columns)] for row in rows])


def _metric_row(name: str, metrics: Mapping[str, float], reports: Sequence[Report]) -> list[str | Text]:
    values = [report.metrics[name] for report in reports if name in report.metrics]
    last = metrics.get(name, values[-1] if values else None)
    finite = [value for value in values if abs(value) < float("inf")]
    low, high = (min(finite), max(finite)) if finite else (None, None)
    course = sparkline(_thinned(values), _SPARK) if len(finite) > 1 else ""
    return [
        f"  {clean(name)}",
        number(last),
        number(values[0] if values else None),
        number(low),
        number(high),
        Text(course, style="cyan"),
    ]


def _thinned(values: Sequence[float]) -> list[float]:
    """At most ``_SPARK`` of the values, evenly, the last one among them."""
    if len(values) <= _SPARK:
        return list(values)
    return [values[round(place * (len(values) - 1) / (_SPARK - 1))] for place in range(_SPARK)]


def _print_attempts(to: Console, attempts: Sequence[Attempt]) -> None:
    columns = [Column("  ATTEMPT", right=True), Column("FROM STEP", right=True), Column("STARTED"), Column("ENDED AS")]
    columns += [Column("WHERE"), Column("MESSAGE", gives_way=True)]
    rows = [
        (
            f"  {attempt.attempt}",
            str(attempt.from_step),
            moment(attempt.started_at),
            "running" if attempt.outcome is None else str(attempt.outcome),
            clean(attempt.worker),
            clean(attempt.message),
        )
        for attempt in attempts
    ]
    print_table(to, columns, rows)


def _log_tail(trial: TrialHandle) -> str:
    """The last lines of what it printed."""
    return "\n".join(trial.logs.rstrip().splitlines()[-_LOG_LINES:])


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in clean(text.rstrip(), lines=True).splitlines())
