"""The tables of the SQL store, in SQLAlchemy's words, for SQLite and PostgreSQL alike.

Everything of a study hangs on its ``sid``, an integer that is never given twice, so that a deleted study's rows can never
be taken for a new one's. What is searched or sorted by has a column; all else is JSON in text (``store.rows``), ASCII
only, so that no character set and no NUL can get lost. No foreign keys: one commit writes parents and children together,
and the delete of a study names its tables itself. Knows no connection.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

SCHEMA_VERSION = "0002"
"""The newest revision in ``store/migrations/versions``."""

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(column_0_N_label)s",
    }
)


def _string(length: int) -> TypeEngine[str]:
    return String(length).with_variant(String(length, collation="C"), "postgresql")


# Byte by byte in PostgreSQL, as in SQLite: an update of the server's C library may change a language's order of letters, and
# damages every index that was built in the old one.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# SQLite gives out ascending row ids only for a column that is INTEGER and nothing else.
_SID = Integer().with_variant(BigInteger(), "postgresql")


def _of_study() -> Column[int]:
    return Column("sid", _SID, primary_key=True, autoincrement=False)


studies = Table(
    "studies",
    METADATA,
    Column("sid", _SID, primary_key=True, autoincrement=True),
    Column("id", _string(32), nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("folded", _TEXT, nullable=False, comment="the name, case folded, for search"),
    Column("status", _string(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, comment="JSON; null: nobody holds the lease"),
    Column("boot_until", Double, nullable=False),
    Column("wall_until", Double, nullable=False),
    Column("state", Text, nullable=False, comment="JSON: what its events add up to, and its budget"),
    UniqueConstraint("id"),
    UniqueConstraint("name"),
    sqlite_autoincrement=True,
)
"""The row that every commit rewrites, so it is small."""
STUDIES_BY_STATUS = Index("ix_studies_status", studies.c.status, studies.c.sid)

line = Table(
    "line",
    METADATA,
    _of_study(),
    Column("since", Double, nullable=False),
    sqlite_with_rowid=False,
)
"""What workers have to do: a row a study, only while it is queued or running for them. As short as there is little work."""
LINE_BY_SINCE = Index("ix_line_since", line.c.since, line.c.sid)

specs = Table(
    "specs",
    METADATA,
    _of_study(),
    Column("spec", Text, nullable=False, comment="JSON, without the budget"),
    sqlite_with_rowid=False,
)
"""What a study was made with: may be large, and is written once."""

trials = Table(
    "trials",
    METADATA,
    _of_study(),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("status", _string(16), nullable=False),
    Column("rank", Double, comment="the value, lower is better; null: none, not finite, or infeasible"),
    Column("params", Text, nullable=False, comment="JSON; written once"),
    Column("origin", Text, nullable=False, comment="JSON: where it came from; written once"),
    Column("state", Text, nullable=False, comment="JSON: how far it is"),
    sqlite_with_rowid=False,
)
TRIALS_BY_STATUS = Index("ix_trials_status", trials.c.sid, trials.c.status, trials.c.number)
TRIALS_BY_RANK = Index("ix_trials_rank", trials.c.sid, trials.c.status, trials.c.rank, trials.c.number)

attempts = Table(
    "attempts",
    METADATA,
    _of_study(),
    Column("trial", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("start", Text, nullable=False, comment="JSON"),
    Column("ending", Text, comment="JSON; null: it runs"),
    sqlite_with_rowid=False,
)

reports = Table(
    "reports",
    METADATA,
    _of_study(),
    Column("trial", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("metrics", Text, nullable=False, comment="JSON"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    METADATA,
    _of_study(),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", _string(32), nullable=False),
    Column("body", Text, nullable=False, comment="JSON"),
    sqlite_with_rowid=False,
)
EVENTS_BY_KIND = Index("ix_events_kind", events.c.sid, events.c.kind, events.c.seq)

commands = Table(
    "commands",
    METADATA,
    _of_study(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", _TEXT, nullable=False),
    Column("status", _string(16), nullable=False),
    Column("request", Text, nullable=False, comment="JSON"),
    Column("answer", Text, comment="JSON; null: pending"),
    UniqueConstraint("sid", "key"),
    sqlite_with_rowid=False,
)
_PENDING = text("status = 'pending'")
COMMANDS_PENDING = Index(
    "ix_commands_pending", commands.c.sid, commands.c.id, sqlite_where=_PENDING, postgresql_where=_PENDING
)

checkpoints = Table(
    "checkpoints",
    METADATA,
    _of_study(),
    Column("id", _TEXT, primary_key=True),
    Column("trial", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="of its event"),
    Column("data", Text, nullable=False, comment="JSON"),
    sqlite_with_rowid=False,
)
CHECKPOINTS_BY_TRIAL = Index("ix_checkpoints_trial", checkpoints.c.sid, checkpoints.c.trial, checkpoints.c.seq)

workers = Table(
    "workers",
    METADATA,
    Column("id", _string(32), primary_key=True),
    Column("seen_at", Double, nullable=False),
    Column("data", Text, nullable=False, comment="JSON"),
    sqlite_with_rowid=False,
)
"""Those that lead queued studies; of no study."""
WORKERS_BY_SEEN = Index("ix_workers_seen", workers.c.seen_at)

version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", _string(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, in a metadata of its own: migrations must not see it."""


MANY_KINDS = ("studies.status", "trials.status", "events.kind", "commands.status")
"""Columns of which PostgreSQL is told that they hold a thousand values.

It would count one, where all trials are completed, and walk the whole study by number in search of a failed one.
"""


def create_statements(dialect: Dialect) -> list[str]:
    """The SQL that makes an empty database into a store of ``SCHEMA_VERSION``."""
    tables = [*METADATA.sorted_tables, version]
    made = [str(CreateTable(table).compile(dialect=dialect)) for table in tables]
    indexes = sorted((index for table in tables for index in table.indexes), key=lambda index: str(index.name))
    made += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    if dialect.name == "postgresql":
        for table, column in (name.split(".") for name in MANY_KINDS):
            made.append(f"ALTER TABLE {table} ALTER COLUMN {column} SET (n_distinct = 1000)")
    # All are constants of ours; DDL takes no parameters.
    return [*made, f"INSERT INTO {version.name} (version_num) VALUES ('{SCHEMA_VERSION}')"]  # noqa: S608
