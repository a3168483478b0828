"""``trialist stop``."""

from __future__ import annotations

from trialist.cli.options import DryRunOption, JsonOption, StoreOption, StudyArgument, TrialOption
from trialist.cli.steering import steer
from trialist.core.records import CommandKind


def stop(
    name: StudyArgument,
    trial: TrialOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start no more trials, and let the running ones end.

    The study is then completed. With --trial, that trial ends early and its value counts.
    """
    kind = CommandKind.STOP if trial is None else CommandKind.STOP_TRIAL
    steer(name, store, kind, {} if trial is None else {"trial": trial}, dry_run=dry_run, as_json=as_json)
