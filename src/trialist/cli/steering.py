"""What the verbs that steer a study have in common: send a command, say what happened and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from trialist.api import Study
from trialist.api.documents import command_document
from trialist.cli.advice import next_steps
from trialist.cli.options import opened
from trialist.cli.output import FAINT, clean, console, emit, say
from trialist.core.records import CommandKind


def steer(
    name: str,
    store: str | None,
    kind: CommandKind,
    args: Mapping[str, Any],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Have one command carried out and say what became of it."""
    with opened(name, store) as study:
        result = study.command(kind, args, dry_run=dry_run)
        tell(study, result, as_json=as_json, trial=args.get("trial"))


def tell(study: Study, result: Mapping[str, Any], *, as_json: bool, trial: int | None = None) -> None:
    """Print what was done, and what comes next."""
    steps = [] if result.get("dry_run") else next_steps(study.row, study.leader)
    if as_json:
        emit(command_document(study.name, result, steps, trial))
        return
    would = "would happen: " if result.get("dry_run") else ""
    to = console()
    say(to, f"{clean(study.name)}: {would}{clean(str(result.get('message', '')))}")
    print_steps(steps)


def print_steps(steps: Sequence[str]) -> None:
    """Next steps, one a line: what to type, then faintly what it does."""
    to = console()
    for step in steps:
        command, gap, what = step.partition("    ")
        to.print(Text.assemble(("  → ", FAINT), command, (f"{gap}{what}", FAINT)))
