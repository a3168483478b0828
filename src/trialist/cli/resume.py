"""``trialist resume``."""

from __future__ import annotations

from trialist.cli.options import DryRunOption, JsonOption, StoreOption, StudyArgument, TrialOption
from trialist.cli.steering import steer
from trialist.core.records import CommandKind


def resume(
    name: StudyArgument,
    trial: TrialOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a paused study or trial.

    A process that leads the study goes on at once. Where none does, the study is queued, and you are told how to run it.
    """
    kind = CommandKind.RESUME if trial is None else CommandKind.RESUME_TRIAL
    steer(name, store, kind, {} if trial is None else {"trial": trial}, dry_run=dry_run, as_json=as_json)
