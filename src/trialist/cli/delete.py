"""``trialist delete``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from trialist.api import delete_study
from trialist.api.documents import command_document
from trialist.cli.options import DryRunOption, JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import clean, console, emit, plural, say
from trialist.core.errors import StudyLed, UserError


def delete(
    name: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a study and its files.

    Its trials, events, checkpoints and logs are gone for good. What a sweep wrote into runs/ stays.
    """
    with opened(name, store) as study:
        row, leader = study.row, study.leader
    if leader is not None:
        raise StudyLed(row.name, leader)
    what = f"{row.status}, {plural(row.num_trials, 'trial')}, made by {row.spec.door}"
    if not dry_run and not yes and not _agreed(row.name, what, as_json):
        say(console(), "Nothing was deleted.")
        raise typer.Exit(1)
    if not dry_run:
        delete_study(row.id, store=store)
    message = f"{'would be' if dry_run else 'is'} deleted ({what})"
    if as_json:
        emit(command_document(row.name, {"message": message, "dry_run": dry_run}, []))
    else:
        say(console(), f"{clean(row.name)} {message}")


def _agreed(name: str, what: str, as_json: bool) -> bool:
    if as_json or not sys.stdin.isatty():
        raise UserError(f"this deletes '{name}' ({what}) for good: say so with --yes.")
    return typer.confirm(f"Delete '{clean(name)}' ({what}) for good?")
