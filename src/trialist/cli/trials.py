"""``trialist trials``: a page of trials, never all of them. Knows which columns fit a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.text import Text

from trialist.analysis.summary import short_names
from trialist.api.documents import broken_by, trial_document
from trialist.api.study import Study, trial_statuses
from trialist.cli.options import JsonOption, StoreOption, StudyArgument, opened, words
from trialist.cli.output import (
    Column,
    clean,
    console,
    duration,
    emit,
    number,
    print_table,
    running_time,
    say,
    status_text,
    value_text,
)
from trialist.core.errors import ConfigError, UnknownName
from trialist.core.ports import TrialOrder
from trialist.core.records import Metric, Mode, StudySpec, Trial

Cell = Callable[[Trial], str | Text]

_INFEASIBLE = "infeasible"
_SORTS = ("number", "value", "best")
_FIELDS: dict[str, tuple[str, bool, Cell]] = {
    "number": ("TRIAL", True, lambda t: str(t.number)),
    "status": ("STATUS", False, lambda t: status_text(t.status.value)),
    "value": ("VALUE", True, lambda t: number(t.value)),
    "step": ("STEP", True, lambda t: "–" if t.step is None else str(t.step)),
    "seconds": ("TIME", True, lambda t: duration(running_time(t))),
    "source": ("SOURCE", False, lambda t: clean(t.source)),
    "parent": ("PARENT", True, lambda t: "–" if t.parent is None else str(t.parent)),
    "attempt": ("ATTEMPT", True, lambda t: str(t.attempt)),
    "worker": ("WORKER", False, lambda t: clean(t.worker)),
    "error": ("ERROR", False, lambda t: clean(t.error.message) if t.error else ""),
    "reason": ("REASON", False, lambda t: clean(t.reason)),
}


def trials(
    name: StudyArgument,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS", help="Only trials with this status; several with commas."),
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", metavar="number|value|best", help="By what; 'best' begins with the best value.")
    ] = "number",
    desc: Annotated[bool, typer.Option("--desc", help="Backwards.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")] = 30,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where the last page ended.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns",
            metavar="NAMES",
            help=f"Which, in this order, with commas: {', '.join(_FIELDS)}, {_INFEASIBLE}, params and metrics by name.",
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """A study's trials as a table, a page at a time."""
    with opened(name, store) as study:
        spec = study.row.spec
        order = _order(sort, desc, spec.metrics)
        page = study.store.trials(
            study.id, status=trial_statuses(words(status or ())), order=order, limit=limit, cursor=cursor
        )
        if as_json:
            emit(
                {
                    "study": study.name,
                    "trials": [trial_document(trial, spec) for trial in page.trials],
                    "cursor": page.cursor,
                }
            )
            return
        to = console()
        if not page.trials:
            say(to, "No such trial." if status or cursor else f"Study '{clean(study.name)}' has no trials yet.")
            return
        print_trials(study, page.trials, chosen=words(columns or ()))
        if page.cursor is not None:
            say(to, f"\nMore with --cursor {page.cursor}  (or --limit, or 'trialist export' for all)")


def print_trials(study: Study, shown: Sequence[Trial], *, chosen: Sequence[str] = ()) -> None:
    """Trials as a table: the chosen columns, or those that say most and fit."""
    to = console()
    flat = {trial.number: study.space.flatten(trial.params) for trial in shown}
    known = _known(study, shown, flat)
    if chosen:
        for one in chosen:
            if one not in known:
                raise UnknownName("column", one, known)
        print_table(to, [_column(known[one]) for one in chosen], ([known[c][2](t) for c in chosen] for t in shown))
        return
    picked, left = _that_fit(to.width, shown, known, flat)
    print_table(to, [_column(known[one]) for one in picked], ([known[c][2](t) for c in picked] for t in shown))
    if left:
        say(to, f"\nNot shown for want of room: {', '.join(left)}  (choose with --columns)", "bright_black")


Known = dict[str, tuple[str, bool, Cell]]


