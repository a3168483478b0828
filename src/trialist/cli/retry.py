"""``trialist retry``."""

from __future__ import annotations

from typing import Annotated

import typer

from trialist.api import Study
from trialist.api.documents import command_document
from trialist.api.trials import answered
from trialist.cli.options import DryRunOption, JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import clean, console, emit, plural, say
from trialist.cli.steering import print_steps, steps_of, tell
from trialist.core.errors import ConfigError
from trialist.core.records import CommandKind
from trialist.core.states import TrialStatus


def retry(
    name: StudyArgument,
    trial: Annotated[
        int | None, typer.Option("--trial", metavar="N", min=0, help="This ended trial.", show_default=False)
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Every failed trial that has not been tried again yet.")
    ] = False,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try ended trials again, as new trials.

    A new trial has the same params and the old one as its parent; the old one stays as it is.
    """
    if (trial is None) == (not failed):
        raise ConfigError("say which: --trial N, or --failed for all that failed.")
    with opened(name, store) as study:
        if trial is not None:
            result = study.command(CommandKind.RETRY, {"trial": trial}, dry_run=dry_run)
            tell(study, result, as_json=as_json, trial=trial)
            return
        _retry_failed(study, dry_run=dry_run, as_json=as_json)


def _retry_failed(study: Study, *, dry_run: bool, as_json: bool) -> None:
    wanted = _untried(study)
    chosen = [] if dry_run else wanted
    made = [int(answered(study.command(CommandKind.RETRY, {"trial": number}), "trial")) for number in chosen]
    count = plural(len(wanted), "failed trial")
    message = (
        f"would try {count} again" if dry_run else f"{count} will be tried again" if wanted else "no trial to retry"
    )
    steps = steps_of(study) if made else []
    if as_json:
        document = command_document(
            study.name, {"message": message, "dry_run": dry_run}, [step._asdict() for step in steps]
        )
        emit({**document, "retried": wanted, "trials": made})
        return
    say(console(), f"{clean(study.name)}: {message}" + (f": {_numbers(wanted)}" if wanted else ""))
    print_steps(steps)


def _untried(study: Study) -> list[int]:
    """Failed trials without a retry, by number."""
    failed: dict[int, None] = {}
    tried: set[int] = set()
    for record in study.store.iter_trials(study.id):
        if record.status is TrialStatus.FAILED:
            failed[record.number] = None
        if record.source == "retry" and record.parent is not None:
            tried.add(record.parent)
    return [number for number in failed if number not in tried]


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:12])
    return shown + (f" … ({len(numbers) - 12} more)" if len(numbers) > 12 else "")
