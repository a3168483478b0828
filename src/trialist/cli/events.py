"""``trialist events``."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Annotated

import typer

from trialist.api import Study
from trialist.cli.narration import line
from trialist.cli.options import JsonOption, StoreOption, StudyArgument, opened, words
from trialist.cli.output import console, emit
from trialist.cli.watching import follow as following
from trialist.core.errors import UnknownName
from trialist.core.events import EVENT_KINDS, Body, Event
from trialist.core.wire import event_to_json


def events(
    name: StudyArgument,
    after: Annotated[
        int | None, typer.Option("--after", metavar="SEQ", min=0, help="Those after this sequence number.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")] = 50,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Only these kinds; several with commas.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new ones until the study ends.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """What happened in a study, event by event.

    The last ones, or with --after those that follow. With --follow and --json each event is one line of JSON.
    """
    kinds = _kinds(kind or ())
    with opened(name, store) as study:
        found = _last(study, limit, kinds) if after is None else _next(study, after, limit, kinds)
        if as_json and not follow:
            emit({"study": study.name, "events": [event_to_json(event) for event in found], "seq": study.row.seq})
            return
        _print(found, as_json=as_json)
        if follow:
            reached = max((event.seq for event in found), default=after or 0)
            for page in following(study, reached if kinds == () else max(reached, _seen(study, after, found))):
                _print([e for e in page if not kinds or type(e.body) in kinds], as_json=as_json)


def _print(found: Sequence[Event], *, as_json: bool) -> None:
    to = console()
    for event in found:
        if as_json:
            emit(event_to_json(event), indent=None)
        else:
            to.print(line(event))
    to.file.flush()


def _seen(study: Study, after: int | None, found: Sequence[Event]) -> int:
    return study.row.seq if after is None else found[-1].seq if found else after


def _next(study: Study, after: int, limit: int, kinds: Sequence[type[Body]]) -> list[Event]:
    found: list[Event] = []
    while len(found) < limit:
        page = study.store.events(study.id, after=after, limit=min(1000, limit - len(found)), kinds=kinds)
        if not page:
            break
        found += page
        after = page[-1].seq
    return found


def _last(study: Study, limit: int, kinds: Sequence[type[Body]]) -> list[Event]:
    if not kinds:
        return _next(study, max(0, study.row.seq - limit), limit, ())
    return list(deque(study.events(kinds=kinds), maxlen=limit))


def _kinds(given: Sequence[str]) -> tuple[type[Body], ...]:
    for word in words(given):
        if word not in EVENT_KINDS:
            raise UnknownName("kind of event", word, EVENT_KINDS)
    return tuple(EVENT_KINDS[word] for word in words(given))
