"""Statements compiled once for a dialect and run as plain strings.

Compiling ahead keeps SQLAlchemy's portability and none of its cost: a commit runs a handful of prepared strings over the
driver's own cursor. Knows no table and no connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Select, Table, bindparam, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable, Insert, Update


class Sql(NamedTuple):
    """A statement in the driver's own words."""

    text: str
    order: tuple[str, ...]
    """Names of the bound values, in the order in which the driver wants them."""
    constants: Mapping[str, Any] = {}
    """Values that the statement brings along."""
    bulk: str = ""
    """The same for many rows at once, given as an array of values for each name in ``order``; empty: there is none."""

    def bind(self, **values: Any) -> tuple[Any, ...]:
        """The values in order."""
        constants = self.constants
        return tuple([values[name] if name in values else constants[name] for name in self.order])


class Statements:
    """Compiles statements for one dialect and keeps them; harmless when two threads compile the same one."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._made: dict[tuple[Any, ...], Sql] = {}

    def __call__(self, build: Callable[..., Any], *args: Any) -> Sql:
        """The compiled form of ``build(*args)``; ``args`` are what changes the statement's shape."""
        key = (build, *args)
        made = self._made.get(key)
        if made is None:
            statement = build(*args)
            if isinstance(statement, Quiet | Merged):
                statement = statement.on(self._dialect)
            compiled = statement.compile(dialect=self._dialect)
            order = tuple(compiled.positiontup or ())
            bulk = self._in_bulk(statement, str(compiled), order) if self._dialect.name == "postgresql" else ""
            constants = {
                name: value for name, value in compiled.params.items() if value is not None or name == "holder"
            }
            made = self._made[key] = Sql(str(compiled), order, constants, bulk)
        return made

    def _in_bulk(self, statement: Any, text: str, order: tuple[str, ...]) -> str:
        """An INSERT or UPDATE over rows that come as arrays: one statement costs a server little more than one row."""
        if not isinstance(statement, Insert | Update):
            return ""
        columns = [statement.table.c.get(name.rstrip("_")) for name in order]
        types = [
            column.type.compile(self._dialect).partition(" COLLATE ")[0] for column in columns if column is not None
        ]
        if len(types) < len(columns):
            return ""
        arrays = ", ".join(f"%b::{kind}[]" for kind in types)  # binary: texts need no escapes inside an array
        rows = f"FROM unnest({arrays}) AS given({', '.join(order)})"
        for name in order:
            text = text.replace("%s", f"given.{name}", 1)
        if isinstance(statement, Update):
            return text.replace(" WHERE ", f" {rows} WHERE ", 1)
        values = ", ".join(f"given.{name}" for name in order)
        return text.replace(f"VALUES ({values})", f"SELECT {values} {rows}", 1)


class Merged(NamedTuple):
    """The first rows of several queries in one order. SQLite merges them as they come; PostgreSQL would read them whole."""

    arms: list[Select[Any]]
    order: list[Any]
    limit: Any

    def on(self, dialect: Dialect) -> Executable:
        arms = self.arms
        if dialect.name == "postgresql":
            arms = [arm.order_by(*self.order).limit(self.limit) for arm in arms]
        return union_all(*arms).order_by(*self.order).limit(self.limit)


class Quiet(NamedTuple):
    """An insert that skips rows whose key is there."""

    table: Table

    def on(self, dialect: Dialect) -> Executable:
        insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        return insert(self.table).values(all_of(self.table)).on_conflict_do_nothing().inline()


def all_of(table: Table) -> dict[str, Any]:
    """A bound value for each column, but for one that the database fills."""
    return {column.name: bindparam(column.name) for column in table.columns if column.autoincrement is not True}
