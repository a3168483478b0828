"""Auto: picks and mixes the other searchers by space, budget and history, so that nobody has to.

Its own are the first suggestions: the default configuration, the best of earlier studies, and points that fill the space.
Then a Gaussian process takes over, or a tree-structured Parzen estimator where there are several metrics. Nothing heavy is
loaded before one of these is asked. Knows no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from trialist import registry
from trialist.core.events import (
    AttemptEnded,
    Body,
    Event,
    Reported,
    StudyCreated,
    TrialEnded,
    TrialPaused,
    TrialSuggested,
)
from trialist.core.options import Options
from trialist.core.ports import Searcher
from trialist.core.records import (
    PERSON,
    Exhausted,
    Metric,
    Mode,
    NeedsReply,
    OutcomeConstraint,
    Params,
    StudySpec,
    Suggestion,
    Trial,
)
from trialist.core.states import TrialStatus
from trialist.search.randomness import stable_seed
from trialist.search.start import Start
from trialist.search.tried import Tried
from trialist.space import Codec, SearchSpace

BY = "by"
"""Key of a suggestion's note: which part made it."""
AT = "at"
"""Key of the note of a point that fills the space: its index."""
START = 5
"""Trials before a model is asked, whoever suggested them."""
EARLIER = 4
"""The best so many params of earlier studies are tried."""
MIN_SCORED = 2
EXPLORED_FROM = 100
EXPLORED_EACH = 20
"""From so many trials on, one suggestion in so many is drawn at random: no region is left out for ever."""
MAX_WAITING = 2000
"""Events that are kept for models that are not loaded yet."""


class Part(StrEnum):
    """Who made a suggestion."""

    DEFAULT = "default"
    EARLIER = "earlier"
    START = "start"
    RANDOM = "random"
    GP = "gp"
    CURVES = "curves"
    TPE = "tpe"
    FEASIBLE = "feasible"
    """A Gaussian process over how much of the outcome constraints is broken, as long as no trial keeps them all."""


