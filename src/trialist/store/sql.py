"""The store in an SQL database: SQLite by a path, the same code for PostgreSQL behind the seam of ``store.backend``.

A commit is one transaction whose first statement is a conditional update of the study's row, the fence: it holds only for
the epoch and the sequence number that the caller knows. Reading is in ``store.reading``; tables and their columns are
``store.statements``' and ``store.rows``' business.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from trialist.core import faults
from trialist.core.errors import Conflict, InternalError, LeaseLost, NotFound, StudyExists, StudyLed
from trialist.core.events import Event, StudyCreated
from trialist.core.ports import FORGET_WORKERS_S, Commit
from trialist.core.records import Command, CommandStatus, Holder, Lease, Study, StudySpec, Worker
from trialist.core.states import StudyStatus
from trialist.registry import resolve
from trialist.store import rows, statements
from trialist.store.backend import Backend, CommitInDoubt, Cursor
from trialist.store.claims import claim
from trialist.store.commits import Batch, rest_of
from trialist.store.database import prepare
from trialist.store.holders import LeaseState
from trialist.store.locate import scheme_of
from trialist.store.reading import check_text
from trialist.store.sqlite import SqliteBackend
from trialist.store.staging import Staging

_TO_DO = (StudyStatus.QUEUED.value, StudyStatus.RUNNING.value)


class _Led(NamedTuple):
    """What a study's row says of who may write it."""

    name: str
    seq: int
    lease: LeaseState


class _Fenced(Exception):
    """The fence did not hold: nothing of the commit is written."""


def _check_fence(count: int) -> None:
    if count != 1:
        raise _Fenced


def backend_of(url: str, *, create: bool = True, timeout_s: float = 30.0) -> Backend:
    """The database product that a URL names, at its place.

    Raises:
        StoreError: The place cannot be used; says why.
        MissingExtra: Its driver is not installed.
    """
    if scheme_of(url) != "postgresql":
        return SqliteBackend(url, create=create, timeout_s=timeout_s)
    product = resolve("trialist.store.postgresql:PostgresBackend", "a store on PostgreSQL")
    backend: Backend = product(url, timeout_s=timeout_s)
    return backend


