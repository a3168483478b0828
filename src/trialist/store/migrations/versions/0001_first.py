"""The first schema.

A script is never changed once it was released: it says what the schema was, not what it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SID = sa.Integer().with_variant(sa.BigInteger(), "postgresql")

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _string(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _of_study() -> sa.Column[int]:
    return sa.Column("sid", _SID, autoincrement=False, nullable=False)


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "studies",
        sa.Column("sid", _SID, autoincrement=True, nullable=False),
        sa.Column("id", _string(32), nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("folded", _TEXT, nullable=False),
        sa.Column("status", _string(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text()),
        sa.Column("boot_until", sa.Double(), nullable=False),
        sa.Column("wall_until", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid", name="pk_studies"),
        sa.UniqueConstraint("id", name="uq_studies_id"),
        sa.UniqueConstraint("name", name="uq_studies_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_studies_status", "studies", ["status", "sid"])
    op.create_table(
        "specs",
        _of_study(),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid", name="pk_specs"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "trials",
        _of_study(),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", _string(16), nullable=False),
        sa.Column("rank", sa.Double()),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid", "number", name="pk_trials"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trials_status", "trials", ["sid", "status", "number"])
    op.create_index("ix_trials_rank", "trials", ["sid", "status", "rank", "number"])
    op.create_table(
        "attempts",
        _of_study(),
        sa.Column("trial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("ending", sa.Text()),
        sa.PrimaryKeyConstraint("sid", "trial", "attempt", name="pk_attempts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reports",
        _of_study(),
        sa.Column("trial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid", "trial", "attempt", "step", name="pk_reports"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        _of_study(),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", _string(32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid", "seq", name="pk_events"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_events_kind", "events", ["sid", "kind", "seq"])
    op.create_table(
        "commands",
        _of_study(),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("status", _string(16), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.PrimaryKeyConstraint("sid", "id", name="pk_commands"),
        sa.UniqueConstraint("sid", "key", name="uq_commands_sid_key"),
        sqlite_with_rowid=False,
    )
    pending = sa.text("status = 'pending'")
    op.create_index("ix_commands_pending", "commands", ["sid", "id"], sqlite_where=pending, postgresql_where=pending)
    op.create_table(
        "checkpoints",
        _of_study(),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("trial", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sid", "id", name="pk_checkpoints"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_checkpoints_trial", "checkpoints", ["sid", "trial", "seq"])
    if op.get_bind().dialect.name == "postgresql":
        for table, column in (("studies", "status"), ("trials", "status"), ("events", "kind"), ("commands", "status")):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET (n_distinct = 1000)")
