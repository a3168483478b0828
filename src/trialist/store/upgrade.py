"""Upgrading a database to the present schema: backup first where it is a file, then all steps in one transaction.

A kill at any instant leaves the old schema or the new one. Imported by nothing but the command that upgrades, so that
Alembic is loaded for nothing else.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from trialist.core import faults
from trialist.core.errors import StoreError
from trialist.store import rows
from trialist.store.backend import Backend
from trialist.store.database import VERSION_QUERY, check_version, schema_of
from trialist.store.holders import LeaseState
from trialist.store.locate import scheme_of
from trialist.store.schema import SCHEMA_VERSION
from trialist.store.sql import backend_of
from trialist.store.sqlite import SqliteBackend

SCRIPTS = Path(__file__).with_name("migrations")


class Upgraded(NamedTuple):
    """What an upgrade did."""

    was: str
    now: str
    backup: Path | None
    """``None``: there was nothing to do, or it is a database on a server, which has ways of its own (``pg_dump``)."""


def upgrade(url: str, *, timeout_s: float = 30.0) -> Upgraded:
    """Bring a database to the present schema; does nothing to one that is there already.

    The backup of a file lies beside it, complete and synced before anything is altered. A database on a server is not
    copied: that is for whoever runs the server.

    Raises:
        StoreError: It is no store, a study in it is being led, or it cannot be used; nothing was altered.
        SchemaMismatch: A newer Trialist made it.
    """
    if scheme_of(url) == "postgresql":
        return _upgrade_server(url, timeout_s)
    backend = SqliteBackend(url, create=False, timeout_s=timeout_s)
    try:
        with closing(backend.connect(writes=True)) as raw:
            was = schema_of(backend, raw)
            if was >= SCHEMA_VERSION:
                check_version(backend, raw)
                return Upgraded(was, was, None)
            with _alone(raw) as connection:
                _refuse_led(backend, connection)
                backup = back_up(backend, was)
                faults.point("store.upgrade.backed_up")
                run_scripts(connection)
            backend.settle(raw)
            return Upgraded(was, SCHEMA_VERSION, backup)
    except DBAPIError as error:
        raise backend.translate(error.orig if isinstance(error.orig, Exception) else error) from error
    except backend.errors as error:
        raise backend.translate(error) from error


def _upgrade_server(url: str, timeout_s: float) -> Upgraded:
    backend: Any = backend_of(url, timeout_s=timeout_s)
    try:
        with closing(backend.connect(writes=True)) as session:
            was = schema_of(backend, session)
            if was >= SCHEMA_VERSION:
                check_version(backend, session)
                return Upgraded(was, was, None)
        with _server(backend) as connection:
            # Another process may have been here since we looked; it holds this lock for as long as its transaction lasts.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({backend.schema_lock})")
            now = connection.exec_driver_sql(VERSION_QUERY).scalar_one()
            if now < SCHEMA_VERSION:
                connection.exec_driver_sql("LOCK TABLE studies IN ACCESS EXCLUSIVE MODE")
                _refuse_led(backend, connection)
                run_scripts(connection)
        return Upgraded(now, SCHEMA_VERSION, None)
    except DBAPIError as error:
        raise backend.translate(error.orig if isinstance(error.orig, Exception) else error) from error
    except backend.errors as error:
        raise backend.translate(error) from error


@contextmanager
def _server(backend: Any) -> Iterator[Connection]:
    """One transaction on a server, however long it takes; rolled back when anything is raised inside."""

    def connect() -> Any:
        raw = backend.open(writes=True)
        raw.execute("SET idle_in_transaction_session_timeout = 0")
        raw.autocommit = False
        return raw

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


@contextmanager
def _alone(raw: Any) -> Iterator[Connection]:
    """One transaction during which nobody else writes."""
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection  # leaving by an exception closes the connection, which rolls back
        connection.commit()


def _refuse_led(backend: Backend, connection: Connection) -> None:
    """An engine that runs on the old schema would fail in the middle of its study."""
    found = connection.exec_driver_sql("SELECT name, epoch, holder, boot_until, wall_until FROM studies")
    for name, epoch, holder, boot_until, wall_until in found:
        leader = LeaseState(epoch, rows.read_holder(holder), boot_until, wall_until, backend.now).leader()
        if leader is not None:
            raise StoreError(backend.name, f"study '{name}' is led by {leader}: let it end, or pause it, then upgrade.")


def run_scripts(connection: Connection) -> None:
    """Run the migrations that are due, inside the caller's transaction and without committing."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)

    def due(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs("head", revision)

    # Alembic's own way for callers without an env.py: see "Programmatic API use" in its cookbook.
    with EnvironmentContext(config, scripts, fn=due) as environment:
        environment.configure(connection=connection, render_as_batch=True)
        environment.run_migrations()
    faults.point("store.upgrade.migrated")


def back_up(backend: SqliteBackend, was: str) -> Path:
    """A copy of the file as it was last committed, complete under its name or not there at all.

    Raises:
        StoreError: There is no place for it.
    """
    path = backend.path
    target = path.with_name(f"{path.name}.{was}-{time.strftime('%Y%m%dT%H%M%S')}.backup")
    partial = target.with_name(target.name + ".partial")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        partial.chmod(path.stat().st_mode & 0o777)
        _sync(partial)
        faults.point("store.upgrade.partial")
        partial.replace(target)
        _sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            backend.name, f"cannot make a backup beside it ({error.strerror}); nothing was altered."
        ) from error
    except sqlite3.Error:
        partial.unlink(missing_ok=True)
        raise
    return target


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
