"""Orders to a leading engine: commands from the store, and what a paused study asks of its running trials.

Knows the store as the place where commands wait; what a command means is ``control``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from trialist.core import faults
from trialist.core.errors import StoreBusy, StoreFull
from trialist.core.ports import Clock, Store
from trialist.core.records import Command, CommandKind
from trialist.core.states import StudyStatus
from trialist.engine import control
from trialist.engine.context import Context
from trialist.engine.course import Course
from trialist.engine.lead import Lead
from trialist.engine.outcome import Errand, Leaving
from trialist.engine.runs import Runs

_log = logging.getLogger("trialist")
COMMANDS_EVERY_S = 0.1
"""How often the store is asked for commands, and the longest that ``poll`` waits."""


class Orders:
    """Takes commands, carries them out, and heeds a pause.

    Args:
        lead: The study.
        runs: What runs.
        context: What commands need.
        course: Told where there may be more to suggest again.
        store: Where commands wait.
        clock: For the time between two looks.
        commit: Makes the answers durable, through a store that is away.
        say: Tells the person at the terminal.
    """

    def __init__(
        self,
        *,
        lead: Lead,
        runs: Runs,
        context: Context,
        course: Course,
        store: Store,
        clock: Clock,
        commit: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._lead = lead
        self._runs = runs
        self._context = context
        self._course = course
        self._store = store
        self._clock = clock
        self._commit = commit
        self._say = say
        self._due = 0.0
        self._yielded = False

    def take(self) -> None:
        """Carry out what waits in the store; looks there every ``COMMANDS_EVERY_S``."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        self._due = now + COMMANDS_EVERY_S
        try:
            commands = self._store.pending_commands(self._lead.fold.spec.id)
        except (StoreBusy, StoreFull) as error:
            _log.debug("commands: %s", error)
            return
        for command in commands:
            self._apply(command)

    def _apply(self, command: Command) -> None:
        try:
            self.carry_out(command)
        except control.REFUSALS as error:
            _log.info("refused %s from %s: %s", command.kind, command.sender, error)

    def carry_out(self, command: Command) -> dict[str, Any]:
        """Carry a command out; for calls from this engine's own thread (a callback), which cannot wait for its loop.

        Raises:
            UserError, Conflict, NotFound: It was refused.
        """
        try:
            result = control.apply(self._context, command)
        finally:
            faults.point("engine.command.applied")
            self._commit()  # before the store is asked again, which would still call it pending
        if command.kind in (CommandKind.SET_BUDGET, CommandKind.RESUME, CommandKind.ENQUEUE):
            self._course.exhausted = ""
        if command.kind is CommandKind.PAUSE:
            self._say(f"paused; 'trialist resume {self._lead.fold.spec.name}' goes on")
        if command.kind is CommandKind.RESUME:
            self._yielded = False
        return result

    def heed_pause(self) -> None:
        """A paused study's trials leave where they can go on later."""
        if self._lead.fold.status is StudyStatus.PAUSED and not self._yielded:
            self._yielded = True
            self._runs.yield_checkpointed(Leaving(Errand.YIELD, "engine", "the study was paused"))