def _known(study: Study, shown: Sequence[Trial], flat: Mapping[int, Mapping[str, Any]]) -> Known:
    """All columns that there are, by the name that ``--columns`` takes."""
    paths = list(dict.fromkeys(path for params in flat.values() for path in params))
    short = short_names(paths)
    spec = study.row.spec
    known: Known = dict(_FIELDS)
    if spec.outcome_constraints:
        known[_INFEASIBLE] = ("INFEASIBLE", False, lambda trial: _broken_text(trial, spec))
    if spec.metrics:
        known["value"] = (clean(spec.metrics[0].name), True, _FIELDS["value"][2])
    for path in paths:
        cell = _param_cell(flat, path)
        right = all(isinstance(params.get(path, 0), int | float) for params in flat.values())
        known[path if path not in known else f"params.{path}"] = (clean(short[path]), right, cell)
    for metric in dict.fromkeys(m for trial in shown for m in trial.metrics):
        known[metric if metric not in known else f"metrics.{metric}"] = (clean(metric), True, _metric_cell(metric))
    for path in paths:  # a short name that means nothing else will do
        known.setdefault(short[path], known.get(path, ("", False, str)))
    return known


def _broken_text(trial: Trial, spec: StudySpec) -> Text:
    """``memory_gb by 1.5``: which outcome constraints it breaks, and by how much."""
    parts = [
        f"{clean(constraint.metric)} not told" if math.isinf(excess) else f"{clean(constraint.metric)} by {excess:g}"
        for constraint, excess in broken_by(trial, spec)
    ]
    return Text(", ".join(parts), style="yellow")


def _param_cell(flat: Mapping[int, Mapping[str, Any]], path: str) -> Cell:
    return lambda trial: value_text(flat[trial.number][path], 24) if path in flat[trial.number] else ""


def _metric_cell(metric: str) -> Cell:
    return lambda trial: number(trial.metrics.get(metric), "")


def _that_fit(
    width: int, shown: Sequence[Trial], known: Known, flat: Mapping[int, Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """The columns that say most, as many as fit; and those for which there is no room."""
    params = [path if known[path][0] and path not in _FIELDS else f"params.{path}" for path in _varying_first(flat)]
    value = ["value"] if any(trial.value is not None for trial in shown) else []
    infeasible = [_INFEASIBLE] if _INFEASIBLE in known and any(str(known[_INFEASIBLE][2](t)) for t in shown) else []
    wanted = ["number", "status", *value, *infeasible, *params, "seconds", "source"]
    if any(trial.error for trial in shown):
        wanted.insert(2 + len(value) + len(infeasible), "error")
    picked: list[str] = []
    used = 0
    for column in wanted:
        title, _, cell = known[column]
        takes = max([cell_len(title), *(cell_len(str(cell(trial))) for trial in shown)]) + 2
        if column == "error":
            takes = min(takes, max(24, width // 3))
        if used + takes - 2 <= width:
            picked.append(column)
            used += takes
    if "error" in picked:  # it is cut where it is too long, so it stands last
        picked.remove("error")
        picked.append("error")
    return picked, [column for column in params if column not in picked]


def _varying_first(flat: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Params whose values differ between the shown trials, then the others; each in its order."""
    paths = list(dict.fromkeys(path for params in flat.values() for path in params))
    first = next(iter(flat.values()))
    same = {path for path in paths if all(params.get(path) == first.get(path) for params in flat.values())}
    return [path for path in paths if path not in same] + [path for path in paths if path in same]


def _column(known: tuple[str, bool, Cell]) -> Column:
    title, right, _ = known
    return Column(title, right=right, gives_way=title in ("ERROR", "REASON", "WORKER"))


def _order(sort: str, desc: bool, metrics: Sequence[Metric]) -> TrialOrder:
    if sort not in _SORTS:
        raise ConfigError(f"--sort is one of {', '.join(_SORTS)}, not '{sort}'.")
    if sort == "best":
        larger = bool(metrics) and metrics[0].mode is Mode.MAX
        return TrialOrder("value", descending=larger != desc)
    return TrialOrder(sort, descending=desc)