class AutoSearcher:
    """The searcher to take when there is no reason for another one; never ends.

    In this order: the study's default configuration; the best params of earlier studies; points that fill the space, up to
    five trials in all; then the mixture. One metric: a Gaussian process, over params alone, or over params and steps where a
    scheduler pauses trials; and later now and then a random point. Several metrics: a tree-structured Parzen estimator by
    non-dominated rank and volume. Without a metric it is random search. Where results
    must keep constraints and none does yet, the search is for one that does. No params are suggested twice as long as a
    finite space has others.

    Args:
        space: What varies.
        metrics: The study's.
        seed: The study's.
        options: None are known.

    Raises:
        ConfigError: An option was given.
    """

    name = "auto"
    heeds = frozenset({"default", "warm_start"})
    reads: frozenset[type[Body]] = frozenset(
        {StudyCreated, TrialSuggested, Reported, TrialPaused, AttemptEnded, TrialEnded}
    )

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        Options("searcher 'auto'", options).done()
        self._space, self._metrics, self._seed = space, tuple(metrics), seed
        self._codec = Codec(space)
        self._tried = Tried(space) if Tried.is_for(space) else None
        self._start = Start(self._codec.dimension, stable_seed("auto", seed))
        self._random: Searcher = registry.load("searcher", "random")(space, seed=stable_seed("auto", seed))
        self._models = _Models(space, self._metrics, stable_seed("auto", seed))
        self._first: list[tuple[Part, Params]] = []
        """What is tried before all else, and has not been yet."""
        self._cursor = 0
        """The next point that fills the space."""
        self._known = 0
        """Trials whose params lie in the space, and that nobody cancelled."""
        self._ours: set[int] = set()
        """Those of them that have not ended."""
        self._scored = 0
        """Those that ended with a finite value of every metric."""
        self._feasible = 0
        """Those of these that keep the outcome constraints."""
        self._constraints: tuple[OutcomeConstraint, ...] = ()
        self._pauses = False
        """Whether a scheduler pauses trials, so that most of what is known are reports of trials that have not ended."""

    # --- asking ------------------------------------------------------------------------------------------------------

    def suggest(self, number: int) -> Suggestion | Exhausted | NeedsReply:
        """Params for trial ``number``.

        Raises:
            SpaceError: The constraints leave nothing, or too little to find.
        """
        part = self._part(number)
        if self._first and part in (Part.DEFAULT, Part.EARLIER):
            return Suggestion(params=self._first[0][1], note={BY: part})
        if part is Part.START:
            return self._filling(number)
        searcher = self._random if part is Part.RANDOM else self._models.of(part)
        answer = searcher.suggest(number)
        return replace(answer, note={BY: part, **answer.note}) if isinstance(answer, Suggestion) else answer

    def _part(self, number: int) -> Part:
        """Whose turn it is."""
        if self._first:
            return self._first[0][0]
        if not self._metrics or not self._codec.dimension:
            return Part.RANDOM
        if self._pauses and self._known >= START:
            return Part.CURVES if len(self._metrics) == 1 else Part.TPE
        if self._known < START or self._scored < MIN_SCORED:
            return Part.START
        if self._known >= EXPLORED_FROM and stable_seed("auto explores", self._seed, number) % EXPLORED_EACH == 0:
            return Part.RANDOM
        if not self._feasible:
            return Part.FEASIBLE
        return Part.GP if len(self._metrics) == 1 else Part.TPE

    def _filling(self, number: int) -> Suggestion:
        """The next point that fills the space, or, where that is forbidden or was tried, one at random."""
        params = self._codec.decode(self._start[self._cursor])
        if not self._space.allows(params) or (self._tried is not None and not self._tried.is_new(params)):
            answer = self._random.suggest(number)
            assert isinstance(answer, Suggestion)
            params = dict(answer.params)
        return Suggestion(params=params, note={BY: Part.START, AT: self._cursor})

    # --- folding -----------------------------------------------------------------------------------------------------

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        if isinstance(body, StudyCreated):
            self._constraints = body.spec.outcome_constraints
            self._first = _first(body.spec, self._space)
        elif isinstance(body, TrialSuggested):
            self._suggested(body)
        elif isinstance(body, TrialPaused):  # it waits where it is
            self._pauses = self._pauses or body.by != PERSON
        elif isinstance(body, AttemptEnded):  # it left, and may go on later
            self._pauses = self._pauses or (body.status is TrialStatus.PAUSED and body.by != PERSON)
        elif isinstance(body, TrialEnded):
            self._ended(body)
        self._random.update(event, trial)
        self._models.update(event, trial)

    def _suggested(self, body: TrialSuggested) -> None:
        own = body.source == self.name
        if own and body.note.get(BY) == Part.START:
            self._cursor = max(self._cursor, body.note[AT] + 1)
        if own or self._space.contains(body.params):
            self._known += 1
            self._ours.add(body.trial)
            if self._first:
                key = self._space.key(body.params)
                self._first = [one for one in self._first if self._space.key(one[1]) != key]
        if self._tried is not None:
            self._tried.add(body.params, own=own)

    def _ended(self, body: TrialEnded) -> None:
        if body.trial not in self._ours:
            return
        self._ours.remove(body.trial)
        if body.status is TrialStatus.CANCELLED:
            self._known -= 1
        if body.status.counts and all(math.isfinite(body.metrics.get(m.name, math.nan)) for m in self._metrics):
            self._scored += 1
            self._feasible += all(constraint.excess(body.metrics) == 0 for constraint in self._constraints)
            if self._feasible == 1:
                self._models.forget(Part.FEASIBLE)


def _first(spec: StudySpec, space: SearchSpace) -> list[tuple[Part, Params]]:
    """The default, and the best of each earlier study in turn: of the first metric, and keeping what is to be kept."""
    found = [] if spec.default is None else [(Part.DEFAULT, spec.default)]
    if not spec.metrics:
        return found
    metric = spec.metrics[0]
    sign = 1.0 if metric.mode is Mode.MIN else -1.0
    ranked = [
        sorted(study.trials, key=lambda one: (not spec.is_feasible(one.metrics), sign * one.metrics[metric.name]))
        for study in spec.warm_start
    ]
    keys = {space.key(params) for _, params in found}
    best: list[tuple[Part, Params]] = []
    for place in range(max(map(len, ranked), default=0)):
        for trials in ranked:
            if place < len(trials) and len(best) < EARLIER and space.key(trials[place].params) not in keys:
                keys.add(space.key(trials[place].params))
                best.append((Part.EARLIER, trials[place].params))
    return found + best


class _Models:
    """The searchers that learn, each loaded when it is first asked; what happened before is kept for them until then.

    All are loaded at once, since what is kept would otherwise grow.
    """

    def __init__(self, space: SearchSpace, metrics: tuple[Metric, ...], seed: int) -> None:
        self._space, self._metrics, self._seed = space, metrics, seed
        self._waiting: list[tuple[Event, Trial | None]] = []
        self._parts: dict[Part, Searcher] | None = None
        self._forgotten: set[Part] = set()
        self._constraints: tuple[OutcomeConstraint, ...] = ()

    def of(self, part: Part) -> Searcher:
        """One of them, with everything folded in."""
        return self._loaded()[part]

    def forget(self, part: Part) -> None:
        """One of them is never asked again."""
        self._forgotten.add(part)
        if self._parts is not None:
            self._parts.pop(part, None)

    def update(self, event: Event, trial: Trial | None) -> None:
        if not self._metrics:
            return
        if isinstance(event.body, StudyCreated):
            self._constraints = event.body.spec.outcome_constraints
        if self._parts is not None:
            self._tell(self._parts, event, trial)
            return
        self._waiting.append((event, trial))
        if len(self._waiting) > MAX_WAITING:
            self._loaded()

    def _loaded(self) -> dict[Part, Searcher]:
        if self._parts is None:
            wanted = (Part.GP, Part.CURVES) if len(self._metrics) == 1 else (Part.TPE,)
            self._parts = {part: self._made(part.value, self._metrics) for part in wanted}
            if self._constraints and Part.FEASIBLE not in self._forgotten:
                self._parts[Part.FEASIBLE] = self._made("gp", (_EXCESS,))
            for event, trial in self._waiting:
                self._tell(self._parts, event, trial)
            self._waiting.clear()
        return self._parts

    def _made(self, name: str, metrics: tuple[Metric, ...]) -> Searcher:
        searcher: Searcher = registry.load("searcher", name)(self._space, metrics=metrics, seed=self._seed)
        return searcher

    def _tell(self, parts: dict[Part, Searcher], event: Event, trial: Trial | None) -> None:
        for part, searcher in parts.items():
            told = _as_own(event, part, searcher.name)
            if part is Part.FEASIBLE:
                translated = _as_excess(told, self._constraints)
                if translated is None:
                    continue
                told = translated
            if type(told.body) in searcher.reads:
                searcher.update(told, trial)


_EXCESS = Metric(name="excess", mode=Mode.MIN)


def _as_own(event: Event, part: Part, name: str) -> Event:
    """An event as a part would have heard it alone: its own suggestions bear its name, and the note that it gave."""
    body = event.body
    if not isinstance(body, TrialSuggested) or body.source != AutoSearcher.name or body.note.get(BY) != part:
        return event
    note = {key: value for key, value in body.note.items() if key != BY}
    return event._replace(body=replace(body, source=name, note=note))


def _as_excess(event: Event, constraints: Sequence[OutcomeConstraint]) -> Event | None:
    """An event for whoever minimises how much is broken of all constraints together; ``None``: it says nothing of that."""
    body = event.body
    if isinstance(body, TrialEnded):
        told = {} if not body.status.counts else {_EXCESS.name: _broken(body.metrics, constraints)}
        return event._replace(body=replace(body, metrics=told))
    return event if isinstance(body, TrialSuggested) else None


def _broken(metrics: Any, constraints: Sequence[OutcomeConstraint]) -> float:
    """How much is broken, each constraint in terms of its limit; infinite where a metric is not told."""
    return sum(constraint.excess(metrics) / (abs(constraint.limit) or 1.0) for constraint in constraints)
