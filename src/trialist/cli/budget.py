"""``trialist budget``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trialist.api.documents import study_document
from trialist.cli.options import DryRunOption, JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import clean, console, duration, emit, print_named, say
from trialist.cli.steering import tell
from trialist.core.errors import ConfigError
from trialist.core.records import Budget, CommandKind

_NONE = ("none", "unlimited")


def budget(
    name: StudyArgument,
    num_trials: Annotated[
        str | None,
        typer.Option("--num-trials", metavar="N|none", help="How many trials in all; none: until the search ends."),
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="How many trials run at once.")] = None,
    time_budget_s: Annotated[
        str | None, typer.Option("--time-budget-s", metavar="SECONDS|none", help="How long it may run in all.")
    ] = None,
    max_failures: Annotated[
        str | None, typer.Option("--max-failures", metavar="N|none", help="It fails when more trials than this fail.")
    ] = None,
    retries: Annotated[
        int | None, typer.Option("--retries", metavar="N", min=0, help="How often a failed trial is tried again.")
    ] = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or change how much a study may do.

    Changes take effect at once, also while it runs.
    """
    changes: dict[str, Any] = {}
    for option, text, read in (
        ("num_trials", num_trials, int),
        ("time_budget_s", time_budget_s, float),
        ("max_failures", max_failures, int),
    ):
        if text is not None:
            changes[option] = _limit(option, text, read)
    changes |= {key: value for key, value in (("jobs", jobs), ("retries", retries)) if value is not None}
    with opened(name, store) as study:
        if changes:
            tell(study, study.command(CommandKind.SET_BUDGET, changes, dry_run=dry_run), as_json=as_json)
            return
        row = study.row
        if as_json:
            emit({"study": study.name, "budget": study_document(row, None)["budget"]})
            return
        say(console(), clean(study.name), "bold")
        print_named(console(), _rows(row.spec.budget, row.num_suggested, row.active_s))


def _rows(now: Budget, used: int, active_s: float) -> list[tuple[str, str]]:
    limit = "no limit" if now.time_budget_s is None else f"of {duration(now.time_budget_s)}"
    return [
        ("trials", _trials(now.num_trials, used)),
        ("at once", str(now.jobs)),
        ("time", f"{duration(active_s)}, {limit}" if now.time_budget_s is None else f"{duration(active_s)} {limit}"),
        ("failures", "no limit" if now.max_failures is None else f"at most {now.max_failures}"),
        ("retries", str(now.retries)),
    ]


def _trials(limit: int | None, used: int) -> str:
    """How much of the budget is used; what people add by hand may go beyond it."""
    if limit is None:
        return f"{used} of as many as the search has"
    beyond = f", and {used - limit} more added by hand" if used > limit else ""
    return f"{min(used, limit)} of {limit}{beyond}"


def _limit(option: str, text: str, read: type[int] | type[float]) -> int | float | None:
    if text.strip().lower() in _NONE:
        return None
    try:
        return read(text)
    except ValueError:
        what = "a whole number" if read is int else "a number of seconds"
        raise ConfigError(f"--{option.replace('_', '-')} is {what} or 'none', not '{text}'.") from None
