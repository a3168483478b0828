"""``trialist pause``."""

from __future__ import annotations

from trialist.cli.options import DryRunOption, JsonOption, StoreOption, StudyArgument, TrialOption
from trialist.cli.steering import steer
from trialist.core.records import CommandKind


def pause(
    name: StudyArgument,
    trial: TrialOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start no more trials until it is resumed.

    Running trials that have a checkpoint leave at their next report; the others run to their end. With --trial, only that trial leaves, to go on later.
    """
    kind = CommandKind.PAUSE if trial is None else CommandKind.PAUSE_TRIAL
    steer(name, store, kind, {} if trial is None else {"trial": trial}, dry_run=dry_run, as_json=as_json)
