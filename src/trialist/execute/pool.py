"""Runs trials as processes that are forked from a warm template, so that each starts with its imports behind it.

All else is ``execute.command``'s: what cannot start warm is a plain process, and every rule about a trial's process holds for
both. Knows which launches may be warm; of templates only that the warden keeps them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from trialist.core.errors import ConfigError
from trialist.core.ports import Signal
from trialist.core.records import Segment
from trialist.execute.command import CommandExecutor
from trialist.execute.launch import Launch, Prepare, Workers, worker_order
from trialist.execute.processes import LINUX

_log = logging.getLogger("trialist")


class Start(StrEnum):
    """How a pool's trials come to their process."""

    AUTO = "auto"
    """Forked, but for trials with a GPU and on other systems than Linux, which are spawned."""
    FORK = "fork"
    """Each is a fork of a warm template."""
    SPAWN = "spawn"
    """They run in worker processes that are started as new interpreters, and kept: one after the other in each."""


class PoolExecutor(CommandExecutor):
    """Processes of this machine that share the work of importing, and nothing else.

    Trials with the same interpreter, program, directory and ``Launch.env`` are copies of one template, which has imported
    the libraries that they need. A trial is a new process each time: nothing that one does to its memory reaches another.

    Functions can also run in worker processes that are kept (``start``, ``residents``): they share what a trial leaves in
    memory. A script, and whatever else a worker cannot run, is a plain process then.

    Args:
        prepare: See ``CommandExecutor``; ``Launch.warm`` and ``Launch.call`` say how a launch can start warm.
        start: ``auto``, ``fork`` or ``spawn``.
        residents: How many trials one worker process may hold at once, each on a thread of its own, most of them parked;
            1: each runs on a main thread.
        spare: How many workers of a kind may wait for work.
        recycle_after: Trials after which a worker is replaced, as soon as it is empty; ``None``: never.
        recycle_growth_bytes: Growth of a worker since its first trial above which it is replaced, as soon as it is empty;
            ``None``: never.
        grace_s: See ``CommandExecutor``.
        say: Tells the person at the terminal something.

    Raises:
        ConfigError: A number is out of its range, or ``start`` none of the words.
    """

    name = "pool"
    options = ("start", "residents", "recycle_after", "recycle_growth_bytes", "grace_s")
    """Those that people may give."""

    def __init__(
        self,
        prepare: Prepare,
        *,
        start: Start | str = Start.AUTO,
        residents: int = 1,
        spare: int = 1,
        recycle_after: int | None = 100,
        recycle_growth_bytes: int | None = 1 << 30,
        grace_s: float = 10.0,
        say: Callable[[str], None] = _log.warning,
    ) -> None:
        _check_number("residents", residents, at_least=1)
        for option, value in (("recycle_after", recycle_after), ("recycle_growth_bytes", recycle_growth_bytes)):
            if value is not None:
                _check_number(option, value, at_least=1)
        if start not in tuple(Start):
            words = ", ".join(f"'{word}'" for word in Start)
            raise ConfigError(f"must be one of {words}, not {start!r}", path="executor.start")
        super().__init__(prepare, grace_s=grace_s)
        self._start = Start(start)
        self._workers = Workers(
            places=residents, spare=spare, recycle_after=recycle_after, recycle_growth_bytes=recycle_growth_bytes
        )
        self._say = say

    def _more(self, segment: Segment, launch: Launch, folder: str, own: dict[str, str]) -> dict[str, Any]:
        # A process with a GPU must not be a fork of one that might have touched it; elsewhere orphans cannot be caught.
        forks = LINUX and not segment.resources.get("gpu", 0) > 0
        spawns = self._start is Start.SPAWN or (self._start is Start.AUTO and not forks)
        if launch.call is not None and (spawns or self._workers.places > 1):
            return worker_order(segment, launch, launch.call, self._workers, folder)
        warm = launch.warm
        if warm is None or not forks or spawns:
            return {}
        setup = {
            "python": list(warm.python),
            "kind": warm.kind.value,
            "name": warm.name,
            "cwd": folder,
            "env": dict(launch.env),
        }
        return {"warm": {"setup": setup, "args": list(warm.args), "env": own}}

    def _signals(self, message: dict[str, Any]) -> list[Signal]:
        if message["op"] == "cold":
            self._say(f"trials start cold, each with its own imports: {message['why']}")
            return []
        if message["op"] == "delayed":
            self._say(
                f"trials wait for the imports of {message['what']}, which take longer than {message['seconds']:g} s"
            )
            return []
        return super()._signals(message)


def _check_number(option: str, value: object, *, at_least: int) -> None:
    if type(value) is not int or value < at_least:
        raise ConfigError(f"must be a whole number of at least {at_least}, not {value!r}", path=f"executor.{option}")
