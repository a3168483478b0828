"""Other libraries' searchers, each given conditional spaces in the form that suits it best.

Optuna defines a space as it runs, Hyperopt nests choices, SMAC has conditions: the translations below are from the tree of
domains, so every task can be given to all. A library that is not installed is named. Knows no figures.
"""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from trialist.space import Choice, Fixed, Float, Group, Int
from tuning.course import Course, Enough, Search

Params = dict[str, Any]


class Peer(NamedTuple):
    """A searcher of another library."""

    library: str
    search: Search
    version: int = 1
    """Rises when the way it is driven changes."""

    @property
    def fingerprint(self) -> str:
        return f"{self.library}-{version(self.library)}-{self.version}"

    @property
    def is_installed(self) -> bool:
        try:
            version(self.library)
        except PackageNotFoundError:
            return False
        return True


def _walk(domain: Any, path: str, ask: Callable[[Any, str], Any]) -> Any:
    """Params from a tree, scalars and the numbers of options asked for one after the other."""
    match domain:
        case Group():
            return {key: _walk(inner, f"{path}.{key}" if path else key, ask) for key, inner in domain.params.items()}
        case Fixed():
            return domain.nth(0)
        case Choice():
            number = ask(domain, path)
            return (
                _walk(option, f"{path}={number}", ask) if isinstance(option := domain.values[number], Group) else option
            )
    return ask(domain, path)


# --- Optuna ---


def _optuna_ask(trial: Any, domain: Any, path: str) -> Any:
    match domain:
        case Float():
            return trial.suggest_float(path, domain.low, domain.high, log=domain.log, step=domain.q)
        case Int():
            return trial.suggest_int(path, domain.low, domain.high, log=domain.log, step=domain.step)
        case Choice():
            return trial.suggest_categorical(path, list(range(len(domain.values))))
    raise TypeError(f"Optuna is given {domain}")


def optuna_params(trial: Any, root: Group) -> Params:
    """The params of a trial of Optuna's, asked for as an objective would."""
    return _walk(root, "", partial(_optuna_ask, trial))


def _optuna(sampler: Callable[[int], Any], course: Course) -> None:
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is experimental or deprecated
        study = optuna.create_study(sampler=sampler(course.seed))
        objective = lambda trial: course.objective(optuna_params(trial, course.task.space.root))
        study.optimize(objective, n_trials=course.trials)


def _tpe(seed: int) -> Any:
    import optuna

    return optuna.samplers.TPESampler(seed=seed)


def _tpe_univariate(seed: int) -> Any:
    import optuna

    return optuna.samplers.TPESampler(seed=seed, multivariate=False)


def _gp(seed: int) -> Any:
    import optuna

    return optuna.samplers.GPSampler(seed=seed)


# --- Hyperopt ---


def _hyperopt_space(domain: Any, path: str) -> Any:
    from hyperopt import hp
    from hyperopt.pyll import scope

    match domain:
        case Group():
            return {key: _hyperopt_space(inner, f"{path}.{key}") for key, inner in domain.params.items()}
        case Fixed():
            return domain.nth(0)
        case Choice():
            return hp.choice(path, [(n, _hyperopt_option(o, f"{path}={n}")) for n, o in enumerate(domain.values)])
        case Float(q=None):
            if domain.log:
                return hp.loguniform(path, math.log(domain.low), math.log(domain.high))
            return hp.uniform(path, domain.low, domain.high)
        case Int(step=1):
            if domain.log:
                low, high = math.log(domain.low - 0.5), math.log(domain.high + 0.5)
                return scope.int(hp.qloguniform(path, low, high, 1))
            return scope.int(hp.quniform(path, domain.low - 0.5, domain.high + 0.5, 1))
    raise TypeError(f"Hyperopt is given {domain}")


def _hyperopt_option(option: Any, path: str) -> Any:
    return _hyperopt_space(option, path) if isinstance(option, Group) else None


def _from_hyperopt(domain: Any, given: Any) -> Any:
    match domain:
        case Group():
            return {key: _from_hyperopt(inner, given[key]) for key, inner in domain.params.items()}
        case Fixed():
            return domain.nth(0)
        case Choice():
            number, inner = given
            return _from_hyperopt(option, inner) if isinstance(option := domain.values[number], Group) else option
        case Int():
            return min(max(int(given), domain.low), domain.high)
    return min(max(float(given), domain.low), domain.high)


def _hyperopt(course: Course) -> None:
    import numpy as np
    from hyperopt import fmin, tpe

    root = course.task.space.root
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("hyperopt").setLevel(logging.ERROR)
        fmin(
            lambda given: course.objective(_from_hyperopt(root, given)),
            space=_hyperopt_space(root, "p"),
            algo=tpe.suggest,
            max_evals=course.trials,
            rstate=np.random.default_rng(course.seed),
            show_progressbar=False,
            verbose=False,
        )


# --- SMAC ---


def _smac_space(root: Group, seed: int) -> Any:
    from ConfigSpace import ConfigurationSpace

    space = ConfigurationSpace(seed=seed)
    _smac_add(space, root, "", ())
    return space


def _smac_add(space: Any, group: Group, path: str, parents: tuple[tuple[Any, str], ...]) -> None:
    from ConfigSpace import AndConjunction, Categorical, EqualsCondition
    from ConfigSpace import Float as SmacFloat
    from ConfigSpace import Integer as SmacInt

    for key, domain in group.params.items():
        name = f"{path}.{key}" if path else key
        match domain:
            case Group():
                _smac_add(space, domain, name, parents)
                continue
            case Fixed():
                continue
            case Choice():
                one: Any = Categorical(name, [str(number) for number in range(len(domain.values))])
            case Float():
                one = SmacFloat(name, (domain.low, domain.high), log=domain.log)
            case Int():
                one = SmacInt(name, (domain.low, domain.high), log=domain.log)
        space.add(one)
        conditions = [EqualsCondition(one, parent, option) for parent, option in parents]
        if conditions:
            space.add(conditions[0] if len(conditions) == 1 else AndConjunction(*conditions))
        if isinstance(domain, Choice):
            for number, branch in domain.branches:
                _smac_add(space, branch, f"{name}={number}", (*parents, (one, str(number))))


def _smac(course: Course) -> None:
    from smac import HyperparameterOptimizationFacade, Scenario

    root = course.task.space.root

    def objective(config: Any, seed: int = 0) -> float:
        given = dict(config)

        def ask(domain: Any, path: str) -> Any:
            value = given[path]
            return int(value) if isinstance(domain, Choice | Int) else min(max(float(value), domain.low), domain.high)

        return course.objective(_walk(root, "", ask))

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scenario = Scenario(
            _smac_space(root, course.seed),
            deterministic=True,
            n_trials=course.trials,
            seed=course.seed,
            output_directory=folder,
        )
        HyperparameterOptimizationFacade(scenario, objective, logging_level=False, overwrite=True).optimize()


def _until_enough(search: Search, course: Course) -> None:
    with contextlib.suppress(Enough):
        search(course)


PEERS: dict[str, Peer] = {
    "optuna-tpe": Peer("optuna", partial(_optuna, _tpe)),
    "optuna-tpe-univariate": Peer("optuna", partial(_optuna, _tpe_univariate)),
    "optuna-gp": Peer("optuna", partial(_optuna, _gp)),
    "hyperopt-tpe": Peer("hyperopt", _hyperopt),
    "smac": Peer("smac", _smac),
}
"""By the name that the command line and the tables use."""


def missing() -> Iterator[str]:
    """Peers whose library is not installed."""
    return (name for name, peer in PEERS.items() if not peer.is_installed)
