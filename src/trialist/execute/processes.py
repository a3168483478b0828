"""The processes of a trial: how they are tied to us when they start, and found when they are to end.

Two things hold a trial's processes together, however they detach themselves: all of them descend from the subreaper that
started the first (an orphan is handed to it, not to init), and all that did not clear their environment carry the trial's
token there. Linux; elsewhere only process groups are seen, so a grandchild that detached itself is missed.

Knows no trial: pids and tokens.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Process(NamedTuple):
    """A process as ``/proc/<pid>/stat`` tells it."""

    pid: int
    parent: int
    group: int
    session: int


def become_subreaper() -> None:
    """From now on orphans among this process's descendants become its children."""
    if LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def take_all_descriptors() -> tuple[int, int]:
    """Let this process open as many files as the system lets it, for it holds several for each trial; what it could before."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems name a limit that they do not allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


def die_with_parent(descriptors: tuple[int, int]) -> Callable[[], None]:
    """A function for a new child to call: KILL comes to it when the thread that forked it ends.

    Made before the fork, since a child should do as little as it can between fork and exec.

    Args:
        descriptors: How many files it may open: soft limit and hard limit.
    """
    if not LINUX:
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie


def living() -> dict[int, Process]:
    """All processes that are not dead already."""
    found: dict[int, Process] = {}
    if not LINUX:
        return found
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted, of every process
        if name.isdigit():
            data = _read(f"/proc/{name}/stat")
            # The name of the program stands in brackets and may hold anything, brackets included.
            fields = data[data.rfind(b")") + 2 :].split(None, 4)
            if len(fields) == 5 and fields[0] not in (b"Z", b"X", b"x"):
                found[int(name)] = Process(int(name), int(fields[1]), int(fields[2]), int(fields[3]))
    return found


def children_of(pid: int) -> list[int] | None:
    """Living children of a process, without a look at all others; ``None`` where the system does not tell."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names are all that is wanted
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                found += [int(child) for child in file.read().split()]
    except OSError:
        return None
    return [child for child in found if _read(f"/proc/{child}/stat").rpartition(b") ")[2][:1] not in (b"", b"Z", b"X")]


def has_orphans(known: Iterable[int]) -> bool:
    """Whether this process, which has one thread and reaps its children itself, may have children beside those it knows.

    A single small file tells, where a look at all processes costs a millisecond; without the file the answer is yes.
    """
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb") as file:  # noqa: PTH123
            children = {int(child) for child in file.read().split()}
    except OSError:
        return True
    return not children <= set(known)


def carries(pid: int, token: bytes) -> bool:
    """Whether a process's environment holds the token."""
    return token in _read(f"/proc/{pid}/environ")


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(descriptor, 1 << 17):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)
    except OSError:  # it ended meanwhile, or is not ours to read
        return b""


def _with_descendants(roots: Iterable[int], processes: dict[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    rest = [pid for pid in roots if pid in processes or pid in children]
    while rest:
        pid = rest.pop()
        if pid not in found:
            found.add(pid)
            rest += children.get(pid, ())
    return found & processes.keys()


class Family(NamedTuple):
    """Living processes of a trial, as one look at the process table shows them."""

    members: set[int]
    strangers: set[int]
    """Orphans that carry no mark of this trial: of another one, or of one that cleared its environment."""


def of_trial(leader: int, token: bytes, others: Iterable[int], *, alone: bool, parent: int | None = None) -> Family:
    """Living processes of one trial, among the descendants of this process.

    Args:
        leader: Pid, group and session of the trial's first process; it may have ended.
        token: The trial's mark.
        others: Children of this process that are not the trial's: first processes of others, and templates.
        alone: No other trial runs, so an orphan without any mark is of this one too.
        parent: Whose child the first process is; ``None``: this process's.
    """
    processes = living()
    own = os.getpid()
    apart = set(others)
    first = processes.get(leader)
    # Once the leader is reaped its number may be anybody's.
    is_first = first is not None and first.parent == (parent or own) and leader not in apart
    roots = {leader} if is_first else set()
    strangers: set[int] = set()
    for process in processes.values():
        if process.parent == own and process.pid != leader and process.pid not in apart:
            tree = _with_descendants([process.pid], processes)
            if alone or any(
                processes[pid].session == leader or processes[pid].group == leader or carries(pid, token)
                for pid in tree
            ):
                roots |= tree
            else:
                strangers |= tree
    return Family(_with_descendants(roots, processes), strangers)


def end_marked(token: bytes, deadline_s: float) -> set[int]:
    """KILL every process that carries a token, and its descendants, until none is left or the deadline has passed.

    For a caller that is not their parent. Returns what would not die.
    """
    deadline = time.monotonic() + deadline_s
    while True:
        processes = living()
        marked = [pid for pid in processes if pid != os.getpid() and carries(pid, token)]
        left = _with_descendants(marked, processes) - {os.getpid()}
        if not left or time.monotonic() > deadline:
            return left
        kill_all(left)
        time.sleep(0.005)  # no event tells of the end of a process that is no child


def kill_all(pids: Iterable[int]) -> None:
    """KILL, each of them stopped first so that none can fork its way out."""
    pids = list(pids)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            send(pid, number)


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process, if it is there and ours."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def send_group(group: int, number: signal.Signals) -> None:
    """Signal a process group, if it is there and ours."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass
