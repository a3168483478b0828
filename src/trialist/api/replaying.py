"""Every stored suggestion drawn again from the events before it, and compared bit for bit.

A suggestion is a function of space, seed, number and the events up to the sequence number that is stored with it
(``seen_seq``). Here that is put to the proof, with a new searcher that sees the stored events and nothing else.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from trialist.api.assembling import make_searcher
from trialist.core.events import Event, TrialSuggested
from trialist.core.ports import Searcher, Store, replays
from trialist.core.records import Study, Suggestion, trial_seed
from trialist.core.wire import to_json
from trialist.engine.recover import fold_events
from trialist.space import SearchSpace

_PAGE = 1000
_WINDOW = 5000
"""How far ahead suggestions are read: events between one and what it was drawn from are far fewer."""


class Replayed(NamedTuple):
    """What a replay found."""

    drawn: int
    """How many suggestions were drawn again."""
    problem: str
    """The first that differs, as a sentence; empty: none does."""
    unpromised: str = ""
    """Why none was drawn, as a sentence, where the searcher does not promise that they come out the same."""


def replay_suggestions(store: Store, study: Study) -> Replayed:
    """Draw the searcher's suggestions again, up to the first that differs; those of people and schedulers are not its.

    Args:
        store: As it was when ``study`` was read.
        study: The row.

    Raises:
        UnknownName, MissingExtra: The study's searcher is not here.
    """
    searcher = make_searcher(study.spec, SearchSpace.from_json(study.spec.space))
    if not replays(searcher):
        return Replayed(0, "", f"searcher '{searcher.name}' does not promise that its suggestions can be drawn again.")
    ahead = _Ahead(store, study, searcher.name)
    drawn = 0
    for searcher_at in _states(store, study, searcher):
        for event in ahead.due(searcher_at):
            drawn += 1
            problem = _difference(searcher, study, event)
            if problem:
                return Replayed(drawn, problem)
    return Replayed(drawn, "")


def _states(store: Store, study: Study, searcher: Searcher) -> Iterator[int]:
    """Bring the searcher from state to state; each time the event before which it is in that state."""
    if searcher.reads:
        for event, trial in fold_events(store, study, searcher.reads):
            yield event.seq
            if type(event.body) in searcher.reads:
                searcher.update(event, trial)
    yield study.seq + 1


class _Ahead:
    """The searcher's suggestions, each before the event that comes after what it was drawn from."""

    def __init__(self, store: Store, study: Study, source: str) -> None:
        self._events = self._read(store, study, source)
        self._next = next(self._events, None)
        self._heap: list[tuple[int, int, Event]] = []

    @staticmethod
    def _read(store: Store, study: Study, source: str) -> Iterator[Event]:
        after = 0
        while page := store.events(study.id, after=after, limit=_PAGE, kinds=(TrialSuggested,)):
            for event in page:
                if event.seq > study.seq:
                    return
                if isinstance(event.body, TrialSuggested) and event.body.source == source:
                    yield event
            after = page[-1].seq

    def due(self, before: int) -> Iterator[Event]:
        """Those that were drawn from events below ``before``."""
        while True:
            while self._next is not None and self._next.seq < before + _WINDOW and len(self._heap) < _WINDOW:
                assert isinstance(self._next.body, TrialSuggested)
                heapq.heappush(self._heap, (self._next.body.seen_seq, self._next.seq, self._next))
                self._next = next(self._events, None)
            if not self._heap or self._heap[0][0] >= before:
                return
            yield heapq.heappop(self._heap)[-1]


def _difference(searcher: Searcher, study: Study, event: Event) -> str:
    body = event.body
    assert isinstance(body, TrialSuggested)
    what = f"trial {body.trial} (event {event.seq}, drawn from the events up to {body.seen_seq})"
    answer = searcher.suggest(body.trial)
    if not isinstance(answer, Suggestion):
        return f"{what} is not suggested again: the searcher says {answer}."
    seed = trial_seed(study.spec.seed, body.trial)
    if body.repeat_of is None and body.seed != seed:
        return f"{what} has seed {body.seed}, and its number gives {seed}."
    for name in ("params", "warm_start_from", "parent", "repeat_of", "note"):
        stored, again = (_text(getattr(one, name)) for one in (body, answer))
        if stored != again:
            return f"{what} has {name} {stored}, and drawn again {again}."
    return ""


def _text(value: Any) -> str:
    """A value to the last bit: 1, 1.0 and True differ, NaN is itself."""
    plain = to_json(value) if hasattr(value, "__dataclass_fields__") else value
    return json.dumps(plain, sort_keys=True)
