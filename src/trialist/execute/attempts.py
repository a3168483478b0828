"""One attempt inside the warden: its output, its orders, its end; and those that have a process of their own.

Knows no other attempt and no engine: what is to be told goes to ``tell``, and the warden calls back when something is due.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Any

from trialist.execute.ladder import Ladder
from trialist.execute.logs import CappedLog
from trialist.execute.memory import oom_kills
from trialist.execute.metrics_file import identity, read_metrics
from trialist.execute.outputs import Output
from trialist.execute.printed import Tally
from trialist.runtime.protocol import Order, encode_metrics

Tell = Callable[[dict[str, Any]], None]


class Timer(Enum):
    """What an attempt's own time runs towards."""

    TIMEOUT = auto()
    """The end of what it may take."""
    PATIENCE = auto()
    """The end of what it gets to leave by itself, as it was asked to."""


class Attempt:
    """A trial from its start to the message that it has ended.

    Args:
        order: The ``start`` message.
        tell: Takes messages for the engine.
    """

    def __init__(self, order: Mapping[str, Any], tell: Tell) -> None:
        self.id: int = order["id"]
        self.token: str = order["token"]
        self.to_step: int | None = order["to_step"]
        self.told: Order | None = None
        self.outputs: list[Output] = []
        self.spoke = False
        """Whether a process of it ever opened the channel."""
        self.parked = False
        self.facts: dict[str, Any] = {}
        """What is known of its end: ``result``, ``failed``, ``left``, as the trial said it; ``memory_bytes``, ``lost``."""
        self.exited = False
        """Its process is gone, or the one that it shared says that it has ended."""
        self._order = order
        self._tell = tell
        self._why = ""
        self._status: int | None = None
        self._printed = Tally()
        self._file_before = identity(order["metrics_file"])
        self._oom_kills = oom_kills()
        self._began = 0.0
        self._timer = Timer.TIMEOUT
        self._timer_at: float | None = None
        self._parked_at = 0.0

    # what its kinds do each in their way

    @property
    def pid(self) -> int:
        """Of its own first process; 0: it has none."""
        return 0

    @property
    def is_clean(self) -> bool:
        """Nothing of it runs any more; only its last words are still to be read."""
        raise NotImplementedError

    def _end_it(self, grace_s: float | None) -> None:
        """TERM, grace, KILL to what it runs in; the grace is the order's where none is given."""
        raise NotImplementedError

    # starting

    def open(self) -> None:
        """Open its logs, and let its time begin.

        Raises:
            OSError: A log cannot be opened.
        """
        self._open_outputs()
        self._began = time.monotonic()
        if self._order["timeout_s"] is not None:
            self._timer_at = self._began + self._order["timeout_s"]

    def _open_outputs(self) -> None:
        order = self._order
        try:
            log = CappedLog(order["stdout"])
            self.outputs.append(Output(log, self._line))
            # A pipe of its own even into the same log: a traceback that shows "seed=0" tells no metric.
            self.outputs.append(Output(CappedLog(order["stderr"]) if order["stderr"] else log, None))
        except BaseException:
            self.close_outputs()
            raise

    def close_outputs(self) -> None:
        """Close its logs, behind what was written to them."""
        for output in self.outputs:
            output.close()

    # orders

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end, for whatever reason."""
        return bool(self._why)

    @property
    def due(self) -> float | None:
        """When ``act`` wants to be called."""
        return self._time_is_up_at

    @property
    def _time_is_up_at(self) -> float | None:
        waits = self.parked and self._timer is Timer.TIMEOUT
        return None if self.exited or waits else self._timer_at

    def act(self, others: Iterable[int], *, alone: bool) -> None:
        """Do what is due.

        Args:
            others: First processes of the other families.
            alone: There is no other family, so an orphan without any mark is of this one too.
        """
        del others, alone
        if self._time_is_up_at is not None and self._time_is_up_at <= time.monotonic():
            self._timer_at = None
            if self._timer is Timer.TIMEOUT:
                self.end("timeout")
            else:
                self._end_it(None)

    def park(self) -> None:
        """It waits at a boundary; the time that it waits does not count against its timeout."""
        if not self.parked:
            self.parked, self._parked_at = True, time.monotonic()

    def unpark(self) -> None:
        """It goes on, or is told to leave."""
        if self.parked:
            self.parked = False
            if self._timer is Timer.TIMEOUT and self._timer_at is not None:
                self._timer_at += time.monotonic() - self._parked_at

    def _be_patient(self) -> None:
        """It was asked to leave: after the grace it is ended."""
        self.unpark()
        self._timer, self._timer_at = Timer.PATIENCE, time.monotonic() + self._order["grace_s"]

    def end(self, why: str, grace_s: float | None = None) -> None:
        """Begin to end it: TERM now, KILL after the grace. The first reason stands, but that ``kill`` overrides ``stop``."""
        self._because(why)
        if not self.exited:
            self._timer_at = None
            self._end_it(grace_s)

    def _because(self, why: str) -> None:
        if not self._why or (why == "kill" and self._why == "stop"):
            self._why = why

    def stop(self) -> None:
        """Told to stop: at its next report if it ever spoke, else by TERM; after the grace by TERM in any case."""
        if self._why:
            return
        self.told = Order.STOP
        if self.spoke:
            self._because("stop")
            self._be_patient()
        else:
            self.end("stop")

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

    # ending

    def reaped(self, status: int) -> None:
        """The process that it ran in is gone."""
        self._status, self.exited = status, True
        self.facts["oom_killed"] = oom_kills() > self._oom_kills

    def remainder(self) -> bool:
        """Read some of what is left in the pipes; whether nothing was left."""
        return not any(output.drain() for output in self.outputs)

    def finish(self) -> None:
        """Close everything and tell the end."""
        self.close_outputs()
        file, problem = read_metrics(self._order["metrics_file"], self._file_before)
        if self._printed.later and not self.spoke and not self._why:
            step, metrics = self._printed.last_step(), encode_metrics(self._printed.later)
            self._tell({"op": "report", "id": self.id, "step": step, "metrics": metrics})
        self._tell(
            {
                "op": "exited",
                "id": self.id,
                "status": self._status,
                "why": self._why,
                "told": self.told,
                "seconds": time.monotonic() - self._began,
                "printed": encode_metrics(self._printed.stepless),
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

    def _line(self, line: bytes) -> None:
        # What a trial reports over its channel wins over what it prints, so beside a channel prints are no reports.
        found = self._printed.take(line, is_report=not self.spoke)
        if found is not None:
            metrics = encode_metrics(found.metrics)
            self._tell({"op": "report", "id": self.id, "step": found.step, "metrics": metrics})


class ProcessAttempt(Attempt):
    """A trial with a process of its own, which leads a session: a new program, or a template's copy."""

    def __init__(self, order: Mapping[str, Any], tell: Tell) -> None:
        super().__init__(order, tell)
        self.argv: list[str] = order["argv"]
        self.warm: Mapping[str, Any] = {}
        """How it starts from a template, where it does."""
        self._ladder: Ladder | None = None
        """``None``: it has no process yet."""
        self._withdraw_at: float | None = None
        """When one that waits for a template and was told to end must be over."""
        self._is_withdrawn = False

    def spawn(self, base: Mapping[str, str], tie: Callable[[], None]) -> None:
        """Start the process of an open attempt as a new program.

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

    def born(self, pid: int, parent: int | None = None) -> None:
        """It has a process, which leads a session of its own; where it was told to end meanwhile, the process hears it now.

        Args:
            pid: Of the process.
            parent: The template that it was forked from; ``None``: ourselves.
        """
        self._ladder = Ladder(pid, self.token, self._order["grace_s"], parent)
        for output in self.outputs:
            output.started()
        if self._why:
            self._ladder.end()

    def orphaned(self, why: str, *, is_shared: bool) -> None:
        """The template that its process was forked from died, and takes it along; ``is_shared``: others too."""
        if self._ladder is not None:
            self._ladder.parent = None
        if self._status in (None, signal.SIGKILL):  # else it was faster, and its end is its own
            self.facts.update(lost=why, shared=is_shared)

    @property
    def pid(self) -> int:
        return 0 if self._ladder is None else self._ladder.pid

    @property
    def parent(self) -> int | None:
        """The template that its process was forked from."""
        return None if self._ladder is None else self._ladder.parent

    @property
    def is_unborn(self) -> bool:
        """Whether it waits for a template to give it a process."""
        return self._ladder is None and not self.exited

    @property
    def must_withdraw(self) -> bool:
        """Whether one without a process has used up its time, or its grace."""
        return self._why == "timeout" or (self._withdraw_at is not None and self._withdraw_at <= time.monotonic())

    def withdrawn(self) -> None:
        """It is taken back before it had a process."""
        self.reaped(signal.SIGKILL)
        self._is_withdrawn = True

    @property
    def due(self) -> float | None:
        if self._ladder is None:
            times = [self._time_is_up_at, None if self.exited else self._withdraw_at]
        else:
            times = [self._time_is_up_at, self._ladder.due]
        return min((at for at in times if at is not None), default=None)

    def act(self, others: Iterable[int], *, alone: bool) -> None:
        super().act(others, alone=alone)
        if self._ladder is not None and self._ladder.due is not None and self._ladder.due <= time.monotonic():
            self._ladder.act(others, alone=alone)

    def _end_it(self, grace_s: float | None) -> None:
        if self._ladder is not None:
            self._ladder.end(grace_s)
        else:
            due = time.monotonic() + (self._order["grace_s"] if grace_s is None else grace_s)
            self._withdraw_at = min(due, self._withdraw_at or due)

    def reaped(self, status: int) -> None:
        super().reaped(status)
        if self._ladder is not None:
            self._ladder.reaped(status)
        if status != signal.SIGKILL:
            self.facts.pop("lost", None)

    @property
    def is_clean(self) -> bool:
        return self._is_withdrawn or (self._ladder is not None and self._ladder.is_clean)
