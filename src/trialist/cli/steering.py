"""What the verbs that steer a study have in common: send a command, say what happened and what comes next."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from trialist.api import Study
from trialist.api.documents import command_document
from trialist.api.workforce import waited_for
from trialist.cli.advice import Step, next_steps
from trialist.cli.options import opened
from trialist.cli.output import FAINT, clean, console, emit, print_stripped, say
from trialist.core.records import CommandKind

_PATIENCE_S = 2.0


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
        with patience(study):
            result = study.command(kind, args, dry_run=dry_run)
        tell(study, result, as_json=as_json, trial=args.get("trial"))


@contextmanager
def patience(study: Study) -> Iterator[None]:
    """Around a command: a person at a terminal is told when its leader takes a while to answer."""
    leader = study.leader
    if leader is None or not sys.stderr.isatty():
        yield
        return
    notice = f"waiting for {leader}, which hears between its trials' reports …"
    timer = threading.Timer(_PATIENCE_S, lambda: print(notice, file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def tell(study: Study, result: Mapping[str, Any], *, as_json: bool, trial: int | None = None) -> None:
    """Print what was done, and what comes next."""
    steps = [] if result.get("dry_run") else steps_of(study)
    if as_json:
        emit(command_document(study.name, result, [step._asdict() for step in steps], trial))
        return
    message = clean(str(result.get("message", "")))
    if result.get("dry_run"):
        message = f"would happen: {message}"
    say(console(), message if message.startswith("study '") else f"{clean(study.name)}: {message}")
    print_steps(steps)


def steps_of(study: Study) -> list[Step]:
    """What to do next with a study as it stands now."""
    row = study.row
    return next_steps(row, study.leader, waited_for(study.store, row, time.time()) or 0)


def print_steps(steps: Sequence[Step]) -> None:
    """Next steps, one a line: what to do, then faintly why."""
    if steps:
        print_stripped(console(), steps_table(steps))


def steps_table(steps: Sequence[Step]) -> Table:
    """Steps under each other; one that is too long for its line is wrapped beside its arrow."""
    table = Table(box=None, pad_edge=False, padding=0, show_header=False, show_edge=False)
    table.add_column(style=FAINT, no_wrap=True)
    table.add_column(overflow="fold")
    width = max((cell_len(step.do) for step in steps if step.why), default=0)
    for step in steps:
        gap = " " * (width - cell_len(step.do) + 3) if step.why else ""
        table.add_row("  → ", Text.assemble(step.do, (f"{gap}{clean(step.why)}", FAINT)))
    return table
