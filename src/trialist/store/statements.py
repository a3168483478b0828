"""Every statement of the SQL store, built with SQLAlchemy Core. ``store.compiling`` makes strings of them.

Statements that pick several statuses or kinds are a union of one query for each: every arm reads its index in order and
the database merges them, so that a page costs a page however long the history is.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, Select, and_, bindparam, literal_column, select, tuple_, union_all
from sqlalchemy.sql import Delete, Insert, Update
from sqlalchemy.sql.elements import ColumnElement

from trialist.store.compiling import Merged, Quiet, all_of
from trialist.store.schema import (
    CHECKPOINTS_BY_TRIAL,
    COMMANDS_PENDING,
    EVENTS_BY_KIND,
    LINE_BY_SINCE,
    METADATA,
    STUDIES_BY_STATUS,
    TRIALS_BY_RANK,
    TRIALS_BY_STATUS,
    WORKERS_BY_SEEN,
    attempts,
    checkpoints,
    commands,
    events,
    line,
    reports,
    specs,
    studies,
    trials,
    workers,
)


def _b(name: str) -> Any:
    return bindparam(name)


def _through(query: Select[Any], index: Index) -> Select[Any]:
    """Read by this index. SQLite keeps no statistics and has to be told; PostgreSQL's are bent (``schema.MANY_KINDS``)."""
    assert index.table is not None
    return query.with_hint(index.table, f"INDEXED BY {index.name}", "sqlite")


def _text(value: str) -> ColumnElement[str]:
    """A constant of ours inside a statement; never anything that came from outside."""
    return literal_column(f"'{value}'")


# --- studies ---------------------------------------------------------------------------------------------------------

_STUDY = (specs.c.spec, studies.c.status, studies.c.seq, studies.c.state)


def insert_study() -> Any:
    """Does nothing where the name or the id is taken."""
    return Quiet(studies)


def insert_spec() -> Insert:
    return specs.insert().values(all_of(specs))


def update_spec() -> Update:
    return specs.update().where(specs.c.sid == _b("sid_")).values(spec=_b("spec"))


def study_by(column: str) -> Select[Any]:
    """By ``name`` or ``id``."""
    joined = studies.join(specs, specs.c.sid == studies.c.sid)
    return select(*_STUDY).select_from(joined).where(studies.c[column] == _b("key"))


def study_by_either() -> Any:
    """By ``name``, or else by ``id``, in one question."""
    joined = studies.join(specs, specs.c.sid == studies.c.sid)
    arms = [
        select(*_STUDY, literal_column(str(place)).label("place"))
        .select_from(joined)
        .where(studies.c[name] == _b("key"))
        for place, name in enumerate(("name", "id"))
    ]
    return union_all(*arms).order_by("place").limit(1)


def sid_of() -> Select[Any]:
    return select(studies.c.sid).where(studies.c.id == _b("id"))


def list_studies(status: bool, search: bool, cursor: bool) -> Select[Any]:
    joined = studies.join(specs, specs.c.sid == studies.c.sid)
    query = select(studies.c.sid, *_STUDY).select_from(joined)
    if status:
        query = _through(query.where(studies.c.status == _b("status")), STUDIES_BY_STATUS)
    if search:
        query = query.where(studies.c.folded.like(_b("search"), escape="/"))
    if cursor:
        query = query.where(studies.c.sid < _b("cursor"))
    return query.order_by(studies.c.sid.desc()).limit(_b("limit"))


def lease_of(lock: bool) -> Select[Any]:
    """``lock``: until the transaction ends. SQLite has no such clause and needs none: a writer there is alone."""
    columns = ("name", "seq", "epoch", "holder", "boot_until", "wall_until")
    query = select(*(studies.c[name] for name in columns)).where(studies.c.sid == _b("sid"))
    return query.with_for_update() if lock else query


def update_study(leased: bool) -> Update:
    """The fence: one conditional update, without which nothing else of a commit is written.

    A commit without a lease clears what an expired one has left, so that its former holder is fenced from then on.
    """
    where = and_(studies.c.sid == _b("sid_"), studies.c.seq == _b("base"), studies.c.epoch == _b("epoch_"))
    values = {name: _b(name) for name in ("status", "seq", "state")}
    if leased:
        return studies.update().where(where, studies.c.holder.is_not(None)).values(values)
    return studies.update().where(where).values({**values, "holder": None})


