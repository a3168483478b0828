"""One attempt inside the warden: its process, its output, its orders, its end.

Knows no other attempt and no engine: what is to be told goes to ``tell``, and the warden calls back when something is due.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trialist.execute.logs import CappedLog
from trialist.execute.printed import Lines, numbers_of, parse
from trialist.execute.processes import has_orphans, kill_all, of_trial, send_group
from trialist.runtime.protocol import Order, encode_metrics

_CHUNK = 1 << 16
_MAX_METRICS_FILE = 1 << 20
_MAX_PRINTED = 1000
_LOOKS = 3
_MAX_REMAINDER = 4 << 20
"""What is read of a pipe after the end: more than a pipe can hold, so that only a runaway writer meets it."""

Tell = Callable[[dict[str, Any]], None]


class Output:
    """A pipe from the trial into a capped log, which another pipe may share; read for metrics on its way."""

    def __init__(self, log: CappedLog, found: Callable[[bytes], None] | None) -> None:
        self.log = log
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._lines = Lines()
        self._found = found

    def started(self) -> None:
        """The child has its copy of the writing end, or will never have one."""
        os.close(self.writer)
        self.writer = -1

    def lend(self) -> int:
        """The writing end, now the caller's to close."""
        writer, self.writer = self.writer, -1
        return writer

    def pump(self) -> int | None:
        """Move what is there, at most a chunk; how much it was, ``None`` where nothing is there now, 0 at the end."""
        try:
            data = os.read(self.reader, _CHUNK)
        except BlockingIOError:
            return None
        if data:
            if self._found is not None and self.log.has_room:
                for line in self._lines.feed(data):
                    self._found(line)
            self.log.write(data)
        return len(data)

    def close(self) -> None:
        """Read the last lines, whatever was left out before them, and close."""
        if self._found is not None:
            # Behind a full head only the end is at hand, and it begins somewhere inside a line.
            last = self._lines.end() if self.log.has_room else self.log.recent.partition(b"\n")[2]
            for line in last.replace(b"\r", b"\n").split(b"\n"):
                self._found(line)
        self.log.close()
        os.close(self.reader)
        if self.writer >= 0:
            os.close(self.writer)


