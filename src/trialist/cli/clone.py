"""``trialist clone``."""

from __future__ import annotations

from typing import Annotated

import typer

from trialist.cli.options import DryRunOption, JsonOption, SetOption, StoreOption, StudyArgument, assignments
from trialist.cli.steering import steer
from trialist.core.records import CommandKind


def clone(
    name: StudyArgument,
    trial: Annotated[int, typer.Option("--trial", metavar="N", min=0, help="The trial to start from.")],
    set_: SetOption = None,
    warm_start: Annotated[
        str | None,
        typer.Option(
            "--warm-start",
            metavar="weights|optimizer",
            help="What it takes over from the trial's last checkpoint; new values win over restored ones.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a trial like another one, with some params changed.

    The clone comes before the searcher's next suggestion; 'optimizer' takes over weights and optimizer state.
    """
    args = {"trial": trial, "params": assignments(set_ or ()), "warm_start": warm_start or False}
    steer(name, store, CommandKind.CLONE, args, dry_run=dry_run, as_json=as_json)