def take_lease() -> Update:
    names = ("epoch", "holder", "boot_until", "wall_until")
    return studies.update().where(studies.c.sid == _b("sid_")).values({name: _b(name) for name in names})


def renew_lease() -> Update:
    held = and_(studies.c.sid == _b("sid_"), studies.c.epoch == _b("epoch_"), studies.c.holder.is_not(None))
    return studies.update().where(held).values({name: _b(name) for name in ("boot_until", "wall_until")})


def release_lease() -> Update:
    mine = and_(studies.c.sid == _b("sid_"), studies.c.epoch == _b("epoch_"))
    return studies.update().where(mine).values(holder=None)


def in_line(cursor: bool) -> Select[Any]:
    """Studies in the line of workers, the first submitted first, with what their leases say."""
    joined = line.join(studies, studies.c.sid == line.c.sid).join(specs, specs.c.sid == line.c.sid)
    lease = (studies.c.epoch, studies.c.holder, studies.c.boot_until, studies.c.wall_until)
    query = _through(select(line.c.since, line.c.sid, *lease, *_STUDY).select_from(joined), LINE_BY_SINCE)
    if cursor:
        query = query.where(tuple_(line.c.since, line.c.sid) > tuple_(_b("since"), _b("cursor")))
    return query.order_by(line.c.since, line.c.sid).limit(_b("limit"))


def claimed() -> Select[Any]:
    """The lease of a study that stands in line; no row where it does not, or where another claimer has it in hand."""
    columns = ("status", "epoch", "holder", "boot_until", "wall_until")
    joined = studies.join(line, studies.c.sid == line.c.sid)
    query = select(*(studies.c[name] for name in columns)).select_from(joined).where(studies.c.sid == _b("sid"))
    return query.with_for_update(of=studies, skip_locked=True)


def enter_line() -> Insert:
    return line.insert().values(all_of(line))


def leave_line() -> Delete:
    return line.delete().where(line.c.sid == _b("sid_"))


def delete_study() -> Delete:
    return studies.delete().where(studies.c.sid == _b("sid_"))


# --- studies on their way in -----------------------------------------------------------------------------------------

STAGED = "\x01 on its way in "
"""How their names begin: nobody can give such a one."""


def staged() -> Select[Any]:
    """Their leases."""
    lease = (studies.c.sid, studies.c.epoch, studies.c.holder, studies.c.boot_until, studies.c.wall_until)
    return select(*lease).where(studies.c.name >= _text(STAGED), studies.c.name < _text(STAGED + "~"))


def publish() -> Update:
    names = ("name", "folded", "status", "seq", "epoch", "state")
    mine = studies.update().where(studies.c.sid == _b("sid_"))
    return mine.values({name: _b(name) for name in names} | {"holder": None})


def delete_staged() -> Delete:
    """One that is still on its way."""
    mine = and_(studies.c.sid == _b("sid_"), studies.c.epoch == _b("epoch_"))
    return studies.delete().where(mine, studies.c.name >= _text(STAGED), studies.c.name < _text(STAGED + "~"))


# --- what a deleted study leaves -------------------------------------------------------------------------------------

REMAINS = {"specs": "sid", "trials": "number", "attempts": "trial", "reports": "trial", "commands": "id"} | {
    "checkpoints": "id",
    "line": "sid",
    "events": "seq",
}
"""Tables of a study's parts, and the column that comes after ``sid`` in their key; events, which each has, go last."""


def next_with_events() -> Select[Any]:
    """The next ``sid`` that has events."""
    return select(events.c.sid).where(events.c.sid > _b("sid")).order_by(events.c.sid).limit(1)


def name_of() -> Select[Any]:
    return select(studies.c.name).where(studies.c.sid == _b("sid"))


def bound_of(table: str) -> Select[Any]:
    """The key up to which a number of rows lie."""
    found = METADATA.tables[table]
    key = found.c[REMAINS[table]]
    return select(key).where(found.c.sid == _b("sid")).order_by(key).limit(1).offset(_b("skip"))


