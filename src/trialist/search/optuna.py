"""Any sampler of Optuna as a searcher: a mirror of our study in Optuna's memory, told what happened in its words.

Needs the extra ``optuna``. Knows no store, Optuna's neither.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import TrialState, create_trial

from trialist.core.errors import ConfigError, MissingExtra, SpaceError, UserError, nearest
from trialist.core.events import Body, Event, StudyCreated, TrialEnded, TrialSuggested
from trialist.core.records import Exhausted, Metric, Mode, OutcomeConstraint, Params, Suggestion, Trial
from trialist.core.states import TrialStatus
from trialist.registry import EXTRAS
from trialist.search.optuna_space import OptunaSpace
from trialist.search.randomness import stable_rng, stable_seed
from trialist.space import SearchSpace

DEFAULT = "TPESampler"
ASKS = 100
"""Proposals that constraints may forbid until params are drawn at random."""
CONSTRAINED = frozenset({"TPESampler", "GPSampler", "NSGAIISampler", "NSGAIIISampler"})
"""Samplers that heed outcome constraints."""


class OptunaSearcher:
    """Asks a sampler of Optuna; never ends but where the sampler does (its grid).

    Parameters have their dotted paths as names; those of branches that share a path have their condition behind it. What
    the sampler hears: failed and non-finite trials as FAIL; stopped ones as PRUNED with their value at the step they
    reached; cancelled ones as FAIL; trials of others as its own. Outcome constraints are given to samplers that take some; of
    others, trials that break one are FAIL.

    It promises neither guarantee of searchers (``replays`` is False): a sampler's random state is its own. One trial at a
    time, an uninterrupted study is a function of its seed. After an interruption the sampler is told the whole history and
    goes on with other random numbers.

    Args:
        space: What varies.
        metrics: What is optimised.
        seed: The study's; given to samplers that take one.
        options: ``sampler``: a class of ``optuna.samplers`` by name (``TPESampler``), or a sampler object; all others are
            the sampler's own.

    Raises:
        ConfigError: There is no metric, no such sampler, or it does not take an option.
    """

    name = "optuna"
    reads: frozenset[type[Body]] = frozenset({StudyCreated, TrialSuggested, TrialEnded})
    replays = False

    def __init__(self, space: SearchSpace, *, metrics: Sequence[Metric] = (), seed: int = 0, **options: Any) -> None:
        self._seed = seed
        self._factory = _Factory(options)
        if not metrics:
            raise ConfigError("searcher 'optuna' optimises a metric, and the study has none: name one (metric=…).")
        self._metrics = tuple(metrics)
        self._space = space
        self._mirror = OptunaSpace(space)
        self._study: optuna.Study | None = None
        """Made at the first call, so that its seed can say how much history there was before it was asked."""
        self._asked: dict[int, tuple[int, dict[str, Any]]] = {}
        """By trial number what was proposed and has not become a trial yet: Optuna's number of it, and the params."""
        self._running: dict[int, int] = {}
        """Optuna's numbers of the trials that have not ended."""
        self._trials = 0
        self._constraints: tuple[OutcomeConstraint, ...] = ()
        self._exhausted = False

    # --- asking ------------------------------------------------------------------------------------------------------

    def suggest(self, number: int) -> Suggestion | Exhausted:
        """Params for trial ``number``; the same again until that trial is there.

        Raises:
            SpaceError: The constraints leave nothing, or too little to find.
            MissingExtra: The sampler needs a library that is not installed.
            ConfigError: The sampler cannot search this study.
        """
        if self._exhausted:
            return Exhausted(reason=f"{self._factory.what} of Optuna has nothing left to try")
        if number not in self._asked:
            if self._study is None:
                self._study = self._new_study()
            self._asked[number] = self._ask(self._study, number)
        return Suggestion(params=self._asked[number][1])

    def _new_study(self) -> optuna.Study:
        way = optuna.study.StudyDirection
        directions = [way.MINIMIZE if metric.mode is Mode.MIN else way.MAXIMIZE for metric in self._metrics]
        sampler = self._factory.make(stable_seed("optuna", self._seed, self._trials) % 2**32)
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(directions=directions, sampler=sampler, pruner=optuna.pruners.NopPruner())
        finally:
            optuna.logging.set_verbosity(verbosity)
        study.stop = self._stop  # type: ignore[method-assign]  # what samplers call that have been everywhere
        return study

    def _stop(self) -> None:
        self._exhausted = True

    def _ask(self, study: optuna.Study, number: int) -> tuple[int, dict[str, Any]]:
        for _ in range(ASKS):
            with self._factory.told():
                trial = study.ask()
                params = self._mirror.ask(trial)
            if self._space.allows(params):
                return trial.number, params
            study.tell(trial, state=TrialState.FAIL)
        params = self._space.sample(stable_rng("optuna", self._seed, number))
        return self._add(study, params), params

    # --- folding -----------------------------------------------------------------------------------------------------

    def update(self, event: Event, trial: Trial | None) -> None:
        body = event.body
        if isinstance(body, StudyCreated):
            self._constraints = body.spec.outcome_constraints
        elif isinstance(body, TrialSuggested):
            self._suggested(body)
        elif isinstance(body, TrialEnded) and body.trial in self._running:
            assert self._study is not None
            self._ended(self._study, self._running.pop(body.trial), body)

    def _suggested(self, body: TrialSuggested) -> None:
        self._trials += 1
        if self._study is None:
            self._study = self._new_study()
        if body.trial in self._asked:
            number, params = self._asked.pop(body.trial)
            if body.source == self.name and body.params == params:
                self._running[body.trial] = number
                return
            self._study.tell(number, state=TrialState.FAIL)
        try:
            params = self._space.check(body.params)
        except SpaceError:
            return
        self._running[body.trial] = self._add(self._study, params)

    def _add(self, study: optuna.Study, params: Params) -> int:
        values, distributions = self._mirror.tell(params)
        study.add_trial(create_trial(state=TrialState.RUNNING, params=values, distributions=distributions))
        return len(study.get_trials(deepcopy=False)) - 1

    def _ended(self, study: optuna.Study, number: int, end: TrialEnded) -> None:
        values = [end.metrics.get(metric.name, math.nan) for metric in self._metrics]
        is_scored = end.status.counts and all(map(math.isfinite, values))
        if is_scored and self._constraints:
            excess = [constraint.excess(end.metrics) for constraint in self._constraints]
            is_scored = all(map(math.isfinite, excess)) if self._factory.heeds_constraints else not any(excess)
            frozen = study.get_trials(deepcopy=False)[number]
            for constraint, value in zip(self._constraints, excess, strict=True):
                study._storage.set_trial_system_attr(frozen._trial_id, f"{_CONSTRAINTS_KEY}:{constraint}", value)
        if is_scored and end.status is TrialStatus.STOPPED:
            if len(values) == 1:
                frozen = study.get_trials(deepcopy=False)[number]
                study._storage.set_trial_intermediate_value(frozen._trial_id, end.step or 0, values[0])
            study.tell(number, state=TrialState.PRUNED)
        elif is_scored:
            study.tell(number, values)
        else:
            study.tell(number, state=TrialState.FAIL)


