"""``trialist export``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from trialist.api.exporting import FORMATS, export_text
from trialist.api.moving import all_studies, study_lines
from trialist.cli.completion import study_names
from trialist.cli.options import StoreOption, opened, opened_store
from trialist.cli.output import clean, console, say, size
from trialist.core.errors import UnknownName, UserError
from trialist.sweep.layout import replacing

_STDOUT = Path("-")
NameArgument = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="The study's name or id.", autocompletion=study_names, show_default=False),
]


def export(
    name: NameArgument = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}; else what the file's name says."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Replaced in one step; '-' is standard output.")
    ] = _STDOUT,
    everything: Annotated[
        bool, typer.Option("--all", help="All studies of the store, whole; only with the format 'study'.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Write a study's trials or events to a file.

    csv, jsonl and json hold all trials; tsv those that ended, in that order; events everything that happened; timeline is
    a Chrome trace for ui.perfetto.dev; study all of it, for 'trialist import' into another store. Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    if everything:
        _write(output, "study" if form is None else form, store, None)
        return
    if name is None:
        raise UserError("say which study: trialist export NAME, or --all for all of them.")
    chosen = form or _by_suffix(output)
    if chosen not in FORMATS:
        raise UnknownName("export format", chosen, FORMATS)
    _write(output, chosen, store, name)


def _write(output: Path, form: str, store: str | None, name: str | None) -> None:
    if name is None and form != "study":
        raise UserError(f"--all writes whole studies, so its format is 'study', not '{form}'.")
    with ExitStack() as stack:
        if name is None:
            there = stack.enter_context(opened_store(store))
            lines, what = study_lines(there, all_studies(there)), "all studies"
        else:
            study = stack.enter_context(opened(name, store))
            lines, what = export_text(study, form), clean(study.name)
        if output == _STDOUT:
            for text in lines:
                sys.stdout.write(text)
            return
        try:
            with replacing(output) as file:
                for text in lines:
                    file.write(text)
        except OSError as error:
            raise UserError(f"cannot write '{output}': {(error.strerror or str(error)).lower()}.") from error
        say(console(stderr=True), f"{what}: wrote {clean(str(output))}, {size(output.stat().st_size)}")


def _by_suffix(output: Path) -> str:
    if not output.suffix or output == _STDOUT:
        return "csv"
    suffix = output.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:  # a table in a file called .parquet would be found out much later
        formats = ", ".join(FORMATS)
        raise UserError(f"'{output}' does not say which format it is to have: add --format, one of {formats}.")
    return suffix
