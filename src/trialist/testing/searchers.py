"""The contract of searchers as tests: subclass ``SearcherContract``, say how yours is made, and run pytest.

    class TestMine(SearcherContract):
        def make(self, space, *, metrics, seed):
            return MySearcher(space, metrics=metrics, seed=seed)

``History`` is a study in miniature that asks a searcher and gives it events; it knows no engine and no store.
"""

from __future__ import annotations

import json
import math
import random
import sys
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trialist.core.errors import SpaceError
from trialist.core.events import (
    AttemptStarted,
    Body,
    Event,
    ReplyReceived,
    ReplyRequested,
    Reported,
    TrialEnded,
    TrialSuggested,
)
from trialist.core.fold import fold_trial
from trialist.core.ports import Searcher, replays
from trialist.core.records import Exhausted, Failure, FailureReason, Metric, Mode, NeedsReply, Suggestion, Trial
from trialist.core.states import TrialStatus
from trialist.space import Codec, SearchSpace

LOSS = Metric(name="loss", mode=Mode.MIN)

SPACES: dict[str, SearchSpace] = {
    "mixed": SearchSpace.of(
        {
            "optimizer": {"lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1}, "momentum": [0.0, 0.9]},
            "depth": {"type": "randint", "low": 1, "high": 4},
            "dropout": {"type": "quniform", "low": 0.0, "high": 0.5, "q": 0.1},
            "activation": ["relu", "gelu", None],
            "epochs": 10,
        }
    ),
    "line": SearchSpace.of({"x": {"type": "uniform", "low": -1.0, "high": 1.0}}),
    "finite": SearchSpace.of({"a": [1, 2, 3], "b": ["x", "y"], "c": {"type": "randint", "low": 0, "high": 1}}),
    "conditional": SearchSpace.of(
        {
            "model": {
                "type": "choice",
                "values": [
                    {"name": "linear"},
                    {"name": "tree", "depth": {"type": "randint", "low": 2, "high": 9}},
                    {"name": "mlp", "lr": {"type": "loguniform", "low": 1e-4, "high": 1e-1}, "units": [32, 64]},
                ],
            }
        }
    ),
    "conditional finite": SearchSpace.of(
        {
            "model": {
                "type": "choice",
                "values": [{"name": "linear"}, {"name": "tree", "depth": {"type": "randint", "low": 1, "high": 3}}],
            },
            "scale": [True, False],
        }
    ),
    "constrained": SearchSpace.of(
        {
            "x": {"type": "uniform", "low": 0.0, "high": 1.0},
            "y": {"type": "uniform", "low": 0.0, "high": 1.0},
        },
        constraints=["x + y <= 0.5"],
    ),
    "constrained finite": SearchSpace.of(
        {"a": {"type": "randint", "low": 1, "high": 6}, "b": {"type": "randint", "low": 1, "high": 6}},
        constraints=["a * b <= 8", "a >= b"],
    ),
    "one point": SearchSpace.of({"a": [1], "b": 2}),
}
"""The spaces on which every searcher is tried; one that cannot take a space refuses it with SpaceError."""


@dataclass
class History:
    """Asks a searcher for trials, runs them on a smooth function, and gives it the events.

    Args:
        searcher: Who is asked.
        space: The searcher's.
        metric: What trials report.
        pending: How many of the newest trials have not ended.
    """

    searcher: Searcher
    space: SearchSpace
    metric: Metric = LOSS
    pending: int = 2
    events: list[tuple[Event, Trial | None]] = field(default_factory=list)
    rows: dict[int, Trial] = field(default_factory=dict)
    answers: list[tuple[int, int, Suggestion | Exhausted]] = field(default_factory=list)
    """How many events there were, the number asked for, and the answer."""

    def grow(self, trials: int) -> History:
        """Ask for so many more trials; stops early where the searcher is exhausted."""
        for _ in range(trials):
            number = len(self.rows)
            before, answer = len(self.events), self.searcher.suggest(number)
            if isinstance(answer, NeedsReply):
                self.emit(ReplyRequested(key=answer.key, request=answer.request))
                self.emit(ReplyReceived(key=answer.key, reply=self.reply(answer.request)))
                before, answer = len(self.events), self.searcher.suggest(number)
            assert not isinstance(answer, NeedsReply), "it asks for what it has just been told"
            self.answers.append((before, number, answer))
            if isinstance(answer, Exhausted):
                break
            self.suggested(answer, self.searcher.name)
            oldest = number - self.pending
            if oldest >= 0 and self.rows[oldest].status is TrialStatus.WAITING:
                self.end(oldest)
        return self

    def reply(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the outside answers; a searcher that asks needs a history of its own that knows."""
        raise NotImplementedError(f"the searcher asks {request}")

    def suggested(self, suggestion: Suggestion, source: str) -> int:
        """Make a trial, whoever suggested it."""
        number = len(self.rows)
        self.emit(
            TrialSuggested(
                trial=number,
                params=json.loads(json.dumps(suggestion.params)),
                seed=number,
                source=source,
                seen_seq=len(self.events),
                note=json.loads(json.dumps(suggestion.note)),
                parent=suggestion.parent,
                repeat_of=suggestion.repeat_of,
                warm_start_from=suggestion.warm_start_from,
            )
        )
        return number

    def end(self, number: int) -> None:
        """Run a trial to its end: two reports; each seventh fails, each eleventh gives NaN."""
        value = self.value(number)
        self.emit(AttemptStarted(trial=number, attempt=1))
        for step in (1, 2):
            metrics = {self.metric.name: value + 1 / step}
            self.emit(Reported(trial=number, attempt=1, step=step, metrics=metrics))
        if number % 7 == 6:
            error = Failure(reason=FailureReason.EXCEPTION, message="broke")
            self.emit(TrialEnded(trial=number, attempt=1, status=TrialStatus.FAILED, step=2, error=error))
            return
        value = math.nan if number % 11 == 10 else value
        self.emit(
            TrialEnded(
                trial=number,
                attempt=1,
                status=TrialStatus.COMPLETED,
                step=2,
                metrics={self.metric.name: value},
                value=value,
            )
        )

    def value(self, number: int) -> float:
        """A bowl over the unit cube; ``max`` turns it over."""
        params = self.rows[number].params
        if not self.space.contains(params):
            return 0.0
        bowl = math.fsum((u - 0.3) ** 2 for u in Codec(self.space).encode(params))
        return bowl if self.metric.mode is Mode.MIN else -bowl

    def emit(self, body: Body) -> None:
        """Make an event happen."""
        event, row = Event(len(self.events) + 1, float(len(self.events)), body), None
        if event.trial is not None:
            row = self.rows[event.trial] = fold_trial(self.rows.get(event.trial), event, (self.metric.name,))
        self.events.append((event, row))
        if type(body) in self.searcher.reads:
            self.searcher.update(event, row)

    def suggestions(self) -> list[Suggestion]:
        """All suggestions so far."""
        return [answer for *_, answer in self.answers if isinstance(answer, Suggestion)]


class SearcherContract:
    """What every searcher keeps; subclass it and override ``make``."""

    trials = 14
    """How many trials histories have: enough for the searcher to leave its start-up phase."""
    seeded = True
    """Whether other seeds give other suggestions."""
    repeats = False
    """Whether points of a finite space may come again before all have come."""
    bytes_a_trial = 4096
    """How much memory a trial may take that has ended."""
    replays = True
    """Whether the searcher keeps the guarantee of its port; what it says of itself must agree."""

    def make(self, space: SearchSpace, *, metrics: tuple[Metric, ...], seed: int) -> Searcher:
        """A new searcher.

        Raises:
            SpaceError: It cannot search this space.
        """
        raise NotImplementedError

    def history(self, space: SearchSpace, seed: int = 0, metric: Metric = LOSS) -> History:
        """A history without trials."""
        return History(searcher=self.make(space, metrics=(metric,), seed=seed), space=space, metric=metric)

    def spaces(self) -> dict[str, SearchSpace]:
        """The spaces of ``SPACES`` that this searcher takes."""
        taken = {}
        for name, space in SPACES.items():
            try:
                self.make(space, metrics=(LOSS,), seed=0)
            except SpaceError:
                continue
            taken[name] = space
        assert taken, "it takes none of the spaces"
        return taken

    def test_suggestions_lie_in_the_space(self) -> None:
        for name, space in self.spaces().items():
            for suggestion in self.history(space).grow(self.trials).suggestions():
                assert space.check(suggestion.params) == suggestion.params, name

    def test_suggestions_are_json(self) -> None:
        for space in self.spaces().values():
            for suggestion in self.history(space).grow(self.trials).suggestions():
                for data in (suggestion.params, suggestion.note):
                    text = json.dumps(data, allow_nan=False)
                    assert json.loads(text) == data
                    assert json.dumps(json.loads(text)) == text

    def test_it_says_whether_it_replays(self) -> None:
        for space in self.spaces().values():
            assert replays(self.make(space, metrics=(LOSS,), seed=0)) is self.replays

    def test_the_same_number_gives_the_same_until_its_trial_is_there(self) -> None:
        for space in self.spaces().values():
            history = self.history(space)
            for number in range(self.trials):
                first = history.searcher.suggest(number)
                assert history.searcher.suggest(number) == first
                history.grow(1)
                assert history.answers[-1][2] == first

    def test_a_searcher_that_saw_all_events_goes_on(self) -> None:
        for name, space in self.spaces().items():
            history = self.history(space).grow(self.trials)
            later = self.history(space)
            for event, row in history.events:
                if event.trial is not None and row is not None:
                    later.rows[event.trial] = row
                later.events.append((event, row))
                if type(event.body) in later.searcher.reads:
                    later.searcher.update(event, row)
            for suggestion in later.grow(self.trials).suggestions():
                assert space.check(suggestion.params) == suggestion.params, name

    def test_asking_changes_nothing(self) -> None:
        for space in self.spaces().values() if self.replays else ():
            asked, history = self.history(space), self.history(space)
            for _ in range(self.trials):
                ahead = asked.searcher.suggest(len(asked.rows) + 3)
                assert asked.searcher.suggest(len(asked.rows) + 3) == ahead
                asked.grow(1)
                history.grow(1)
            assert asked.answers == history.answers

    def test_replayed_events_give_every_suggestion_again(self) -> None:
        for name, space in self.spaces().items() if self.replays else ():
            history = self.history(space).grow(self.trials)
            for after, number, answer in history.answers:
                searcher = self.make(space, metrics=(LOSS,), seed=0)
                for event, row in history.events[:after]:
                    if type(event.body) in searcher.reads:
                        searcher.update(event, row)
                assert searcher.suggest(number) == answer, name

    def test_seeds(self) -> None:
        for name, space in self.spaces().items():
            one, again, other = (self.history(space, seed).grow(self.trials).answers for seed in (1, 1, 2))
            assert one == again
            if self.seeded and space.count() != 1:
                assert one != other, name

    def test_no_point_comes_twice_before_all_have_come(self) -> None:
        for name, space in self.spaces().items():
            count = space.count()
            if self.repeats or count is None or count > 100:
                continue
            history = self.history(space).grow(count)
            keys = {space.key(suggestion.params) for suggestion in history.suggestions()}
            assert len(keys) == count, name

    def test_exhausted_is_for_ever(self) -> None:
        for space in self.spaces().values():
            count = space.count()
            if count is None or count > 100:
                continue
            history = self.history(space).grow(count + 3)
            if isinstance(history.answers[-1][2], Exhausted):
                history.suggested(Suggestion(params=space.sample(random.Random(0))), "enqueue")
                for number in (len(history.rows), len(history.rows) + 50):
                    assert isinstance(history.searcher.suggest(number), Exhausted)

    def test_trials_of_others_are_taken_as_they_come(self) -> None:
        for space in self.spaces().values():
            history = self.history(space)
            history.suggested(Suggestion(params=space.sample(random.Random(1))), "enqueue")
            history.suggested(Suggestion(params={"not": "in the space"}), "clone")
            for number in (0, 1):
                history.end(number)
            history.grow(self.trials)
            for suggestion in history.suggestions():
                assert space.contains(suggestion.params)

    def test_max_works_like_min(self) -> None:
        high = Metric(name="score", mode=Mode.MAX)
        for space in self.spaces().values():
            low, other = self.history(space).grow(self.trials), self.history(space, metric=high).grow(self.trials)
            assert [len(a.suggestions()) for a in (low, other)] == [len(low.suggestions())] * 2
            assert all(space.contains(suggestion.params) for suggestion in other.suggestions())

    def test_global_random_state_is_neither_read_nor_touched(self) -> None:
        numpy = sys.modules.get("numpy")
        for space in self.spaces().values():
            random.seed(1)
            first = self.history(space).grow(self.trials).answers
            random.seed(2)
            before = random.getstate(), repr(numpy.random.get_state()) if numpy else ""
            assert self.history(space).grow(self.trials).answers == first
            assert before == (random.getstate(), repr(numpy.random.get_state()) if numpy else "")

    def test_memory_stays_small(self) -> None:
        space = self.spaces().get("mixed") or next(iter(self.spaces().values()))
        searcher = self.make(space, metrics=(LOSS,), seed=0)
        rng, trials = random.Random(0), 1000
        source = History(searcher=searcher, space=space)
        tracemalloc.start()
        try:
            start = tracemalloc.get_traced_memory()[0]
            for number in range(trials):
                source.suggested(Suggestion(params=space.sample(rng)), "enqueue")
                source.end(number)
                source.events.clear()
            source.rows.clear()
            grown = tracemalloc.get_traced_memory()[0] - start
        finally:
            tracemalloc.stop()
        assert grown < trials * self.bytes_a_trial
