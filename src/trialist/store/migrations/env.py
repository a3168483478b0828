"""Run by Alembic: hands it the connection that ``store.upgrade`` holds, inside that one's transaction."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # One transaction for all steps, ours: a database is at the old schema or at the new one, never between.
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
