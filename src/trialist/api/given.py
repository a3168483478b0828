"""Searchers and schedulers that a person gives as objects: how a study names them, and what stands for them elsewhere.

An object lives in the process that made it. In every other one the study can be looked at and steered, and says that it
cannot be searched there. Knows the ports, and no searcher.
"""

from __future__ import annotations

from typing import Any

from trialist.core.errors import UserError
from trialist.core.events import Body, Event
from trialist.core.records import Decision, Exhausted, Promotion, Spec, Suggestion, Trial

OBJECT = "object"
"""The name in a spec; the option ``class`` says of what class it is."""


def spec_of(given: object) -> Spec:
    """How a study names an object."""
    cls = type(given)
    return Spec(name=OBJECT, options={"class": f"{cls.__module__}.{cls.__qualname__}"})


class _Absent:
    reads: frozenset[type[Body]] = frozenset()

    def __init__(self, spec: Spec) -> None:
        self.name = str(spec.options.get("class", "")).rpartition(".")[2] or OBJECT

    def update(self, event: Event, trial: Trial | None) -> None:
        """Nobody asks it anything that would need this."""

    def _error(self, what: str) -> UserError:
        return UserError(
            f"the study's {what} was given as an object ({self.name}), which only the process that gave it has: run the "
            "study there again"
        )


class AbsentSearcher(_Absent):
    """Stands for a searcher that this process does not have."""

    replays = False

    def suggest(self, number: int) -> Suggestion | Exhausted:
        """Nothing.

        Raises:
            UserError: Always; says where to run the study.
        """
        raise self._error("searcher")


class AbsentScheduler(_Absent):
    """Stands for a scheduler that this process does not have."""

    def boundary(self, trial: Trial, step: int) -> int | None:
        return None

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        """Nothing.

        Raises:
            UserError: Always; says where to run the study.
        """
        raise self._error("scheduler")

    def promote(self, *, last: bool = False) -> Promotion | None:
        return None


def is_object(given: Any) -> bool:
    """Whether this is a searcher or a scheduler itself, and no name of one."""
    return not isinstance(given, type) and callable(getattr(given, "update", None)) and hasattr(given, "reads")


__all__ = ["OBJECT", "AbsentScheduler", "AbsentSearcher", "is_object", "spec_of"]
