"""Studies that are only half there: those that are brought in from elsewhere in pieces, and what deleted ones have left.

Nobody sees either. A study on its way in has a name that nobody can give and no row of its spec yet, through which every
list and search goes; one transaction at the end gives it both. What a killed import leaves belongs to a dead process and
goes with the next import or delete. Knows nothing of files and formats.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from trialist.core import faults
from trialist.core.errors import Conflict, StoreError, StudyExists
from trialist.core.ports import Commit
from trialist.core.records import Command, CommandStatus, Study, StudySpec
from trialist.store import rows, statements
from trialist.store.backend import Cursor
from trialist.store.commits import Batch
from trialist.store.holders import holder
from trialist.store.reading import Reading, check_text

_PIECE = 5000
"""Rows that are deleted in one transaction: some milliseconds."""
_LEASE_S = 120.0
"""How long an import may be silent before it is taken for dead by machines that cannot see its process."""


class Staging(Reading):
    """The part of the SQL store that keeps what nobody sees."""

    def stage_study(self, spec: StudySpec) -> StagedStudy:
        """Begin to bring a study in.

        Raises:
            StudyExists: Its name is taken.
            Conflict: It is here under another name, or another process is bringing it in.
        """
        check_text("study's name", spec.name)
        self.clear_remains()
        return StagedStudy(self, spec)

    def clear_remains(self) -> None:
        """Remove what killed imports and deleted studies have left, in pieces, so that nobody waits long to write.

        Nobody sees a deleted study's parts: their ``sid`` is no study's and never will be. What a crash leaves goes the
        next time.
        """
        for sid, epoch in self._given_up():
            with self._connections.write() as cursor:
                self._run(cursor, statements.delete_staged, sid_=sid, epoch_=epoch)
        sid = 0
        while (found := self._next_deleted(sid)) is not None:
            sid = found
            for table in statements.REMAINS:
                more = True
                while more:
                    with self._connections.write() as cursor:
                        bound = self._run(cursor, statements.bound_of, table, sid=sid, skip=_PIECE).fetchone()
                        more = bound is not None
                        at = {"bound": bound[0]} if more else {}
                        self._run(cursor, statements.delete_up_to, table, more, sid_=sid, **at)
                    faults.point("store.delete.piece")

    def _given_up(self) -> list[tuple[int, int]]:
        """``sid`` and epoch of imports whose processes are dead or silent."""
        found = self._rows(statements.staged)
        return [
            (sid, epoch)
            for sid, epoch, held_by, boot_until, wall_until in found
            if self._lease(epoch, held_by, boot_until, wall_until).leader() is None
        ]

    def _next_deleted(self, after: int) -> int | None:
        """The next ``sid`` that has events and is no study's."""
        with self._connections.read(snapshot=True) as cursor:
            while (row := self._run(cursor, statements.next_with_events, sid=after).fetchone()) is not None:
                after = row[0]
                if self._run(cursor, statements.name_of, sid=after).fetchone() is None:
                    return after
        return None


class StagedStudy:
    """A study on its way into an SQL store; belongs to one thread."""

    def __init__(self, store: Staging, spec: StudySpec) -> None:
        self._store = store
        self._spec = spec
        self._done = False
        self._commands: Sequence[Command] = ()
        with store._connections.write() as cursor:
            if store._run(cursor, statements.study_by, "name", key=spec.name).fetchone() is not None:
                raise StudyExists(spec.name, store.url)
            taken = store._lease().taken(holder(), _LEASE_S)
            row = {"id": spec.id, "name": statements.STAGED + uuid.uuid4().hex, "folded": "", "status": "importing"}
            lease = {"boot_until": taken.boot_until, "wall_until": taken.wall_until, "epoch": taken.epoch}
            by = rows.holder_text(holder())
            store._run(cursor, statements.insert_study, **row, **lease, seq=0, state="{}", holder=by)
            if cursor.rowcount != 1:
                raise Conflict(
                    f"study '{spec.name}' (id {spec.id}) is in {store.url} under another name, or another process is "
                    "importing it now. To have it twice, give it another name (--rename)."
                )
            self._sid = int(store._run(cursor, statements.sid_of, id=spec.id).fetchone()[0])

    def add_commands(self, commands: Sequence[Command]) -> None:
        """What was asked of the study, without the answers; before the events that answer it."""
        self._commands = commands

    def add(self, commit: Commit) -> None:
        """The next events, from the very first on, and the rows they add up to.

        Raises:
            StoreError: Others took this process for dead, and have removed the study.
        """
        batch = Batch(self._sid, commit)
        batch.leave_the_line_alone()
        with self._store._connections.write() as cursor:
            self._hold(cursor)
            together = self._store._backend.together(cursor)
            # With the first events, by which they are found if this process is killed.
            together.run(self._store._sql(statements.insert_command), self._asked())
            batch.write(cursor, together, self._store._sql)
            faults.point("store.import.piece")
        self._commands = ()

    def _asked(self) -> list[rows.Row]:
        insert = self._store._sql(statements.insert_command)
        pending = {"status": CommandStatus.PENDING.value, "answer": None}
        return [
            insert.bind(sid=self._sid, id=asked.id, key=asked.key, request=rows.command_request(asked), **pending)
            for asked in self._commands
        ]

    def _hold(self, cursor: Cursor) -> None:
        """Say that this process is alive, inside each of its transactions."""
        until = self._store._lease().renewed(_LEASE_S)
        times = {"boot_until": until.boot_until, "wall_until": until.wall_until}
        self._store._run(cursor, statements.renew_lease, sid_=self._sid, epoch_=1, **times)
        if cursor.rowcount != 1:
            raise StoreError(
                self._store.url, f"the import of '{self._spec.name}' stood still for {_LEASE_S:.0f} s and was removed."
            )

    def publish(self, study: Study, epoch: int) -> None:
        """From now on everybody sees the study; nobody leads it.

        Args:
            study: The row after all events.
            epoch: The highest under which it was ever led; the next leader's is higher.

        Raises:
            StudyExists: Somebody took the name meanwhile.
        """
        spec = study.spec
        named = {"name": spec.name, "folded": spec.name.casefold(), "status": study.status.value, "seq": study.seq}
        with self._store._connections.write() as cursor:
            self._hold(cursor)
            if self._store._run(cursor, statements.study_by, "name", key=spec.name).fetchone() is not None:
                raise StudyExists(spec.name, self._store.url)
            state = rows.study_state(study)
            self._store._run(cursor, statements.publish, sid_=self._sid, epoch=epoch, state=state, **named)
            self._store._run(cursor, statements.insert_spec, sid=self._sid, spec=rows.spec_text(spec))
            if study.in_line_since is not None:
                self._store._run(cursor, statements.enter_line, sid=self._sid, since=study.in_line_since)
            faults.point("store.import.publish")
        self._done = True

    def discard(self) -> None:
        """Leave nothing of it; does nothing after ``publish``."""
        if self._done:
            return
        self._done = True
        with self._store._connections.write() as cursor:
            self._store._run(cursor, statements.delete_staged, sid_=self._sid, epoch_=1)
        self._store.clear_remains()
