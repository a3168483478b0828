"""A worker: looks along the line of studies, and has each one that fits led by a process of its own.

It never leads and never runs a study's code, so nothing that a study does can take it down. One process waits with everything
imported, so that a study that is submitted while there is room runs at once. Knows no terminal: what happens is told as
``Happening``.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from trialist._version import __version__
from trialist.api.workforce import Presence, presence
from trialist.core.errors import StoreBusy, StoreError, UserError
from trialist.core.ports import Store
from trialist.core.records import Study, Worker
from trialist.core.states import StudyStatus
from trialist.store.holders import holder
from trialist.store.locate import MEMORY, open_store, store_url
from trialist.worker import happenings
from trialist.worker.admission import Room, Share, fits, left_of, misfit, room_text
from trialist.worker.crew import Crew, Heard, Leader
from trialist.worker.happenings import Happening
from trialist.worker.messages import Message

BEAT_S = 5.0
LOOK_FIRST_S, LOOK_LAST_S = 0.1, 1.0
"""How often the line is looked at: soon after something happened, and when nothing has for a while."""
STORE_TIMEOUT_S = 2.0
"""How long one call may wait for a store: so soon a worker hears that it is to leave, also where the store is away."""
TELL_AFTER_S = 5.0
"""A store that is away for less is not worth a word."""
KILL_AFTER_S = 45.0
"""A leader that was told to stop now and has not by then is ended."""
_BAD_STARTS = 3
_FILE = "sqlite:///"


class Limits(NamedTuple):
    """What a worker may do."""

    room: Room
    max_studies: int | None = None
    """``None``: as many as fit."""
    lease_s: float = 30.0
    grace_s: float = 60.0
    """How long trials that cannot checkpoint may run on when the worker is to leave."""
    drain_after_s: float | None = None
    """Leave in order after this time."""
    once: bool = False
    """Lead one study, then leave."""
    until_idle: bool = False
    """Leave when there is nothing to do."""
    path: tuple[str, ...] = ()
    """Directories from which objectives are imported, before all others."""


class Supervisor:
    """A worker.

    Args:
        where: The store; see ``open_store``.
        name: What people call it; ``None``: the host and the process.
        limits: What it may do.
        tell: Told of everything that a person should know.

    Raises:
        UserError: The store is one that no other process can reach.
        StoreError, SchemaMismatch: It cannot be used. One that nobody has made yet is waited for.
    """

    def __init__(
        self, where: str | None, *, name: str | None, limits: Limits, tell: Callable[[Happening], None]
    ) -> None:
        self.url = store_url(where)
        if self.url == MEMORY:
            raise UserError(
                "a store in memory is its own process's alone: give a worker a file or a database with --store, e.g. "
                "--store trials.db"
            )
        self._limits = limits
        self._tell = tell
        self._name = name or f"{holder().host}-{os.getpid()}"
        self._store: Store | None = None if self._is_missing() else self._opened()
        self._worker: Worker | None = None
        self._crew = Crew()
        self._interrupts = 0
        self._drain_deadline: float | None = None
        self._kill_deadline: float | None = None
        self._look_due, self._look_every_s, self._beat_due = 0.0, LOOK_FIRST_S, 0.0
        self._start_due, self._bad_starts, self._was_ready = 0.0, 0, False
        self._told_misfits: set[str] = set()
        self._away_since: float | None = None
        self._trouble = ""
        self._claims = 0
        self._failed = 0
        self._is_idle = False

    # --- from outside ---

    def interrupt(self) -> None:
        """Leave: the first time in order, the second time now; safe in a signal handler."""
        self._interrupts += 1
        self._crew.wake()

    def run(self) -> int:
        """Work until it is told to leave, or there is a reason to; the exit code.

        0: left in order. 1: ``once`` or ``until_idle``, and a study failed. 130: told twice; running trials were ended.

        Raises:
            StoreError, UserError: No process that could lead a study comes up here.
        """
        started = time.monotonic()
        if self._store is None:
            self._say("waiting", f"waits for the store {self._place}, which is not there yet")
        try:
            while True:
                self._heed(started)
                if self._store is None:
                    if self._is_leaving:
                        return 0
                    self._find_store()
                else:
                    self._introduce(self._store)
                    self._keep_spare()
                    self._look(self._store)
                    if self._is_done():
                        break
                self._wait()
        finally:
            self._leave()
        if self._interrupts > 1:
            return 130
        return int(self._failed > 0 and (self._limits.once or self._limits.until_idle))

    # --- the worker itself ---

    @property
    def _place(self) -> str:
        return self.url.removeprefix(_FILE)

    def _is_missing(self) -> bool:
        return self.url.startswith(_FILE) and not os.path.exists(self._place)  # noqa: PTH110  an URL may hold any text

    def _opened(self) -> Store:
        return open_store(self.url, create=False, timeout_s=STORE_TIMEOUT_S)

    def _find_store(self) -> None:
        if not self._is_missing():
            with suppress(StoreBusy):  # somebody makes it in this moment
                self._store = self._opened()

    def _introduce(self, store: Store) -> None:
        """Say that this worker lives; the first time under a name of its own."""
        now = time.monotonic()
        if now < self._beat_due:
            return
        self._beat_due = now + BEAT_S
        try:
            if self._worker is None:
                self._worker = self._presented(store)
                room = room_text(self._limits.room.resources)
                self._say("started", f"worker {self._worker.name} on {self._place}: {room}; takes studies from here on")
            self._worker = replace(self._worker, seen_at=time.time(), is_draining=self._is_leaving)
            store.beat_worker(self._worker)
        except StoreError as error:
            self._be_patient(error)
        else:
            self._recovered()

    def _presented(self, store: Store) -> Worker:
        """This worker under a name that no other one has: where two come with one name at once, both give way."""
        worker = Worker(
            id=uuid.uuid4().hex,
            name=self._name,
            holder=holder(),
            version=__version__,
            capacity=self._limits.room.resources,
            max_studies=self._limits.max_studies,
            started_at=time.time(),
            beat_s=BEAT_S,
        )
        count = 1
        while True:
            taken = _names(store, worker)
            while worker.name in taken:
                count += 1
                worker = replace(worker, name=f"{self._name}-{count}")
            store.beat_worker(replace(worker, seen_at=time.time()))
            if worker.name not in _names(store, worker):
                return worker
            worker = replace(worker, name=f"{self._name}-{os.getpid()}")

    def _be_patient(self, error: StoreError) -> None:
        """The store is away: said once, where it lasts, and tried again."""
        now = time.monotonic()
        self._look_every_s = LOOK_LAST_S
        self._look_due = self._start_due = now + LOOK_LAST_S
        self._beat_due = min(self._beat_due, now + LOOK_LAST_S)
        if self._away_since is None:
            self._away_since = now
        if not self._trouble and now - self._away_since >= TELL_AFTER_S:
            self._trouble = str(error)
            self._say("trouble", f"{error} Trying on.")

    def _recovered(self) -> None:
        if self._trouble:
            self._say("recovered", "the store is there again")
        self._away_since, self._trouble = None, ""

    def _say(self, kind: str, text: str, study: str | None = None, **facts: Any) -> None:
        self._tell(Happening(kind, text, study, facts))

    # --- leaving ---

    @property
    def _is_leaving(self) -> bool:
        return self._drain_deadline is not None

    def _heed(self, started: float) -> None:
        """React to interrupts, to the time that is over, and to leaders that do not stop."""
        now, limits = time.monotonic(), self._limits
        over = limits.drain_after_s is not None and now - started >= limits.drain_after_s
        if (self._interrupts or over) and not self._is_leaving:
            self._drain_deadline = now + limits.grace_s
            self._beat_due = 0.0
            self._drain()
        if self._is_leaving and self._kill_deadline is None:
            assert self._drain_deadline is not None
            if self._interrupts > 1 or now >= self._drain_deadline:
                self._kill_deadline = now + KILL_AFTER_S
                if self._crew.leading:
                    self._say("stopping", "ends the running trials; studies go back to the line, with all they have")
                self._crew.signal(signal.SIGTERM)
        if self._kill_deadline is not None and (self._interrupts > 2 or now >= self._kill_deadline):
            self._crew.signal(signal.SIGKILL)

    def _drain(self) -> None:
        leading = len(self._crew.leading)
        grace = f"running trials have {self._limits.grace_s:g} s"
        what = f"takes no more studies, hands back {leading}; {grace}. Once more ends them now" if leading else "leaves"
        self._say("draining", what)
        spare = self._crew.spare
        if spare is not None and not spare.is_asked:
            self._crew.dismiss(spare)
        self._crew.signal(signal.SIGINT)

    def _is_done(self) -> bool:
        spare = self._crew.spare
        if self._crew.leading or (spare is not None and spare.is_asked):
            return False
        limits = self._limits
        return self._is_leaving or (limits.once and self._claims > 0) or (limits.until_idle and self._is_idle)

    def _leave(self) -> None:
        """Nobody is left behind, whatever made us leave."""
        self._crew.close(KILL_AFTER_S)
        if self._store is not None:
            with suppress(StoreError):
                if self._worker is not None:
                    self._store.remove_worker(self._worker.id)
            self._store.close()
        if self._worker is not None:
            self._say("left", f"worker {self._worker.name} left")

    # --- leaders ---

    @property
    def _has_place(self) -> bool:
        most = 1 if self._limits.once else self._limits.max_studies
        if self._is_leaving or (self._limits.once and self._claims):
            return False
        return most is None or len(self._crew.leading) < most

    def _keep_spare(self) -> None:
        """One process waits for the next study, as long as there may be one."""
        if not self._has_place or self._crew.spare is not None or time.monotonic() < self._start_due:
            return
        limits = self._limits
        try:
            self._crew.start(
                store=self.url,
                lease_s=limits.lease_s,
                name="" if self._worker is None else self._worker.name,
                path=limits.path,
                resources=limits.room.resources,
                devices=limits.room.devices,
            )
        except OSError as error:
            self._bad_start(UserError(f"no process that could lead a study can be started here: {error}"))

    def _bad_start(self, error: StoreError | UserError) -> None:
        """A process for the next study could not be had: what is led goes on, and what worked once may work again."""
        self._bad_starts += 1
        self._start_due = time.monotonic() + LOOK_LAST_S
        if self._bad_starts < _BAD_STARTS:
            return
        if not self._crew.leading and (isinstance(error, StoreError) or not self._was_ready):
            raise error
        if self._bad_starts == _BAD_STARTS:
            self._say("trouble", f"{str(error).rstrip('.')}. Trying on.")

    def _look(self, store: Store) -> None:
        """Have the waiting process claim a study, where one fits."""
        spare, now = self._crew.spare, time.monotonic()
        if spare is None or not spare.is_ready or spare.is_asked or not self._has_place or now < self._look_due:
            return
        self._look_due = now + self._look_every_s
        self._look_every_s = min(2 * self._look_every_s, LOOK_LAST_S)
        free = left_of(self._limits.room, [leader.share for leader in self._crew.leading])
        try:
            found = self._find(store, free)
        except StoreError as error:
            self._be_patient(error)
            return
        self._is_idle = found is None and not self._crew.leading
        if found is not None:
            spare.is_asked = True
            spare.line.send(op="claim", resources=free.resources, devices=free.devices)

    def _find(self, store: Store, free: Room) -> Study | None:
        """A study that fits now; those that never will are said once."""
        cursor = None
        while True:
            page = store.claimable(limit=50, cursor=cursor)
            for study in page.studies:
                if fits(study.spec, self._limits.room, free) is not None:
                    return study
                why = misfit(study.spec, self._limits.room)
                if why and study.id not in self._told_misfits:
                    self._told_misfits.add(study.id)
                    self._say("passed_over", f"{why}: left for others", study.name)
            cursor = page.cursor
            if cursor is None:
                return None

    def _wait(self) -> None:
        """Until something happens, or it is time for something."""
        now = time.monotonic()
        dues = [self._beat_due, now + LOOK_LAST_S]
        if self._has_place:
            dues.append(self._look_due)
        for heard in self._crew.listen(max(0.01, min(dues) - now)):
            if heard.message is None:
                self._bury(heard)
            else:
                self._take(heard.leader, heard.message)

    def _take(self, leader: Leader, message: Message) -> None:
        match message["op"]:
            case "ready":
                leader.is_ready = self._was_ready = True
                self._bad_starts, self._look_due = 0, 0.0
            case "none":
                leader.is_asked = False
                self._look_due = time.monotonic() + self._look_every_s
            case "claimed":
                leader.is_asked, leader.study = False, message["study"]
                leader.share = Share(message["resources"], tuple(message["devices"]))
                self._claims += 1
                self._look_due, self._look_every_s = 0.0, LOOK_FIRST_S
                self._tell(happenings.claimed(message))
                if self._is_leaving:
                    leader.process.send_signal(signal.SIGINT)
            case _:
                leader.end = message

    def _bury(self, heard: Heard) -> None:
        """A process has ended: what that means."""
        leader, end = heard.leader, heard.leader.end
        self._look_due, self._look_every_s = 0.0, LOOK_FIRST_S
        if leader.study is not None:
            self._failed += end is not None and end.get("status") == StudyStatus.FAILED
            self._tell(happenings.ended(leader.study, end, heard.code))
        elif end is not None and end["op"] == "away":
            self._be_patient(StoreBusy(self.url, end["error"]))
        elif end is not None and end["op"] == "unusable":
            self._bad_start(StoreError(self.url, end["error"]))
        elif heard.code and not self._is_leaving:
            self._bad_start(
                UserError(
                    f"no process that could lead a study comes up here (exit code {heard.code}); see what it printed above"
                )
            )


def _names(store: Store, own: Worker) -> set[str]:
    """What other workers that are there are called."""
    now = time.time()
    return {one.name for one in store.workers() if one.id != own.id and presence(one, now) is not Presence.LOST}
