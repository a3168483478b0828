"""SQLite as the SQL store's database: one file, opened with care.

WAL and ``synchronous=FULL``: what was committed survives a loss of power. ``BEGIN IMMEDIATE``: a transaction that writes
waits its turn at the start, where waiting is possible; one that reads first and writes later is refused at once. Refuses
places where a file is known to get damaged, and says for every file that it cannot use what is wrong with it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Dialect

from trialist.core.errors import InternalError, StoreBusy, StoreError, StoreFull, TrialistError
from trialist.store.backend import Check, Connection, Cursor, Together
from trialist.store.compiling import Sql
from trialist.store.files import data_dir, network_filesystem

PREFIX = "sqlite:///"
_ROOM = 1 << 20


class _Compiler(SQLiteCompiler):
    def get_from_hint_text(self, _table: Any, text: str | None) -> str | None:
        return text


class SqliteDialect(SQLiteDialect_pysqlite):
    """SQLite's words, with ``INDEXED BY`` as a hint: without statistics it takes the primary key for everything."""

    statement_compiler = _Compiler
    supports_statement_cache = True


class SqliteBackend:
    """A SQLite file, made if need be.

    Args:
        url: ``sqlite:///relative/path`` or ``sqlite:////absolute/path``.
        create: Whether to make a file that is not there.
        timeout_s: How long to wait for other writers.

    Raises:
        StoreError: The path cannot be used; the message says why.
    """

    begin_write = "BEGIN IMMEDIATE"
    begin_read = "BEGIN"
    errors: tuple[type[Exception], ...] = (sqlite3.Error, OverflowError, UnicodeEncodeError)

    def __init__(self, url: str, *, create: bool = True, timeout_s: float = 30.0) -> None:
        self.path = path_of(url)
        self.url = f"{PREFIX}{self.path}"
        self.name = str(self.path)
        self.dialect: Dialect = SqliteDialect(paramstyle="qmark")
        self.timeout_s = timeout_s
        self._opened: tuple[int, int] | None = None
        self._prepare(create)

    def _prepare(self, create: bool) -> None:
        try:
            if self.path.is_dir():
                raise StoreError(self.name, "this is a directory; give the path of a file in it, e.g. trialist.db.")
            kind = network_filesystem(self.path)
            if kind is not None:
                raise StoreError(
                    self.name,
                    f"this lies on a network file system ({kind}), where SQLite's locks do not hold and files get "
                    "damaged. Use a local disk, or PostgreSQL for several machines.",
                )
            if self.path.exists():
                return
            if not create:
                raise StoreError(self.name, "there is no such file.")
            private = self.path.parent == data_dir()
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
            # SQLite gives its other files (-wal, -shm) the mode of this one.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600 if private else 0o666))
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreError(self.name, "cannot make this file: a part of its path is not a directory.") from error
        except OSError as error:
            raise StoreError(self.name, f"cannot make this file: {(error.strerror or str(error)).lower()}.") from error

    def connect(self, *, writes: bool) -> Connection:
        """A connection in autocommit mode; the file is never made here, so one that was deleted is noticed."""
        connection = sqlite3.connect(
            f"file:{quote(self.name)}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=self.timeout_s,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA cache_size=-16384")
            if writes:
                self._opened = _identity(self.path)
            else:
                connection.execute("PRAGMA query_only=ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def now(self) -> float:
        """This machine's clock: nobody elsewhere uses the file."""
        return time.time()

    def check_place(self) -> None:
        """Raise StoreError where the file was removed or replaced: SQLite itself would go on writing the old one."""
        found = _identity(self.path)
        if found != self._opened:
            what = "is gone" if found is None else "was replaced by another one"
            raise StoreError(
                self.name,
                f"this file {what} while it was in use, so that what is written would be lost. Put it back, if you can, "
                "and go on from there.",
            )

    def tables(self, connection: Connection) -> set[str]:
        """Names of all tables, SQLite's own left out."""
        cursor = connection.cursor()
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite/_%' ESCAPE '/'")
        return {row[0] for row in cursor.fetchall()}

    def lock_schema(self, cursor: Cursor) -> None:
        """Nothing to do: whoever writes is alone."""

    def together(self, cursor: Cursor) -> Together:
        """Statements one after the other: there is no way to save."""
        return _OneByOne(cursor)

    def settle(self, connection: Connection) -> None:
        """Switch the file to WAL, which stays with it. Must not run inside a transaction."""
        cursor = connection.cursor()
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                cursor.execute("PRAGMA journal_mode=WAL")
                mode = cursor.fetchone()[0]
            except sqlite3.OperationalError as error:
                # SQLite does not wait for its lock here, so another process that opens the file now must be waited for.
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                cursor.execute("BEGIN IMMEDIATE")  # waits for whoever writes
                cursor.execute("ROLLBACK")
                continue
            if mode != "wal":
                raise StoreError(self.name, f"SQLite cannot keep a write-ahead log here (journal mode '{mode}').")
            return

    def translate(self, error: Exception) -> TrialistError:
        """What a driver's error means to a user."""
        if isinstance(error, OverflowError):
            return InternalError(f"{self.name}: a number does not fit into 64 bits: {error}")
        if isinstance(error, UnicodeEncodeError):
            return InternalError(f"{self.name}: a text is no valid Unicode: {error}")
        problem = str(error)
        match _code(error):
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreBusy(self.name, f"another process kept it locked for {self.timeout_s:g} s.")
            case sqlite3.SQLITE_FULL:
                return StoreFull(self.name, "no space left on its disk. What was acknowledged is safe; make room.")
            case sqlite3.SQLITE_IOERR if self._is_full():
                return StoreFull(self.name, "no space left on its disk. What was acknowledged is safe; make room.")
            case sqlite3.SQLITE_NOTADB:
                return StoreError(self.name, "this file is not an SQLite database.")
            case sqlite3.SQLITE_CORRUPT:
                return StoreError(
                    self.name,
                    f"this file is damaged ({problem}). Restore a backup, or save what is left: sqlite3 .recover.",
                )
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                return StoreError(self.name, "it cannot be written: the file or its directory is read-only.")
            case sqlite3.SQLITE_CANTOPEN:
                return StoreError(self.name, self._why_not_opened())
            case sqlite3.SQLITE_IOERR:
                return StoreError(self.name, f"reading or writing failed ({problem}).")
            case sqlite3.SQLITE_CONSTRAINT:
                return InternalError(f"{self.name}: rows contradict what is stored: {problem}")
        return StoreError(self.name, f"SQLite says: {problem}.")

    def _why_not_opened(self) -> str:
        if not self.path.exists():
            return "this file is gone."
        if not os.access(self.path, os.R_OK | os.W_OK) or not os.access(self.path.parent, os.W_OK):
            return "no permission to read and write this file and its directory."
        return "it cannot be opened."

    def _is_full(self) -> bool:
        try:
            return shutil.disk_usage(self.path.parent).free < _ROOM
        except OSError:
            return False

    def abandon(self, connection: object) -> None:
        """Keep a parent's connection for ever: to close it here could undo the parent's locks and delete its log."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


class _OneByOne:
    """See ``backend.Together``."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def run(self, sql: Sql, rows: Sequence[Sequence[Any]], check: Check | None = None) -> None:
        count = 0
        if rows:
            self._cursor.executemany(sql.text, rows)
            count = self._cursor.rowcount
        if check is not None:
            check(count)

    def finish(self) -> None:
        """All were run."""


def path_of(url: str) -> Path:
    """The absolute path in a SQLite URL.

    Raises:
        StoreError: The URL names no file.
    """
    name = url.removeprefix(PREFIX)
    if name == url or not name or name == ":memory:" or name.startswith("file:"):
        raise StoreError(
            url, "this names no file. Write sqlite:///relative.db or sqlite:////absolute/path.db, or 'memory'."
        )
    if "\0" in name:
        raise StoreError(repr(url), "a path cannot hold a NUL.")
    return Path(name).expanduser().absolute()


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; ``None`` where there is none to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _code(error: Exception) -> int | None:
    """The primary result code, without the extension in the higher bits."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
