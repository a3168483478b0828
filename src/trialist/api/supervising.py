"""A worker: looks along the line of studies, and has each one that fits led by a process of its own.

It never leads and never runs a study's code, so nothing that a study does can take it down. One process waits with everything
imported, so that a study that is submitted while there is room runs at once. Knows no terminal: what happens is told as
``Happening``.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from trialist._version import __version__
from trialist.api.admission import Room, Share, fits, left_of, misfit, room_text
from trialist.api.messages import Line, Message
from trialist.api.workforce import Presence, presence
from trialist.core.errors import StoreBusy, StoreError, UserError
from trialist.core.ports import Store
from trialist.core.records import Study, Worker
from trialist.core.states import StudyStatus
from trialist.store.holders import holder
from trialist.store.locate import MEMORY, open_store, store_url

BEAT_S = 5.0
LOOK_FIRST_S, LOOK_LAST_S = 0.1, 1.0
"""How often the line is looked at: soon after something happened, and when nothing has for a while."""
KILL_AFTER_S = 45.0
"""A leader that was told to stop now and has not by then is ended."""
_LEAVES_WITHIN_S = 5.0
"""So long may a process that leads nothing take to end."""
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


class Happening(NamedTuple):
    """Something that a person should know."""

    kind: str
    text: str
    """One line."""
    study: str | None = None
    facts: Mapping[str, Any] = {}


@dataclass(slots=True, eq=False)
class _Child:
    """A process that leads a study, or waits for one."""

    process: subprocess.Popen[bytes]
    line: Line
    is_ready: bool = False
    is_asked: bool = False
    study: str | None = None
    share: Share = field(default_factory=lambda: Share({}))
    end: Message | None = None
    """Its last word."""


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
        self._store: Store | None = None if self._is_missing() else open_store(self.url, create=False)
        self._worker: Worker | None = None
        self._children: list[_Child] = []
        self._dismissed: list[_Child] = []
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._interrupts = 0
        self._drain_deadline: float | None = None
        self._kill_deadline: float | None = None
        self._look_due, self._look_every_s, self._beat_due = 0.0, LOOK_FIRST_S, 0.0
        self._told_misfits: set[str] = set()
        self._trouble = ""
        self._bad_starts = 0
        self._claims = 0
        self._failed = 0
        self._is_idle = False

    # --- from outside ---

    def interrupt(self) -> None:
        """Leave: the first time in order, the second time now; safe in a signal handler."""
        self._interrupts += 1
        with suppress(BlockingIOError):
            os.write(self._waker, b".")

    def run(self) -> int:
        """Work until it is told to leave, or there is a reason to; the exit code.

        0: left in order. 1: ``once`` or ``until_idle``, and a study failed. 130: told twice; running trials were ended.
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
                    self._introduce()
                    self._keep_spare()
                    self._look()
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

    def _find_store(self) -> None:
        if not self._is_missing():
            with suppress(StoreBusy):  # somebody makes it in this moment
                self._store = open_store(self.url, create=False)

    def _introduce(self) -> None:
        """Say that this worker lives; the first time under a name of its own."""
        now = time.monotonic()
        if now < self._beat_due or self._store is None:
            return
        self._beat_due = now + BEAT_S
        try:
            if self._worker is None:
                self._worker = self._presented(self._store)
                room = room_text(self._limits.room.resources)
                self._say("started", f"worker {self._worker.name} on {self._place}: {room}; takes studies from here on")
            self._worker = replace(self._worker, seen_at=time.time(), is_draining=self._is_leaving)
            self._store.beat_worker(self._worker)
        except StoreError as error:
            self._be_patient(error)

    def _presented(self, store: Store) -> Worker:
        now = time.time()
        taken = {one.name for one in store.workers() if presence(one, now) is not Presence.LOST}
        name, count = self._name, 1
        while name in taken:
            count += 1
            name = f"{self._name}-{count}"
        return Worker(
            id=uuid.uuid4().hex,
            name=name,
            holder=holder(),
            version=__version__,
            capacity=self._limits.room.resources,
            max_studies=self._limits.max_studies,
            started_at=now,
            beat_s=BEAT_S,
        )

    def _be_patient(self, error: StoreError) -> None:
        """The store is away: said once, and tried again."""
        self._look_every_s = LOOK_LAST_S
        self._look_due = time.monotonic() + LOOK_LAST_S
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._say("trouble", f"{error} Trying on.")

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
                if self._leading:
                    self._say("stopping", "ends the running trials; studies go back to the line, with all they have")
                self._signal(signal.SIGTERM)
        if self._kill_deadline is not None and (self._interrupts > 2 or now >= self._kill_deadline):
            self._signal(signal.SIGKILL)

    def _drain(self) -> None:
        leading = len(self._leading)
        grace = f"running trials have {self._limits.grace_s:g} s"
        what = f"takes no more studies, hands back {leading}; {grace}. Once more ends them now" if leading else "leaves"
        self._say("draining", what)
        for child in list(self._children):
            if child.study is None and not child.is_asked:
                self._dismiss(child)
        self._signal(signal.SIGINT)

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.study is not None or number is signal.SIGKILL:
                child.process.send_signal(number)

    def _is_done(self) -> bool:
        if self._leading or any(child.is_asked for child in self._children):
            return False
        limits = self._limits
        return self._is_leaving or (limits.once and self._claims > 0) or (limits.until_idle and self._is_idle)

    def _leave(self) -> None:
        """Nobody is left behind, whatever made us leave: leaders whose line is closed stop by themselves."""
        for child in self._children:
            child.line.close()
        for child in (*self._children, *self._dismissed):
            try:
                child.process.wait(_LEAVES_WITHIN_S if child.study is None else KILL_AFTER_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        if self._store is not None:
            with suppress(StoreError):
                if self._worker is not None:
                    self._store.remove_worker(self._worker.id)
            self._store.close()
        if self._worker is not None:
            self._say("left", f"worker {self._worker.name} left")
        self._selector.close()
        for end in (self._woken, self._waker):
            os.close(end)

    # --- leaders ---

    @property
    def _leading(self) -> list[_Child]:
        return [child for child in self._children if child.study is not None]

    @property
    def _has_place(self) -> bool:
        most = 1 if self._limits.once else self._limits.max_studies
        if self._is_leaving or (self._limits.once and self._claims):
            return False
        return most is None or len(self._leading) < most

    def _keep_spare(self) -> None:
        """One process waits for the next study, as long as there may be one."""
        if not self._has_place or any(child.study is None for child in self._children):
            return
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "trialist.api.working", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is this process's business
            )
        child = _Child(process, Line(ours))
        self._children.append(child)
        self._selector.register(child.line, selectors.EVENT_READ, child)
        limits = self._limits
        child.line.send(
            store=self.url,
            lease_s=limits.lease_s,
            name="" if self._worker is None else self._worker.name,
            path=limits.path,
            resources=limits.room.resources,
            devices=limits.room.devices,
        )

    def _dismiss(self, child: _Child) -> None:
        """A process that is not needed any more: it ends when its line does, and is waited for at the end."""
        self._selector.unregister(child.line)
        child.line.close()
        self._children.remove(child)
        self._dismissed.append(child)

    def _look(self) -> None:
        """Have the waiting process claim a study, where one fits."""
        spare = next((child for child in self._children if child.study is None), None)
        if spare is None or not spare.is_ready or spare.is_asked or self._store is None or not self._has_place:
            return
        now = time.monotonic()
        if now < self._look_due:
            return
        self._look_due = now + self._look_every_s
        self._look_every_s = min(2 * self._look_every_s, LOOK_LAST_S)
        free = left_of(self._limits.room, [child.share for child in self._leading])
        try:
            found = self._find(self._store, free)
        except StoreError as error:
            self._be_patient(error)
            return
        self._recovered()
        self._is_idle = found is None and not self._leading
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

    def _recovered(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._say("recovered", "the store is there again")

    def _wait(self) -> None:
        """Until something happens, or it is time for something."""
        now = time.monotonic()
        dues = [self._beat_due, now + LOOK_LAST_S]
        if self._has_place:
            dues.append(self._look_due)
        for _, _ in self._selector.select(max(0.01, min(dues) - now)):
            pass
        with suppress(BlockingIOError):
            while os.read(self._woken, 4096):
                pass
        for key, _ in self._selector.select(0):
            if key.data is not None:
                self._hear(key.data)

    def _hear(self, child: _Child) -> None:
        for message in child.line.receive():
            self._take(child, message)
        if child.line.is_gone:
            self._selector.unregister(child.line)
            child.line.close()
            code = child.process.wait()
            self._children.remove(child)
            self._look_due, self._look_every_s = 0.0, LOOK_FIRST_S
            self._bury(child, code)

    def _take(self, child: _Child, message: Message) -> None:
        match message["op"]:
            case "ready":
                child.is_ready, self._bad_starts = True, 0
                self._look_due = 0.0
            case "none":
                child.is_asked = False
                self._look_due = time.monotonic() + self._look_every_s
                if self._is_leaving:
                    self._dismiss_later(child)
            case "claimed":
                child.is_asked, child.study = False, message["study"]
                child.share = Share(message["resources"], tuple(message["devices"]))
                self._claims += 1
                self._look_due, self._look_every_s = 0.0, LOOK_FIRST_S
                self._tell_claim(message)
                if self._is_leaving:
                    child.process.send_signal(signal.SIGINT)
            case _:
                child.end = message

    def _dismiss_later(self, child: _Child) -> None:
        child.line.socket.shutdown(socket.SHUT_WR)  # it reads the end of the line and leaves; we hear that it has

    # --- what is said ---

    def _tell_claim(self, message: Message) -> None:
        study, taken_from = message["study"], message["took_over"]
        jobs = message["jobs"]
        at_once = f", {jobs} at a time" if jobs > 1 else ""
        if taken_from is not None:
            text = f"took over {study} from {taken_from or 'a dead leader'}: {_done(message)}{at_once}"
            self._say("took_over", text, study, **_facts(message))
        else:
            self._say("claimed", f"claimed {study}: {_done(message)}{at_once}", study, **_facts(message))

    def _bury(self, child: _Child, code: int) -> None:
        """A process has ended: what that means."""
        if child.study is None:
            self._bad_start(child, code)
            return
        end, study = child.end, child.study
        if end is None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._say("died", f"the leader of {study} died ({how}); the study is taken up again", study, exit_code=code)
        elif end["op"] == "lost":
            self._say("lost", f"lost {study}: its lease ran out, and another process leads it", study)
        elif end["op"] == "broke":
            self._say("broke", f"left {study}: {end['error']}", study)
        else:
            self._tell_end(study, end)

    def _tell_end(self, study: str, end: Message) -> None:
        status, reason = StudyStatus(end["status"]), end["reason"]
        why = f" ({reason})" if reason else ""
        best = (
            ""
            if end["best_value"] is None
            else f"; best {end['metric']}={end['best_value']:.6g} (trial {end['best_trial']})"
        )
        match status:
            case StudyStatus.QUEUED:
                self._say("handed_back", f"handed back {study}: {_done(end)}", study, **_facts(end))
            case StudyStatus.FAILED:
                self._failed += 1
                self._say("failed", f"failed {study}: {reason}; {_done(end)}", study, reason=reason, **_facts(end))
            case StudyStatus.RUNNING:
                self._say("lost", f"left {study}: another process leads it", study)
            case _:
                word = "finished" if status is StudyStatus.COMPLETED else status.value
                text = f"{word} {study}{why}: {_done(end)}{best}"
                self._say(word, text, study, reason=reason, **_facts(end))

    def _bad_start(self, child: _Child, code: int) -> None:
        """A process for the next study could not be had."""
        if self._is_leaving or (code == 0 and child.end is None):
            return
        self._bad_starts += 1
        told = "" if child.end is None else str(child.end.get("error", ""))
        if self._bad_starts >= _BAD_STARTS:
            raise (
                StoreError(self.url, told)
                if told
                else UserError(
                    f"no process that could lead a study comes up here (exit code {code}); see what it printed above"
                )
            )


def _done(message: Message) -> str:
    """``7 of 20 trials done, 1 of them failed``."""
    counts = message["counts"]
    ended = sum(counts.get(status, 0) for status in ("completed", "stopped", "failed", "cancelled"))
    total = message["num_trials"]
    out_of = f"{ended} trial{'s' * (ended != 1)}" if total is None else f"{ended} of {total} trials"
    failed = counts.get("failed", 0)
    return f"{out_of} done" + (f", {failed} of them failed" if failed else "")


def _facts(message: Message) -> dict[str, Any]:
    keys = ("counts", "num_trials", "jobs", "metric", "best_value", "best_trial")
    return {key: message[key] for key in keys}
