"""Runs trials as processes of this machine: any program, with its output capped and its family ended with it.

One small helper process, the warden (``execute.warden``), starts and watches the trials; this module speaks with it, and
starts a new one where it dies. Knows neither store nor engine, and of a trial only its ``Launch``.

A full disk is told apart: ``start`` lets the ``OSError`` (``ENOSPC``, ``EDQUOT``) that ``prepare`` raised through, with
nothing begun and no signal to come, so that a study can pause instead of failing its trials.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EDQUOT, ENOENT, ENOSPC
from pathlib import Path
from typing import Any, NamedTuple

from trialist.core import faults
from trialist.core.errors import ConfigError, TrialistError
from trialist.core.ports import (
    CheckpointedSignal,
    ExitedSignal,
    LostSignal,
    ParkedSignal,
    ReportedSignal,
    Signal,
)
from trialist.core.records import AttemptKey, OutcomeKind, Segment
from trialist.execute.launch import Launch, Prepare, environment, function_launch
from trialist.execute.outcomes import GB, MEMORY, ended, not_started, refused_by_system, worker_died
from trialist.execute.warden_process import WardenProcess
from trialist.execute.wardens import Wardens
from trialist.runtime.protocol import decode_metrics

__all__ = ["CommandExecutor", "Launch", "Prepare", "function_launch"]

_MAX_SIGNALS = 256
"""Of one ``poll``: about what the engine commits at once."""


def _directory(cwd: Path | None) -> str:
    """Where a trial runs.

    Raises:
        OSError: This process's own directory was removed.
    """
    try:
        return str((cwd or Path.cwd()).absolute())
    except FileNotFoundError:
        raise FileNotFoundError(ENOENT, "the directory that the study was started in is no longer there") from None


class _Running(NamedTuple):
    """What the executor knows of a started attempt."""

    id: int
    segment: Segment
    argv: list[str]
    warden: WardenProcess


class CommandExecutor:
    """Processes of this machine, any number at a time; parked ones wait in their own memory.

    A trial's environment is this process's, as it was when the warden started, plus what ``Launch.env`` and the protocol
    add; Python's output is unbuffered there unless the user says otherwise, so that a crash does not take the last lines of
    the log with it. Its standard input is empty. It leads a session of its own, so Ctrl-C in a terminal does not reach it.

    Args:
        prepare: Says what to run for a segment. What it raises (``OSError``, ``TrialistError``) ends the attempt as
            ``NOT_STARTED``; a full disk is raised by ``start``.
        grace_s: Seconds between TERM and KILL, and between a stop and TERM for a trial that speaks.

    Raises:
        ConfigError: ``grace_s`` is no such number.
    """

    name = "command"
    options: tuple[str, ...] = ("grace_s",)
    """Those that people may give."""
    runs_ahead = False
    parks = True
    is_elsewhere = False

    def __init__(self, prepare: Prepare, *, grace_s: float = 10.0) -> None:
        if isinstance(grace_s, bool) or not isinstance(grace_s, (int, float)) or not 0 <= grace_s < float("inf"):
            raise ConfigError(f"must be a number of seconds, 0 or more, not {grace_s!r}", path="executor.grace_s")
        self._prepare = prepare
        self._grace_s = grace_s
        self._wardens = Wardens()
        self._count = 0
        self._suspects: set[int] = set()
        """Trials whose worker died, perhaps of them: from then on each has a warden of its own."""
        self._running: dict[AttemptKey, _Running] = {}
        self._keys: dict[int, AttemptKey] = {}
        self._reported: set[AttemptKey] = set()
        self._due: deque[Signal] = deque()
        self._is_closed = False
        self._wake_lock = threading.RLock()
        """Keeps ``wake`` of another thread from writing to a descriptor that was given back. Reentrant: a signal handler
        wakes too, perhaps in the middle of a wake."""
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)

    def worker(self) -> str:
        return self._wardens.shared().name

    # orders

    def start(self, segment: Segment) -> None:
        self._count += 1
        try:
            faults.point("executor.start")
            launch = self._prepare(segment)
            warden = self._warden_for(segment.trial)
            token = f"{warden.mark}-{self._count}-{segment.trial}-{segment.attempt}"
            if launch.pickled is not None:
                launch = launch.at(warden.keep(launch.pickled))
            for log in (launch.stdout, launch.stderr):
                if log is not None:
                    log.parent.mkdir(parents=True, exist_ok=True)
            Path(segment.run_dir).mkdir(parents=True, exist_ok=True)
            own = environment(segment, token, warden.address)
            folder = _directory(launch.cwd)
            more = self._more(segment, launch, folder, own)
        except OSError as error:
            if error.errno in (ENOSPC, EDQUOT):
                raise
            where = f": {error.filename}" if error.filename else ""
            self._due.append(not_started(segment.key, f"{error.strerror or error}{where}"))
            return
        except TrialistError as error:
            self._due.append(not_started(segment.key, str(error)))
            return
        argv = [str(argument) for argument in launch.argv]
        self._running[segment.key] = _Running(self._count, segment, argv, warden)
        self._keys[self._count] = segment.key
        warden.send(
            {
                "op": "start",
                "id": self._count,
                "token": token,
                "argv": argv,
                "env": {**launch.env, **own},
                "cwd": folder,
                "stdout": str(launch.stdout.absolute()),
                "stderr": None if launch.stderr is None else str(launch.stderr.absolute()),
                "metrics_file": None if launch.metrics_file is None else str(launch.metrics_file.absolute()),
                "to_step": segment.to_step,
                "timeout_s": segment.timeout_s,
                "grace_s": self._grace_s,
                "memory_bytes": round(segment.resources.get(MEMORY, 0.0) * GB) or None,
                **more,
            }
        )

    def _more(self, segment: Segment, launch: Launch, folder: str, own: dict[str, str]) -> dict[str, Any]:
        """What else an order to start says.

        Args:
            segment: What is to run.
            launch: How.
            folder: The working directory.
            own: What only this attempt has in its environment.
        """
        del segment, launch, folder, own
        return {}

    def go_on(self, key: AttemptKey, to_step: int | None) -> None:
        self._order("go_on", key, to_step=to_step)

    def evict(self, key: AttemptKey) -> None:
        self._order("evict", key)

    def stop(self, key: AttemptKey) -> None:
        self._order("stop", key)

    def kill(self, key: AttemptKey) -> None:
        self._order("kill", key)

    def _order(self, op: str, key: AttemptKey, **fields: Any) -> None:
        running = self._running.get(key)
        if running is not None:
            running.warden.send({"op": op, "id": running.id, **fields})

    # signals

    def poll(self, timeout_s: float, sink: Callable[[Signal], None]) -> None:
        if not self._deliver(sink):
            self._wait(timeout_s)
            self._deliver(sink)

    def wake(self) -> None:
        with self._wake_lock:
            if not self._is_closed:
                with suppress(BlockingIOError):  # full of wakes that nobody has read: enough
                    os.write(self._waker, b".")

    def lead_for(self, seconds: float) -> None:
        self._wardens.lead_for(seconds)

    def _wait(self, timeout_s: float) -> None:
        waiting = select.poll()
        waiting.register(self._woken, select.POLLIN)
        for warden in self._wardens.all:
            warden.wake()
            waiting.register(warden.connection, select.POLLIN | (select.POLLOUT if warden.unsent else 0))
        waiting.poll(max(0.0, timeout_s) * 1000)
        with suppress(BlockingIOError):
            while os.read(self._woken, 4096):
                pass

    def _deliver(self, sink: Callable[[Signal], None]) -> int:
        """Hand on what is there, at most ``_MAX_SIGNALS``; how much it was."""
        count = self._deliver_due(sink)
        for warden in list(self._wardens.all):
            while count < _MAX_SIGNALS and (message := warden.receive()) is not None:
                for told in self._signals(message):
                    count += 1
                    sink(told)
            if warden.is_gone:
                self._lose(warden)
                count += self._deliver_due(sink)
        return count

    def _deliver_due(self, sink: Callable[[Signal], None]) -> int:
        count = 0
        while self._due and count < _MAX_SIGNALS:
            count += 1
            sink(self._due.popleft())
        return count

    def _signals(self, message: dict[str, Any]) -> list[Signal]:
        if message["op"] == "lost":
            return [self._lost(message)]
        key = self._keys.get(message["id"])
        if key is None:
            return []
        op = message["op"]
        if op == "report":
            metrics, step = decode_metrics(message["metrics"]), message["step"]
            self._reported.add(key)
            told: list[Signal] = [ReportedSignal(key=key, step=step, metrics=metrics)]
            return [*told, ParkedSignal(key=key, step=step)] if message.get("parked") else told
        if op == "checkpointed":
            path, num_bytes = message["path"], message["num_bytes"]
            return [CheckpointedSignal(key=key, step=message["step"], path=path, num_bytes=num_bytes)]
        return [self._exited(key, message)]

    def _exited(self, key: AttemptKey, message: dict[str, Any]) -> ExitedSignal | LostSignal:
        reported = key in self._reported
        running = self._forget(key)
        if "silent" in message:
            return ExitedSignal(key=key, outcome=OutcomeKind.INTERRUPTED)
        if "not_started" in message:
            return refused_by_system(key, running.argv, message["not_started"])
        if "lost" in message and not message["why"]:
            return self._suspected(
                running.warden.name, (running.segment,), message["lost"], is_shared=message["shared"]
            )
        return ended(running.segment, message, reported=reported)

    def _lost(self, message: dict[str, Any]) -> LostSignal:
        """A worker died with several trials in it."""
        lost = [self._forget(self._keys[number]).segment for number in message["ids"] if number in self._keys]
        why, is_shared = worker_died(message), len(lost) > 1
        if message["on_purpose"]:
            keys = tuple(segment.key for segment in lost)
            return LostSignal(worker=message["worker"], keys=keys, message=why, is_blameless=True)
        return self._suspected(message["worker"], lost, why, is_shared=is_shared)

    def _suspected(self, worker: str, lost: Sequence[Segment], why: str, *, is_shared: bool) -> LostSignal:
        """The end of attempts whose worker died, perhaps of them: from now on each runs apart.

        Args:
            worker: Its name.
            lost: What ran in it.
            why: How it died.
            is_shared: Several ran in it, and nobody knows which was to blame; it will show itself.
        """
        self._suspects.update(segment.trial for segment in lost)
        keys = tuple(segment.key for segment in lost)
        return LostSignal(worker=worker, keys=keys, message=why, is_blameless=is_shared)

    # wardens

    def _warden_for(self, trial: int) -> WardenProcess:
        return self._wardens.apart() if trial in self._suspects else self._wardens.shared()

    def _forget(self, key: AttemptKey) -> _Running:
        running = self._running.pop(key)
        del self._keys[running.id]
        self._reported.discard(key)
        self._wardens.leave(running.warden)
        return running

    def _lose(self, warden: WardenProcess) -> None:
        """A warden is gone: end what it may have left, and say what is lost."""
        why = self._wardens.dispose(warden)
        lost = [running for running in self._running.values() if running.warden is warden]
        segments = [self._forget(running.segment.key).segment for running in lost]
        if segments:
            self._due.append(self._suspected(warden.name, segments, why, is_shared=len(segments) > 1))

    def close(self) -> None:
        with self._wake_lock:
            if self._is_closed:
                return
            self._is_closed = True
            os.close(self._woken)
            os.close(self._waker)
        self._wardens.close()
        self._running.clear()
        self._keys.clear()
        self._due.clear()
