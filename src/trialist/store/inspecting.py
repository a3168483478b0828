"""What only the tables themselves can tell: one frozen view of a database, rows of nobody, and columns beside the JSON.

For checks; reads, and never writes. Knows the SQL store's tables; other stores have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Table, bindparam, func, not_, select

from trialist.core.errors import StoreError
from trialist.core.ports import Store
from trialist.store import rows, statements
from trialist.store.backend import Cursor
from trialist.store.holders import LeaseState
from trialist.store.paging import Ranking
from trialist.store.reading import Reading
from trialist.store.schema import METADATA, line, specs, studies, trials, workers

_PAGE = 1000
_OF_STUDIES = [table for table in METADATA.sorted_tables if "sid" in table.c and table is not studies]


class Named(NamedTuple):
    """A study as its row's own columns name it, readable even where the rest of it is not."""

    id: str
    name: str


@contextmanager
def frozen(store: Store) -> Iterator[Store]:
    """The store as it is at this instant, for as long as the block lasts; others may write meanwhile.

    A store that is none of SQL's is given as it is: it belongs to this process, and nobody else may write it meanwhile.
    """
    if not isinstance(store, Reading):
        yield store
        return
    with store._connections.read(snapshot=True) as cursor:
        view: Any = _Frozen(store, cursor)
        yield view


