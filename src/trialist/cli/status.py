"""``trialist status``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trialist.api import Study
from trialist.api.documents import study_document, trial_document
from trialist.cli.options import JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import console, emit, say
from trialist.cli.steering import print_steps, steps_of
from trialist.cli.summary import best_params, commonest_failures, pace, print_summary
from trialist.cli.trials import print_trials
from trialist.cli.watching import watch_study
from trialist.core.ports import TrialOrder


def status(
    name: StudyArgument,
    last: Annotated[int, typer.Option("--last", metavar="N", min=0, max=1000, help="Also the last N trials.")] = 0,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it ends (as 'trialist watch').")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """How a study stands, and what to do next.

    Pace and remaining time are those of the trials that have ended so far.
    """
    with opened(name, store) as study:
        if watch:
            watch_study(study, quiet=as_json)
        if as_json:
            emit(status_document(study, last))
        elif not watch:
            print_status(study, last)


def status_document(study: Study, last: int = 0) -> dict[str, Any]:
    """The JSON of ``trialist status``."""
    row, leader = study.row, study.leader
    speed = pace(row)
    return {
        **study_document(row, leader),
        "best_params": best_params(study, row) or None,
        "failures": [
            {"message": failure.message, "times": len(failure.trials), "trial": failure.trials[-1]}
            for failure in commonest_failures(study, row, most=10)
        ],
        "seconds_per_trial": None if speed is None else speed.seconds_each,
        "seconds_left": None if speed is None or leader is None else speed.left_s,
        "last": [trial_document(trial, row.spec) for trial in _last(study, last)],
        "next": [step._asdict() for step in steps_of(study)],
    }


def print_status(study: Study, last: int = 0) -> None:
    """The screen of ``trialist status``."""
    row, leader, to = study.row, study.leader, console()
    print_summary(to, study, row, leader)
    newest = _last(study, last)
    if newest:
        say(to, "")
        print_trials(study, newest)
    steps = steps_of(study)
    if steps:
        say(to, "")
        print_steps(steps)


def _last(study: Study, count: int) -> list[Any]:
    if not count:
        return []
    page = study.store.trials(study.id, order=TrialOrder("number", descending=True), limit=count)
    return page.trials[::-1]
