"""The warden's templates: processes that have imports behind them, and the trials that are forked from them.

Says for each attempt whether it can start warm, and takes what templates tell. Knows attempts and the warden's selector; of
a template only its socket (``execute.template``).
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

from trialist.execute.attempts import ProcessAttempt
from trialist.execute.processes import send
from trialist.runtime.protocol import ENV_TRIAL

PROGRAM = str(Path(__file__).with_name("template.py"))
_MAX_REQUEST = 150_000
"""Bytes; the system refuses packets of about 200 kB."""
_MAX_TEMPLATES = 4
"""Setups whose templates are kept; each holds what it imported in memory."""
_ROOM = 128
"""Bytes for a token in a template's environment."""
_MAX_WORDS = 4096
_LATE_S = 5.0
"""Imports that take longer are told of."""


class _State(Enum):
    LOADING = auto()
    READY = auto()
    RETIRED = auto()
    """Forks no more, and ends with the last of its trials."""


class Template:
    """One template, as the warden sees it.

    Args:
        key: Names the setup.
        setup: What it imports, and where.
        mark: Begins the tokens of its trials.
        base: The environment that all trials start from.
        tie: Called in the new process.
        learns: Whether it may import what its first trial turns out to need.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        key: str,
        setup: Mapping[str, Any],
        mark: str,
        base: Mapping[str, str],
        tie: Callable[[], None],
        *,
        learns: bool,
    ) -> None:
        self.key = key
        self.state = _State.LOADING
        self.is_ours_to_end = False
        """Whether we ended it, so that its end says nothing."""
        self.waiting: deque[tuple[ProcessAttempt, bytes]] = deque()
        """Those not asked for yet, with their requests."""
        self.asked: dict[int, ProcessAttempt] = {}
        """Requests without an answer."""
        self.running: dict[int, ProcessAttempt] = {}
        """Trials that were born here, by id."""
        self.words = b""
        """The end of what it printed."""
        self.imports_since: float | None = time.monotonic()
        """Since when it imports what trials may be waiting for; ``None``: that was told."""
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.setblocking(False)
        try:
            with theirs:
                self.pid = subprocess.Popen(
                    [*setup["python"], PROGRAM, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=writer,
                    stderr=writer,
                    cwd=setup["cwd"],
                    env={**base, **setup["env"], ENV_TRIAL: f"{mark}-template".ljust(_ROOM, "-")},
                    start_new_session=True,
                    preexec_fn=tie,  # safe: the warden has one thread
                ).pid
            self.control.send(json.dumps({**setup, "env": None, "learns": learns}).encode())
        except BaseException:
            self.control.close()
            os.close(self.reader)
            raise
        finally:
            os.close(writer)

    def take(self, attempt: ProcessAttempt) -> bool:
        """Let an attempt start here; ``False`` where what it starts with is too long to be sent."""
        warm = attempt.warm
        request = {"id": attempt.id, "token": attempt.token, "argv": attempt.argv, "cwd": warm["setup"]["cwd"]}
        packet = json.dumps({**request, "args": warm["args"], "env": warm["env"]}).encode()
        if len(packet) > _MAX_REQUEST:
            return False
        self.waiting.append((attempt, packet))
        self.ask()
        return True

    def ask(self) -> None:
        """Request copies for those that wait, as far as the socket takes them."""
        while self.waiting and self.state is _State.READY:
            attempt, packet = self.waiting[0]
            try:
                socket.send_fds(self.control, [packet], [output.writer for output in attempt.outputs])
            except BlockingIOError:
                return
            except OSError:  # it died; that is heard of apart
                return
            self.asked[attempt.id] = attempt
            self.waiting.popleft()

    def kill(self) -> None:
        self.is_ours_to_end = True
        send(self.pid, signal.SIGKILL)


class Templates:
    """All templates of a warden.

    Args:
        base: The environment that all trials start from.
        tie: Called in each new template: it dies with the warden.
        selector: Watches their descriptors; what is registered as data is called with the descriptor.
        start_cold: Starts an attempt as a plain process.
        refuse: Tells that an attempt could not be started, and the system's error.
        tell: Takes messages for the engine.
    """

    def __init__(
        self,
        base: Mapping[str, str],
        tie: Callable[[], None],
        selector: selectors.BaseSelector,
        start_cold: Callable[[ProcessAttempt], None],
        refuse: Callable[[ProcessAttempt, Exception], None],
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self._base, self._tie, self._selector = base, tie, selector
        self._start_cold, self._refuse, self._tell = start_cold, refuse, tell
        self._ready: dict[str, Template] = {}
        """Templates that serve or will, by setup; those that were used last come last."""
        self._all: dict[int, Template] = {}
        self._cold: set[str] = set()
        """Setups that cannot be warm."""
        self._unlearning: set[str] = set()

    @property
    def pids(self) -> Iterable[int]:
        """Processes that are templates, not trials."""
        return self._all.keys()

    def start(self, attempt: ProcessAttempt, warm: Mapping[str, Any]) -> None:
        """Start an attempt from the template for its setup, or as a plain process where there can be none.

        Args:
            attempt: Open, without a process.
            warm: ``setup``, ``args`` and ``env`` of its start order.
        """
        setup = warm["setup"]
        key = json.dumps(setup, sort_keys=True)
        attempt.warm = warm
        try:
            template = None if key in self._cold else self._template(key, setup, attempt.token.partition("-")[0])
        except (OSError, ValueError):  # no process, or a NUL in the environment
            template = None  # a plain process meets the same, and its trial says so
        if template is None or not template.take(attempt):
            self._start_cold(attempt)

    def _template(self, key: str, setup: Mapping[str, Any], mark: str) -> Template:
        template = self._ready.pop(key, None)
        if template is None:
            template = Template(key, setup, mark, self._base, self._tie, learns=key not in self._unlearning)
            self._all[template.pid] = template
            for number, heard in ((template.control.fileno(), self._hear), (template.reader, self._overhear)):
                self._selector.register(number, selectors.EVENT_READ, lambda _, t=template, h=heard: h(t))
            for other in list(self._ready.values())[: max(0, len(self._ready) + 1 - _MAX_TEMPLATES)]:
                if not other.waiting and not other.asked:
                    self._retire(other)
        self._ready[key] = template
        return template

    def withdraw(self, attempt: ProcessAttempt, *, now: bool) -> None:
        """Take back an attempt, unless a template has been asked to begin it.

        Args:
            attempt: One without a process.
            now: Whether it must be over: a template that does not answer is ended.
        """
        for template in list(self._all.values()):
            for waiting in [one for one in template.waiting if one[0] is attempt]:
                template.waiting.remove(waiting)
                attempt.withdrawn()
                if now and template.state is _State.LOADING and not template.waiting:
                    self._retire(template)  # its imports may hang
                return
            if now and attempt.id in template.asked:
                template.kill()

    def tell_delays(self) -> None:
        """Tell, once each, of templates whose imports keep trials waiting."""
        for template in self._all.values():
            since = template.imports_since
            is_late = since is not None and time.monotonic() - since > _LATE_S
            if is_late and template.state is _State.LOADING and template.waiting:
                template.imports_since = None
                self._tell({"op": "delayed", "what": json.loads(template.key)["name"], "seconds": _LATE_S})

    # what templates tell

    def _hear(self, template: Template) -> None:
        while template.pid in self._all:
            try:
                data = template.control.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._unwatch(template.control.fileno())
                return
            self._take(template, json.loads(data))

    def _overhear(self, template: Template) -> None:
        try:
            data = os.read(template.reader, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._unwatch(template.reader)
        template.words = (template.words + data)[-_MAX_WORDS:]

    def _take(self, template: Template, message: dict[str, Any]) -> None:
        op = message["op"]
        if op == "ready":
            if template.state is _State.LOADING:
                template.state = _State.READY
                template.ask()
        elif op == "unusable":
            self._give_up(template, message["why"])
        elif op == "spoilt":
            self._unlearning.add(template.key)
            self._replace(template)
        elif op == "ended":
            self._ended(template, message["id"], message["status"])
        else:
            attempt = template.asked.pop(message["id"], None)
            if attempt is None:
                return  # it died before it could speak, and that was told first
            if op == "born":
                template.running[attempt.id] = attempt
                attempt.born(message["pid"], template.pid)
            elif op == "failed":
                self._refuse(attempt, OSError(*message["error"]))
            elif op == "refused":
                self._start_cold(attempt)
            elif op == "stale":
                template.asked[attempt.id] = attempt
                self._replace(template)
        self._settle(template)

    def _ended(self, template: Template, id: int, status: int) -> None:
        attempt = template.running.pop(id, None)
        if attempt is not None and not attempt.exited:
            attempt.reaped(status)
            return
        attempt = template.asked.pop(id, None)
        if attempt is not None:  # it died on the way to its first line
            attempt.reaped(status)

    def _give_up(self, template: Template, why: str) -> None:
        """No trial of this setup starts warm."""
        self._say_cold(template, why)
        self._retire(template)
        for attempt in self._orphans(template):
            self._start_cold(attempt)

    def _say_cold(self, template: Template, why: str) -> None:
        if template.key not in self._cold:
            self._cold.add(template.key)
            self._tell({"op": "cold", "why": why})

    def _replace(self, template: Template) -> None:
        """Start what has not begun from a new template."""
        self._retire(template)
        for attempt in self._orphans(template):
            self._again(attempt)

    def _again(self, attempt: ProcessAttempt) -> None:
        if attempt.is_ending:
            attempt.withdrawn()
            return
        self.start(attempt, attempt.warm)

    def _orphans(self, template: Template) -> list[ProcessAttempt]:
        found = [*template.asked.values(), *(attempt for attempt, _ in template.waiting)]
        template.asked.clear()
        template.waiting.clear()
        return found

    def _retire(self, template: Template) -> None:
        template.state = _State.RETIRED
        if self._ready.get(template.key) is template:
            del self._ready[template.key]
        self._settle(template)

    def _settle(self, template: Template) -> None:
        if template.state is _State.RETIRED and not template.running and not template.asked:
            template.kill()

    def died(self, pid: int, status: int) -> bool:
        """A child of the warden's is gone; whether it was a template. Its trials die with it, and are lost."""
        template = self._all.get(pid)
        if template is None:
            return False
        self._hear(template)
        self._overhear(template)
        del self._all[pid]
        was_loading = template.state is _State.LOADING and not template.is_ours_to_end
        if self._ready.get(template.key) is template:
            del self._ready[template.key]
        for number in (template.control.fileno(), template.reader):
            self._unwatch(number)
        template.control.close()
        os.close(template.reader)
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        for attempt in template.running.values():
            attempt.orphaned(f"the process that it was forked from died ({how})", is_shared=len(template.running) > 1)
        orphans = self._orphans(template)
        if was_loading:
            words = template.words.decode(errors="replace").strip().splitlines()
            self._say_cold(template, f"its imports end the process ({how}){': ' + words[-1] if words else ''}")
        for attempt in orphans:
            self._again(attempt)
        return True

    def stopped(self, pid: int) -> None:
        """A child of the warden's was stopped: a template must go on, since nobody else hears of the ends of its trials."""
        if pid in self._all:
            send(pid, signal.SIGCONT)

    def _unwatch(self, number: int) -> None:
        if number in self._selector.get_map():
            self._selector.unregister(number)

    def close(self) -> None:
        """End all templates; called when no trial runs."""
        for template in self._all.values():
            template.kill()