def delete_up_to(table: str, bounded: bool) -> Delete:
    found = METADATA.tables[table]
    query = found.delete().where(found.c.sid == _b("sid_"))
    return query.where(found.c[REMAINS[table]] <= _b("bound")) if bounded else query


# --- trials ----------------------------------------------------------------------------------------------------------

_TRIAL = (trials.c.number, trials.c.status, trials.c.params, trials.c.origin, trials.c.state)
_LIVE = tuple(_text(status) for status in ("waiting", "running", "paused"))


def insert_trial() -> Insert:
    return trials.insert().values(all_of(trials))


def update_trial() -> Update:
    """Ends are immutable, and so are params and origin: they are not even named."""
    live = and_(trials.c.sid == _b("sid_"), trials.c.number == _b("number_"), trials.c.status.in_(_LIVE))
    return trials.update().where(live).values({name: _b(name) for name in ("status", "rank", "state")})


def trial() -> Select[Any]:
    return select(*_TRIAL).where(trials.c.sid == _b("sid"), trials.c.number == _b("number"))


def trials_by_number(statuses: int, descending: bool, cursor: bool) -> Any:
    order = trials.c.number.desc() if descending else trials.c.number
    after = (trials.c.number < _b("cursor") if descending else trials.c.number > _b("cursor")) if cursor else None
    return _merged(TRIALS_BY_STATUS, statuses, [order], [] if after is None else [after])


def trials_by_rank(statuses: int, backwards: bool, cursor: bool) -> Any:
    """Trials with a finite value, best first; ``rank`` and ``cursor`` are the last one's."""
    keys = [trials.c.rank, trials.c.number]
    order = [key.desc() for key in keys] if backwards else keys
    where: list[Any] = [trials.c.rank.is_not(None)]
    if cursor:
        last = tuple_(_b("rank"), _b("cursor"))
        where.append(tuple_(*keys) < last if backwards else tuple_(*keys) > last)
    return _merged(TRIALS_BY_RANK, statuses, order, where, trials.c.rank)


def trials_without_rank(statuses: int, cursor: bool) -> Any:
    where: list[Any] = [trials.c.rank.is_(None)]
    if cursor:
        where.append(trials.c.number > _b("cursor"))
    return _merged(TRIALS_BY_RANK, statuses, [trials.c.number], where, trials.c.rank)


def _merged(index: Index, statuses: int, order: list[Any], where: list[Any], *extra: Any) -> Any:
    """Trials of several statuses in one order; 0 statuses: all, straight from the primary key."""
    base = select(*_TRIAL, *extra).where(trials.c.sid == _b("sid"), *where)
    if not statuses:
        return base.order_by(*order).limit(_b("limit"))
    arms = [base.where(trials.c.status == _b(f"status{number}")) for number in range(statuses)]
    return _union([_through(arm, index) for arm in arms], order)


def _union(arms: list[Select[Any]], order: list[Any]) -> Select[Any] | Merged:
    if len(arms) == 1:
        return arms[0].order_by(*order).limit(_b("limit"))
    return Merged(arms, order, _b("limit"))


# --- events and what they leave behind -------------------------------------------------------------------------------

_EVENT = (events.c.seq, events.c.at, events.c.kind, events.c.body)


def insert_event() -> Insert:
    return events.insert().values(all_of(events))


def events_after(kinds: int) -> Any:
    base = select(*_EVENT).where(events.c.sid == _b("sid"), events.c.seq > _b("after"))
    if not kinds:
        return base.order_by(events.c.seq).limit(_b("limit"))
    arms = [base.where(events.c.kind == _b(f"kind{number}")) for number in range(kinds)]
    return _union([_through(arm, EVENTS_BY_KIND) for arm in arms], [events.c.seq])


def insert_attempt() -> Insert:
    return attempts.insert().values(all_of(attempts))


def end_attempt() -> Update:
    """An attempt ends once."""
    running = and_(
        attempts.c.sid == _b("sid_"),
        attempts.c.trial == _b("trial_"),
        attempts.c.attempt == _b("attempt_"),
        attempts.c.ending.is_(None),
    )
    return attempts.update().where(running).values(ending=_b("ending"))


