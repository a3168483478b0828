"""``python -m trialist.runtime.host FD PLACES``: one worker process that runs many trials, so that each starts in no time.

With one place, trials run one after the other on the main thread, each with the process's own standard output, directory
and environment for its time. With several, each runs on a thread of its own and many may sit parked in ``report`` at once:
what they print goes to their own logs as far as Python writes it, what C code writes goes to the worker's log.

Orders come over a Unix domain socket that the process inherits, JSON, one object a line; with each ``begin`` travel two
descriptors, for the trial's standard output and error::

    {"op": "begin", "id": 7, "env": {…}, "target": "module:function", "metrics": ["loss"], "cwd": "/…"}
    {"op": "leave"}                                          end when nothing runs any more
    {"op": "begun", "id": 7}                                 said before anything of the trial runs
    {"op": "ended", "id": 7, "code": 0, "result": {…}, "failed": {…}, "memory_bytes": 31000000, "sources": {file: […]}}

``env`` holds what a process of the trial's own would find in its environment. What a trial says while it runs goes over a
connection of its own (``runtime.protocol``). Knows nothing of who gives the orders.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from trialist.core import faults
from trialist.runtime.call import complain, exit_code, flush, load, outcome
from trialist.runtime.objective import Ended
from trialist.runtime.process import ControllerGone, channel_of, context_of
from trialist.runtime.protocol import ENV_SYS_PATH, MAX_LINE, encode, encode_metrics

_CHUNK = 1 << 16
_PAYS_FOR_COLLECTION_S = 1.0
"""A trial that ran at least this long leaves a collected heap behind: the next one should find the memory."""
_SIGNALS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
Streams = tuple[TextIO, TextIO]


class Begin(NamedTuple):
    """An order to begin a trial."""

    id: int
    env: Mapping[str, str]
    target: str
    metrics: tuple[str, ...]
    cwd: str
    stdout: int
    """Descriptor; the host closes it when the trial has ended."""
    stderr: int


class Orders:
    """The orders of a control socket, with the descriptors that came along.

    A stream may be cut anywhere, but descriptors never overtake bytes: the next two that are there belong to the next
    ``begin``.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._received = bytearray()
        self._descriptors: deque[int] = deque()

    def __iter__(self) -> Iterator[Begin]:
        """What is to be begun, until the host is to leave or whoever gave orders is gone."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, _CHUNK, 16)
            except OSError:  # gone, or closed by a trial
                return
            self._descriptors += descriptors
            if not data:
                return
            *lines, rest = (bytes(self._received) + data).split(b"\n")
            self._received = bytearray(rest)
            for line in lines:
                order = json.loads(line)
                if order["op"] == "leave":
                    return
                yield Begin(
                    order["id"],
                    order["env"],
                    order["target"],
                    tuple(order["metrics"]),
                    order["cwd"],
                    self._descriptors.popleft(),
                    self._descriptors.popleft(),
                )


class Functions:
    """The functions that trials of this process ran, each loaded once.

    Threads may share it: a lock keeps a file that one thread still executes from being used half-done by another.
    """

    def __init__(self) -> None:
        self._known: dict[str, Callable[..., Any]] = {}
        self._lock = threading.Lock()
        self.sources: dict[str, list[int]] = {}
        """Files that functions came from, as they were when they were loaded: mtime in ns, and size."""

    def load(self, target: str) -> Callable[..., Any]:
        """The function that ``module:function``, ``file.py:function`` or a pickle's path names.

        Raises:
            ObjectiveError: There is no such module, file or name.
            Exception: Whatever the import of the user's module raises.
        """
        with self._lock:
            function = self._known.get(target)
            if function is None:
                function = self._known[target] = load(target)
                file = getattr(sys.modules.get(getattr(function, "__module__", None) or ""), "__file__", None)
                if isinstance(file, str):
                    found = Path(file).stat()
                    self.sources[file] = [found.st_mtime_ns, found.st_size]
            return function


_streams: ContextVar[Streams | None] = ContextVar("streams", default=None)
"""Where the trial of this thread prints."""


class Routed:
    """Stands in for ``sys.stdout`` or ``sys.stderr``: each trial's thread writes to its trial's own, others to the host's."""

    def __init__(self, index: int, default: TextIO) -> None:
        self._index = index
        self._default = default

    @property
    def _own(self) -> TextIO:
        streams = _streams.get()
        return self._default if streams is None else streams[self._index]

    def write(self, text: str) -> int:
        return self._own.write(text)

    def flush(self) -> None:
        self._own.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class Host:
    """The process side: takes orders, runs trials, says how they ended.

    Args:
        control: The socket to whoever gives orders.
        places: How many trials it may hold at once; 1: each on the main thread.
    """

    def __init__(self, control: socket.socket, places: int) -> None:
        self._control = control
        self._places = places
        self._functions = Functions()
        self._lock = threading.Lock()
        """Keeps the lines of threads that end at the same time apart."""
        self._threads: set[threading.Thread] = set()

    def serve(self) -> None:
        """Run what is ordered, until told to leave; trials that still run then are waited for."""
        if self._places > 1:
            sys.stdout, sys.stderr = Routed(0, sys.stdout), Routed(1, sys.stderr)
        for begin in Orders(self._control):
            if self._places == 1:
                self._serve(self._serve_alone, begin)
            else:
                thread = threading.Thread(
                    target=self._serve, args=(self._serve_beside, begin), name=f"trial-{begin.id}", daemon=True
                )
                self._threads.add(thread)
                thread.start()
        for thread in list(self._threads):
            thread.join()

    def _serve(self, run: Callable[[Begin], None], begin: Begin) -> None:
        try:
            run(begin)
        except OSError as error:  # whoever gave orders is gone, or a trial has closed what is not its own
            words = f"trialist: this worker process has lost its files or its connection: {error.strerror}\n"
            try:
                os.write(2, words.encode())
            finally:  # nobody can be told any more
                os._exit(1)

    def _serve_alone(self, begin: Begin) -> None:
        began = time.monotonic()
        with AsOwnProcess(begin):
            told = self._run(begin)
        if time.monotonic() - began > _PAYS_FOR_COLLECTION_S:
            gc.collect()
        self._tell(told)

    def _serve_beside(self, begin: Begin) -> None:
        began = time.monotonic()
        out, err = (os.fdopen(fd, "w", buffering=1, errors="backslashreplace") for fd in (begin.stdout, begin.stderr))
        token = _streams.set((out, err))
        try:
            told = self._run(begin)
        finally:
            _streams.reset(token)
            out.close()
            err.close()
            self._threads.discard(threading.current_thread())
        if time.monotonic() - began > _PAYS_FOR_COLLECTION_S:
            gc.collect()
        self._tell(told)

    def _run(self, begin: Begin) -> dict[str, Any]:
        self._send({"op": "begun", "id": begin.id})
        channel = channel_of(begin.env)
        told: dict[str, Any] = {"op": "ended", "id": begin.id}
        try:
            if self._places == 1:
                os.chdir(begin.cwd)
            trial = context_of(begin.env, channel)
            ended = outcome(lambda: self._functions.load(begin.target), begin.metrics, trial)
        except ControllerGone as gone:
            complain(str(gone))
            return {**told, "code": 1}
        except OSError as error:  # no such directory, or its file of params is gone
            ended = Ended(reason="not_started", message=f"{error.strerror}: {error.filename}")
        finally:
            channel.close()
        if ended.metrics:
            told["result"] = encode_metrics(ended.metrics)
            if len(encode(told)) > MAX_LINE:
                del told["result"]
                message = f"it returned {len(ended.metrics):,} metrics, which is more than {MAX_LINE:,} bytes"
                ended = ended._replace(reason="bad_result", message=message, detail="")
        if ended.reason is not None and ended.order is None:
            complain(ended.detail or ended.message)
            told["failed"] = {"reason": ended.reason, "message": ended.message, "detail": ended.detail}
        return {**told, "code": exit_code(ended)}

    def _tell(self, message: dict[str, Any]) -> None:
        self._send({**message, "memory_bytes": resident_bytes(), "sources": self._functions.sources})
        faults.point("trial.end.sent")

    def _send(self, message: dict[str, Any]) -> None:
        line = encode(message)
        with self._lock:
            self._control.sendall(line)


