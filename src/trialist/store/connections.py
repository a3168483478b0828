"""Connections of one store: one that writes, some that read, all noticed when the process forks.

Writers of one process queue here for one lock a database; between processes the database's own lock decides. Readers
never wait for a writer. Knows no statement of the store's own.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet, WeakValueDictionary

from trialist.core import faults
from trialist.core.errors import StoreBusy, StoreError, StoreFull
from trialist.store.backend import Backend, Connection, Cursor


class _WriteLock:
    """Lets one thread of this process write to a database at a time, whichever store object it came through.

    Threads wait here in the order of their coming. Left to SQLite they would poll its file lock, unfairly.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()


_locks: WeakValueDictionary[str, _WriteLock] = WeakValueDictionary()
_guard = threading.Lock()
"""Protects ``_locks`` from two stores that are opened at the same time."""


def _lock_of(url: str) -> _WriteLock:
    with _guard:
        lock = _locks.get(url)
        if lock is None:
            lock = _locks[url] = _WriteLock()
        return lock


class Connections:
    """Gives out cursors; errors of the driver come out as errors of ours, with the transaction rolled back."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._closed = False
        self._begin()
        _opened.add(self)

    def _begin(self) -> None:
        self._lock = _lock_of(self._backend.url)
        self._writer: Connection | None = None
        self._readers: deque[Connection] = deque()
        """Idle ones; a reader takes one out, or opens one, and puts it back. Appends and pops are atomic."""

    @contextmanager
    def write(self) -> Iterator[Cursor]:
        """A transaction that writes; committed at the end, rolled back whole when anything is raised inside.

        Raises:
            StoreBusy: Others wrote for longer than the timeout.
            StoreFull: No space left.
            StoreError: The database cannot be used.
        """
        self._check()
        lock = self._lock.lock
        if not lock.acquire(timeout=self._backend.timeout_s):
            raise StoreBusy(
                self._backend.name,
                f"another thread of this process has been writing for {self._backend.timeout_s:g} s.",
            )
        try:
            with self._transaction() as cursor:
                yield cursor
        except self._backend.errors as error:
            raise self._backend.translate(error) from error
        except OSError as error:
            raise self._of_system(error) from error
        finally:
            lock.release()

    def _of_system(self, error: OSError) -> StoreError:
        """What the system itself refused, past the driver."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFull(self._backend.name, "no space left on its disk. What was acknowledged is safe; make room.")
        return StoreError(self._backend.name, f"reading or writing failed ({(error.strerror or str(error)).lower()}).")

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        if self._writer is None:
            self._writer = self._backend.connect(writes=True)
        self._backend.check_place()
        cursor = self._writer.cursor()
        cursor.execute(self._backend.begin_write)
        try:
            faults.point("store.write.begun")
            yield cursor
            faults.point("store.write.before")
            cursor.execute("COMMIT")
        except BaseException:
            self._roll_back(cursor)
            raise
        faults.point("store.write.after")

    def _roll_back(self, cursor: Cursor) -> None:
        """End a failed transaction. A full disk or a lost server may have ended it already: then start anew."""
        try:
            cursor.execute("ROLLBACK")
        except self._backend.errors:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()

    @contextmanager
    def read(self, *, snapshot: bool = False) -> Iterator[Cursor]:
        """A cursor to read with; ``snapshot``: all statements inside see one state of the store."""
        self._check()
        readers = self._readers
        connection = None
        try:
            try:
                connection = readers.pop()
            except IndexError:
                connection = self._backend.connect(writes=False)
            cursor = connection.cursor()
            if snapshot:
                cursor.execute(self._backend.begin_read)
            yield cursor
            if snapshot:
                cursor.execute("COMMIT")
        except BaseException as error:
            # Whatever state it is in, nobody else gets it.
            if connection is not None:
                connection.close()
            if isinstance(error, self._backend.errors):
                raise self._backend.translate(error) from error
            raise
        readers.append(connection)
        if self._closed:
            self._drain(readers)

    def _check(self) -> None:
        if self._closed:
            raise StoreError(self._backend.name, "this store was closed; open it again.")

    def abandon(self) -> None:
        """Start anew in a child process, without touching what the parent goes on using."""
        for connection in (*self._readers, self._writer):
            if connection is not None:
                self._backend.abandon(connection)
        self._begin()

    def close(self) -> None:
        """Release everything; a call of another thread that is under way ends first. Idempotent."""
        if self._closed:
            return
        self._closed = True
        with self._lock.lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()
        self._drain(self._readers)

    @staticmethod
    def _drain(readers: deque[Connection]) -> None:
        while readers:
            readers.pop().close()


_opened: WeakSet[Connections] = WeakSet()
"""All of this process's, so that a child finds them right after the fork, even if it never uses them."""


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held any of these locks, and will never let go of them here.
    global _guard, _locks
    _guard, _locks = threading.Lock(), WeakValueDictionary()
    for connections in list(_opened):
        connections.abandon()


os.register_at_fork(after_in_child=_after_fork_in_child)
