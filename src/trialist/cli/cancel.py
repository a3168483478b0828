"""``trialist cancel``."""

from __future__ import annotations

from trialist.cli.options import DryRunOption, JsonOption, StoreOption, StudyArgument, TrialOption
from trialist.cli.steering import steer
from trialist.core.records import CommandKind


def cancel(
    name: StudyArgument,
    trial: TrialOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a study or a trial now; nothing more of it counts.

    What has been completed stays. With --trial, only that trial is cancelled.
    """
    kind = CommandKind.CANCEL if trial is None else CommandKind.CANCEL_TRIAL
    steer(name, store, kind, {} if trial is None else {"trial": trial}, dry_run=dry_run, as_json=as_json)
