"""``trialist export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from trialist.api.exporting import FORMATS, export_text
from trialist.cli.options import StoreOption, StudyArgument, opened
from trialist.cli.output import clean, console, say, size
from trialist.core.errors import UnknownName, UserError
from trialist.sweep.layout import replacing

_STDOUT = Path("-")


def export(
    name: StudyArgument,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}; else what the file's name says."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Replaced in one step; '-' is standard output.")
    ] = _STDOUT,
    store: StoreOption = None,
) -> None:
    """Write a study's trials or events to a file.

    csv, jsonl and json hold all trials; tsv those that ended, in that order; events everything that happened; timeline is
    a Chrome trace for ui.perfetto.dev. Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    chosen = form or _by_suffix(output)
    if chosen not in FORMATS:
        raise UnknownName("export format", chosen, FORMATS)
    with opened(name, store) as study:
        if output == _STDOUT:
            for text in export_text(study, chosen):
                sys.stdout.write(text)
            return
        try:
            with replacing(output) as file:
                for text in export_text(study, chosen):
                    file.write(text)
        except OSError as error:
            raise UserError(f"cannot write '{output}': {(error.strerror or str(error)).lower()}.") from error
        say(console(stderr=True), f"{clean(study.name)}: wrote {clean(str(output))}, {size(output.stat().st_size)}")


def _by_suffix(output: Path) -> str:
    if not output.suffix or output == _STDOUT:
        return "csv"
    suffix = output.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:  # a table in a file called .parquet would be found out much later
        formats = ", ".join(FORMATS)
        raise UserError(f"'{output}' does not say which format it is to have: add --format, one of {formats}.")
    return suffix