class Attempt:
    """A trial's process from its start to the message that it has ended.

    Args:
        order: The ``start`` message.
        tell: Takes messages for the engine.
    """

    def __init__(self, order: Mapping[str, Any], tell: Tell) -> None:
        self.id: int = order["id"]
        self.token: str = order["token"]
        self.to_step: int | None = order["to_step"]
        self.told: Order | None = None
        self.pid = 0
        self.outputs: list[Output] = []
        self.spoke = False
        """Whether a process of it ever opened the channel."""
        self.parked = False
        self.facts: dict[str, Any] = {}
        """What the trial said of its end: ``result``, ``failed``, ``left``."""
        self.due: float | None = None
        """When ``act`` wants to be called."""
        self.exited = False
        self.argv: list[str] = order["argv"]
        self.parent: int | None = None
        """The template that its process was forked from."""
        self.warm: Mapping[str, Any] = {}
        """How it starts from a template, where it does."""
        self._lost = ""
        """Why its end says nothing about it: what it was forked from died."""
        self._lost_with_others = False
        self._order = order
        self._tell = tell
        self._why = ""
        self._status: int | None = None
        self._stage = ""
        self._printed: dict[str, float] = {}
        self._last_step: dict[str, int] = {}
        """Of the metrics that were printed with a step."""
        self._later: dict[str, float] = {}
        """Those of them that were printed again since, without a step."""
        self._clean = False
        self._pause_s = 0.002
        self._looks = 0
        self._file_before = _identity(order["metrics_file"])
        self._oom_kills = oom_kills()
        self._began = 0.0
        self._parked_at = 0.0
        self._timeout_at: float | None = None

    # starting

    def spawn(self, base: Mapping[str, str], tie: Callable[[], None]) -> None:
        """Start the process of an open attempt, in a session of its own.

        Raises:
            OSError: It cannot be started.
            ValueError: An argument or a variable holds a NUL.
        """
        order = self._order
        child = subprocess.Popen(
            order["argv"],
            stdin=subprocess.DEVNULL,
            stdout=self.outputs[0].writer,
            stderr=self.outputs[1].writer,
            cwd=order["cwd"],
            env={**base, **order["env"]},
            start_new_session=True,
            preexec_fn=tie,  # safe: the warden has one thread
        )
        child.returncode = 0  # reaped by the warden's own wait; nothing of Popen is used again
        self.born(child.pid)

    def open(self) -> None:
        """Open its logs, and let its time begin.

        Raises:
            OSError: A log cannot be opened.
        """
        self._open_outputs()
        self._began = time.monotonic()
        if self._order["timeout_s"] is not None:
            self._stage, self.due = "timeout", self._began + self._order["timeout_s"]

    def born(self, pid: int, parent: int | None = None) -> None:
        """It has a process, which leads a session of its own; where it was told to end meanwhile, the process hears it now.

        Args:
            pid: Of the process.
            parent: The template that it was forked from; ``None``: ourselves.
        """
        self.pid, self.parent = pid, parent
        for output in self.outputs:
            output.started()
        if self._why:
            self._terminate()

    def orphaned(self, why: str, *, is_shared: bool) -> None:
        """The template that its process was forked from died, and takes it along; ``is_shared``: others too."""
        self.parent, self._lost, self._lost_with_others = None, why, is_shared

    @property
    def is_unborn(self) -> bool:
        """Whether it waits for a template to give it a process."""
        return bool(self.warm) and self.pid == 0 and not self.exited

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end, for whatever reason."""
        return bool(self._why)

    def withdrawn(self) -> None:
        """It is taken back before it had a process."""
        self.reaped(signal.SIGKILL)
        self._clean = True

    def close_outputs(self) -> None:
        """Close its logs, behind what was written to them."""
        for output in self.outputs:
            output.close()

    def _open_outputs(self) -> None:
        order = self._order
        try:
            log = CappedLog(order["stdout"])
            self.outputs.append(Output(log, self._line))
            # A pipe of its own even into the same log: a traceback that shows "seed=0" tells no metric.
            self.outputs.append(Output(CappedLog(order["stderr"]) if order["stderr"] else log, None))
        except BaseException:
            for output in self.outputs:
                output.close()
            raise

    # orders

    def park(self) -> None:
        """It waits at a boundary; the time that it waits does not count against its timeout."""
        if not self.parked:
            self.parked, self._parked_at = True, time.monotonic()
            if self._stage == "timeout":
                self._timeout_at, self.due = self.due, None

    def unpark(self) -> None:
        """It goes on, or is told to leave."""
        if self.parked:
            self.parked = False
            if self._stage == "timeout" and self._timeout_at is not None:
                self.due = self._timeout_at + time.monotonic() - self._parked_at

    def end(self, why: str, grace_s: float | None = None) -> None:
        """Begin to end it: TERM now, KILL after the grace. The first reason stands, but that ``kill`` overrides ``stop``."""
        if not self._why or (why == "kill" and self._why == "stop"):
            self._why = why
        if self.exited:
            return
        if self._stage not in ("term", "kill"):
            self._terminate(grace_s)
        elif grace_s is not None and self.due is not None:
            self.due = min(self.due, time.monotonic() + grace_s)

    def stop(self) -> None:
        """Told to stop: at its next report if it ever spoke, else by TERM; after the grace by TERM in any case."""
        if self._why:
            return
        self.told = Order.STOP
        if not self.spoke:
            self.end("stop")
        else:
            self._why, self._stage, self.due = "stop", "asked", time.monotonic() + self._order["grace_s"]

    @property
    def memory_limit(self) -> int | None:
        """Bytes that its family may use; ``None``: any number."""
        limit: int | None = self._order.get("memory_bytes")
        return limit

    def outgrew(self, used: int) -> None:
        """It used more memory than it may: it ends at once, since each second may cost the machine more."""
        if not self._why:
            self.facts["memory_bytes"] = used
        self.end("memory", 0.0)

    def _terminate(self, grace_s: float | None = None) -> None:
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)  # one that sleeps in SIGSTOP must wake up to hear it
        self._stage = "term"
        self.due = time.monotonic() + (self._order["grace_s"] if grace_s is None else grace_s)

    def _send(self, number: signal.Signals) -> None:
        if self.pid:  # group 0 is our own
            send_group(self.pid, number)

    # ending

    def reaped(self, status: int) -> None:
        """Its first process is gone."""
        self._status, self.exited, self.due = status, True, 0.0
        self.facts["oom_killed"] = oom_kills() > self._oom_kills

    def act(self, others: Iterable[int], *, alone: bool) -> None:
        """Do what is due: the next rung of the ladder, or the end of what a finished trial left running."""
        now = time.monotonic()
        if self.exited:
            if not self._clean:
                self._clean = self._end_family(others, alone=alone)
            self._pause_s = min(0.1, self._pause_s * 2)
            self.due = None if self._clean else now + self._pause_s
        elif self._stage == "timeout":
            self._stage = ""
            self.end("timeout")
        elif self._stage == "asked":
            self._terminate()
        else:
            self._send(signal.SIGKILL)
            kill_all(of_trial(self.pid, self.token.encode(), others, alone=alone, parent=self.parent).members)
            self._stage, self.due = "kill", now + 0.5

    def _end_family(self, others: Iterable[int], *, alone: bool) -> bool:
        """End what its first process left behind; whether nothing is left."""
        if not has_orphans(others):
            return True  # whatever outlives its first process becomes a child of ours
        family = of_trial(self.pid, self.token.encode(), others, alone=alone, parent=self.parent)
        kill_all(family.members)
        self._looks += 1
        # The system may show a process without its environment for a moment, so a stranger is looked at again.
        return not family.members and (not family.strangers or self._looks > _LOOKS)

    @property
    def is_clean(self) -> bool:
        """Nothing of it runs any more; only its last words are still to be read."""
        return self.exited and self._clean

    def remainder(self) -> bool:
        """Read some of what is left in the pipes; whether that was all."""
        done = True
        for output in self.outputs:
            for _ in range(_MAX_REMAINDER // _CHUNK):
                size = output.pump()
                if not size:
                    break
                done = False
        return done

    def finish(self) -> None:
        """Close everything and tell the end."""
        self.close_outputs()
        file, problem = _read_metrics(self._order["metrics_file"], self._file_before)
        if self._later and not self.spoke and not self._why:
            # "epoch 3 loss=0.5", then "loss=0.42": of what is printed the last counts, so it belongs to the last step.
            step = max(self._last_step.values())
            self._tell({"op": "report", "id": self.id, "step": step, "metrics": encode_metrics(self._later)})
        self._tell(
            {
                "op": "exited",
                "id": self.id,
                "status": self._status,
                "why": self._why,
                "lost": self._lost if self._status == signal.SIGKILL else "",
                "shared": self._lost_with_others,
                "told": self.told,
                "seconds": time.monotonic() - self._began,
                "printed": encode_metrics(self._printed),
                "file": encode_metrics(file),
                "file_problem": problem,
                "logs": [log.recent.decode("utf-8", "replace") for log in self._logs()],
                "log_problem": "; ".join(log.problem for log in self._logs() if log.problem),
                **self.facts,
            }
        )

    def _logs(self) -> list[CappedLog]:
        """Each log once."""
        return list(dict.fromkeys(output.log for output in self.outputs))

    # printed metrics

    def _line(self, line: bytes) -> None:
        found = parse(line)
        if found is None:
            return
        if found.step is not None and not self.spoke and found.metrics:
            metrics = encode_metrics(found.metrics)
            self._tell({"op": "report", "id": self.id, "step": found.step, "metrics": metrics})
            for name in found.metrics:
                self._later.pop(name, None)
                if name in self._last_step or len(self._last_step) < _MAX_PRINTED:
                    self._last_step[name] = found.step
            return
        # What a trial reports over its channel wins over what it prints, so beside a channel prints are no reports.
        for name, value in found.metrics.items():
            if name in self._last_step:
                self._later[name] = value
            if name in self._printed or len(self._printed) < _MAX_PRINTED:
                self._printed[name] = value


def _identity(path: str | None) -> tuple[int, ...] | None:
    if path is None:
        return None
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _read_metrics(path: str | None, before: tuple[int, ...] | None) -> tuple[dict[str, float], str]:
    """The numbers in a metrics file that this attempt wrote, and what is wrong with it."""
    if path is None or _identity(path) in (None, before):
        return {}, ""
    name = os.path.basename(path)  # noqa: PTH119 - pathlib is not worth its import here
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return {}, f"{name} is no regular file"
            data = file.read(_MAX_METRICS_FILE + 1)
    except OSError as error:
        return {}, f"{name}: {error.strerror}"
    if len(data) > _MAX_METRICS_FILE:
        return {}, f"{name} is larger than {_MAX_METRICS_FILE:,} bytes"
    return _numbers(name, data)


def _numbers(name: str, data: bytes) -> tuple[dict[str, float], str]:
    import json  # already loaded by the protocol; named here for its errors

    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        return {}, f"{name} is not JSON: {error}"
    if not isinstance(content, dict):
        return {}, f"{name} is no JSON object"
    found = numbers_of(content, len(content))  # all of them: the file's size is bounded, and the last may be the one
    if not found and content:
        key, value = next(iter(content.items()))
        return {}, f"{name} holds no number: '{key}' is {json.dumps(value)[:80]}"
    return found, ""


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not tell."""
    try:
        with open("/proc/vmstat", "rb") as file:  # noqa: PTH123
            data = file.read()
    except OSError:
        return 0
    _, found, rest = data.partition(b"\noom_kill ")
    return int(rest.split(None, 1)[0]) if found else 0
