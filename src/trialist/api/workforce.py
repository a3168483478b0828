"""The workers of a store: who is there, who went silent, and which studies each of them leads. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from trialist.core.ports import Store
from trialist.core.records import Study, Worker
from trialist.core.states import StudyStatus
from trialist.store.holders import is_alive

SILENT_BEATS = 3
"""After so many missed beats a worker counts as lost."""


class Presence(StrEnum):
    """Whether a worker is there."""

    CONNECTED = "connected"
    DRAINING = "draining"
    """It takes no more studies."""
    LOST = "lost"
    """Its process is dead, or it was not heard of for three beats."""


class Leads(NamedTuple):
    """A study that a worker leads."""

    study: str
    since: float | None
    """When it began to, in seconds since the epoch."""


class Staff(NamedTuple):
    """A worker as people see it."""

    worker: Worker
    presence: Presence
    leads: tuple[Leads, ...]


def presence(worker: Worker, now: float) -> Presence:
    """Whether a worker is there; a dead process of this machine is known at once."""
    if now - worker.seen_at > SILENT_BEATS * worker.beat_s or not is_alive(worker.holder):
        return Presence.LOST
    return Presence.DRAINING if worker.is_draining else Presence.CONNECTED


def connected(store: Store, now: float) -> list[Worker]:
    """The workers that take studies."""
    return [worker for worker in store.workers() if presence(worker, now) is Presence.CONNECTED]


def waited_for(store: Store, study: Study, now: float) -> int | None:
    """How many workers are connected, where a study waits for one; ``None``: it waits for none."""
    if study.in_line_since is None or store.leader(study.id) is not None:
        return None
    return len(connected(store, now))


def workforce(store: Store, now: float) -> list[Staff]:
    """All workers that are known, with what they lead; in the order in which they started."""
    leads: dict[str, list[Leads]] = {}
    for study in _running(store):
        leads.setdefault(study.worker, []).append(Leads(study.name, study.led_since))
    return [Staff(worker, presence(worker, now), tuple(leads.get(worker.name, ()))) for worker in store.workers()]


def _running(store: Store) -> list[Study]:
    """Studies that workers lead."""
    found: list[Study] = []
    cursor = None
    while True:
        page = store.list_studies(status=StudyStatus.RUNNING, limit=200, cursor=cursor)
        found += [study for study in page.studies if study.worker and store.leader(study.id) is not None]
        cursor = page.cursor
        if cursor is None:
            return found[::-1]


def worker_document(staff: Staff) -> Mapping[str, Any]:
    """A worker as JSON."""
    worker = staff.worker
    return {
        "name": worker.name,
        "id": worker.id,
        "status": staff.presence.value,
        "host": worker.holder.host,
        "pid": worker.holder.pid,
        "version": worker.version,
        "capacity": dict(worker.capacity),
        "max_studies": worker.max_studies,
        "started_at": worker.started_at,
        "seen_at": worker.seen_at,
        "studies": [{"study": one.study, "since": one.since} for one in staff.leads],
    }
