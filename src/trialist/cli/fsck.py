"""``trialist fsck``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from trialist.api.checking import Finding, Fsck, Severity
from trialist.api.checking import fsck as check
from trialist.cli.completion import study_names
from trialist.cli.options import JsonOption, StoreOption, nothing_yet
from trialist.cli.output import clean, console, emit, plural, say

INCONSISTENT = 65
"""The exit code where something is wrong: EX_DATAERR of sysexits.h."""
_MARKS = {Severity.WRONG: ("wrong", "bold red"), Severity.WARNING: ("warn", "yellow")}


def fsck(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]", help="Only this study, by name or id.", autocompletion=study_names, show_default=False
        ),
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Also draw every suggestion again from the events, and compare.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove a store consistent.

    Checks the file, folds every study again from its events, and compares all that is stored with what they add up to.
    Changes nothing; studies may run meanwhile. The exit code is 0, or 65 where something is wrong.
    """
    found = Fsck([], 0, 0, 0) if study is None and nothing_yet(store) else _checked(study, store, replay)
    if as_json:
        document = {"ok": found.ok, "studies": found.studies, "events": found.events, "replayed": found.replayed}
        emit({**document, "findings": [finding._asdict() for finding in found.findings]})
    else:
        _print(found, replay)
    raise typer.Exit(0 if found.ok else INCONSISTENT)


def _checked(study: str | None, store: str | None, replay: bool) -> Fsck:
    to = console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.completed:,.0f} events"))
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def told(name: str, done: int, total: int) -> None:
            bar.update(task, description=clean(name), completed=done, total=total)

        return check(study, store=store, replay=replay, progress=told)


def _print(found: Fsck, replay: bool) -> None:
    to = console()
    for finding in found.findings:
        say(to, _line(finding))
    wrong = sum(finding.severity is Severity.WRONG for finding in found.findings)
    checked = f"{plural(found.studies, 'study', 'studies')}, {plural(found.events, 'event')}"
    drawn = f", {plural(found.replayed, 'suggestion')} drawn again" if replay else ""
    verdict = "Everything adds up" if not wrong else f"{plural(wrong, 'thing')} {'is' if wrong == 1 else 'are'} wrong"
    say(to, f"{verdict}: {checked}{drawn}.")


def _line(finding: Finding) -> Text:
    mark, style = _MARKS[finding.severity]
    where = f"study '{clean(finding.study)}': " if finding.study else ""
    text = Text.assemble((f"{mark:<6}", style), where + clean(finding.problem))
    text.no_wrap, text.overflow = False, "fold"
    return text
