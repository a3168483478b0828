"""Workers, and the line of studies that they have to do.

A script is never changed once it was released: it says what the schema was, not what it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _string(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """No study of the first schema was ever handed to workers, so all stay out of the line."""
    op.create_table(
        "line",
        sa.Column("sid", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), autoincrement=False, nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sid", name="pk_line"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_line_since", "line", ["since", "sid"])
    op.create_table(
        "workers",
        sa.Column("id", _string(32), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_workers_seen", "workers", ["seen_at"])
