"""Which store is meant: a URL, a path, ``memory``, or nothing, which is the user's own.

Imports no database library before a store of its kind is opened.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from trialist.core.errors import StoreError, UnknownName, UserError
from trialist.core.ports import Store
from trialist.registry import load, names
from trialist.store.files import data_dir

MEMORY = "memory"
SUFFIXES = (".db", ".sqlite", ".sqlite3")
ENVIRONMENT = "TRIALIST_STORE"
_SECRETS = ("password", "sslpassword", "oauth_client_secret")
"""Options of a PostgreSQL URL that are shown to nobody."""
_ALIASES = {"postgres": "postgresql"}
"""Other spellings of a URL's scheme."""


def scheme_of(url: str) -> str:
    """The registered name of the store that a URL is for: ``postgresql`` for ``postgres://…``, ``postgresql+psycopg://…``."""
    scheme = url.partition(":")[0].partition("+")[0]
    return _ALIASES.get(scheme, scheme)


def default_url() -> str:
    """What ``TRIALIST_STORE`` names, else the SQLite file in the user's data directory; touches nothing."""
    named = os.environ.get(ENVIRONMENT, "")
    return store_url(named) if named else f"sqlite:///{data_dir() / 'trialist.db'}"


def store_url(where: str | os.PathLike[str] | None) -> str:
    """The URL of the store that is meant; touches nothing.

    Args:
        where: ``None`` for the default, ``"memory"``, a URL (``sqlite:///…``, ``postgresql://…``), or a path that ends in
            ``.db``, ``.sqlite`` or ``.sqlite3``.

    Raises:
        UserError: It is none of these; offers the nearest.
    """
    if where is None:
        return default_url()
    text = os.fspath(where)
    scheme, colon, _ = text.partition("://")
    if colon:
        known = names("store")
        if scheme_of(text) not in known:
            raise UnknownName("store", scheme, known)
        return text
    if text in names("store") and not text.endswith(SUFFIXES):
        if text == MEMORY:
            return text
        if text == "postgresql":
            raise UserError("store 'postgresql': say where, e.g. postgresql://user@host/database.")
        raise UserError(f"store '{text}': say where, e.g. {text}:///trialist.db, or give a path ending in .db.")
    if not text.endswith(SUFFIXES):
        raise UserError(
            f"'{text}' names no store: give 'memory', a URL such as sqlite:////data/trialist.db, or a path that ends in "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}."
        )
    return f"sqlite:///{Path(text).expanduser().absolute()}"


def open_store(
    where: str | os.PathLike[str] | None = None, *, create: bool = True, timeout_s: float | None = None
) -> Store:
    """The store that is meant (``store_url``), opened.

    Args:
        where: As for ``store_url``.
        create: False: a database that is not there is an error.
        timeout_s: How long a call may wait for other writers, and for a server that is away, where the store is one of
            SQL's; ``None``: the store's own.

    Raises:
        UserError: ``where`` names no store.
        StoreError: It cannot be opened; says why.
        MissingExtra: Its driver is not installed.
    """
    url = store_url(where)
    name = scheme_of(url)
    kind: Any = load("store", name)
    options: dict[str, Any] = {"create": False} if name == "sqlite" and not create else {}
    if timeout_s is not None and name in ("sqlite", "postgresql"):
        options["timeout_s"] = timeout_s
    store: Store = kind(url, **options)
    return store


def public_url(url: str) -> str:
    """A store's URL in one spelling and without secrets, as it may be shown and written down; touches nothing.

    Raises:
        StoreError: It cannot be read.
    """
    if scheme_of(url) != "postgresql":
        return url
    parts = split_url(url)
    who, _, where = parts.netloc.rpartition("@")
    user = who.partition(":")[0]
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in _SECRETS]
    query = urlencode(kept, quote_via=quote, safe="")
    return f"postgresql://{user}{'@' if user else ''}{where}{parts.path}" + (f"?{query}" if query else "")


def split_url(url: str) -> SplitResult:
    """The parts of a PostgreSQL URL.

    Raises:
        StoreError: It has none.
    """
    if "\0" in url:
        raise StoreError("postgresql", "a URL cannot hold a NUL.")
    try:
        return urlsplit(f"postgresql://{url.partition('://')[2]}")
    except ValueError as error:
        raise StoreError("postgresql", f"this URL cannot be read: {error}.") from None
