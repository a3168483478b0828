"""``trialist watch``."""

from __future__ import annotations

from trialist.cli.options import JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import console, emit
from trialist.cli.status import print_status, status_document
from trialist.cli.watching import watch_study


def watch(name: StudyArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Follow a study until it ends.

    On a terminal one screen stays current; elsewhere each event is a line. With --json nothing is printed before the end,
    and then what 'trialist status --json' prints. Ctrl-C leaves; the study goes on.
    """
    with opened(name, store) as study:
        watch_study(study, quiet=as_json)
        if as_json:
            emit(status_document(study))
        elif not console().is_terminal:
            print_status(study)
