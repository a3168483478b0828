"""``trialist import``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from trialist.api.importing import Moved, import_studies
from trialist.cli.options import JsonOption, StoreOption, place
from trialist.cli.output import clean, console, emit, plural, say
from trialist.core.errors import UserError
from trialist.store.locate import store_url

_STDIN = Path("-")


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="What 'trialist export --format study' wrote; '-' is standard input.",
            show_default=False,
        ),
    ],
    rename: Annotated[
        str | None,
        typer.Option("--rename", metavar="NAME", help="Import the one study of the file as a study of its own."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring whole studies of a file into a store.

    Each study is there whole or not at all; one that is there already is left alone, so an interrupted import is made again.
    Checkpoints and logs stay where they are.
    """
    where = store_url(store)
    moved = _moved(file, where, rename)
    if as_json:
        emit({"store": place(where), "studies": [study._asdict() for study in moved]})
        return
    to = console()
    for study in moved:
        what = f"{plural(study.trials, 'trial')}, {plural(study.events, 'event')}"
        done = "was there already" if study.was_there else f"imported into {place(where)}"
        say(to, f"{clean(study.name)}: {what}, {done}")
    if any(not study.was_there for study in moved):
        say(
            to,
            "Checkpoints and logs were not moved: they are used where they lie. Deleting a study in the store that it",
        )
        say(to, "came from removes them.")


def _moved(file: Path, where: str, rename: str | None) -> list[Moved]:
    try:
        total = None if file == _STDIN else file.stat().st_size
        source: IO[bytes] = sys.stdin.buffer if file == _STDIN else file.open("rb")
    except OSError as error:
        raise UserError(f"cannot read '{file}': {(error.strerror or str(error)).lower()}.") from error
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    to = console(stderr=True)
    with (
        nullcontext(source) if file == _STDIN else source,
        Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as bar,
    ):
        task = bar.add_task("", total=total)
        return import_studies(
            source,
            store=where,
            rename=rename,
            progress=lambda name, done: bar.update(task, description=clean(name), completed=done),
        )