class _Factory:
    """Makes the sampler that the options say."""

    def __init__(self, options: dict[str, Any]) -> None:
        given = dict(options)
        chosen = given.pop("sampler", DEFAULT)
        self._sampler: BaseSampler | None = None
        if isinstance(chosen, BaseSampler):
            self._sampler, self._options, chosen = chosen, {}, type(chosen).__name__
        else:
            self._class = _sampler_class(chosen)
            self._options = given
        self.what = f"sampler '{chosen}'"
        self.heeds_constraints = chosen in CONSTRAINED
        known = [] if self._sampler is not None else _keywords(self._class)
        for name in given:
            if name not in known:
                whose = "searcher 'optuna'"
                raise ConfigError(f"{whose} has no option '{name}', nor has its {self.what}.{nearest(name, known)}")
        if self._sampler is None:
            self.make(0)  # what the options are worth is known now, not at the first trial

    def make(self, seed: int) -> BaseSampler:
        if self._sampler is not None:
            return self._sampler
        more = {"seed": seed} if "seed" in _keywords(self._class) and "seed" not in self._options else {}
        with self.told():
            sampler: BaseSampler = self._class(**self._options, **more)
        return sampler

    @contextmanager
    def told(self) -> Iterator[None]:
        """What a sampler raises, in the user's words."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                yield
        except UserError:
            raise
        except ImportError as error:
            missing = str(error.name or "").partition(".")[0]
            raise MissingExtra(self.what, EXTRAS.get(missing, "optuna"), missing or "a library") from error
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ConfigError(f"{self.what} of Optuna says: {error}") from error


def _sampler_class(name: object) -> Any:
    known: dict[str, Any] = {
        label: found
        for label in optuna.samplers.__all__
        if inspect.isclass(found := getattr(optuna.samplers, label)) and not inspect.isabstract(found)
    }
    if not isinstance(name, str) or name not in known:
        raise ConfigError(
            f"option 'sampler' of searcher 'optuna' names no sampler of Optuna: {name!r}.{nearest(str(name), known)}"
        )
    return known[name]


def _keywords(cls: type) -> list[str]:
    return [name for name in inspect.signature(cls).parameters if name not in ("self", "args", "kwargs")]
