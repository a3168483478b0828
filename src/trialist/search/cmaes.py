"""CMA-ES: a normal distribution that moves, stretches and turns towards better results, a generation at a time.

Around the library ``cmaes`` (extra ``cmaes``). Numbers with many values take a normal distribution, those with few one with a
margin that keeps them from being stuck on one value, choices a categorical one: Hamano and others, "CatCMA with margin", 2025.
Restarts with twice the population: Auger and Hansen, "A restart CMA evolution strategy with increasing population size",
CEC 2005. Knows nothing of how a result came about but its value, and how far it got.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from cmaes import CatCMAwM

from trialist.core.events import Body, Event, StudyCreated, TrialEnded, TrialPaused, TrialSuggested
from trialist.core.options import Options
from trialist.core.records import Exhausted, Metric, Metrics, Mode, OutcomeConstraint, Suggestion, Trial
from trialist.core.states import TrialStatus
from trialist.search.cube import Cube
from trialist.search.randomness import stable_rng, stable_seed
from trialist.search.tried import Tried
from trialist.space import SearchSpace

NOTE = "cmaes"
"""Key of a suggestion's note: its generation, and which draw of it this was."""
DRAWS = 64
"""Draws that constraints may forbid, or that were tried before, until params are drawn at random."""
SIGMA = 0.25
"""Standard deviation of a number at the start, as a part of its range."""
MAX_CELLS = 256
"""Numbers with more values than this are taken for a line."""
MAX_POPULATION = 512
FLAT = 10
"""Generations in a row without any difference in value, after which it starts again elsewhere."""


class _Result(NamedTuple):
    """What a member of the generation showed; sorts better results first."""

    failed: bool
    excess: float
    """By how much it breaks outcome constraints."""
    cut: bool
    """Whether it was stopped, or paused, before its end."""
    steps_short: int
    """Of those that were cut: minus the step they reached."""
    loss: float
    number: int
    """The trial."""


class CmaEsSearcher:
    """CMA-ES with margin for mixed spaces; never ends.

    A generation is as many of its own trials as the population has; the next begins when so many have ended. Trials of a
    generation that end later, and trials of others, are of no account. Best rank those that ran to their end, then those
    that were stopped or paused, the furthest first, then those that break outcome constraints, the least first, and failed
    ones last; cancelled ones are replaced. Parameters that mean nothing at a point (conditional
    spaces) are drawn and not used, which is weaker than a model of the conditions: prefer ``tpe`` there.

    Guarantee: the state is a function of the events: each draw has a seed of its own, and nothing is saved.

    Args:
        space: What varies.
        metrics: What is optimised; of several, the one that the option ``metric`` names.
        seed: The study's.
        options: ``population`` (4 + 3 ln of the parameters): trials a generation, at least 4. ``metric``.

    Raises:
        ConfigError: There is no metric, or an option is unknown or wrong.
    """

    name = "cmaes"
    reads: frozenset[type[Body]] = frozenset({StudyCreated, TrialSuggested, TrialEnded, TrialPaused})

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        given = Options("searcher 'cmaes'", options)
        self._population = given.optional_integer("population", low=4)
        given.value("metric")
        given.done()
        self._metric = given.metric(tuple(metrics))
        self._space = space
        self._seed = seed
        self._cube = Cube(space)
        self._map = _Map(self._cube)
        self._tried = Tried(space) if Tried.is_for(space) else None
        self._constraints: tuple[OutcomeConstraint, ...] = ()
        self._generation = 0
        self._restarts = 0
        self._flat = 0
        self._members: dict[int, Any] = {}
        """Trials of this generation that may still be heard of, and the library's record of each."""
        self._results: list[_Result] = []
        self._optimizer = self._new_optimizer() if self._cube.dimension else None

    # --- asking ------------------------------------------------------------------------------------------------------

    def suggest(self, number: int) -> Suggestion | Exhausted:
        """Params for trial ``number``.

        Raises:
            SpaceError: The constraints leave nothing, or too little to find.
        """
        if self._optimizer is not None and not (self._tried is not None and self._tried.is_spent):
            for draw in range(DRAWS):
                params = self._map.params(self._solution(number, draw))
                if (self._tried is None or self._tried.is_new(params)) and self._space.allows(params):
                    return Suggestion(params=params, note={NOTE: [self._generation, draw]})
        rng = stable_rng("cmaes", self._seed, number, "left")
        left = None if self._tried is None else self._tried.pick(rng)
        return Suggestion(params=self._space.sample(rng) if left is None else left)

    def _solution(self, number: int, draw: int) -> Any:
        """A draw of this generation: a function of its number, whatever was drawn before."""
        assert self._optimizer is not None
        self._optimizer.reseed_rng(stable_seed("cmaes", self._seed, self._generation, number, draw) % 2**32)
        return self._optimizer.ask()

    # --- folding -----------------------------------------------------------------------------------------------------

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        if isinstance(body, StudyCreated):
            self._constraints = body.spec.outcome_constraints
        elif isinstance(body, TrialSuggested):
            self._suggested(body)
        elif isinstance(body, TrialPaused) and trial is not None:
            if body.step is not None and trial.paused_by != "person":
                self._result(body.trial, trial.metrics, step=body.step)
        elif isinstance(body, TrialEnded):
            if body.status is TrialStatus.CANCELLED:
                self._members.pop(body.trial, None)
            else:
                stopped = body.status is TrialStatus.STOPPED
                metrics = {} if body.status is TrialStatus.FAILED else body.metrics
                self._result(body.trial, metrics, step=body.step or 0 if stopped else None)

    def _suggested(self, body: TrialSuggested) -> None:
        own = body.source == self.name
        if self._tried is not None:
            self._tried.add(body.params, own=own)
        if own and self._optimizer is not None and NOTE in body.note:
            generation, draw = body.note[NOTE]
            if generation == self._generation:
                self._members[body.trial] = self._solution(body.trial, draw)

    def _result(self, number: int, metrics: Metrics, step: int | None) -> None:
        """``step``: the one that it reached, where it did not run to its end."""
        if number not in self._members or any(result.number == number for result in self._results):
            return
        value = metrics.get(self._metric.name, math.nan)
        loss = value if self._metric.mode is Mode.MIN else -value
        excess = math.fsum(constraint.excess(metrics) for constraint in self._constraints)
        if math.isfinite(loss) and math.isfinite(excess):
            self._results.append(_Result(False, excess, step is not None, -(step or 0), loss, number))
        else:
            self._results.append(_Result(True, 0.0, False, 0, 0.0, number))
        if self._optimizer is not None and len(self._results) == self._optimizer.population_size:
            self._next_generation(self._optimizer)

    def _next_generation(self, optimizer: CatCMAwM) -> None:
        ranked = sorted(self._results)
        self._flat = self._flat + 1 if ranked[0][:-1] == ranked[-1][:-1] else 0
        # Ranks in place of values: all that counts is the order, and failures have one too.
        told = [(self._members[result.number], float(rank)) for rank, result in enumerate(ranked)]
        self._generation += 1
        self._members.clear()
        self._results.clear()
        if not _tell(optimizer, told) or self._flat >= FLAT:
            self._restarts += 1
            self._flat = 0
            self._optimizer = self._new_optimizer()

    def _new_optimizer(self) -> CatCMAwM:
        rng = np.random.default_rng(stable_seed("cmaes", self._seed, "restart", self._restarts))
        size = self._population or 4 + int(3 * math.log(max(self._cube.dimension, 1)))
        return self._map.optimizer(min(size * 2**self._restarts, max(MAX_POPULATION, size)), self._restarts, rng)


