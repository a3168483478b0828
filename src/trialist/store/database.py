"""Opening a database: empty, ours, ours of another age, or somebody else's.

An empty one is made into a store in one transaction; one of another schema is left exactly as it is, with the way out
named. Upgrading is ``store.upgrade``'s.
"""

from __future__ import annotations

from trialist._version import __version__
from trialist.core import faults
from trialist.core.errors import SchemaMismatch, StoreError
from trialist.store.backend import Backend, Connection
from trialist.store.schema import SCHEMA_VERSION, create_statements, version

VERSION_QUERY = f"SELECT version_num FROM {version.name}"  # noqa: S608


def prepare(backend: Backend) -> None:
    """Make sure that a database is a store of the present schema, and make it one if it is empty.

    Raises:
        SchemaMismatch: It is a store of another schema.
        StoreError: It is something else, or cannot be used.
    """
    try:
        connection = backend.connect(writes=True)
        try:
            if not backend.tables(connection):
                backend.settle(connection)
                _create(backend, connection)
            check_version(backend, connection)
            backend.settle(connection)
        finally:
            connection.close()
    except backend.errors as error:
        raise backend.translate(error) from error


def _create(backend: Backend, connection: Connection) -> None:
    cursor = connection.cursor()
    cursor.execute(backend.begin_write)
    try:
        backend.lock_schema(cursor)
        # Another process may have been here since we looked.
        if not backend.tables(connection):
            for statement in create_statements(backend.dialect):
                faults.point("store.schema.statement")
                cursor.execute(statement)
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise


def check_version(backend: Backend, connection: Connection) -> None:
    """Raise unless the database is a store of the present schema."""
    found = schema_of(backend, connection)
    if found == SCHEMA_VERSION:
        return
    if found < SCHEMA_VERSION:
        raise SchemaMismatch(
            backend.name,
            f"made by an older Trialist (schema {found}; this one, {__version__}, needs {SCHEMA_VERSION}). Upgrade it, "
            f"after a backup, with: trialist db upgrade {backend.name}",
        )
    raise SchemaMismatch(
        backend.name,
        f"made by a newer Trialist: it has schema {found}, and this one, {__version__}, knows schemas up to "
        f"{SCHEMA_VERSION}. Install a version that knows it: pip install --upgrade trialist",
    )


def schema_of(backend: Backend, connection: Connection) -> str:
    """The schema's revision.

    Raises:
        StoreError: The database is no store of Trialist's.
    """
    names = backend.tables(connection)
    if not names:
        raise StoreError(backend.name, "this database is empty: there is no store in it yet.")
    cursor = connection.cursor()
    row = None
    if version.name in names and "studies" in names:
        cursor.execute(VERSION_QUERY)
        row = cursor.fetchone()
    found = None if row is None else row[0]  # of any type, where the file is damaged
    if not (isinstance(found, str) and len(found) == len(SCHEMA_VERSION) and found.isdigit()):
        some = ", ".join(sorted(names)[:4])
        raise StoreError(
            backend.name, f"this database belongs to something else (its tables: {some}). Give another one."
        )
    return found
