"""Who races: any searcher and scheduler of Trialist through their ports, and Optuna's samplers with its pruners.

Knows no figures.
"""

from __future__ import annotations

import logging
import warnings
from importlib.metadata import version
from typing import Any

from tasks.curves import CurveTask, Params

from trialist.core.events import AttemptContinued, AttemptStarted, Reported, TrialEnded, TrialPaused, TrialResumed
from trialist.core.ports import Scheduler, Searcher
from trialist.core.records import Budget, Continue, Exhausted, Pause, Stop, Suggestion
from trialist.core.states import TrialStatus
from tuning.ours import Miniature, Named, fingerprint
from tuning.peers import optuna_params
from tuning.race import Job, Racer

VERSION = 1
"""Rises when races are run in another way."""
ENDLESS = 10_000
"""Trials that a race may begin: its budget is time."""


class Pair:
    """A searcher and a scheduler of Trialist, asked as the engine asks them: promotions before new trials.

    Args:
        words: ``gp+asha?max_steps=$T``: a searcher, and a scheduler that may be left out; ``$T`` is the task's last step.
        task: What is raced on.
        seed: The study's.
        trials: How many may begin.
        drawn: Params by trial, instead of the searcher's.
        jobs: How many run at once.
    """

    def __init__(
        self,
        words: str,
        task: CurveTask,
        seed: int,
        *,
        trials: int = ENDLESS,
        drawn: list[Params] | None = None,
        jobs: int = 4,
    ) -> None:
        one, other = named_pair(words, task.steps)
        metrics = (task.metric,)
        self._task, self._trials, self._drawn = task, trials, drawn
        self._searcher: Searcher = one.made("searcher")(task.space, metrics=metrics, seed=seed, **one.options)
        self._scheduler: Scheduler = other.made("scheduler")(metrics=metrics, **other.options)
        readers = (self._scheduler,) if drawn is not None else (self._searcher, self._scheduler)
        self._study = Miniature(
            task.space, task.metric, seed, Budget(num_trials=trials, jobs=jobs), *readers, scheduler=other
        )
        self._begun = 0
        self._running: set[int] = set()
        self.ended: list[int] = []
        """Trials that completed or were stopped, in that order."""

    def job(self) -> Job | None:
        number = self._promoted()
        if number is None:
            number = self._new()
        if number is None and not self._running:
            number = self._promoted(last=True)
        if number is None:
            return None
        row = self._study.rows[number]
        from_step, to_step = row.step or 0, row.to_step
        if to_step is None or to_step <= from_step:
            to_step = self._scheduler.boundary(row, from_step)
        known = dict(row.metrics) if from_step else {}
        self._study.emit(
            AttemptStarted(trial=number, attempt=row.attempt + 1, from_step=from_step, to_step=to_step, metrics=known)
        )
        self._running.add(number)
        return Job(number, dict(row.params), from_step)

    def _promoted(self, *, last: bool = False) -> int | None:
        promotion = self._scheduler.promote(last=last)
        if promotion is None:
            return None
        by = self._scheduler.name
        self._study.emit(TrialResumed(trial=promotion.trial, to_step=promotion.to_step, by=by, reason=promotion.reason))
        return promotion.trial

    def _new(self) -> int | None:
        number = self._begun
        if number >= self._trials:
            return None
        if self._drawn is not None:
            suggestion: Any = Suggestion(params=self._drawn[number])
        else:
            suggestion = self._searcher.suggest(number)
        if isinstance(suggestion, Exhausted):
            self._trials = number
            return None
        if not isinstance(suggestion, Suggestion):
            raise TypeError(f"the searcher wants an answer from outside: {suggestion}")
        self._study.suggested(number, suggestion, self._searcher.name)
        self._begun += 1
        return number

    def report(self, trial: int, step: int, value: float) -> bool:
        study, row = self._study, self._study.rows[trial]
        study.emit(Reported(trial=trial, attempt=row.attempt, step=step, metrics={self._task.metric.name: value}))
        if step >= self._task.steps:
            self._end(trial, TrialStatus.COMPLETED)
            return False
        row = study.rows[trial]
        at_boundary = row.to_step is not None and step >= row.to_step
        decision = self._scheduler.decide(row, step, at_boundary=at_boundary)
        match decision:
            case Continue():
                if at_boundary:
                    to_step = decision.to_step or self._scheduler.boundary(row, step)
                    by = self._scheduler.name
                    study.emit(
                        AttemptContinued(trial=trial, attempt=row.attempt, from_step=step, to_step=to_step, by=by)
                    )
                return True
            case Pause():
                by = self._scheduler.name
                study.emit(TrialPaused(trial=trial, attempt=row.attempt, step=step, parked=True, by=by))
                self._running.discard(trial)
            case Stop():
                self._end(trial, TrialStatus.STOPPED)
            case _:
                raise TypeError(f"a curve cannot be forked, and the scheduler wants {decision}")
        return False

    def _end(self, trial: int, status: TrialStatus) -> None:
        row = self._study.rows[trial]
        self._study.emit(
            TrialEnded(
                trial=trial, attempt=row.attempt, status=status, step=row.step, metrics=row.metrics, value=row.value
            )
        )
        self._running.discard(trial)
        self.ended.append(trial)
        del self._study.rows[trial]


