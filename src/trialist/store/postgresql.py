"""PostgreSQL as the SQL store's database, through psycopg.

Passwords stay in here: no public attribute, message or repr shows them. Whoever opens the store again by its URL in another
process has the password from where libpq looks for it (``PGPASSWORD``, ``~/.pgpass``, a service file).
"""

from __future__ import annotations

import time
from functools import partial
from typing import cast

from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect

from trialist.core.errors import StoreError, TrialistError
from trialist.store.backend import Connection, Cursor, Together
from trialist.store.holders import boot_time
from trialist.store.locate import public_url, split_url
from trialist.store.postgresql_errors import Int8BinaryDumper, Int8Dumper, problem_of, psycopg
from trialist.store.postgresql_session import BoundedConnection, Pipeline, PostgresCursor, Session

_IDLE_S = 10.0
"""How long a process that stands still inside a transaction may keep a study locked."""

# Every query of the store has its index, and is planned once a connection. Without statistics, as after a bulk load, the
# planner would rather sort a whole study than walk it in order.
_PLANS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}


class PostgresBackend:
    """A PostgreSQL database, which must be there; the tables in it need not.

    Args:
        url: ``postgresql://user@host:port/database?option=value``, as libpq takes it; what is left out comes from its
            environment (``PGHOST``, ``PGUSER`` …).
        timeout_s: How long to wait for other writers, and for a server that is away.

    Raises:
        StoreError: The URL cannot be read.
    """

    schema_lock = 0x7472_6961_6C69_7374
    """The advisory lock of those who make or alter a schema: ``trialist`` in ASCII."""
    begin_write = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    errors: tuple[type[Exception], ...] = (psycopg.Error, UnicodeEncodeError, OverflowError)

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        self.url = public_url(url)
        self.name = self.url
        self.dialect: Dialect = PGDialect(paramstyle="format")  # type: ignore[no-untyped-call]
        self.timeout_s = timeout_s
        self._clock = time.time() - boot_time()
        """What is to be added to the time since this machine started, which nobody sets; told by the server."""
        self._conninfo = _conninfo(url, self.url, timeout_s)

    def connect(self, *, writes: bool) -> Session:
        """A connection in autocommit mode."""
        return Session(self.name, self.timeout_s, partial(self.open, writes=writes), writes=writes)

    def open(self, *, writes: bool) -> BoundedConnection:
        """A connection as psycopg knows it, in autocommit mode, with the settings that the store needs."""
        connection = BoundedConnection.connect(self._conninfo, autocommit=True, prepare_threshold=0)
        try:
            connection.patience_s = 2 * self.timeout_s + 1
            connection.prepared_max = 500
            # Left to itself psycopg takes the smallest type for each number, and prepares a statement for each mixture.
            connection.adapters.register_dumper(int, Int8BinaryDumper)
            connection.adapters.register_dumper(int, Int8Dumper)
            connection.execute(self._settings(writes), prepare=False)
            self._set_clock(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_clock(self, connection: BoundedConnection) -> None:
        before = boot_time()
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        assert row is not None
        self._clock = row[0] - (before + boot_time()) / 2

    def now(self) -> float:
        """The server's clock, to some milliseconds: that of each client may be minutes off, and be set at any time."""
        return boot_time() + self._clock

    def _settings(self, writes: bool) -> str:
        settings = _PLANS | {
            "lock_timeout": str(max(1, int(self.timeout_s * 1000))),
            "idle_in_transaction_session_timeout": str(max(1, int(min(_IDLE_S, self.timeout_s / 2) * 1000))),
            "default_transaction_read_only": "off" if writes else "on",
        }
        # A SET takes no parameters; these are words and numbers of ours.
        said = [f"SET {name} = '{value}'" for name, value in settings.items()]
        # A database may have been told not to wait for its disk; what is acknowledged here survives a loss of power.
        said.append(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        return "; ".join(said)

    def check_place(self) -> None:
        """Nothing to look at: a connection leads to one database as long as it lives."""

    def tables(self, connection: Connection) -> set[str]:
        """Names of all tables in the schema in which new ones would be made."""
        cursor = connection.cursor()
        cursor.execute("SELECT current_schema()")
        if cursor.fetchone()[0] is None:
            raise StoreError(self.name, "no schema of its search_path is there to keep tables in: CREATE SCHEMA first.")
        cursor.execute("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()")
        return {row[0] for row in cursor.fetchall()}

    def lock_schema(self, cursor: Cursor) -> None:
        """Until the transaction ends, nobody else makes or alters a schema."""
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (self.schema_lock,))

    def settle(self, connection: Connection) -> None:
        """Nothing that a database is set to once."""

    def together(self, cursor: Cursor) -> Together:
        """Statements that go out in one piece."""
        return Pipeline(cast(PostgresCursor, cursor).session)

    def translate(self, error: Exception) -> TrialistError:
        """What a driver's error means to a user."""
        return problem_of(error, self.name, self.timeout_s)

    def abandon(self, connection: Connection) -> None:
        """Forget a parent's connection in the child."""
        cast(Session, connection).abandon()


def _conninfo(url: str, public: str, timeout_s: float) -> str:
    """What libpq connects with: the URL's own words, and ours where it has none.

    Raises:
        StoreError: It is no connection URL; the password is not repeated.
    """
    ours = {
        "application_name": "trialist",
        "connect_timeout": str(max(2, min(10, int(timeout_s)))),
        "client_encoding": "UTF8",
        # A machine that vanished from the network is noticed in this time, not after hours.
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": str(max(1, int(timeout_s)) * 1000),
    }
    try:
        given = psycopg.conninfo.conninfo_to_dict(f"postgresql://{url.partition('://')[2]}")
    except psycopg.Error as error:
        secret = split_url(url).password or ""
        said = str(error).strip().partition("\n")[0]
        said = said.replace(secret, "…") if secret else said
        raise StoreError(
            public, f"this URL cannot be read: {said}. See postgresql://user@host:port/database."
        ) from None
    return psycopg.conninfo.make_conninfo("", **{**ours, **given})
