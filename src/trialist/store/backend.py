"""What the SQL store needs to know of a database product: the small seam between SQLite and PostgreSQL.

All SQL is in ``store.statements``; here is only what cannot be said in it: how to connect, how a transaction begins, and
what the driver's errors mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy.engine import Dialect

from trialist.core.errors import StoreBusy, TrialistError
from trialist.store.compiling import Sql


class Cursor(Protocol):
    """The part of a DB-API cursor that is used here."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any:
        """Run a statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        """Run a statement for each row; ``rowcount`` is the sum."""
        ...

    def fetchone(self) -> Any:
        """The next row, or ``None``."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows left."""
        ...


class Connection(Protocol):
    """The part of a DB-API connection that is used here; outside of ``begin`` and COMMIT each statement is its own."""

    def cursor(self) -> Cursor:
        """A new cursor."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class CommitInDoubt(StoreBusy):
    """The connection was lost while a commit was on its way, and the server has not come back to say what became of it."""


Check = Callable[[int], None]
"""Takes the number of rows that a statement changed; raises where it is wrong."""


class Together(Protocol):
    """Statements of one transaction that may go out without waiting for each other's answers."""

    def run(self, sql: Sql, rows: Sequence[Sequence[Any]], check: Check | None = None) -> None:
        """Run a statement for each row, now or in ``finish``; then ``check`` is called, statement by statement.

        No two rows may concern the same row of a table.
        """
        ...

    def finish(self) -> None:
        """Wait until all were run and checked.

        Raises what the first check raised that was not content, or else the driver's first error.
        """
        ...


class Backend(Protocol):
    """A database product at one place."""

    url: str
    """Opens the same store again, from any directory."""
    name: str
    """What errors call it: a path, or a URL without its password."""
    dialect: Dialect
    """Compiles statements; positional parameters."""
    errors: tuple[type[Exception], ...]
    """What the driver raises."""
    begin_write: str
    begin_read: str
    timeout_s: float
    """How long a caller waits for the right to write before ``StoreBusy``."""

    def connect(self, *, writes: bool) -> Connection:
        """A connection in autocommit mode."""
        ...

    def now(self) -> float:
        """Seconds since the epoch, by one clock for all who share the database from different machines."""
        ...

    def check_place(self) -> None:
        """Look whether the writing connection still writes what the URL names; called before each transaction.

        Raises:
            StoreError: It does not: what is committed would be lost.
        """
        ...

    def tables(self, connection: Connection) -> set[str]:
        """Names of all tables."""
        ...

    def lock_schema(self, cursor: Cursor) -> None:
        """Keep everybody else from making or altering a schema until the transaction ends."""
        ...

    def together(self, cursor: Cursor) -> Together:
        """A new group of statements, for the transaction of this cursor."""
        ...

    def settle(self, connection: Connection) -> None:
        """What a database of ours is set to once and keeps; does nothing where it is so."""
        ...

    def translate(self, error: Exception) -> TrialistError:
        """What a driver's error means to a user."""
        ...

    def abandon(self, connection: Connection) -> None:
        """Forget a connection that was opened before a fork, in the child, without touching the parent's."""
        ...
