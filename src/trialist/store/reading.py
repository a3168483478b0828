"""The reading half of the SQL store.

No call holds a connection longer than it takes to read a page; what comes back is decoded by ``store.rows``. A call that
finds nothing asks whether the study is there at all, so that a page of nothing costs one question more and an unknown
study is always named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from trialist.core.errors import NotFound, SchemaMismatch, StoreError, UserError
from trialist.core.events import EVENT_KINDS, Body, Event, kind_of
from trialist.core.ports import BY_NUMBER, StudyPage, TrialOrder, TrialPage
from trialist.core.records import Attempt, Checkpoint, Command, Report, Study, StudySpec, Trial, Worker
from trialist.core.states import StudyStatus, TrialStatus
from trialist.store import rows, statements
from trialist.store.backend import Backend, Cursor
from trialist.store.claims import by_start
from trialist.store.compiling import Statements
from trialist.store.connections import Connections
from trialist.store.holders import LeaseState
from trialist.store.paging import (
    ValueCursor,
    best_first,
    check_order,
    number_cursor,
    read_number_cursor,
    read_value_cursor,
    sign_of,
    value_cursor,
)

R = TypeVar("R")
_PAGE = 1000
_LIVE = (TrialStatus.WAITING, TrialStatus.RUNNING, TrialStatus.PAUSED)
_BIGGEST = 2**63 - 1


class Reading:
    """What ``SqlStore`` can tell; see the port."""

    def __init__(self, backend: Backend) -> None:
        self.url = backend.url
        self._backend = backend
        self._connections = Connections(backend)
        self._sql = Statements(backend.dialect)
        self._sids: dict[str, int] = {}
        """Study id to ``sid``: true for ever, since neither is given twice."""

    def _run(self, cursor: Cursor, build: Callable[..., Any], /, *args: Any, **values: Any) -> Cursor:
        sql = self._sql(build, *args)
        cursor.execute(sql.text, sql.bind(**values))
        return cursor

    def _rows(self, build: Callable[..., Any], /, *args: Any, **values: Any) -> list[Any]:
        """All rows of one query."""
        with self._connections.read() as cursor:
            return self._run(cursor, build, *args, **values).fetchall()

    def _decoded(self, read: Callable[..., R], found: Iterable[Sequence[Any]]) -> list[R]:
        """Records from rows.

        Raises:
            StoreError: What is in a row is not what was written: the database is damaged.
        """
        try:
            return [read(*row) for row in found]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = read.__name__.removeprefix("read_").strip("_")
            raise StoreError(self.url, f"the row of a {what} cannot be read ({error!r}): it is damaged.") from error

    def _lease(
        self, epoch: int = 0, held_by: str | None = None, boot_until: float = 0.0, wall_until: float = 0.0
    ) -> LeaseState:
        """A lease from its columns, by the clock that all share."""
        return LeaseState(epoch, rows.read_holder(held_by), boot_until, wall_until, self._backend.now)

    def _sid(self, study_id: str) -> int:
        sid = self._sids.get(study_id)
        if sid is None:
            with self._connections.read() as cursor:
                sid = self._find_sid(cursor, study_id)
        return sid

    def _find_sid(self, cursor: Cursor, study_id: str) -> int:
        row = self._run(cursor, statements.sid_of, id=study_id).fetchone()
        if row is None:
            self._sids.pop(study_id, None)
            raise NotFound("study", study_id, self.url)
        self._sids[study_id] = row[0]
        return int(row[0])

    def _check_study(self, study_id: str) -> None:
        """Raise NotFound unless the study is there."""
        with self._connections.read() as cursor:
            self._find_sid(cursor, study_id)

    # studies

    def find_study(self, name_or_id: str) -> Study | None:
        if not is_text(name_or_id):
            return None
        found = self._rows(statements.study_by_either, key=name_or_id)
        return self._decoded(rows.read_study, [found[0][:-1]])[0] if found else None

    def list_studies(
        self, *, status: StudyStatus | None = None, search: str = "", limit: int = 100, cursor: str | None = None
    ) -> StudyPage:
        before = read_number_cursor(cursor)
        wanted = search.casefold()
        if not is_text(wanted):
            return StudyPage([], None)
        for special in "/%_":
            wanted = wanted.replace(special, "/" + special)
        found = self._rows(
            statements.list_studies,
            status is not None,
            bool(search),
            before is not None,
            status=None if status is None else status.value,
            search=f"%{wanted}%",
            cursor=before,
            limit=limit + 1,
        )
        more = number_cursor(found[limit - 1][0]) if len(found) > limit else None
        return StudyPage(self._decoded(rows.read_study, (row[1:] for row in found[:limit])), more)

    # the line of workers

    def claimable(self, *, limit: int = 100, cursor: str | None = None) -> StudyPage:
        last = read_value_cursor(cursor)
        at = {} if last is None else {"since": last.rank, "cursor": last.number}
        found = self._rows(statements.in_line, last is not None, limit=limit + 1, **at)
        end = found[limit - 1] if len(found) > limit else None
        more = None if end is None else value_cursor(ValueCursor(end[0], end[1]))
        free = (row[6:] for row in found[:limit] if self._lease(*row[2:6]).leader() is None)
        return StudyPage(self._decoded(rows.read_study, free), more)

    def workers(self, *, seen_after: float = 0.0) -> list[Worker]:
        found = self._rows(statements.list_workers, since=seen_after)
        return by_start(self._decoded(rows.read_worker, found))

    # trials

    def trial(self, study_id: str, number: int) -> Trial:
        found = []
        if 0 <= number <= _BIGGEST:
            found = self._rows(statements.trial, sid=self._sid(study_id), number=number)
        if not found:
            self._check_study(study_id)
            raise NotFound("trial", number, self.url)
        return self._decoded(rows.read_trial, found)[0]

    def trials(
        self,
        study_id: str,
        *,
        status: Sequence[TrialStatus] = (),
        order: TrialOrder = BY_NUMBER,
        limit: int = 100,
        cursor: str | None = None,
    ) -> TrialPage:
        check_order(order)
        picked = list(dict.fromkeys(status))
        if order.by == "value":
            return self._page_by_value(study_id, picked or list(TrialStatus), order, limit, read_value_cursor(cursor))
        last = read_number_cursor(cursor)
        found = self._rows(
            statements.trials_by_number,
            len(picked),
            order.descending,
            last is not None,
            sid=self._sid(study_id),
            cursor=last,
            limit=limit + 1,
            **_numbered("status", picked),
        )
        if not found:
            self._check_study(study_id)
        more = number_cursor(found[limit - 1][0]) if len(found) > limit else None
        return TrialPage(self._decoded(rows.read_trial, found[:limit]), more)

    def _page_by_value(
        self, study_id: str, status: list[TrialStatus], order: TrialOrder, limit: int, last: ValueCursor | None
    ) -> TrialPage:
        """Those with a finite value first, then, where the page has room, those without."""
        values: dict[str, Any] = {"sid": self._sid(study_id), **_numbered("status", status)}
        found: list[Any] = []
        with self._connections.read(snapshot=True) as cursor:
            if last is None or last.rank is not None:
                sign = sign_of(self._study_spec(cursor, study_id))
                shape = (len(status), not best_first(order, sign), last is not None)
                at = {} if last is None else {"rank": last.rank, "cursor": last.number}
                found = self._run(cursor, statements.trials_by_rank, *shape, limit=limit + 1, **values, **at).fetchall()
                last = None
            if len(found) <= limit:
                at = {} if last is None else {"cursor": last.number}
                values["limit"] = limit + 1 - len(found)
                self._run(cursor, statements.trials_without_rank, len(status), last is not None, **values, **at)
                found += cursor.fetchall()
        if not found:
            self._check_study(study_id)
        end = found[limit - 1] if len(found) > limit else None
        more = None if end is None else value_cursor(ValueCursor(end[-1], end[0]))
        return TrialPage(self._decoded(rows.read_trial, (row[:-1] for row in found[:limit])), more)

    def _study_spec(self, cursor: Cursor, study_id: str) -> StudySpec:
        row = self._run(cursor, statements.study_by, "id", key=study_id).fetchone()
        if row is None:
            raise NotFound("study", study_id, self.url)
        return self._decoded(rows.read_study, [row])[0].spec

    def iter_trials(self, study_id: str, *, status: Sequence[TrialStatus] = ()) -> Iterator[Trial]:
        cursor = None
        while True:
            page = self.trials(study_id, status=status, limit=_PAGE, cursor=cursor)
            yield from page.trials
            cursor = page.cursor
            if cursor is None:
                return

    def live_trials(self, study_id: str) -> list[Trial]:
        return list(self.iter_trials(study_id, status=_LIVE))

    # events and what they left

    def events(
        self, study_id: str, *, after: int = 0, limit: int = 1000, kinds: Sequence[type[Body]] = ()
    ) -> list[Event]:
        picked = list(dict.fromkeys(kind_of(kind) for kind in kinds))
        found = self._rows(
            statements.events_after,
            len(picked),
            sid=self._sid(study_id),
            after=min(max(after, 0), _BIGGEST),
            limit=limit,
            **_numbered("kind", picked),
        )
        if not found:
            self._check_study(study_id)
        return self._decoded(self._event, ((row,) for row in found))

    def _event(self, row: Any) -> Event:
        if row[2] not in EVENT_KINDS:
            raise SchemaMismatch(
                self.url,
                f"event {row[0]} is a '{row[2]}', which a newer Trialist wrote: pip install --upgrade trialist",
            )
        return rows.read_event(*row)

    def reports(self, study_id: str, trial: int) -> list[Report]:
        sid = self._sid(study_id)
        with self._connections.read(snapshot=True) as cursor:
            found = self._run(cursor, statements.reports_of, sid=sid, trial=trial).fetchall()
            begun = self._run(cursor, statements.attempts_of, sid=sid, trial=trial).fetchall()
        if not found:
            self._check_study(study_id)
        return self._decoded(rows.read_report, _with_superseded(found, self._decoded(rows.read_attempt, begun)))

    def attempts(self, study_id: str, trial: int) -> list[Attempt]:
        found = self._rows(statements.attempts_of, sid=self._sid(study_id), trial=trial)
        if not found:
            self._check_study(study_id)
        return self._decoded(rows.read_attempt, found)

    def checkpoints(self, study_id: str, trial: int | None = None) -> list[Checkpoint]:
        found = self._rows(statements.checkpoints_of, trial is not None, sid=self._sid(study_id), trial=trial)
        if not found:
            self._check_study(study_id)
        return self._decoded(rows.read_checkpoint, found)

    def checkpoint(self, study_id: str, checkpoint_id: str) -> Checkpoint:
        sid = self._sid(study_id)
        found = self._rows(statements.checkpoint, sid=sid, id=checkpoint_id) if is_text(checkpoint_id) else []
        if not found:
            self._check_study(study_id)
            raise NotFound("checkpoint", checkpoint_id, self.url)
        return self._decoded(rows.read_checkpoint, found)[0]

    # commands

    def pending_commands(self, study_id: str) -> list[Command]:
        found = self._rows(statements.pending_commands, sid=self._sid(study_id), limit=1000)
        if not found:
            self._check_study(study_id)
        return self._decoded(rows.read_command, found)

    def command(self, study_id: str, command_id: int) -> Command:
        found = []
        if 0 <= command_id <= _BIGGEST:
            found = self._rows(statements.command_by, "id", sid=self._sid(study_id), key=command_id)
        if not found:
            self._check_study(study_id)
            raise NotFound("command", command_id, self.url)
        return self._decoded(rows.read_command, found)[0]

    def close(self) -> None:
        self._connections.close()


def is_text(value: str) -> bool:
    """Whether databases can keep it in a column: Unicode without lone surrogates and without NUL."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def check_text(what: str, value: str) -> None:
    """Raise UserError for a text that databases cannot keep in a column."""
    if not is_text(value):
        raise UserError(f"a {what} must be valid Unicode without NUL characters: {value!r}")


def _numbered(name: str, values: Sequence[str]) -> dict[str, str]:
    return {f"{name}{index}": str(value) for index, value in enumerate(values)}


def _with_superseded(found: list[Any], begun: list[Attempt]) -> list[tuple[Any, ...]]:
    """Reports above the lowest step at which a later attempt began are superseded; 0 means that it began from nothing."""
    floors: dict[int, float] = {}
    lowest = float("inf")
    for attempt in reversed(begun):
        floors[attempt.attempt] = lowest
        lowest = min(lowest, attempt.from_step or float("-inf"))
    return [(*row, row[2] > floors.get(row[1], float("inf"))) for row in found]
