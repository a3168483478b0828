"""Sinks that know how far they have come, and how they catch up with a store after a crash.

Knows the store's port; no file format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from trialist.core.events import Body, Event
from trialist.core.ports import Sink, Store
from trialist.core.records import Trial

PAGE = 1000


@runtime_checkable
class Follower(Sink, Protocol):
    """A sink whose output tells how far it got.

    Guarantee: an event is written once, however often and in whatever portions it is given; after a kill at any instant
    the output is repaired when it is opened again, and writing all events after ``last_seq`` makes it what it would have
    been.
    """

    reads: frozenset[type[Body]]
    """The events that leave a trace in it; empty: all."""

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event in the output; 0: none."""
        ...

    def is_at(self, event: Event) -> bool:
        """Whether the last event in the output is this one, and not one of another study."""
        ...

    def start_over(self) -> None:
        """Set the present output aside (renamed ``….old-1``) and begin an empty one."""
        ...


def catch_up(sink: Follower, store: Store, study_id: str) -> int:
    """Write what a sink has missed; to be called before a study is led with it.

    Output of another study, left over at the same place, is set aside first.

    Returns:
        How many events were given to it.
    """
    if sink.last_seq:
        stored = store.events(study_id, after=sink.last_seq - 1, limit=1)
        if not stored or stored[0].seq != sink.last_seq or not sink.is_at(stored[0]):
            sink.start_over()
    rows, count, seen = _Rows(store, study_id), 0, sink.last_seq
    while events := store.events(study_id, after=seen, limit=PAGE, kinds=tuple(sink.reads)):
        sink.write(events, rows)
        rows.forget()
        seen, count = events[-1].seq, count + len(events)
    return count


class _Rows(Mapping[int, Trial]):
    """Trials of a study by number, read as they are asked for."""

    def __init__(self, store: Store, study_id: str) -> None:
        self._store = store
        self._study_id = study_id
        self._rows: dict[int, Trial] = {}

    def forget(self) -> None:
        self._rows.clear()

    def __getitem__(self, number: int) -> Trial:
        if number not in self._rows:
            self._rows[number] = self._store.trial(self._study_id, number)
        return self._rows[number]

    def __iter__(self) -> Iterator[int]:
        return (trial.number for trial in self._store.iter_trials(self._study_id))

    def __len__(self) -> int:
        return sum(1 for _ in self)