def _tell(optimizer: CatCMAwM, told: list[tuple[Any, float]]) -> bool:
    """Whether the optimizer can go on with this generation's results."""
    try:
        with np.errstate(all="ignore"):
            optimizer.tell(told)
            if not optimizer.n_continuous + optimizer.n_integer:
                return True
            state = (optimizer._mean, optimizer._sigma, optimizer._C)
            return all(np.isfinite(part).all() for part in state) and not optimizer.should_stop()
    except np.linalg.LinAlgError:
        return False


class _Map:
    """Between the columns of a cube and the library's three kinds of variables.

    Args:
        cube: The space's.
    """

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        # The library's own advice: a number of two values is a choice.
        self._choices = np.flatnonzero(cube.is_choice | (cube.cells == 2))
        self._few = np.flatnonzero(~cube.is_choice & (cube.cells > 2) & (cube.cells <= MAX_CELLS))
        self._lines = np.flatnonzero(~cube.is_choice & (cube.cells > MAX_CELLS))
        self._counts = cube.cells[self._choices].astype(np.int64)
        self._centres = [_centres(cube, int(column)) for column in self._few]

    def optimizer(self, population: int, restarts: int, rng: np.random.Generator) -> CatCMAwM:
        """A new optimizer: around the middle at first, anywhere after a restart."""
        numbers = len(self._lines) + len(self._few)
        mean = rng.random(numbers) if restarts else np.full(numbers, 0.5)
        return CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self._lines) or None,
            z_space=self._centres or None,
            c_space=self._counts.tolist() or None,
            population_size=population,
            mean=mean if numbers else None,
            sigma=SIGMA if numbers else None,
            cov=np.eye(numbers) if numbers else None,
            seed=0,
        )

    def params(self, solution: Any) -> dict[str, Any]:
        """The params of a draw."""
        point = np.empty((1, self._cube.dimension))
        if len(self._lines):
            point[0, self._lines] = solution.x
        if len(self._few):
            point[0, self._few] = solution.z
        if len(self._choices):
            point[0, self._choices] = (solution.c.argmax(axis=1) + 0.5) / self._counts
        return self._cube.decode(self._cube.snap(point)[0])


def _centres(cube: Cube, column: int) -> list[float]:
    """Where the values of a number lie on [0, 1]."""
    domain: Any = cube.codec.leaves[column].domain
    return [float(domain.position(domain.nth(place))) for place in range(int(cube.cells[column]))]
