"""The warden's end of a host, a worker process that runs many trials (``runtime.host``).

A trial that does not heed its orders costs the host, and the other trials in it are lost. A host that dies with a single trial in it takes that trial's end as its own; which of several was to blame nobody knows, so
they are lost. Knows orders, pids and sockets, no engine and no selector.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from trialist.execute.attempts import Tell
from trialist.execute.hosted import HostedAttempt
from trialist.execute.ladder import Ladder
from trialist.execute.logs import CappedLog
from trialist.execute.memory import oom_kills
from trialist.execute.outputs import Output
from trialist.execute.processes import children_of, has_orphans, of_trial
from trialist.runtime.protocol import ENV_HOST, ProtocolError, decode, decode_metrics, encode, encode_metrics

_CHUNK = 1 << 16
_MAX_TEXT = 16 << 10
_MAX_UNREAD = 4 << 20
_LEAVING_S = 5.0
"""What a host that has nothing to do gets to leave by itself."""
_SEND_AGAIN_S = 0.02
_MUTE_S = 1.0
"""From the end of what a host says to TERM."""
_MUTE = "it closed or disturbed the connection of the worker process that it ran in, which is not its own"
_RUN = "from trialist.runtime.host import main;main()"
_BOOT = f"import json,os,sys;sys.path[:]=json.loads(os.environ['TRIALIST_SYS_PATH']);{_RUN}"
Others = Callable[[], list[int]]


class Host:
    """A worker process and the attempts in it.

    Args:
        order: What the ``start`` message says of its host.
        token: The mark of its family.
        base: The environment of all trials.
        tie: See ``Attempt.spawn``.
        grace_s: Seconds between TERM and KILL.
        others: First processes of all families.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        order: Mapping[str, Any],
        token: str,
        base: Mapping[str, str],
        tie: Callable[[], None],
        grace_s: float,
        others: Others,
    ) -> None:
        self.places: int = order["places"]
        self.spare: int = order["spare"]
        """How many of its kind may wait for work."""
        self.key = key_of(order)
        self.attempts: dict[int, HostedAttempt] = {}
        self.retires = False
        """Gets no more trials."""
        self.begun = 0
        self.control, theirs = socket.socketpair()
        self.control.setblocking(False)
        self._order = order
        self._received = bytearray()
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self._first_bytes = 0
        self._memory_bytes = 0
        self._sources: dict[str, list[int]] = {}
        self._lost: list[int] = []
        self._is_mute = False
        """A trial broke the connection to it, so it had to end."""
        self._is_hung = False
        """Several trials used up their time at once and did not leave: one of them may have stopped all of it."""
        self._others = others
        self._outgrown: list[int] = []
        """Bytes used and bytes allowed, where it had to end for that."""
        self._left_processes: HostedAttempt | None = None
        self._oom_kills = oom_kills()
        with theirs:
            self.output = Output(CappedLog(order["log"]), None)
            try:
                child = subprocess.Popen(
                    [sys.executable, "-c", _BOOT, str(theirs.fileno()), str(self.places)],
                    stdin=subprocess.DEVNULL,
                    stdout=self.output.writer,
                    stderr=self.output.writer,
                    pass_fds=(theirs.fileno(),),
                    cwd=order["cwd"],
                    env={**base, **order["env"], ENV_HOST: token},
                    start_new_session=True,
                    preexec_fn=tie,  # safe: the warden has one thread
                )
            except BaseException:
                self.output.close()
                self.control.close()
                raise
        child.returncode = 0  # reaped by the warden's own wait
        self.output.started()
        self.ladder = Ladder(child.pid, token, grace_s)
        self.name = f"worker pid {child.pid}"

    # state

    @property
    def is_shared(self) -> bool:
        """Whether several trials may be in it at once."""
        return self.places > 1

    @property
    def has_room(self) -> bool:
        """Whether one more trial may begin in it."""
        return not self.retires and not self.ladder.exited and len(self.attempts) < self.places

    @property
    def is_current(self) -> bool:
        """Whether the files that its functions came from are as they were."""
        return all(_stamp(file) == stamp for file, stamp in self._sources.items())

    @property
    def is_worn(self) -> bool:
        """Whether it has run as many trials, or grown as much, as one host should."""
        after, growth = self._order["recycle_after"], self._order["recycle_growth_bytes"]
        if after is not None and self.begun >= after:
            return True
        return growth is not None and bool(self._first_bytes) and self._memory_bytes - self._first_bytes > growth

    @property
    def pid(self) -> int:
        return self.ladder.pid

    @property
    def token(self) -> str:
        return self.ladder.token

    @property
    def exited(self) -> bool:
        return self.ladder.exited

    @property
    def memory_limit(self) -> int | None:
        """Bytes that its trials may use together; ``None``: any number, or there is none in it."""
        limits = [attempt.memory_limit for attempt in self.attempts.values()]
        known = [limit for limit in limits if limit is not None]
        return sum(known) if known and len(known) == len(limits) else None

    def outgrew(self, used: int) -> None:
        """Its trials used more memory than they may: it ends, and of several nobody knows which was to blame."""
        left = [attempt for attempt in self.attempts.values() if not attempt.exited]
        if len(left) == 1:
            left[0].outgrew(used)
            return
        self._outgrown = [used, self.memory_limit or 0]
        self.end(0.0)

    @property
    def due(self) -> float | None:
        """When ``act`` wants to be called."""
        if self._unsent and not self.ladder.exited:
            return min(time.monotonic() + _SEND_AGAIN_S, self.ladder.due or float("inf"))
        return self.ladder.due

    @property
    def is_over(self) -> bool:
        """Nothing of it runs, and all that was in it has been told of."""
        return self.ladder.is_clean and not self.attempts

    @property
    def _ends_on_purpose(self) -> bool:
        """Whether it ends because of an order, not because of itself."""
        return self.ladder.is_ending and not self._is_mute and not self._outgrown and not self._is_hung

    def is_leaving_for(self, attempt: HostedAttempt) -> bool:
        """Whether it ends because this attempt left processes behind, or with this attempt in it."""
        return self.ladder.exited or self._left_processes is attempt

    # orders

    def begin(self, attempt: HostedAttempt, order: Mapping[str, Any]) -> None:
        """Give it a trial."""
        self.attempts[attempt.id] = attempt
        self.begun += 1
        descriptors = [output.lend() for output in attempt.outputs]
        call = order["call"]
        message = {"op": "begin", "id": attempt.id, "env": order["env"], "cwd": order["cwd"], **call}
        self._unsent.append((encode(message), descriptors))
        self.send()

    def send(self) -> None:
        """Send what waits, as far as it goes."""
        try:
            while self._unsent:
                data, descriptors = self._unsent[0]
                sent = socket.send_fds(self.control, [data], descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
                self._unsent[0] = (data[sent:], [])
                if sent == len(data):
                    self._unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:  # it is dead or dying: that will be seen
            self._drop_unsent()

    def _drop_unsent(self) -> None:
        for _, descriptors in self._unsent:
            for descriptor in descriptors:
                os.close(descriptor)
        self._unsent.clear()

    def end(self, grace_s: float | None = None) -> None:
        """TERM, grace, KILL, whatever is in it."""
        self.retires = True
        self.ladder.end(grace_s)

    def retire(self) -> None:
        """Let an empty one leave by itself, and end it where it does not."""
        if not self.retires:
            self.retires = True
            self._unsent.append((encode({"op": "leave"}), []))
            self.send()
            self.ladder.leaves_by(_LEAVING_S)

    # what it says

    def pump(self) -> int:
        """Take in what it says, at most a chunk; 0 at the end."""
        try:
            data = self.control.recv(_CHUNK)
        except BlockingIOError:
            return -1
        except OSError:
            data = b""
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        try:
            if len(rest) > _MAX_UNREAD:
                raise ProtocolError("a line that is too long")
            for line in lines:
                self._take(decode(line))
        except (ProtocolError, KeyError, TypeError, ValueError):  # code of a trial wrote into our socket
            self._is_mute = True
            self.end(0.0)
        if not data and not self.exited:  # it ends now, or a trial has closed what was not its own
            self._is_mute = not self.ladder.is_ending
            self.ladder.leaves_by(_MUTE_S)
        return len(data)

    def _take(self, message: Mapping[str, Any]) -> None:
        attempt = self.attempts.get(message["id"])
        if attempt is None or attempt.exited:
            return
        if message["op"] == "begun":
            attempt.has_begun = True
            return
        if "result" in message:
            attempt.facts["result"] = encode_metrics(decode_metrics(message["result"]))
        if "failed" in message:
            attempt.facts["failed"] = {name: str(text)[:_MAX_TEXT] for name, text in message["failed"].items()}
        self._memory_bytes = int(message["memory_bytes"])
        self._first_bytes = self._first_bytes or self._memory_bytes
        self._sources |= message["sources"]
        attempt.ended(int(message["code"]) & 0xFF)
        if all(other.exited for other in self.attempts.values()) and self._has_family():
            self._left_processes = attempt
            self.end(0.0)

    def _has_family(self) -> bool:
        """Whether processes that its trials started outlive them; cheap where nobody has any."""
        pid = self.ladder.pid
        known = set(self._others())
        if children_of(pid) == [] and not has_orphans(known):
            return False
        family = of_trial(pid, self.ladder.token.encode(), known - {pid}, alone=False)
        return bool(family.members - {pid})

    # its end

    def reaped(self, status: int) -> None:
        """It is gone: what that means for each attempt in it."""
        self.ladder.reaped(status)
        self.retires = True
        self._drop_unsent()
        while self.pump() > 0:  # ends that it told before its own
            pass
        left = [attempt for attempt in self.attempts.values() if not attempt.exited]
        self._is_hung = sum(attempt.is_out_of_time for attempt in left) > 1
        # One that had served others may have died before it saw this trial; a new one dies of what it was started for.
        lonely = len(left) == 1 and not self._ends_on_purpose and (left[0].has_begun or self.begun == 1)
        for attempt in left:
            is_to_blame = attempt.is_ending and not (self._is_hung and attempt.is_out_of_time)
            attempt.is_lost = not is_to_blame and not lonely
            if lonely and self._is_mute and self.ladder.is_ending:
                attempt.facts["failed"] = {"reason": "exception", "message": _MUTE, "detail": ""}
            attempt.reaped(status)
            if attempt.is_lost:
                self._lost.append(attempt.id)

    def finished(self, attempt: HostedAttempt) -> None:
        """An attempt has been told of, but for being lost."""
        del self.attempts[attempt.id]

    def close(self) -> None:
        """Release what is left of one that is over."""
        self.output.drain()
        self.output.close()
        self.control.close()

    def tell_lost(self, tell: Tell) -> None:
        """Tell of the attempts that were lost with it."""
        if self._lost:
            tell(
                {
                    "op": "lost",
                    "ids": self._lost,
                    "worker": self.name,
                    "status": self.ladder.status,
                    "on_purpose": self._ends_on_purpose,
                    "outgrown": self._outgrown,
                    "hung": self._is_hung,
                    "oom_killed": oom_kills() > self._oom_kills,
                    "log": self.output.log.recent.decode("utf-8", "replace"),
                }
            )


def key_of(order: Mapping[str, Any]) -> str:
    """What trials must have in common to share a host."""
    return json.dumps([order["places"], order["cwd"], order["env"]], sort_keys=True)


def _stamp(file: str) -> list[int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - the warden does without pathlib
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]
