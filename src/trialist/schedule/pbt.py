"""Population based training: the worst of a population go on as copies of the best, with params moved a little.

Jaderberg et al., "Population Based Training of Neural Networks", 2017, arXiv:1711.09846. The population is compared when
all of it has come to the same step, so the outcome depends on no clock and on no number of jobs. Knows reports, checkpoints
and what became of trials; how params move is ``perturb``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Body,
    BudgetChanged,
    Event,
    StudyCreated,
    TrialEnded,
    TrialPaused,
    TrialResumed,
    TrialSuggested,
)
from trialist.core.options import Options
from trialist.core.records import (
    Continue,
    Decision,
    Metric,
    Params,
    Pause,
    Promotion,
    Suggestion,
    Trial,
    WarmStart,
    WarmStartFrom,
)
from trialist.core.states import TrialStatus
from trialist.schedule.perturb import Perturbation
from trialist.schedule.ranking import loss_of
from trialist.space import SearchSpace

POPULATION = 20
"""Members of a population where neither an option nor the budget says how many."""
_FACTORS = (0.8, 1.2)


@dataclass(slots=True)
class _Member:
    """A live trial of a population."""

    number: int
    params: Params
    passed: int = 0
    """The last comparison that it went on after."""
    waits_at: int | None = None
    """The comparison it has come to, and is paused at."""
    loss: float = math.inf
    """What it showed there."""
    checkpoint: str = ""
    checkpoint_step: int = 0
    is_held: bool = False
    """A person paused it: nobody waits for it."""
    is_out: bool = False
    """It saves no checkpoints, so it can neither be copied nor be moved: it runs to its end."""


class _Move(NamedTuple):
    """What becomes of a member after a comparison."""

    number: int
    donor: int | None
    """Whom its place is given to a copy of; ``None``: it goes on."""
    rank: int
    size: int


@dataclass(slots=True)
class _Population:
    """Trials that are compared with each other."""

    members: dict[int, _Member] = field(default_factory=dict)
    """Live ones."""
    begun: int = 0
    """Members that were suggested, forks not counted."""
    moves: list[_Move] = field(default_factory=list)
    """What follows from the last comparison and has not happened yet."""


class PbtScheduler:
    """Compares a population every ``interval`` steps; its worst end, and copies of its best take their places.

    Trials wait at each comparison until all of their population have come to it, so every member trains ``max_steps`` in
    all and the outcome depends on the metric alone, with any number of jobs. What waits has left its worker: its
    checkpoint is there to go on from, for itself and for others. A copy is a trial of its own (``source`` ``pbt``, not
    counted in ``num_trials``) that goes on from its origin's checkpoint, at that step, under params that are the origin's
    moved a little; ``lineage`` tells what a trial has gone through. Non-finite is worst, never copied and never goes on;
    ties go to the older trial.

    A trial that has saved no checkpoint when it leaves its worker is out: it runs to its end, from the start if it must.
    Once that was seen, others that have saved none are not paused in the first place. A trial that saves a checkpoint
    whenever ``report`` returns or raises (``try: … finally:``) loses no step; one that saves after ``report`` trains one
    interval between checkpoints again.

    Args:
        metrics: The study's.
        space: The study's: params move in it.
        seed: The study's.
        max_steps: What a whole trial takes: nobody is compared there.
        interval: Steps between comparisons; a tenth of ``max_steps`` where it is left out.
        population: How many trials are compared with each other, at least 2: the first so many suggested, then the next
            so many. Left out: the study's number of trials, or 20 where it has none.
        quantile: The share of a population that is replaced at each comparison, and that is copied: up to 0.5.
        mutate: The parameters that may move; those that shape a model must not, as its weights would no longer fit.
            Left out: all floats.
        factors: What numbers are multiplied by, one picked each time.
        resample: The probability that a parameter is drawn anew from its domain instead.
        metric: Name of the metric to compare by, where the study has several.

    Raises:
        ConfigError: An option is unknown, missing or wrong, the study has no metric, or nothing in its space can move.
    """

    name = "pbt"
    reads: frozenset[type[Body]] = frozenset(
        {
            StudyCreated,
            BudgetChanged,
            TrialSuggested,
            AttemptStarted,
            AttemptContinued,
            AttemptEnded,
            TrialPaused,
            TrialResumed,
            TrialEnded,
        }
    )

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        given = Options("scheduler 'pbt'", options)
        self._metric = given.metric(tuple(metrics))
        self._seed = seed
        max_steps = given.optional_integer("max_steps", low=2)
        if max_steps is None:
            raise given.wrong("max_steps", "is missing: say how many steps a whole trial takes")
        self._max_steps = max_steps
        self._interval = given.integer("interval", max(1, max_steps // 10), low=1)
        if self._interval >= max_steps:
            raise given.wrong("interval", f"must be below max_steps ({max_steps}), not {self._interval}")
        self._size = given.optional_integer("population", low=2)
        self._quantile = given.number("quantile", 0.25, low=0)
        if self._quantile > 0.5:
            raise given.wrong("quantile", f"is a share of at most 0.5, not {self._quantile:g}")
        resample = given.number("resample", 0.25, low=0)
        if resample > 1:
            raise given.wrong("resample", f"is a probability, not {resample:g}")
        mutate, factors = _names(given), _factors(given)
        given.done()
        self._perturbation = Perturbation(space, mutate, factors, resample, given.what)
        self._budget: int | None = None
        self._roots = 0
        self._populations: dict[int, _Population] = {}
        """Those with live members."""
        self._home: dict[int, int] = {}
        """By live member: its population."""
        self._bare = 0
        """How many trials left their workers without a checkpoint."""

    def boundary(self, trial: Trial, step: int) -> int | None:
        member = self._member(trial.number)
        if member is None or member.is_out:
            return None
        return self._next(max(step // self._interval, member.passed))

    def _next(self, passed: int) -> int | None:
        """The step of the comparison after one."""
        step = (passed + 1) * self._interval
        return step if step < self._max_steps else None

    def _member(self, number: int) -> _Member | None:
        home = self._home.get(number)
        return None if home is None else self._populations[home].members[number]

    # --- folding ---

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        match body:
            case StudyCreated():
                self._budget = body.spec.budget.num_trials
            case BudgetChanged():
                self._budget = body.budget.num_trials
            case TrialSuggested():
                self._suggested(body)
            case AttemptStarted() | AttemptContinued() | TrialResumed():
                self._goes_on(body)
            case TrialPaused():
                self._rests(body.trial, body.by, trial)
            case AttemptEnded(status=TrialStatus.PAUSED):
                if body.by:  # nobody's: it stays paused by whoever paused it
                    self._rests(body.trial, body.by, trial)
            case TrialEnded():
                self._ended(body)

    def _suggested(self, body: TrialSuggested) -> None:
        if body.source == self.name:
            home, passed = int(body.note["population"]), int(body.note["generation"])
        elif body.counted:
            if self._size is None:
                self._size = max(2, self._budget or POPULATION)
            home, passed = self._roots // self._size, 0
            self._roots += 1
        else:
            return  # a retry or another seed: the comparisons it belongs to are over
        population = self._populations.setdefault(home, _Population())
        population.begun += body.source != self.name
        population.members[body.trial] = _Member(body.trial, body.params, passed)
        self._home[body.trial] = home
        self._compare(population)

    def _goes_on(self, body: AttemptStarted | AttemptContinued | TrialResumed) -> None:
        member = self._member(body.trial)
        if member is None:
            return
        population = self._populations[self._home[body.trial]]
        if isinstance(body, TrialResumed) and body.by == self.name:
            self._adopt(population)
        if isinstance(body, AttemptContinued):
            member.passed = max(member.passed, body.from_step // self._interval)
            member.is_out |= not member.checkpoint and self._bare > 0
        if member.waits_at is not None:
            member.passed, member.waits_at = max(member.passed, member.waits_at), None
        member.is_held = False
        population.moves = [move for move in population.moves if move.number != body.trial]
        self._compare(population)

    def _rests(self, number: int, by: str, row: Trial | None) -> None:
        member = self._member(number)
        if member is None:
            return
        population = self._populations[self._home[number]]
        population.moves = [move for move in population.moves if move.number != number]
        member.is_held, member.waits_at = by != self.name, None
        if not member.is_held and row is not None:
            member.waits_at = (row.step or 0) // self._interval
            member.loss = loss_of(self._metric, row.metrics)
            if row.checkpoint is None:
                member.is_out = True
                self._bare += 1
            else:
                member.checkpoint, member.checkpoint_step = row.checkpoint, row.checkpoint_step or 0
        self._compare(population)

    def _ended(self, body: TrialEnded) -> None:
        member = self._member(body.trial)
        if member is None:
            return
        home = self._home[body.trial]
        population = self._populations[home]
        if member.waits_at is not None and body.by == self.name:
            self._adopt(population)
        del self._home[body.trial], population.members[body.trial]
        population.moves = [move for move in population.moves if move.number != body.trial]
        if not population.members and self._is_full(population):
            del self._populations[home]
            return
        self._compare(population)

    # --- comparing ---

    def _is_full(self, population: _Population) -> bool:
        return self._size is not None and population.begun >= self._size

    def _compare(self, population: _Population) -> None:
        """Make the comparison that everybody has come to."""
        if population.moves or not self._is_full(population):
            return
        if all(m.waits_at is not None for m in population.members.values() if not (m.is_out or m.is_held)):
            self._adopt(population)

    def _adopt(self, population: _Population) -> None:
        """What a comparison now says is what will happen, unless an earlier one is not through yet."""
        if not population.moves:
            population.moves = self._moves(population)

    def _moves(self, population: _Population) -> list[_Move]:
        """The comparison among those that wait: copies first, as they need what their origins have left."""
        waiting = [m for m in population.members.values() if m.waits_at is not None and not (m.is_out or m.is_held)]
        finite = [m for m in waiting if math.isfinite(m.loss)]
        if not finite:
            return []
        generation = min(m.waits_at for m in finite if m.waits_at is not None)
        finite = sorted((m for m in finite if m.waits_at == generation), key=lambda m: (m.loss, m.number))
        broken = [m for m in waiting if not math.isfinite(m.loss) and (m.waits_at or 0) <= generation]
        size = len(finite) + len(broken)
        replaced = min(math.ceil(size * self._quantile), size // 2)
        donors = finite[: max(1, replaced)]
        worst = {m.number for m in (finite + broken)[size - replaced :]} | {m.number for m in broken}
        forks, others = [], []
        for rank, member in enumerate(finite + broken):
            if member.number in worst and member.loss > donors[-1].loss and self._quantile:
                donor = donors[self._rng("donor", member, generation).randrange(len(donors))].number
                forks.append(_Move(member.number, donor, rank, size))
            elif math.isfinite(member.loss):
                others.append(_Move(member.number, None, rank, size))
        return forks + others

    def _rng(self, use: str, member: _Member, generation: int) -> random.Random:
        return random.Random(f"pbt/{use}/{self._seed}/{member.number}/{generation}")

    # --- deciding ---

    def decide(self, trial: Trial, step: int, *, at_boundary: bool) -> Decision:
        member = self._member(trial.number)
        if not at_boundary or member is None or member.is_out:
            return Continue()
        reached = step // self._interval
        alone = trial.checkpoint is None and self._bare > 0
        if alone or reached <= member.passed or step >= self._max_steps:
            return Continue(to_step=None if alone else self._next(max(reached, member.passed)))
        return Pause(leaves=True, reason=f"waits at step {step} for the others of its population")

    def promote(self, *, last: bool = False) -> Promotion | None:
        for population in self._populations.values():
            for member in population.members.values():
                if member.is_out and member.waits_at is not None:
                    reason = "it saves no checkpoints, so that no other trial can start from it"
                    return Promotion(trial=member.number, to_step=None, reason=reason)
        for home, population in self._populations.items():
            moves = population.moves or (self._moves(population) if last else [])
            for promotion in self._promotions(home, population, moves):
                return promotion
        return None

    def _promotions(self, home: int, population: _Population, moves: Sequence[_Move]) -> Iterator[Promotion]:
        """What is left to happen, in order; a copy of a trial that is gone is not made, and its place stays taken."""
        for move in moves:
            member = population.members[move.number]
            generation = member.waits_at or 0
            at = f"rank {move.rank + 1} of {move.size} at step {generation * self._interval}"
            donor = None if move.donor is None else population.members.get(move.donor)
            if donor is None and math.isfinite(member.loss):
                yield Promotion(trial=member.number, to_step=self._next(generation), reason=at)
            elif donor is not None:
                yield self._copy(home, member, donor, at)

    def _copy(self, home: int, member: _Member, donor: _Member, at: str) -> Promotion:
        generation = max(member.waits_at or 0, donor.waits_at or 0)
        suggestion = Suggestion(
            params=self._perturbation.moved(donor.params, self._rng("params", member, generation)),
            warm_start_from=WarmStartFrom(trial=donor.number, checkpoint=donor.checkpoint, what=WarmStart.RESUME),
            parent=donor.number,
            note={
                "population": home,
                "generation": generation,
                "from_step": donor.checkpoint_step,
                "replaces": member.number,
            },
        )
        return Promotion(
            trial=member.number, fork=suggestion, reason=f"{at}: a copy of trial {donor.number} takes over"
        )


def _names(given: Options) -> list[str] | None:
    names: Any = given.value("mutate")
    if names is None:
        return None
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(name, str) for name in listed):
        raise given.wrong("mutate", f"needs names of parameters, such as ['lr'], not {names!r}")
    return list(dict.fromkeys(listed))


def _factors(given: Options) -> list[float]:
    factors: Any = given.value("factors", _FACTORS)
    listed = list(factors) if isinstance(factors, list | tuple) else []
    good = [f for f in listed if isinstance(f, int | float) and not isinstance(f, bool) and 0 < f < math.inf]
    if not listed or len(good) < len(listed):
        raise given.wrong("factors", f"needs numbers above 0, such as [0.8, 1.2], not {factors!r}")
    return [float(factor) for factor in good]
