"""The warden: a small process that starts trials, watches them, and outlives none of them.

It stands between the engine and the trials so that the engine's death, however sudden, ends them: the warden sees its end
of the connection close and ends everything that it started, daemons in sessions of their own included. It is a subreaper,
so nothing that a trial starts can leave its family. It keeps no history and no metric beyond bounded buffers: where the
engine does not read, trials wait.

With the engine it speaks JSON, one object a line. Engine → warden: ``start``, ``go_on``, ``evict``, ``stop``, ``kill``,
``close``; warden → engine: ``report`` (with ``parked`` at a boundary), ``checkpointed``, ``exited``. With trials it speaks
``runtime.protocol``. It imports the standard library and three light rooms, and starts in some 40 ms.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from trialist.core import faults
from trialist.execute.attempts import Attempt, ProcessAttempt
from trialist.execute.connections import Connection
from trialist.execute.engine_link import EngineLink
from trialist.execute.hosted import HostedAttempt
from trialist.execute.hosts import Hosts
from trialist.execute.memory import used_above
from trialist.execute.outputs import Output
from trialist.execute.processes import (
    become_subreaper,
    die_with_parent,
    kill_all,
    living,
    of_trial,
    take_all_descriptors,
)
from trialist.execute.templates import Templates
from trialist.execute.worker import Host
from trialist.runtime.protocol import ENVIRONMENT_OF_TRIALS, Order

_CHECK_S = 1.0
_LAST_GRACE_S = 1.0
"""What trials get between TERM and KILL when the engine is gone or closes."""
_SILENCE_GRACE_S = 0.2
"""The same when it is silent: another engine waits for nothing but the end of the lease."""
_MAX_CONNECTIONS = 4096


class Warden:
    """The loop.

    Args:
        engine: The connection to the engine.
        address: Where trials connect.
        engine_pid: To notice the engine's death even where a fork of it keeps the connection open.
        beats: A pipe on which the engine says up to when it may count on leading.
        tie: Called in each new process: it dies with this one.
    """

    def __init__(
        self, engine: socket.socket, address: str, engine_pid: int, beats: int, tie: Callable[[], None]
    ) -> None:
        self._engine_pid = engine_pid
        self._address = address
        self._attempts: dict[int, Attempt] = {}
        self._tokens: dict[str, Attempt] = {}
        self._connections: set[Connection] = set()
        self._base = {name: text for name, text in os.environ.items() if name not in ENVIRONMENT_OF_TRIALS}
        self._base.setdefault("PYTHONUNBUFFERED", "1")  # a crash must not take the last lines of the log with it
        self._tie = tie
        self._hosts = Hosts(self._base, self._tie, lambda: [*self._leaders(), *self._templates.pids])
        self._closing = False
        self._led_until: float | None = None
        """Up to when the engine leads; ``None``: it has not said so, and there is no limit."""
        self._has_silenced = False
        self._is_congested = False
        self._next_check = 0.0
        self._signals, wakeup = os.pipe()
        for end in (self._signals, wakeup):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)  # handlers, since an ignored signal stays ignored in trials
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(address)
        self._listener.listen(128)
        self._listener.setblocking(False)
        # Trials have a selector of their own inside the first, to be taken out whole while the engine does not read.
        self._trials = selectors.DefaultSelector()
        self._all = selectors.DefaultSelector()
        self._engine = EngineLink(engine, self._all, self._hear)
        self._all.register(self._signals, selectors.EVENT_READ, lambda signals: os.read(signals, 4096))
        self._all.register(beats, selectors.EVENT_READ, self._beat)
        self._all.register(self._trials.fileno(), selectors.EVENT_READ)
        self._trials.register(self._listener, selectors.EVENT_READ, self._accept)
        self._templates = Templates(self._base, self._tie, self._all, self._spawn_late, self._refuse, self._engine.tell)

    def run(self) -> None:
        """Serve until the engine has closed or died and nothing is left."""
        while not (self._closing and not self._attempts and not self._hosts.all):
            for key, _ in self._all.select(self._wait_s()):
                if key.data is not None:
                    key.data(key.fd)
                else:
                    for inner, _ in self._trials.select(0):
                        inner.data(inner.fileobj)
            self._reap()
            self._heed_silence()
            self._act()
            self._check_engine()
            self._send()
        self._end_strays()

    # the engine

    def _send(self) -> None:
        if not self._engine.send():
            self._close()
        if self._closing:
            self._engine.forget()
        inner: int = self._trials.fileno()
        if self._engine.is_congested != self._is_congested:
            self._is_congested = not self._is_congested
            if self._is_congested:
                self._all.unregister(inner)
            else:
                self._all.register(inner, selectors.EVENT_READ)

    def _hear(self, _: object) -> None:
        orders = self._engine.hear()
        if orders is None:
            self._close()
        for order in orders or ():
            self._obey(order)

    def _obey(self, order: dict[str, Any]) -> None:
        op = order["op"]
        if op == "close":
            self._close()
        elif op == "start":
            self._start(order)
        elif (attempt := self._attempts.get(order["id"])) is not None:
            if op == "go_on":
                attempt.to_step = order["to_step"]
                attempt.unpark()
                for connection in self._speaking_for(attempt):
                    connection.go_on(attempt.to_step)
            elif op == "kill":
                attempt.end("kill")
            elif op == "stop":
                attempt.stop()
                self._pass_on(attempt)
            elif op == "evict" and attempt.told is None:
                attempt.told = Order.EVICT
                self._pass_on(attempt)

    def _pass_on(self, attempt: Attempt) -> None:
        attempt.unpark()
        for connection in self._speaking_for(attempt):
            if attempt.told is not None:
                connection.order(attempt.told)

    def _speaking_for(self, attempt: Attempt) -> list[Connection]:
        return [connection for connection in self._connections if connection.attempt is attempt]

    def _close(self) -> None:
        self._closing = True
        for attempt in self._attempts.values():
            attempt.end("close", _LAST_GRACE_S)
        self._hosts.close(_LAST_GRACE_S)

    def _beat(self, beats: int) -> None:
        data = os.read(beats, 4096)
        if data:
            (self._led_until,) = struct.unpack("d", data[-8:])
        else:
            self._all.unregister(beats)

    @property
    def _is_silent(self) -> bool:
        """The engine has not said for too long that it leads: it is frozen, and another one may soon start its trials."""
        return self._led_until is not None and time.monotonic() >= self._led_until

    def _heed_silence(self) -> None:
        if self._is_silent and not self._has_silenced:
            for attempt in self._attempts.values():
                attempt.end("silence", _SILENCE_GRACE_S)
        self._has_silenced = self._is_silent

    def _check_engine(self) -> None:
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + _CHECK_S
            if os.getppid() != self._engine_pid and not self._closing:
                self._close()
            self._check_memory()
            self._templates.tell_delays()

    def _check_memory(self) -> None:
        """End what uses more memory than it asked for."""
        families: list[Attempt | Host] = [*self._attempts.values(), *self._hosts.all]
        for family in families:
            if family.memory_limit is not None and family.pid and not family.exited:
                others, alone = self._apart_from(family.pid)
                parent = family.parent if isinstance(family, ProcessAttempt) else None
                members = of_trial(family.pid, family.token.encode(), others, alone=alone, parent=parent).members
                used = used_above(members, family.memory_limit)
                if used:
                    family.outgrew(used)

    # trials

    def _start(self, order: dict[str, Any]) -> None:
        if self._closing:
            return
        if self._is_silent:  # sent by an engine that thinks that it leads: it was frozen, and does not know it yet
            self._engine.tell({"op": "exited", "id": order["id"], "silent": True})
            return
        try:
            faults.point("warden.spawn.before")
            attempt = self._hosted(order) if "host" in order else self._opened(order)
        except (OSError, ValueError, LookupError) as error:
            self._tell_not_started(order["id"], error)
            return
        faults.point("warden.spawn.after")
        self._attempts[attempt.id] = attempt
        self._tokens[attempt.token] = attempt
        for output in attempt.outputs:
            self._trials.register(output.reader, selectors.EVENT_READ, lambda _, o=output: self._pump(o))
        if isinstance(attempt, ProcessAttempt) and attempt.is_unborn:
            self._templates.start(attempt, order["warm"])

    def _tell_not_started(self, id: int, error: Exception) -> None:
        told = [getattr(error, "errno", None), getattr(error, "filename", None), str(error)]
        self._engine.tell({"op": "exited", "id": id, "not_started": told})

    def _opened(self, order: dict[str, Any]) -> ProcessAttempt:
        """An attempt with a process, or one that a template will give a process."""
        attempt = ProcessAttempt(order, self._engine.tell)
        attempt.open()
        if "warm" not in order:
            try:
                attempt.spawn(self._base, self._tie)
            except BaseException:
                attempt.close_outputs()
                raise
        return attempt

    def _spawn_late(self, attempt: ProcessAttempt) -> None:
        """Start one as a plain process that no template would take."""
        try:
            attempt.spawn(self._base, self._tie)
        except (OSError, ValueError, LookupError) as error:
            self._refuse(attempt, error)

    def _refuse(self, attempt: ProcessAttempt, error: Exception) -> None:
        """A running attempt turns out to be none, because of the system's error."""
        self._drop(attempt)
        attempt.close_outputs()
        self._tell_not_started(attempt.id, error)

    def _drop(self, attempt: Attempt) -> None:
        """Forget one that is over, but for what is to be told of it."""
        del self._attempts[attempt.id], self._tokens[attempt.token]
        for output in attempt.outputs:
            self._unwatch(output.reader)

    def _unwatch(self, fileobj: Any) -> None:
        if fileobj in self._trials.get_map():
            self._trials.unregister(fileobj)

    def _hosted(self, order: dict[str, Any]) -> HostedAttempt:
        host = self._hosts.find(order)
        if host is None:
            host = self._hosts.make(order)
            self._trials.register(host.output.reader, selectors.EVENT_READ, lambda _, o=host.output: self._pump(o))
            self._trials.register(host.control, selectors.EVENT_READ, lambda _, h=host: self._hear_host(h))
        attempt = HostedAttempt(order, self._engine.tell, host, self._pass_on)
        attempt.begin()
        return attempt

    def _hear_host(self, host: Host) -> None:
        if host.pump() == 0:
            self._trials.unregister(host.control)

    def _pump(self, output: Output) -> None:
        if output.pump() == 0:
            self._trials.unregister(output.reader)

    def _accept(self, _: object) -> None:
        try:
            endpoint, _address = self._listener.accept()
        except OSError:  # it went away, or there is no descriptor left: it will try again
            return
        if len(self._connections) >= _MAX_CONNECTIONS:
            endpoint.close()
            return
        endpoint.setblocking(False)
        connection = Connection(endpoint, self._attempt_of, self._engine.tell)
        self._connections.add(connection)
        self._trials.register(endpoint, selectors.EVENT_READ, lambda _: self._listen(connection))

    def _attempt_of(self, token: str) -> Attempt | None:
        attempt = self._tokens.get(token)
        return None if attempt is None or attempt.exited else attempt

    def _listen(self, connection: Connection) -> int | None:
        size = connection.pump()
        if connection.is_closed and connection in self._connections:
            self._forget(connection)
        return size

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._trials.unregister(connection.endpoint)
        connection.endpoint.close()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                self._templates.stopped(pid)
                continue
            if self._templates.died(pid, status):
                continue
            host = self._hosts.of(pid)
            if host is not None:
                host.reaped(status)
            for attempt in self._attempts.values():
                if attempt.pid == pid and not attempt.exited:
                    attempt.reaped(status)

    def _leaders(self) -> list[int]:
        """First processes of all families."""
        return [attempt.pid for attempt in self._attempts.values() if attempt.pid] + self._hosts.pids()

    def _apart_from(self, pid: int) -> tuple[list[int], bool]:
        """Children of ours that are not of this first process's family, and whether no other family is among them."""
        others = [other for other in self._leaders() if other != pid]
        return [*others, *self._templates.pids], not others

    def _act(self) -> None:
        now = time.monotonic()
        for host in list(self._hosts.all):
            self._act_host(host, now)
        for attempt in list(self._attempts.values()):
            if attempt.due is not None and attempt.due <= now:
                others, alone = self._apart_from(attempt.pid)
                attempt.act(others, alone=alone)
            if isinstance(attempt, ProcessAttempt) and attempt.is_unborn and attempt.is_ending:
                self._templates.withdraw(attempt, now=attempt.must_withdraw)
            if attempt.is_clean and not self._is_congested:
                self._finish(attempt)

    def _act_host(self, host: Host, now: float) -> None:
        host.send()
        if host.ladder.due is not None and host.ladder.due <= now:
            others, alone = self._apart_from(host.ladder.pid)
            host.ladder.act(others, alone=alone)
        if host.is_over:
            self._hosts.all.remove(host)
            self._unwatch(host.control)
            self._unwatch(host.output.reader)
            host.close()
            host.tell_lost(self._engine.tell)

    def _finish(self, attempt: Attempt) -> None:
        if not attempt.remainder() or any(self._listen(connection) for connection in self._speaking_for(attempt)):
            return  # there may be more
        for connection in self._speaking_for(attempt):
            self._forget(connection)
        self._drop(attempt)
        faults.point("warden.exited")
        attempt.finish()
        if isinstance(attempt, HostedAttempt):
            self._hosts.settle(attempt.host)

    def _wait_s(self) -> float:
        dues = [attempt.due for attempt in self._attempts.values()] + [host.due for host in self._hosts.all]
        times = [due for due in dues if due is not None]
        if self._led_until is not None and self._attempts and not self._is_silent:
            times.append(self._led_until)
        if not self._is_congested and any(attempt.is_clean for attempt in self._attempts.values()):
            return 0.0
        return max(0.0, min([self._next_check, *times]) - time.monotonic())

    def _end_strays(self) -> None:
        self._templates.close()
        own = os.getpid()
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            left = [process.pid for process in living().values() if process.parent == own]
            if not left:
                return
            kill_all(left)
            self._reap()
            time.sleep(0.002)  # those that are KILLed hand their children on to us; look again

    def _on_signal(self, number: int, _: object) -> None:
        if number in (signal.SIGTERM, signal.SIGHUP):
            self._close()


def main() -> None:
    """``warden.main()`` with the descriptor, the directory and the engine's pid as arguments."""
    descriptor, folder, engine_pid, beats = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    address = f"{folder}/s"
    faults.play("warden")
    become_subreaper()
    gc.freeze()  # what is loaded stays: forked children copy less
    tie = die_with_parent(take_all_descriptors())
    Warden(socket.socket(fileno=descriptor), address, engine_pid, beats, tie).run()
    for name in ("s", "log", "function.pkl"):
        try:  # not after an error: the engine reads the log then
            os.unlink(f"{folder}/{name}")  # noqa: PTH108 - the warden does without pathlib
        except OSError:  # the engine removes it too
            pass
    try:
        os.rmdir(folder)  # noqa: PTH106
    except OSError:
        pass
