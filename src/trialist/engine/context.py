"""What a command finds: the study, what runs of it, and the questions that every command asks of its args and its study.

Knows no command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from trialist.core.errors import Conflict, NotFound
from trialist.core.fold import StudyFold
from trialist.core.records import Checkpoint, Command, CommandKind, Params, Trial
from trialist.engine.lead import Lead
from trialist.engine.outcome import Leaving


class Floor(Protocol):
    """What control needs of the running trials; ``None`` where nobody leads and nothing runs."""

    def is_active(self, number: int) -> bool: ...

    def leave(self, number: int, leaving: Leaving) -> None: ...


class Context(NamedTuple):
    """What a command may need beside the lead."""

    lead: Lead
    floor: Floor | None
    check_params: Callable[[Params], dict[str, Any]]
    """Normalises params or raises SpaceError."""
    find_trial: Callable[[int], Trial]
    """Any trial of the study, ended ones too; raises NotFound."""
    find_checkpoint: Callable[[int], Checkpoint | None]
    """The last kept checkpoint of a trial."""
    clients: Mapping[CommandKind, Callable[[Command], dict[str, Any]]] = {}
    """Handlers of ``ask``, ``tell`` and ``report``."""


def check_open(fold: StudyFold) -> None:
    """Raise Conflict while a study is being stopped: what is added now would end before it has begun."""
    if fold.stopping:
        raise Conflict(f"study '{fold.spec.name}' is being stopped: resume it first, or add trials when it has ended")


def check_not_found(number: object) -> int:
    """A trial number from a command's args, or the error that says it is none."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise NotFound("trial", number)
    return number
