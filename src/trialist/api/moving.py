"""Whole studies as lines of JSON: to move them to another store (``api.importing``), to keep them, to send them.

A file holds what cannot be derived: events, and what was asked of a study. Everything else, the rows of trials and reports
and checkpoints, is folded from the events again when it is read. Knows stores by their port, and no files.

    {"format": "trialist-studies", "version": 1, "trialist": "0.3.0"}
    {"study": "…id…", "name": "digits", "events": 1234}
    {"command": {"id": 1, "key": "…", "kind": "pause", …}}           what was asked; the answers are among the events
    {"seq": 1, "at": 1.0, "kind": "study_created", "spec": {…}}
    …
    {"end": "…id…", "sha256": "…of the study's lines above…"}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from trialist._version import __version__
from trialist.core.errors import NotFound
from trialist.core.events import Event
from trialist.core.ports import Store
from trialist.core.records import Command, Study
from trialist.core.wire import to_json
from trialist.store.rows import dumps, event_body

FORMAT = "trialist-studies"
VERSION = 1
_PAGE = 2000
"""Events that are in memory at a time."""


def study_lines(store: Store, studies: Iterable[Study]) -> Iterator[str]:
    """Studies as text, a page of events in memory.

    Of a study that is being led it is what was there when its turn came: the events of that moment and no later ones.
    """
    yield dumps({"format": FORMAT, "version": VERSION, "trialist": __version__}) + "\n"
    for study in studies:
        digest = hashlib.sha256()
        for line in _lines(store, study):
            digest.update(line.encode())
            yield line
        yield dumps({"end": study.id, "sha256": digest.hexdigest()}) + "\n"


def all_studies(store: Store) -> Iterator[Study]:
    """The studies of a store, the oldest first, so that they keep their order where they go."""
    pages: list[list[str]] = []
    cursor = None
    while True:
        page = store.list_studies(limit=500, cursor=cursor)
        pages.append([study.id for study in page.studies])
        cursor = page.cursor
        if cursor is None:
            break
    for study_id in reversed([study_id for ids in pages for study_id in ids]):
        study = store.find_study(study_id)
        if study is not None:  # else deleted meanwhile
            yield study


def _lines(store: Store, study: Study) -> Iterator[str]:
    # The row first: whatever its events answer was asked before.
    study = store.find_study(study.id) or study
    yield dumps({"study": study.id, "name": study.name, "events": study.seq}) + "\n"
    for command in _commands(store, study.id):
        asked = Command(
            id=command.id,
            key=command.key,
            kind=command.kind,
            args=command.args,
            sender=command.sender,
            created_at=command.created_at,
            expires_at=command.expires_at,
        )
        yield dumps({"command": to_json(asked)}) + "\n"
    seq = 0
    while seq < study.seq:
        page = store.events(study.id, after=seq, limit=min(_PAGE, study.seq - seq))
        if not page:
            raise NotFound("study", study.name, store.url)  # deleted in this moment
        for event in page:
            yield event_line(event)
        seq = page[-1].seq


def _commands(store: Store, study_id: str) -> Iterator[Command]:
    number = 1
    while True:
        try:
            yield store.command(study_id, number)
        except NotFound:
            return
        number += 1


def event_line(event: Event) -> str:
    """``event_to_json`` as text, sooner."""
    body = event_body(event)
    head = f'{{"seq":{event.seq},"at":{dumps(event.at)},"kind":"{event.kind}"'
    return head + ("}\n" if body == "{}" else f",{body[1:]}\n")