class AsOwnProcess:
    """``with AsOwnProcess(begin):`` the process is as if it were the trial's own: output, environment and directory.

    Restores all of it behind the trial, and what it did to signals and the umask, so that the next one finds what this one
    found.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def __enter__(self) -> None:
        self._environment = dict(os.environ)
        self._cwd = _cwd()
        self._streams = sys.stdout, sys.stderr
        flush()
        self._kept = [os.dup(1), os.dup(2)]
        os.dup2(self._begin.stdout, 1)
        os.dup2(self._begin.stderr, 2)
        os.close(self._begin.stdout)
        os.close(self._begin.stderr)
        os.environ.update(self._begin.env)
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._umask = os.umask(0o077)
        os.umask(self._umask)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        os.umask(self._umask)
        flush()
        sys.stdout, sys.stderr = (
            os.fdopen(descriptor, "w", 1, errors="backslashreplace", closefd=False) if stream.closed else stream
            for descriptor, stream in zip((1, 2), self._streams, strict=True)
        )
        for descriptor, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, descriptor)
            os.close(kept)
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        for name, value in self._environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if self._cwd is not None and _cwd() != self._cwd:
            os.chdir(self._cwd)


def _cwd() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - compared as text
    except FileNotFoundError:  # the trial removed it
        return None


def resident_bytes() -> int:
    """Memory of this process that is in use now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a few microseconds less, for each trial
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> None:
    """Serve on the descriptor and with the places that the arguments name."""
    faults.play("trial")
    descriptor, places = int(sys.argv[1]), int(sys.argv[2])
    path = os.environ.pop(ENV_SYS_PATH, None)
    if path is not None:
        sys.path[:] = json.loads(path)
    sys.argv[:] = [""]
    os.set_inheritable(descriptor, False)
    control = socket.socket(fileno=descriptor)
    Host(control, places).serve()


if __name__ == "__main__":
    main()
