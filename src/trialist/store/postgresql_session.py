"""A connection to PostgreSQL that finds its way back: what the SQL store's code sees of psycopg.

One that is lost before a transaction began is replaced without a word. One that is lost inside takes the transaction with
it. One that is lost while a COMMIT was on its way leaves it open whether that was written: then the server is asked, by
the transaction's id. Knows no statement of the store's own.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from trialist.store.backend import Check, CommitInDoubt
from trialist.store.compiling import Sql
from trialist.store.postgresql_errors import is_away, problem_of, psycopg, send

_AGAIN_S = 0.05
_PIECE = 5000
"""Rows in one statement."""
Work = Callable[[psycopg.Connection[Any]], None]
Open = Callable[[], "BoundedConnection"]


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that does not wait for ever for a server that is there and answers nothing."""

    patience_s = 60.0

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for an answer.

        Raises:
            psycopg.OperationalError: None came within ``patience_s``; the connection is closed.
        """
        return super().wait(_bounded(gen, self), *args, **options)


def _bounded(gen: Any, connection: BoundedConnection) -> Generator[Any, Any, Any]:
    """``gen``, until a waiting that lasts too long."""
    deadline = time.monotonic() + connection.patience_s
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                connection.pgconn.finish()
                raise psycopg.OperationalError(f"no answer within {connection.patience_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


class Session:
    """A connection of one thread at a time.

    Args:
        name: What errors call the database.
        timeout_s: How long to wait for a server that is away.
        open_connection: Opens one.
        writes: Whether its transactions write.
    """

    def __init__(self, name: str, timeout_s: float, open_connection: Open, *, writes: bool) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._open = open_connection
        self._writes = writes
        self._abandoned = True  # until there is a connection
        self._connection = open_connection()
        self._abandoned = False
        self._begin = ""
        """A BEGIN that goes out with the first statement."""
        self._in_transaction = False
        self._xid = ""
        """The running transaction's id, if it writes."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection was cut."""
        return self._connection.closed

    def cursor(self) -> PostgresCursor:
        """A new cursor."""
        return PostgresCursor(self)

    def close(self) -> None:
        """Release the connection; the server rolls back what is under way."""
        self._connection.close()

    def __del__(self) -> None:
        # Who forgets to close a store has nothing to lose, and no use for psycopg's warning.
        if not self._abandoned:
            self._connection.close()

    def abandon(self) -> None:
        """Forget the connection in a child process: its socket is closed here, and nothing is said over it."""
        self._abandoned = True
        with suppress(psycopg.Error, OSError):
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            # In its place, so that the number is nobody else's while libpq remembers it. Were the socket left open, the
            # server would not notice the parent's death as long as the child lives.
            os.dup2(null, self._connection.fileno(), inheritable=False)
            os.close(null)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def begin(self, statement: str) -> None:
        """Begin a transaction with the next statement."""
        self._begin, self._xid, self._in_transaction = statement, "", True

    def run(self, work: Work, *, together: bool = False) -> None:
        """Run statements; where the connection was lost before the transaction began, over a new one.

        Args:
            work: Executes statements on the connection it is given; may be called twice.
            together: It waits for no answer, so they may go out in one piece.

        Raises:
            psycopg.Error: What the server said. Nothing of a transaction survives the loss of its connection.
        """
        begin = self._begin
        try:
            self._run(work, together)
        except psycopg.Error as error:
            if not self._lost_by(error) or (self._in_transaction and not begin):
                raise
            self._reopen(time.monotonic() + self._timeout_s)
            self._begin = begin
            self._run(work, together)

    def _run(self, work: Work, together: bool) -> None:
        begin, self._begin = self._begin, ""
        if not begin:
            if together:
                _pipelined(self._connection, work)
            else:
                work(self._connection)
            return
        asked: list[psycopg.Cursor[Any]] = []

        def begin_and_work(connection: psycopg.Connection[Any]) -> None:
            connection.execute(begin)
            if self._writes:
                asked.append(connection.execute("SELECT pg_current_xact_id()::text"))
            work(connection)

        _pipelined(self._connection, begin_and_work)
        if asked:
            self._xid = _only(asked[0])

    def end(self, statement: str) -> None:
        """COMMIT or ROLLBACK.

        Raises:
            psycopg.Error: Nothing was written.
            CommitInDoubt: The connection was lost in this moment, and the server does not come back to say what it wrote.
        """
        begin, xid = self._begin, self._xid
        self._begin, self._xid, self._in_transaction = "", "", False
        if begin:
            return  # nothing was sent
        try:
            done = self._connection.execute(statement)
        except psycopg.Error as error:
            if statement != "COMMIT" or not xid or not self._lost_by(error):
                raise
            self._find_out(xid, error)
            return
        if statement == "COMMIT" and done.statusmessage != "COMMIT":
            raise psycopg.InternalError("the transaction had failed before, so nothing was written")

    def _find_out(self, xid: str, lost: psycopg.Error) -> None:
        """Return if a transaction whose COMMIT got no answer was committed.

        Raises:
            psycopg.Error: It was not, and never will be.
            CommitInDoubt: Nobody knows.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                self._reopen(deadline)
                status = _only(self._connection.execute("SELECT pg_xact_status(%s::xid8)", (xid,)))
            except psycopg.Error as error:
                if time.monotonic() < deadline and self._lost_by(error):
                    continue
                problem = problem_of(error, self._name, self._timeout_s)
                raise CommitInDoubt(
                    self._name,
                    "the connection was lost while a commit was on its way, and the server has not come back to say "
                    f"whether that was written ({problem}).",
                ) from lost
            if status == "committed":
                return
            if status != "in progress":
                raise lost
            if time.monotonic() > deadline:
                raise CommitInDoubt(self._name, "the transaction of a lost connection has not ended yet.") from lost
            time.sleep(_AGAIN_S)  # the server tells nobody when it gives up a connection that was cut

    def _lost_by(self, error: psycopg.Error) -> bool:
        return self._connection.closed or is_away(error)

    def _reopen(self, deadline: float) -> None:
        """A new connection, waiting for a server that is starting again.

        Raises:
            psycopg.Error: It cannot be had.
        """
        self._connection.close()
        while True:
            try:
                self._connection = self._open()
                return
            except psycopg.Error as error:
                if time.monotonic() > deadline or not is_away(error):
                    raise
            time.sleep(_AGAIN_S)  # a server tells nobody that it is back


def _only(cursor: psycopg.Cursor[Any]) -> str:
    """The one value that a query gives."""
    row = cursor.fetchone()
    return "" if row is None else str(row[0])


class PostgresCursor:
    """The part of a DB-API cursor that the store uses."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._cursor: psycopg.Cursor[Any] | None = None

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return -1 if self._cursor is None else self._cursor.rowcount

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> None:
        """Run a statement."""
        if sql in ("COMMIT", "ROLLBACK"):
            self.session.end(sql)
        elif sql.startswith("BEGIN"):
            self.session.begin(sql)
        else:
            self.session.run(lambda connection: self._run(connection, sql, parameters))

    def _run(self, connection: psycopg.Connection[Any], sql: str, parameters: Sequence[Any]) -> None:
        self._cursor = connection.cursor()
        self._cursor.execute(sql, parameters or None)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> None:
        """Run a statement for each row; ``rowcount`` is the sum."""
        self.session.run(lambda connection: self._run_many(connection, sql, parameters))

    def _run_many(self, connection: psycopg.Connection[Any], sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._cursor = connection.cursor()
        self._cursor.executemany(sql, parameters)

    def fetchone(self) -> Any:
        """The next row, or ``None``."""
        assert self._cursor is not None
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """All rows left."""
        assert self._cursor is not None
        return self._cursor.fetchall()


class _Statement(NamedTuple):
    sql: Sql
    rows: Sequence[Sequence[Any]]
    check: Check | None
    """Takes the number of rows since the last one that is first."""
    is_first: bool


class Pipeline:
    """Statements that go out in one piece; see ``backend.Together``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._statements: list[_Statement] = []

    def run(self, sql: Sql, rows: Sequence[Sequence[Any]], check: Check | None = None) -> None:
        """Put a statement into the piece."""
        if not rows and check is not None:
            check(0)
        for begin in range(0, len(rows), _PIECE):
            piece = rows[begin : begin + _PIECE]
            last = begin + _PIECE >= len(rows)
            self._statements.append(_Statement(sql, piece, check if last else None, is_first=begin == 0))

    def finish(self) -> None:
        """Send it, then look at the answers in order: the first one that is wrong is what went wrong."""
        statements, self._statements = self._statements, []
        cursors: list[psycopg.Cursor[Any]] = []

        def work(connection: psycopg.Connection[Any]) -> None:
            cursors.clear()
            for sql, rows, _, _ in statements:
                cursors.append(connection.cursor())
                if len(rows) == 1:
                    cursors[-1].execute(sql.text, rows[0])
                elif sql.bulk:
                    cursors[-1].execute(sql.bulk, [list(values) for values in zip(*rows, strict=True)])
                else:
                    cursors[-1].executemany(sql.text, rows)

        failed: psycopg.Error | None = None
        try:
            self._session.run(work, together=True)
        except psycopg.Error as error:
            if self._session.is_lost:
                raise
            failed = error
        count = 0
        for statement, cursor in zip(statements, cursors, strict=False):
            if cursor.pgresult is None or cursor.pgresult.status != psycopg.pq.ExecStatus.COMMAND_OK:
                break  # it failed, or one before it did
            count = cursor.rowcount + (0 if statement.is_first else count)
            if statement.check is not None:
                statement.check(count)
        if failed is not None:
            raise failed


class _Unflushed(psycopg.Pipeline):
    """A pipeline that ends with its Sync.

    psycopg lets a Flush follow it. The server takes that for the client's next word, stops the clock of
    ``idle_in_transaction_session_timeout`` for it, and does not start it again.
    """

    def _fetch_gen(self, *, flush: bool) -> Any:
        if flush:
            yield from send(self.pgconn)  # what does not fit into the socket's buffer waits on this side
        yield from super()._fetch_gen(flush=False)


def _pipelined(connection: psycopg.Connection[Any], work: Work) -> None:
    """Do work that waits for no answer, then take all answers.

    Raises:
        psycopg.Error: The first error; cursors of statements before it have their results.
    """
    first: psycopg.Error | None = None
    try:
        connection._pipeline = _Unflushed(connection)  # there is no public way to give it one
        with connection.pipeline():
            # In here: of an error that leaves the block, psycopg would log what comes after it as ignored.
            try:
                work(connection)
            except psycopg.Error as error:
                first = error
    except psycopg.Error as error:
        first = first or error
    if first is not None:
        raise first
