"""``trialist enqueue``."""

from __future__ import annotations

from trialist.cli.options import DryRunOption, JsonOption, SetOption, StoreOption, StudyArgument, assignments
from trialist.cli.steering import steer
from trialist.core.errors import ConfigError
from trialist.core.records import CommandKind


def enqueue(
    name: StudyArgument,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a trial with params of your own.

    It comes before the searcher's next suggestion, and every param of the space needs a value.
    """
    if not set_:
        raise ConfigError("an enqueued trial needs params: give each as --set PATH=VALUE, such as --set lr=1e-3.")
    steer(name, store, CommandKind.ENQUEUE, {"params": assignments(set_)}, dry_run=dry_run, as_json=as_json)
