"""``trialist db upgrade`` and ``trialist db version``."""

from __future__ import annotations

from typing import Annotated

import typer

from trialist.cli.options import JsonOption, StoreOption, place
from trialist.cli.output import console, emit, say
from trialist.core.errors import UserError
from trialist.store.database import schema_of
from trialist.store.locate import public_url, scheme_of, store_url
from trialist.store.schema import SCHEMA_VERSION
from trialist.store.sql import backend_of
from trialist.store.upgrade import upgrade as upgrade_store

app = typer.Typer(
    help="The store's schema: its version, and upgrades.", add_completion=False, rich_markup_mode=None,
    no_args_is_help=False,
)  # fmt: skip
StoreArgument = Annotated[
    str | None, typer.Argument(metavar="[STORE]", help="The store, as for --store.", show_default=False)
]


@app.command()
def version(where: StoreArgument = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """The schema that a store has, and which is needed."""
    url = _with_schema(where or store)
    found = _schema(url)
    if as_json:
        emit({"store": public_url(url), "schema": found, "needed": SCHEMA_VERSION})
        return
    needed = "" if found == SCHEMA_VERSION else f"; this Trialist needs {SCHEMA_VERSION}"
    say(console(), f"{place(url)}: schema {found}{needed}")
    if found < SCHEMA_VERSION:
        say(console(), "  → trialist db upgrade")


@app.command()
def upgrade(where: StoreArgument = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Bring a store to the schema that is needed.

    A file is copied beside it first; a database on a server is not (see pg_dump). Everything happens in one transaction: an
    interrupted upgrade leaves the store as it was.
    """
    url = _with_schema(where or store)
    done = upgrade_store(url)
    backup = None if done.backup is None else str(done.backup)
    if as_json:
        emit({"store": public_url(url), "was": done.was, "now": done.now, "backup": backup})
    elif done.was == done.now:
        say(console(), f"{place(url)} has schema {done.now} already.")
    else:
        kept = "" if backup is None else f"; the backup is {backup}"
        say(console(), f"{place(url)}: schema {done.was} is now {done.now}{kept}")


def _with_schema(where: str | None) -> str:
    url = store_url(where)
    if scheme_of(url) not in ("sqlite", "postgresql"):
        raise UserError(f"'{url}' has no schema to look at: only SQLite and PostgreSQL stores have one.")
    return url


def _schema(url: str) -> str:
    backend = backend_of(url, create=False)
    try:
        connection = backend.connect(writes=False)
        try:
            return schema_of(backend, connection)
        finally:
            connection.close()
    except backend.errors as error:
        raise backend.translate(error) from error
