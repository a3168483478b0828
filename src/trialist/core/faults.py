"""Named points at which a test can strike a process: kill it, freeze it, fill its disk, hold it up.

A point costs some tens of nanoseconds and does nothing, unless the environment that the process started with says otherwise:

    TRIALIST_FAULTS="engine:store.commit.after=kill@3,trial:trial.checkpoint.renamed=stop"

is a list of ``[ROLE:]POINT=ACTION[@FIRST[-LAST]]``. ``ROLE`` is ``engine``, ``warden`` or ``trial``: only processes of this
role are struck; without one, any is. The passings of a point are counted in each process from 1, and the point strikes from
the ``FIRST`` (1 where none is given) to the ``LAST`` (the first alone). Actions:

    kill     SIGKILL to this process            enospc   raise OSError(ENOSPC)
    stop     SIGSTOP to this process            eio      raise OSError(EIO)
    exit     end it at once with code 70        wait     until the file POINT.go lies in TRIALIST_FAULTS_DIR
    pass     nothing but the mark                full     ENOSPC while POINT.full lies in TRIALIST_FAULTS_DIR

Where ``TRIALIST_FAULTS_DIR`` names a directory, a point leaves a file ``POINT@PASSING`` there just before it strikes, and
does not strike where that file is already: so of many processes one is struck, and a test sees that it was. For tests
alone; nothing of Trialist's own sets these variables. Knows no store, engine or trial.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

ENVIRONMENT = "TRIALIST_FAULTS"
MARKS = "TRIALIST_FAULTS_DIR"
ROLES = ("engine", "warden", "trial")
_EXIT_CODE = 70
_LOOK_EVERY_S = 0.002

POINTS: dict[str, str] = {
    "store.schema.statement": "before each statement that makes an empty database into a store",
    "store.create.between": "a study's row is written, its spec and first event are not",
    "store.write.begun": "a transaction that writes has begun",
    "store.commit.fenced": "the fence of a commit has held, nothing else of it is written",
    "store.commit.trials": "a commit's trials are written, its events are not",
    "store.commit.events": "a commit's events are written, what follows from them is not",
    "store.commit.reports": "a commit's reports are written, its checkpoints and answers are not",
    "store.write.before": "all of a transaction is written, COMMIT is not said",
    "store.write.after": "COMMIT has returned, the caller does not know yet",
    "store.lease.taken": "a lease was taken and committed",
    "store.lease.renewed": "a lease was renewed and committed",
    "store.lease.released": "a lease was released and committed",
    "store.claim.picked": "a study that waits for a worker was picked, its lease is not taken",
    "store.claim.taken": "a waiting study's lease was taken and committed",
    "store.command.sent": "a command was put before the leader and committed",
    "store.delete.study": "a deleted study's row is gone, its other rows are not",
    "store.delete.piece": "after each piece of a deleted study's rows",
    "store.import.piece": "after each piece of a study that is being imported, before its COMMIT",
    "store.import.publish": "an imported study has its name, its transaction is not committed",
    "store.upgrade.partial": "a backup is written under its temporary name",
    "store.upgrade.backed_up": "the backup lies complete, nothing is migrated",
    "store.upgrade.migrated": "all migrations have run, their transaction is not committed",
    "engine.leased": "the lease is taken, nothing of the study is read",
    "engine.caught_up": "the sinks have caught up, what ran before is not declared lost",
    "engine.settled": "what ran before is declared lost, not committed",
    "engine.opened": "what ran before is declared lost, and committed",
    "engine.commit.before": "events are to be committed",
    "engine.commit.after": "events are committed, no sink has seen them",
    "engine.sinks.before": "committed events go to the next sink",
    "engine.sinks.after": "a sink has taken committed events",
    "engine.callback.before": "the callbacks of an ended trial come next",
    "engine.callback.after": "the callbacks of an ended trial have returned",
    "engine.launch.before": "the start of a segment is committed, the executor does not know it",
    "engine.launch.after": "the executor was given a segment",
    "engine.signal.before": "the executor tells something, nothing is emitted",
    "engine.signal.after": "what the executor told is emitted, not committed",
    "engine.command.applied": "a command was carried out or refused, its answer is not committed",
    "engine.files.before": "the files of a freed checkpoint are to be removed",
    "engine.files.after": "the files of a freed checkpoint are removed",
    "engine.end.emitted": "the study's final status is emitted, not committed",
    "engine.end.committed": "the study's final status is committed, nothing is closed",
    "engine.leave.emitted": "a study that is to go on later is paused or queued, not committed",
    "engine.leave.committed": "the same, committed; nothing is closed",
    "worker.claimed": "a worker's leader holds a study's lease, the worker does not know",
    "worker.begun": "a worker's claim is committed, nothing of the study's own is loaded",
    "worker.settling": "a study is to be queued again or to fail, not committed",
    "worker.settled": "a study is queued again or has failed, its lease is not given back",
    "worker.ended": "a worker's leader has left its study, the worker does not know",
    "executor.start": "a trial's directory and files are to be made ready",
    "warden.spawn.before": "the warden was told to start a trial",
    "warden.spawn.after": "the warden has started a trial's process",
    "warden.exited": "a trial's process and family are gone, the engine is not told",
    "trial.checkpoint.written": "a checkpoint's files are written, not synced",
    "trial.checkpoint.synced": "a checkpoint's files are synced, and not under their name",
    "trial.checkpoint.renamed": "a checkpoint lies under its name, nobody was told",
    "trial.checkpoint.told": "a checkpoint was told to whoever runs the trial",
    "trial.report.sent": "a report was sent to whoever runs the trial",
    "trial.result.sent": "a function's result was sent to whoever runs the trial",
    "trial.end.sent": "a worker process of a pool has sent a trial's end and result",
    "sinks.torn": "half of what a file grows by is written",
    "export.written": "an export is written, and not under its name",
}
"""Every point by name, with what has happened when it is passed. Each stands once in the code."""


class Fault(NamedTuple):
    """What a point does, and when."""

    action: str
    first: int = 1
    last: int = 1


class UnknownFault(ValueError):
    """``TRIALIST_FAULTS`` says what cannot be; its text says what."""


def parse(text: str, role: str) -> dict[str, Fault]:
    """What ``TRIALIST_FAULTS`` asks of processes of one role, by point.

    Raises:
        UnknownFault: An unknown role, point or action, or passings that are none.
    """
    found: dict[str, Fault] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        where, _, what = part.partition("=")
        only, colon, name = where.rpartition(":")
        action, _, passings = what.partition("@")
        first, _, last = passings.partition("-")
        if colon and only not in ROLES:
            raise UnknownFault(f"{ENVIRONMENT}: '{part}' has a role that is none of {', '.join(ROLES)}")
        if name not in POINTS:
            raise UnknownFault(f"{ENVIRONMENT}: '{part}' has no fault point; core/faults.py lists them")
        if action not in _ACTIONS:
            raise UnknownFault(f"{ENVIRONMENT}: '{part}' has an action that is none of {', '.join(_ACTIONS)}")
        numbers = [number for number in (first, last) if number]
        if any(not number.isdigit() or number == "0" for number in numbers) or (last and not first):
            raise UnknownFault(f"{ENVIRONMENT}: '{part}' counts passings from 1, as @3 or @3-5")
        if not colon or only == role:
            begin = int(first or 1)
            found[name] = Fault(action, begin, int(last or begin))
    return found


def play(role: str) -> None:
    """Say what this process is; before that it is a trial where its environment names one, and an engine otherwise."""
    global _faults
    _faults = parse(os.environ.get(ENVIRONMENT, ""), role)
    _passed.clear()


def point(name: str) -> None:
    """A named point is passed.

    Raises:
        OSError: A test wants it to.
    """
    if _faults:
        _pass(name)


def short(name: str, data: memoryview) -> memoryview:
    """What is to be written at once: all of ``data``, and half of it where a test strikes at this point."""
    return data[: len(data) // 2] if _faults and name in _faults and len(data) > 1 else data


def _pass(name: str) -> None:
    fault = _faults.get(name)
    if fault is None:
        if name not in POINTS:
            raise UnknownFault(f"'{name}' is no fault point")
        return
    _passed[name] += 1
    if fault.first <= _passed[name] <= fault.last and _mark(name):
        _ACTIONS[fault.action](name)


def _mark(name: str) -> bool:
    """Leave a mark that this point strikes; whether it may."""
    folder = os.environ.get(MARKS)
    if folder is None:
        return True
    try:
        os.close(os.open(f"{folder}/{name}@{_passed[name]}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def _kill(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(_: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _exit(_: str) -> None:
    os._exit(_EXIT_CODE)


def _enospc(name: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


def _eio(name: str) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO), name)


def _wait(name: str) -> None:
    """Two processes have no event in common but the file, so it is looked for."""
    while not os.path.exists(f"{os.environ[MARKS]}/{name}.go"):  # noqa: PTH110 - pathlib is not worth its import here
        time.sleep(_LOOK_EVERY_S)


def _full(name: str) -> None:
    if os.path.exists(f"{os.environ[MARKS]}/{name}.full"):  # noqa: PTH110 - as above
        _enospc(name)


def _nothing(_: str) -> None:
    """The mark is all."""


_ACTIONS: dict[str, Callable[[str], None]] = {
    "kill": _kill,
    "stop": _stop,
    "exit": _exit,
    "enospc": _enospc,
    "eio": _eio,
    "wait": _wait,
    "full": _full,
    "pass": _nothing,
}
_passed: Counter[str] = Counter()
_faults: dict[str, Fault] = {}
play("trial" if "TRIALIST_TRIAL" in os.environ else "engine")