class SqlStore(Staging):
    """The ``Store`` port over SQL.

    Args:
        url: ``sqlite:///relative.db`` or ``sqlite:////absolute/path.db``, made if it is not there; or
            ``postgresql://user@host/database``, which must be there and may be empty.
        create: False: a file that is not there is an error.
        timeout_s: How long to wait for other writers before ``StoreBusy``.

    Raises:
        StoreError: The place cannot be used; says why.
        SchemaMismatch: An older or newer Trialist made it; names the way out. Nothing was altered.
    """

    def __init__(self, url: str, *, create: bool = True, timeout_s: float = 30.0) -> None:
        backend = backend_of(url, create=create, timeout_s=timeout_s)
        prepare(backend)
        super().__init__(backend)
        self._in_doubt: Lease | None = None
        """Of the last commit, where nobody could say what became of it."""

    # studies

    def create_study(self, spec: StudySpec) -> Study:
        check_text("study's name", spec.name)
        study = Study(spec=spec, seq=1)
        event = Event(1, spec.created_at, StudyCreated(spec=spec))
        row = {"id": spec.id, "name": spec.name, "folded": spec.name.casefold(), "status": study.status.value, "seq": 1}
        lease = {"epoch": 0, "holder": None, "boot_until": 0.0, "wall_until": 0.0}
        with self._connections.write() as cursor:
            self._run(cursor, statements.insert_study, **row, **lease, state=rows.study_state(study))
            if cursor.rowcount != 1:
                if self._run(cursor, statements.study_by, "name", key=spec.name).fetchone() is None:
                    raise InternalError(f"study id {spec.id} was given twice.")
                raise StudyExists(spec.name, self.url)
            sid = self._run(cursor, statements.sid_of, id=spec.id).fetchone()[0]
            faults.point("store.create.between")
            self._run(cursor, statements.insert_spec, sid=sid, spec=rows.spec_text(spec))
            made = {"seq": 1, "at": event.at, "kind": event.kind, "body": rows.event_body(event)}
            self._run(cursor, statements.insert_event, sid=sid, **made)
        return study

    def delete_study(self, study_id: str) -> None:
        with self._connections.write() as cursor:
            sid = self._find_sid(cursor, study_id)
            self._refuse_led(cursor, sid)
            self._run(cursor, statements.delete_study, sid_=sid)
        self._sids.pop(study_id, None)
        faults.point("store.delete.study")
        self.clear_remains()

    # leading

    def take_lease(self, study_id: str, holder: Holder, ttl_s: float) -> Lease:
        with self._connections.write() as cursor:
            sid = self._find_sid(cursor, study_id)
            taken = self._refuse_led(cursor, sid).lease.taken(holder, ttl_s)
            lease = self._take(
                cursor, sid, Lease(study_id=study_id, epoch=taken.epoch, holder=holder, ttl_s=ttl_s), taken
            )
        faults.point("store.lease.taken")
        return lease

    def renew_lease(self, lease: Lease) -> None:
        until = self._lease().renewed(lease.ttl_s)
        with self._connections.write() as cursor:
            sid = self._sid_to_write(cursor, lease, lease.study_id, lease.study_id)
            times = {"boot_until": until.boot_until, "wall_until": until.wall_until}
            self._run(cursor, statements.renew_lease, sid_=sid, epoch_=lease.epoch, **times)
            if cursor.rowcount != 1:
                found = self._led(cursor, sid, lock=False)
                raise LeaseLost(lease.study_id if found is None else found.name, lease.epoch)
        faults.point("store.lease.renewed")

    def release_lease(self, lease: Lease) -> None:
        with self._connections.write() as cursor:
            row = self._run(cursor, statements.sid_of, id=lease.study_id).fetchone()
            if row is not None:
                self._run(cursor, statements.release_lease, sid_=row[0], epoch_=lease.epoch)
        faults.point("store.lease.released")

    def leader(self, study_id: str) -> Holder | None:
        sid = self._sid(study_id)
        with self._connections.read() as cursor:
            found = self._led(cursor, sid, lock=False)
        if found is None:
            raise NotFound("study", study_id, self.url)
        return found.lease.leader()

    def claim_study(
        self, holder: Holder, ttl_s: float, *, accepts: Callable[[Study], bool] | None = None
    ) -> Lease | None:
        return claim(self, lambda study: self._claim(study.id, holder, ttl_s), accepts)

    def _claim(self, study_id: str, holder: Holder, ttl_s: float) -> Lease | None:
        """Take a study's lease; ``None`` where it does not stand in line any more, or another claimer has it in hand."""
        with self._connections.write() as cursor:
            known = self._run(cursor, statements.sid_of, id=study_id).fetchone()
            found = None if known is None else self._run(cursor, statements.claimed, sid=known[0]).fetchone()
            if found is None:
                return None
            status, epoch, held_by, boot_until, wall_until = found
            state = self._lease(epoch, held_by, boot_until, wall_until)
            # Where rows are locked one by one, it may have ended between our look at the line and our lock.
            if status not in _TO_DO or state.leader() is not None:
                return None
            taken = state.taken(holder, ttl_s)
            lease = Lease(study_id=study_id, epoch=taken.epoch, holder=holder, ttl_s=ttl_s)
            return self._take(cursor, known[0], lease, taken)

    def _take(self, cursor: Cursor, sid: int, lease: Lease, taken: LeaseState) -> Lease:
        """Write a lease, of a study whose row is ours until the transaction ends."""
        self._run(
            cursor,
            statements.take_lease,
            sid_=sid,
            epoch=taken.epoch,
            holder=rows.holder_text(lease.holder),
            boot_until=taken.boot_until,
            wall_until=taken.wall_until,
        )
        return lease

    def commit(self, lease: Lease | None, commit: Commit) -> None:
        study = commit.study
        sid = self._sids.get(study.id)
        if sid is None:
            with self._connections.read() as cursor:
                sid = self._sid_to_write(cursor, lease, study.id, study.name)
        batch = Batch(sid, commit)
        row = {"sid_": sid, "status": study.status.value, "seq": study.seq, "state": rows.study_state(study)}
        row["base"] = study.seq - len(commit.events)
        fence = self._sql(statements.update_study, lease is not None)
        try:
            with self._connections.write() as cursor:
                held = self._refuse_led(cursor, sid, name=study.name).lease if lease is None else lease
                together = self._backend.together(cursor)
                together.run(fence, [fence.bind(epoch_=held.epoch, **row)], _check_fence)
                faults.point("store.commit.fenced")
                batch.write(cursor, together, self._sql)
        except _Fenced:
            rest = self._explain(sid, lease, commit)
            if rest.events:
                self.commit(lease, rest)
        except CommitInDoubt:
            self._in_doubt = lease
            raise
        self._in_doubt = None

    def _sid_to_write(self, cursor: Cursor, lease: Lease | None, study_id: str, name: str) -> int:
        """The study's ``sid``; a deleted study is nobody's, so a lease on it is lost."""
        try:
            return self._sids.get(study_id) or self._find_sid(cursor, study_id)
        except NotFound:
            if lease is None:
                raise
            raise LeaseLost(name, lease.epoch) from None

    def _led(self, cursor: Cursor, sid: int, *, lock: bool) -> _Led | None:
        row = self._run(cursor, statements.lease_of, lock, sid=sid).fetchone()
        if row is None:
            return None
        name, seq, epoch, holder, boot_until, wall_until = row
        return _Led(name, seq, self._lease(epoch, holder, boot_until, wall_until))

    def _refuse_led(self, cursor: Cursor, sid: int, name: str = "") -> _Led:
        """The study's lease, locked until the transaction ends; raises StudyLed where somebody leads."""
        found = self._led(cursor, sid, lock=True)
        if found is None:
            raise NotFound("study", name or sid, self.url)
        leader = found.lease.leader()
        if leader is not None:
            raise StudyLed(found.name, str(leader))
        return found

    def _explain(self, sid: int, lease: Lease | None, commit: Commit) -> Commit:
        """What is left to write where the fence did not hold because a part of this very commit is there already.

        Raises:
            Conflict, LeaseLost, InternalError: Whatever else kept it from holding. Nobody but the holder writes under an
                epoch, and epochs only rise: so it can be asked for after the transaction is over.
        """
        if lease is None:
            raise Conflict(f"study '{commit.study.name}' was changed meanwhile: read it again, and try again.")
        with self._connections.read(snapshot=True) as cursor:
            found = self._led(cursor, sid, lock=False)
            last = None
            if found is not None:
                at = {"after": found.seq - 1, "limit": 1}
                last = self._run(cursor, statements.events_after, 0, sid=sid, **at).fetchone()
        if found is None or found.lease.epoch != lease.epoch or found.lease.holder is None:
            raise LeaseLost(commit.study.name, lease.epoch)
        if self._in_doubt == lease and last is not None:
            rest = rest_of(commit, self._event(last))
            if rest is not None:
                return rest
        base = commit.study.seq - len(commit.events)
        raise InternalError(
            f"a commit to study '{found.name}' continues from event {base}, but {found.seq} is the last."
        )

    # workers

    def beat_worker(self, worker: Worker) -> None:
        row = {"seen_at": worker.seen_at, "data": rows.worker_text(worker)}
        with self._connections.write() as cursor:
            self._run(cursor, statements.update_worker, id_=worker.id, **row)
            if cursor.rowcount != 1:
                self._run(cursor, statements.insert_worker, id=worker.id, **row)
            self._run(cursor, statements.forget_workers, before=worker.seen_at - FORGET_WORKERS_S)

    def remove_worker(self, worker_id: str) -> None:
        with self._connections.write() as cursor:
            self._run(cursor, statements.delete_worker, id_=worker_id)

    # commands

    def send_command(self, study_id: str, command: Command) -> Command:
        check_text("command's key", command.key)
        with self._connections.write() as cursor:
            sid = self._find_sid(cursor, study_id)
            if self._led(cursor, sid, lock=True) is None:  # locked, so that no other sender takes the same id
                raise NotFound("study", study_id, self.url)
            known = self._run(cursor, statements.command_by, "key", sid=sid, key=command.key).fetchone()
            if known is not None:
                return rows.read_command(*known)
            last = self._run(cursor, statements.last_command, sid=sid).fetchone()
            stored = replace(
                command,
                id=1 if last is None else last[0] + 1,
                status=CommandStatus.PENDING,
                result={},
                error="",
                created_at=command.created_at or time.time(),
            )
            values = {"key": stored.key, "status": stored.status.value, "request": rows.command_request(stored)}
            self._run(cursor, statements.insert_command, sid=sid, id=stored.id, answer=None, **values)
        faults.point("store.command.sent")
        return stored