class _OneCursor:
    """Stands in for ``Connections``: every reading goes through the cursor whose transaction is the view."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @contextmanager
    def read(self, *, snapshot: bool = False) -> Iterator[Cursor]:
        del snapshot
        yield self._cursor


class _Frozen(Reading):
    def __init__(self, store: Reading, cursor: Cursor) -> None:
        self.url = store.url
        self._sql = store._sql
        self._connections: Any = _OneCursor(cursor)
        self._sids: dict[str, int] = {}


def named_studies(store: Store) -> Iterator[Named]:
    """Every study, newest first, whether or not the rest of it can be read."""
    if not isinstance(store, Reading):
        cursor = None
        while True:
            page = store.list_studies(limit=_PAGE, cursor=cursor)
            yield from (Named(study.id, study.name) for study in page.studies)
            cursor = page.cursor
            if cursor is None:
                return
    found = store._rows(_all_studies)
    yield from (Named(*row) for row in found)


def check_columns(store: Store, study_id: str, counts: dict[str, int], epoch: int) -> Iterator[str]:
    """What is wrong with a study's rows beside what the port shows; nothing where there are no tables.

    Args:
        store: Frozen.
        study_id: The study.
        counts: How many rows each table should have for it.
        epoch: Of the last leader that wrote.
    """
    if not isinstance(store, Reading):
        return
    sid = store._sid(study_id)
    with store._connections.read() as cursor:
        for table in _OF_STUDIES:
            if table.name in counts:
                number = store._run(cursor, _count, table, sid=sid).fetchone()[0]
                if number != counts[table.name]:
                    yield f"the table {table.name} has {number} rows of it, but its events add up to {counts[table.name]}."
        name, folded, stored = store._run(cursor, _own_columns, sid=sid).fetchone()
    if folded != name.casefold():
        yield f"it is searched for as '{folded}', and is called '{name}'."
    if stored < epoch:
        yield f"its lease has epoch {stored}, but a leader with epoch {epoch} wrote."
    yield from _check_ranks(store, study_id, sid)


def _check_ranks(store: Reading, study_id: str, sid: int) -> Iterator[str]:
    """Trials are sorted by a column of their own, which must say what their value does."""
    study = store.find_study(study_id)
    assert study is not None
    rank, last = Ranking(study.spec), -1
    while found := store._rows(_ranks, sid=sid, cursor=last, limit=_PAGE):
        results = store._decoded(rows.result_of, ((state,) for *_, state in found))
        for (number, stored, _), (value, metrics) in zip(found, results, strict=True):
            if stored != rank(value, metrics):
                yield f"trial {number} is sorted as {stored}, and its value is {value}."
        last = found[-1][0]


def check_line(store: Store, study_id: str, since: float | None) -> Iterator[str]:
    """A study stands in the line of workers exactly where it waits for one or is led by one.

    Args:
        store: Frozen.
        study_id: The study.
        since: Its place, as its events have it; ``None``: it is none of the workers' now.
    """
    if isinstance(store, Reading):
        found = [row[0] for row in store._rows(_place_in_line, sid=store._sid(study_id))]
        if found != ([] if since is None else [since]):
            there = f"since {found[0]!r}" if found else "not at all"
            due = "not at all" if since is None else f"since {since!r}"
            yield f"it stands in the line of workers {there}, but by its events it should {due}."


def check_tables(store: Store) -> Iterator[str]:
    """Studies of which a part of the row is missing, and workers whose row says two things or cannot be read."""
    if not isinstance(store, Reading):
        return
    for (name,) in store._rows(_without_spec):
        yield f"study '{name}' has no spec, so that nothing can read it."
    for name, seen_at, text in store._rows(_all_workers):
        try:
            (worker,) = store._decoded(rows.read_worker, [(text,)])
        except StoreError:
            yield f"the row of worker {name} cannot be read, so that no worker can be listed."
            continue
        if (worker.id, worker.seen_at) != (name, seen_at):
            yield f"the row of worker {name}, seen at {seen_at!r}, tells of {worker.id}, seen at {worker.seen_at!r}."


def remains(store: Store) -> Iterator[str]:
    """What killed imports and killed deletes have left. It goes with the next of either."""
    if not isinstance(store, Reading):
        return
    for _, epoch, held_by, boot_until, wall_until in store._rows(statements.staged):
        if LeaseState(epoch, rows.read_holder(held_by), boot_until, wall_until).leader() is None:
            yield "an import that did not come to its end has left rows that nobody sees."
    for table in _OF_STUDIES:
        last = -1
        while (row := store._rows(_next_sid, table, sid=last)) != []:
            last = row[0][0]
            if not store._rows(_has_study, sid=last):
                yield f"the table {table.name} has rows of a deleted study."
                break


# --- statements ------------------------------------------------------------------------------------------------------


def _all_studies() -> Select[Any]:
    return select(studies.c.id, studies.c.name).where(_is_there()).order_by(studies.c.sid.desc())


def _is_there() -> ColumnElement[bool]:
    """Not a study on its way in, which nobody sees yet."""
    return not_(studies.c.name.startswith(statements.STAGED, autoescape=True))


def _own_columns() -> Select[Any]:
    return select(studies.c.name, studies.c.folded, studies.c.epoch).where(studies.c.sid == bindparam("sid"))


def _count(table: Table) -> Select[Any]:
    return select(func.count()).select_from(table).where(table.c.sid == bindparam("sid"))


def _ranks() -> Select[Any]:
    mine = trials.c.sid == bindparam("sid")
    query = select(trials.c.number, trials.c.rank, trials.c.state).where(mine, trials.c.number > bindparam("cursor"))
    return query.order_by(trials.c.number).limit(bindparam("limit"))


def _place_in_line() -> Select[Any]:
    return select(line.c.since).where(line.c.sid == bindparam("sid"))


def _all_workers() -> Select[Any]:
    return select(workers.c.id, workers.c.seen_at, workers.c.data)


def _without_spec() -> Select[Any]:
    known = select(specs.c.sid).where(specs.c.sid == studies.c.sid).exists()
    return select(studies.c.name).where(~known, _is_there())


def _next_sid(table: Table) -> Select[Any]:
    return select(table.c.sid).where(table.c.sid > bindparam("sid")).order_by(table.c.sid).limit(1)


def _has_study() -> Select[Any]:
    return select(studies.c.sid).where(studies.c.sid == bindparam("sid"))
