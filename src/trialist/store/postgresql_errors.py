"""What PostgreSQL's errors mean to a user: one sentence each, with what to do. Knows no connection.

Server and driver name an error by its SQLSTATE, but for those that refuse a connection: of these there is only the text,
which is looked through for the words of an English server.
"""

from __future__ import annotations

import re

from trialist.core.errors import InternalError, MissingExtra, StoreBusy, StoreError, StoreFull, TrialistError

try:
    import psycopg
    from psycopg.generators import send
    from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
except ModuleNotFoundError as error:
    raise MissingExtra("a store on PostgreSQL", "postgres", "psycopg") from error
except ImportError as error:  # it is there, and neither its binary part nor a libpq is
    raise MissingExtra("a store on PostgreSQL", "postgres", "psycopg_binary") from error

__all__ = ["Int8BinaryDumper", "Int8Dumper", "is_away", "problem_of", "psycopg", "send"]

_AWAY = ("57P01", "57P02", "57P03", "57P05", "25P03", "53300", "08000", "08001", "08003", "08004", "08006", "08P01")
"""The server ended the connection, is starting or stopping, or has no room for one more now."""
_AWAY_WORDS = ("starting up", "shutting down", "in recovery mode", "not yet accepting", "too many clients", "slots are")
_TRY_AGAIN = "Nothing of this call was written; trying again may help."


def is_away(error: Exception) -> bool:
    """Whether the server may answer a new connection soon, after this error."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    if error.sqlstate is not None:
        return error.sqlstate in _AWAY
    text = str(error)
    return not _is_hopeless(text) and ("FATAL" not in text or any(words in text for words in _AWAY_WORDS))


def _is_hopeless(text: str) -> bool:
    words = ("failed to resolve host", "could not translate host name", "sslmode", "certificate")
    return any(word in text for word in words)


def problem_of(error: Exception, name: str, timeout_s: float) -> TrialistError:
    """The error of ours for one of the driver's.

    Args:
        error: What the driver raised.
        name: What the database is called, without a password.
        timeout_s: How long locks were waited for.
    """
    if isinstance(error, OverflowError):
        return InternalError(f"{name}: a number does not fit into 64 bits: {error}")
    if isinstance(error, UnicodeEncodeError):
        return InternalError(f"{name}: a text is no valid Unicode: {error}")
    state = getattr(error, "sqlstate", None) or ""
    said = _line(error)
    if not state:
        return _of_connection(said, name) if isinstance(error, psycopg.OperationalError) else _defect(said, name)
    match state:
        case "55P03" | "57014":
            return StoreBusy(name, f"another process kept a study of it locked for {timeout_s:g} s.")
        case "40001" | "40P01":
            return StoreBusy(name, f"another process was in the way ({said}). {_TRY_AGAIN}")
        case "53100":
            return StoreFull(name, "no space left on the server's disk. What was acknowledged is safe; make room.")
        case "53200":
            return StoreBusy(name, f"the server is out of memory. {_TRY_AGAIN}")
        case "53300":
            return _too_many(name)
        case "25006":
            return StoreError(
                name,
                "it can be read but not written: a standby, or a database set to read-only. Give the URL of the primary "
                "(several hosts and target_session_attrs=read-write find it).",
            )
        case "42501":
            return StoreError(name, f"this user may not do that: {said}. See GRANT, or give another user in the URL.")
        case "42P01" | "42703" | "3F000":
            return StoreError(name, f"its tables are not there any more ({said}): restore a backup.")
        case "54000":
            return StoreError(name, f"a name or key is too long for its index: {said}.")
        case "58030" | "XX001" | "XX002":
            return StoreError(name, f"the server reports damage: {said}. Restore a backup.")
        case "28P01" | "28000" | "3D000":
            return _of_connection(said, name)
    if state in _AWAY or state.startswith("08"):
        return StoreBusy(name, f"the connection was lost ({said}). {_TRY_AGAIN}")
    if state[:2] in ("22", "23", "42"):
        return _defect(said, name)
    return StoreError(name, f"PostgreSQL says: {said} ({state}).")


def _of_connection(said: str, name: str) -> TrialistError:
    """A connection that could not be had, or that was cut."""
    text = said.lower()
    if "password" in text and ("no password" in text or ("failed" in text and "authentication" in text)):
        return StoreError(
            name,
            f"the server lets this user in with the right password only ({_tail(said)}). Put it into ~/.pgpass, "
            "PGPASSWORD or the URL.",
        )
    if "no pg_hba.conf entry" in text or "authentication failed" in text or ("role" in text and "not exist" in text):
        return StoreError(name, f"the server does not let this user in: {_tail(said)}.")
    if "database" in text and "not exist" in text:
        return StoreError(name, f"{_tail(said)}. Make it, e.g. with createdb, or give another URL.")
    if any(words in text for words in ("too many clients", "slots are", "too many connections")):
        return _too_many(name)
    if any(words in text for words in _AWAY_WORDS):
        return StoreBusy(name, f"{_tail(said)}. {_TRY_AGAIN}")
    if _is_hopeless(text):
        return StoreError(name, f"no connection: {_tail(said)}. Look at the URL.")
    if "connection failed" in text or "connection refused" in text or "timeout expired" in text:
        return StoreBusy(
            name, f"no server answers there ({_tail(said)}). Is it running, and are host and port in the URL right?"
        )
    return StoreBusy(name, f"the connection was lost ({_tail(said)}). {_TRY_AGAIN}")


def _too_many(name: str) -> StoreBusy:
    return StoreBusy(
        name,
        "the server has no free connection: each process needs two or three. Raise its max_connections, end others, or "
        "try again.",
    )


def _defect(said: str, name: str) -> InternalError:
    return InternalError(f"{name}: rows contradict what is stored: {said}")


def _line(error: Exception) -> str:
    """The first line of what the server said, without its full stop."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).strip().rstrip(".")


def _tail(said: str) -> str:
    """What a refused connection comes down to, without where it was tried."""
    text = re.sub(r"^connection (failed|is bad): ", "", said)
    text = re.sub(r"^connection to server .*? failed: ", "", text)
    return text.removeprefix("FATAL:").strip()
