"""Whether what a store holds adds up: every study folded again from its events, and a database file checked.

For ``trialist fsck`` and for tests after a crash. Reads through the port, a page at a time, and keeps only trials that are
not terminal in memory, so a study of any size can be checked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from trialist.core.errors import IllegalTransition, NotFound
from trialist.core.events import Event
from trialist.core.fold import StudyFold, fold_trial
from trialist.core.ports import Store
from trialist.core.records import Study, Trial
from trialist.core.wire import to_json
from trialist.store.sqlite import path_of

_PAGE = 1000


def check_study(store: Store, study_id: str) -> Iterator[str]:
    """What is wrong with a study, a sentence each; nothing where its rows are what its events add up to.

    A study that is being led meanwhile may seem wrong where it is ahead of the check.

    Raises:
        NotFound: No such study.
    """
    study = store.find_study(study_id)
    if study is None:
        raise NotFound("study", study_id, store.url)
    check = _Check(store, study)
    for event in _events(store, study):
        yield from check.add(event)
    yield from check.end()


def check_file(url: str) -> list[str]:
    """What SQLite finds wrong with a file, a line each; empty where it is sound. Reads all of it.

    Raises:
        StoreError: The URL names no file.
    """
    try:
        with closing(sqlite3.connect(f"file:{path_of(url)}?mode=rw", uri=True)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def _events(store: Store, study: Study) -> Iterator[Event]:
    after = 0
    while after < study.seq:
        page = store.events(study.id, after=after, limit=min(_PAGE, study.seq - after))
        if not page:
            return
        yield from page
        after = page[-1].seq


class _Check:
    """A study while its events are folded."""

    def __init__(self, store: Store, study: Study) -> None:
        self._store = store
        self._study = study
        self._fold = StudyFold(Study(spec=study.spec))
        self._names = tuple(metric.name for metric in study.spec.metrics)
        self._live: dict[int, Trial] = {}
        self._seq = 0

    def add(self, event: Event) -> Iterator[str]:
        """Fold one more event."""
        self._seq += 1
        if event.seq != self._seq:
            yield f"event {self._seq} is missing: {event.seq} comes next."
            self._seq = event.seq
        number = event.trial
        was = None if number is None else self._live.get(number)
        now = None
        try:
            if number is not None and (was is not None or event.kind == "trial_suggested"):
                now = self._live[number] = fold_trial(was, event, self._names)
            self._fold.add(event, was, now)
        except IllegalTransition as error:
            yield f"event {event.seq} ({event.kind}) cannot have happened: {error}"
            return
        if now is not None and now.status.is_terminal:
            del self._live[now.number]
            yield from self._compare(now)

    def _compare(self, folded: Trial) -> Iterator[str]:
        try:
            stored = self._store.trial(self._study.id, folded.number)
        except NotFound:
            yield f"trial {folded.number} has events and no row."
            return
        yield from _differences(f"trial {folded.number}", to_json(stored), to_json(folded))

    def end(self) -> Iterator[str]:
        """What is left to compare when all events are folded."""
        if self._seq != self._study.seq:
            yield f"the study's row says that {self._study.seq} events happened, but there are {self._seq}."
        for trial in self._live.values():
            yield from self._compare(trial)
        yield from _differences("the study's row", to_json(self._study), to_json(self._fold.study()))


def _differences(what: str, stored: dict[str, object], folded: dict[str, object]) -> Iterator[str]:
    for name in sorted({*stored, *folded}):
        if stored.get(name) != folded.get(name):
            yield f"{what}: {name} is {stored.get(name)!r}, but its events add up to {folded.get(name)!r}."