class Optuna:
    """A sampler of Optuna's with a pruner of Optuna's; four trials are asked for before the first is told.

    Args:
        words: ``optuna-tpe``, ``optuna-gp+median``, ``optuna-tpe+hyperband``.
        task: What is raced on.
        seed: The sampler's.
    """

    def __init__(self, words: str, task: CurveTask, seed: int) -> None:
        import optuna

        self._optuna, self._task = optuna, task
        optuna.logging.set_verbosity(logging.ERROR)
        sampler, _, pruner = words.partition("+")
        samplers = {"optuna-tpe": optuna.samplers.TPESampler, "optuna-gp": optuna.samplers.GPSampler}
        pruners = {
            "": optuna.pruners.NopPruner,
            "median": optuna.pruners.MedianPruner,
            "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=task.steps),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(
                sampler=samplers[sampler](seed=seed),
                pruner=pruners[pruner](),
                direction="minimize" if task.sign > 0 else "maximize",
            )
        self._trials: dict[int, Any] = {}

    def job(self) -> Job | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            params = optuna_params(trial, self._task.space.root)
        self._trials[trial.number] = trial
        return Job(trial.number, params)

    def report(self, trial: int, step: int, value: float) -> bool:
        live = self._trials[trial]
        live.report(value, step)
        if step >= self._task.steps:
            self._study.tell(live, value)
        elif live.should_prune():
            self._study.tell(live, state=self._optuna.trial.TrialState.PRUNED)
        else:
            return True
        del self._trials[trial]
        return False


OPTUNA = ("optuna-tpe", "optuna-tpe+median", "optuna-tpe+hyperband", "optuna-gp+median")


def named_pair(words: str, steps: int) -> tuple[Named, Named]:
    """Searcher and scheduler."""
    searcher, _, scheduler = words.replace("$T", str(steps)).partition("+")
    return Named.of(searcher), Named.of(scheduler or "fifo")


def racer(words: str, task: CurveTask, seed: int, *, jobs: int = 4) -> Racer:
    """Whoever has this name."""
    return Optuna(words, task, seed) if words.startswith("optuna-") else Pair(words, task, seed, jobs=jobs)


def pair_fingerprint(words: str) -> str:
    """A hash over what a pair is made of."""
    if words.startswith("optuna-"):
        return f"optuna-{version('optuna')}-{VERSION}"
    searcher, _, scheduler = words.partition("+")
    return f"{fingerprint(searcher)}-{fingerprint(scheduler or 'fifo', kind='scheduler')}-{VERSION}"
