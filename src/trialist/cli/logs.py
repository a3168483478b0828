"""``trialist logs``."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from trialist.api import Study
from trialist.cli.options import JsonOption, StoreOption, StudyArgument, TrialArgument, find_trial, opened
from trialist.cli.output import clean, emit
from trialist.core.errors import Conflict

_LOOK_EVERY_S = 0.3
_BLOCK = 1 << 16


def logs(
    name: StudyArgument,
    trial: TrialArgument,
    tail: Annotated[
        int | None, typer.Option("--tail", metavar="N", min=0, help="Only the last N lines.", show_default=False)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until the trial ends.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a trial printed.

    The end of it, at most 1 MiB. A trial that runs inside the process of its study prints there and has no log.
    """
    with opened(name, store) as study:
        handle = find_trial(study, trial)
        text = handle.logs
        if tail is not None:
            text = "".join(text.splitlines(keepends=True)[-tail:]) if tail else ""
        if as_json:
            emit({"study": study.name, "trial": trial, "path": _path_text(study, trial), "text": text})
            return
        if not text and handle.log_file is None and not follow:
            raise Conflict(
                f"trial {trial} of '{clean(study.name)}' has no log: "
                + ("it has not started." if handle.started_at is None else "it ran inside the process of its study.")
            )
        sys.stdout.write(text)
        sys.stdout.flush()
        if follow:
            _follow(study, trial)


def _path_text(study: Study, number: int) -> str | None:
    path = study.trial(number).log_file
    return None if path is None else str(path)


def _follow(study: Study, number: int) -> None:
    """Print what is appended until the trial has ended and nothing more comes."""
    waiting = threading.Event()
    path: Path | None = study.trial(number).log_file
    read = 0 if path is None else path.stat().st_size
    while True:
        trial = study.trial(number)
        path = trial.log_file
        if path is not None:
            read = _copy(path, read)
        if trial.status.is_terminal:
            return
        waiting.wait(_LOOK_EVERY_S)


def _copy(path: Path, read: int) -> int:
    with path.open("rb") as file:
        file.seek(read)
        while block := file.read(_BLOCK):
            sys.stdout.write(block.decode(errors="replace"))
            read += len(block)
    sys.stdout.flush()
    return read