def attempts_of() -> Select[Any]:
    columns = (attempts.c.trial, attempts.c.attempt, attempts.c.start, attempts.c.ending)
    mine = and_(attempts.c.sid == _b("sid"), attempts.c.trial == _b("trial"))
    return select(*columns).where(mine).order_by(attempts.c.attempt)


def insert_report() -> Any:
    """Does nothing where the step has a report already."""
    return Quiet(reports)


def _this_report() -> ColumnElement[bool]:
    return and_(
        reports.c.sid == _b("sid_"),
        reports.c.trial == _b("trial_"),
        reports.c.attempt == _b("attempt_"),
        reports.c.step == _b("step_"),
    )


def report() -> Select[Any]:
    return select(reports.c.metrics).where(_this_report())


def update_report() -> Update:
    return reports.update().where(_this_report()).values(at=_b("at"), metrics=_b("metrics"))


def reports_of() -> Select[Any]:
    columns = (reports.c.trial, reports.c.attempt, reports.c.step, reports.c.at, reports.c.metrics)
    mine = and_(reports.c.sid == _b("sid"), reports.c.trial == _b("trial"))
    return select(*columns).where(mine).order_by(reports.c.attempt, reports.c.step)


_CHECKPOINT = (checkpoints.c.id, checkpoints.c.trial, checkpoints.c.data)


def insert_checkpoint() -> Insert:
    return checkpoints.insert().values(all_of(checkpoints))


def delete_checkpoint() -> Delete:
    return checkpoints.delete().where(checkpoints.c.sid == _b("sid_"), checkpoints.c.id == _b("id_"))


def checkpoint() -> Select[Any]:
    return select(*_CHECKPOINT).where(checkpoints.c.sid == _b("sid"), checkpoints.c.id == _b("id"))


def checkpoints_of(trial: bool) -> Select[Any]:
    query = select(*_CHECKPOINT).where(checkpoints.c.sid == _b("sid"))
    if trial:
        query = _through(query.where(checkpoints.c.trial == _b("trial")), CHECKPOINTS_BY_TRIAL)
    return query.order_by(checkpoints.c.seq)


_COMMAND = (commands.c.id, commands.c.key, commands.c.status, commands.c.request, commands.c.answer)


def insert_command() -> Insert:
    return commands.insert().values(all_of(commands))


def last_command() -> Select[Any]:
    return select(commands.c.id).where(commands.c.sid == _b("sid")).order_by(commands.c.id.desc()).limit(1)


def command_by(column: str) -> Select[Any]:
    """By ``id`` or ``key``."""
    return select(*_COMMAND).where(commands.c.sid == _b("sid"), commands.c[column] == _b("key"))


def pending_commands() -> Select[Any]:
    pending = and_(commands.c.sid == _b("sid"), commands.c.status == _text("pending"))
    query = select(*_COMMAND).where(pending).order_by(commands.c.id).limit(_b("limit"))
    return _through(query, COMMANDS_PENDING)


def answer_command() -> Update:
    """A command is answered once."""
    pending = and_(commands.c.sid == _b("sid_"), commands.c.id == _b("id_"), commands.c.status == _text("pending"))
    return commands.update().where(pending).values(status=_b("status"), answer=_b("answer"))


# --- workers ---------------------------------------------------------------------------------------------------------


def update_worker() -> Update:
    return workers.update().where(workers.c.id == _b("id_")).values(seen_at=_b("seen_at"), data=_b("data"))


def insert_worker() -> Insert:
    return workers.insert().values(all_of(workers))


def list_workers() -> Select[Any]:
    """Those that were seen after a moment, the last seen last."""
    query = _through(select(workers.c.data), WORKERS_BY_SEEN).where(workers.c.seen_at > _b("since"))
    return query.order_by(workers.c.seen_at)


def delete_worker() -> Delete:
    return workers.delete().where(workers.c.id == _b("id_"))


def forget_workers() -> Delete:
    """Those that were not seen since a moment."""
    return workers.delete().where(workers.c.seen_at < _b("before"))
