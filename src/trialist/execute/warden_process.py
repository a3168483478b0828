"""The engine's end of the warden: starting it, speaking with it, and seeing that it is gone.

Knows lines of JSON, and nothing of what they say.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from trialist.runtime.protocol import ENVIRONMENT_OF_TRIALS

_CHUNK = 1 << 16
_ROOT = str(Path(__file__).parents[2])
# The packages stand in bare, without what their own __init__ loads for users: that halves the start.
_BOOT = """
import sys, types
root = sys.argv.pop()
for name in ("trialist", "trialist.runtime", "trialist.execute"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [root + "/" + name.replace(".", "/")]
from trialist.execute.warden import main
main()
"""
_CLOSING_S = 5.0
KEPT = "function.pkl"


class WardenProcess:
    """A running warden. Made without waiting for it to be ready: what is sent meanwhile waits in the socket.

    Args:
        mark: Begins the tokens of its trials, before a dash.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._folder = _short_folder()
        self.address = f"{self._folder}/s"
        self.connection, theirs = socket.socketpair()
        self.connection.setblocking(False)
        # Beside the connection, so that another thread may write to it; a write of eight bytes is whole or not at all.
        beats, self._beats = os.pipe()
        os.set_blocking(self._beats, False)
        self.unsent = bytearray()
        self.is_gone = False
        self._kept: bytes | None = None
        self._received = bytearray()
        self._lines: deque[bytes] = deque()
        self._log = Path(self._folder, "log")
        flags = ["-I", "-S", "-X", "utf8", *(["-B"] if sys.dont_write_bytecode else [])]
        command = [sys.executable, *flags, "-c", _BOOT, str(theirs.fileno()), self._folder]
        with theirs, os.fdopen(beats, "rb", buffering=0), self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, str(os.getpid()), str(beats), _ROOT],
                pass_fds=(theirs.fileno(), beats),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={name: text for name, text in os.environ.items() if name not in ENVIRONMENT_OF_TRIALS},
            )
        self.name = f"pid {self._process.pid} on {socket.gethostname()}"

    def keep(self, content: bytes) -> str:
        """Put a file beside the socket, that nobody else may read and that goes with this warden; its path.

        Raises:
            OSError: It cannot be written.
        """
        path = Path(self._folder, KEPT)
        if self._kept is not content:
            path.write_bytes(content)
            self._kept = content
        return str(path)

    def lead_until(self, deadline: float) -> None:
        """Let trials run up to a time of ``time.monotonic``, and no longer unless told again."""
        with suppress(BlockingIOError, BrokenPipeError):  # it reads nothing, or is gone: both are seen elsewhere
            os.write(self._beats, struct.pack("d", deadline))

    def send(self, message: dict[str, Any]) -> None:
        """Send without waiting; what does not go now goes with a later call."""
        self.unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self._flush()

    def _flush(self) -> None:
        try:
            while self.unsent:
                del self.unsent[: self.connection.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:  # its end is seen by ``receive``, behind what it still said
            self.unsent.clear()

    def receive(self) -> dict[str, Any] | None:
        """The next message, without waiting; ``None``: none is there, or it is gone."""
        self._flush()
        while not self._lines and not self.is_gone:
            try:
                data = self.connection.recv(_CHUNK)
            except BlockingIOError:
                return None
            except OSError:
                data = b""
            if not data:
                self.is_gone = True
                return None
            self._received += data
            *lines, rest = self._received.split(b"\n")
            self._received = bytearray(rest)
            self._lines.extend(bytes(line) for line in lines)
        if not self._lines:
            return None
        message: dict[str, Any] = json.loads(self._lines.popleft())
        return message

    def wake(self) -> None:
        """Have it go on where a trial has stopped it: nobody else hears of the ends of its trials."""
        with suppress(ChildProcessError):  # gone, and seen elsewhere
            if os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG) is not None:
                self._process.send_signal(signal.SIGCONT)

    def close(self) -> bool:
        """Let it end everything and itself; whether it did in time."""
        self.send({"op": "close"})
        self.connection.setblocking(True)
        self.connection.settimeout(_CLOSING_S)
        try:
            self.connection.sendall(self.unsent)
            while self.connection.recv(_CHUNK):  # read on, so that it never waits for us
                pass
            in_time = self._process.wait(_CLOSING_S) == 0
        except (OSError, subprocess.TimeoutExpired):
            in_time = False
        self.dispose()
        return in_time

    def dispose(self) -> str:
        """Make sure that it is gone, remove its folder; why it died, as far as it is known."""
        self._process.kill()
        code = self._process.wait()
        self.connection.close()
        os.close(self._beats)
        words: list[str] = []
        with suppress(FileNotFoundError):  # it removed its folder itself
            words = self._log.read_text(errors="replace").strip().splitlines()
        for name in ("s", "log", KEPT):
            Path(self._folder, name).unlink(missing_ok=True)
        with suppress(OSError):
            Path(self._folder).rmdir()
        return (
            f"the process that watches the trials died ({f'signal {-code}' if code < 0 else f'exit code {code}'})"
            + (f": {words[-1]}" if words else "")
        )


def _short_folder() -> str:
    """A private directory whose path leaves room for a socket's name: the system allows about 100 bytes."""
    folder = tempfile.mkdtemp(prefix="trialist-")
    if len(os.fsencode(folder)) > 90:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="trialist-", dir="/tmp")
    return folder
