"""``trialist queue``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trialist.cli.options import JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import console, emit, say


def queue(
    name: StudyArgument,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective", metavar="MODULE:FUNCTION", help="What to run, if not what it ran before; also file.py:f."
        ),
    ] = None,
    num_trials: Annotated[
        int | None, typer.Option("--num-trials", metavar="N", help="How many trials in all; else as it is.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", help="How many trials at once; else as it is.")
    ] = None,
    path: Annotated[
        list[Path] | None,
        typer.Option(
            "--path", metavar="DIR", help="Where workers find its modules, beside this directory; may be repeated."
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand a study to workers ('trialist worker').

    Whoever of them is free goes on with it, until it has ended. A study that runs a script's function or a command needs no
    more than its name.
    """
    with opened(name, store) as study:
        message = study.submit(objective, num_trials, jobs=jobs, path=[str(entry) for entry in path or ()])
        if as_json:
            emit({"study": study.name, "status": study.status.value, "message": message})
        else:
            say(console(), message[:1].upper() + message[1:] + ".")
