"""How long does a suggestion take after 100, 200, 1,000, 10,000 and 100,000 trials?"""

from __future__ import annotations

import logging
import math
import random
import statistics
import sys
import time
from typing import Any, Protocol

from measuring import Result, Sizes, main
from tasks.spaces import integer, log, log_integer, one_of, uniform
from threadpoolctl import threadpool_limits
from tuning.ours import LOSS, Miniature, Named
from tuning.peers import optuna_params

from trialist.core.events import AttemptStarted, TrialEnded
from trialist.core.records import Budget, Suggestion
from trialist.core.states import TrialStatus
from trialist.registry import names
from trialist.space import SearchSpace

ABOUT = """
Milliseconds from asking for params until they are there, in a space of ten parameters (four floats, two of them logarithmic;
three integers, one logarithmic; three choices), after so many finished trials with random params. Each figure is the median
of seven asks (some refit a model, which the slowest of the seven shows), and each ask has one more result behind it than the
one before, so that nothing can be had from a cache. Telling the result counts, since some searchers do their work there. One
thread. Optuna's storage is memory, and its history is added as finished trials. Optuna stops at 10,000 trials, where a round
of it would take minutes. The first ask of a searcher that has just read its whole history, as after a restart, is told apart.
"""
SPACE = SearchSpace.of(
    {
        "lr": log(1e-5, 0.1),
        "decay": log(1e-6, 0.01),
        "momentum": uniform(0.0, 0.99),
        "dropout": uniform(0.0, 0.7),
        "layers": integer(1, 8),
        "warmup": integer(0, 20),
        "units": log_integer(16, 1024),
        "activation": one_of("relu", "gelu", "tanh", "silu"),
        "optimizer": one_of("sgd", "adam", "adamw"),
        "norm": one_of(True, False),
    }
)
OURS = ("auto", "tpe", "gp", "cmaes", "sobol", "random")
SIZES = (100, 200, 1_000, 10_000, 100_000)
PEER_UP_TO = 10_000
ASKS = 7


def loss(params: dict[str, Any]) -> float:
    """A valley with a little noise that is the same for the same params."""
    out = (math.log10(params["lr"]) + 2.5) ** 2 + (params["dropout"] - 0.2) ** 2 + abs(params["layers"] - 4) / 4
    out += {"sgd": 0.3, "adam": 0.1, "adamw": 0.0}[params["optimizer"]] + (0.2 if params["norm"] else 0.0)
    return out + random.Random(repr(sorted(params.items()))).gauss(0.0, 0.1)


class Asked(Protocol):
    """A search that grows: ours or a peer's."""

    def grow(self, trials: int) -> None:
        """Have so many finished trials, of random params."""

    def ask(self) -> float:
        """Ask, and tell the result: milliseconds."""


class Ours:
    """A searcher of Trialist behind its port."""

    def __init__(self, name: str) -> None:
        named = Named.of(name)
        self._searcher = named.made("searcher")(SPACE, metrics=(LOSS,), seed=0, **named.options)
        self._study = Miniature(SPACE, LOSS, 0, Budget(num_trials=2 * SIZES[-1]), self._searcher)
        self._rng = random.Random(1)
        self._number = 0

    def grow(self, trials: int) -> None:
        while self._number < trials:
            self._run(Suggestion(params=SPACE.sample(self._rng)), "enqueue")

    def ask(self) -> float:
        began = time.perf_counter()
        suggestion = self._searcher.suggest(self._number)
        asked_s = time.perf_counter() - began
        return 1e3 * (asked_s + self._run(suggestion, self._searcher.name))

    def _run(self, suggestion: Suggestion, source: str) -> float:
        value, number, began = loss(dict(suggestion.params)), self._number, time.perf_counter()
        self._study.suggested(number, suggestion, source)
        self._study.emit(AttemptStarted(trial=number, attempt=1))
        metrics = {LOSS.name: value}
        self._study.emit(
            TrialEnded(trial=number, attempt=1, status=TrialStatus.COMPLETED, metrics=metrics, value=value)
        )
        self._study.rows.pop(number)
        self._number += 1
        return time.perf_counter() - began


class Optuna:
    """Optuna's TPE as it comes."""

    def __init__(self) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        self._rng = random.Random(1)
        self._number = 0
        trial = self._study.ask()
        optuna_params(trial, SPACE.root)
        self._distributions = trial.distributions
        self._study.tell(trial, loss(_choices_named(trial.params)))

    def grow(self, trials: int) -> None:
        from optuna.trial import create_trial

        new = []
        for _ in range(self._number, trials):
            params = SPACE.sample(self._rng)
            given = {name: _option(name, value) for name, value in params.items()}
            new.append(create_trial(params=given, distributions=self._distributions, value=loss(params)))
        self._study.add_trials(new)
        self._number = max(self._number, trials)

    def ask(self) -> float:
        began = time.perf_counter()
        trial = self._study.ask()
        params = optuna_params(trial, SPACE.root)
        asked_s, value = time.perf_counter() - began, loss(params)
        began = time.perf_counter()
        self._study.tell(trial, value)
        self._number += 1
        return 1e3 * (asked_s + time.perf_counter() - began)


def _option(name: str, value: Any) -> Any:
    """Optuna is given the numbers of options."""
    values = getattr(SPACE.root.params[name], "values", None)
    return value if values is None else values.index(value)


def _choices_named(params: dict[str, Any]) -> dict[str, Any]:
    domains = SPACE.root.params
    return {
        name: domains[name].values[value] if hasattr(domains[name], "values") else value
        for name, value in params.items()
    }


def ask(result: Result, sizes: Sizes) -> None:
    rounds, ours = sizes.of(3, 1), [name for name in OURS if name in names("searcher")]
    counts = (20, 40) if sizes.quick else SIZES
    took: dict[tuple[str, int], list[float]] = {}
    first: dict[tuple[str, int], list[float]] = {}
    slowest: dict[tuple[str, int], list[float]] = {}
    with threadpool_limits(1):
        for _ in range(rounds):
            searches: dict[str, Asked] = {**{name: Ours(name) for name in ours}, "Optuna's TPE": Optuna()}
            for count in counts:
                for name, search in searches.items():  # they take turns at each size
                    if isinstance(search, Optuna) and count > PEER_UP_TO:
                        continue
                    search.grow(count)
                    first.setdefault((name, count), []).append(search.ask())
                    asks = [search.ask() for _ in range(sizes.of(ASKS, 2))]
                    took.setdefault((name, count), []).append(statistics.median(asks))
                    slowest.setdefault((name, count), []).append(max(asks))
    for (name, count), values in took.items():
        result.add(f"{name}, {count:,} trials", "ms an ask", values)
    for (name, count), values in slowest.items():
        if name in ("auto", "gp", "tpe"):
            result.add(f"{name}, {count:,} trials, slowest of seven", "ms an ask", values)
    for name in ours:
        result.add(f"{name}, {counts[-1]:,} trials, first ask", "ms", first[name, counts[-1]])
    if not sizes.quick:
        _targets(result, took, ours)
    else:
        result.compare("of Optuna's TPE: random", took["random", 40], took["Optuna's TPE", 40])


def _targets(result: Result, took: dict[tuple[str, int], list[float]], ours: list[str]) -> None:
    for count in SIZES:
        if "tpe" in ours and count <= PEER_UP_TO:
            peer = took["Optuna's TPE", count]
            at_least = 20.0 if count == PEER_UP_TO else None
            result.compare(
                f"times faster than Optuna's TPE, {count:,} trials: tpe", peer, took["tpe", count], at_least=at_least
            )
    limits = [("tpe", 10_000, 5.0), *(("auto", count, 50.0 if count <= 200 else 10.0) for count in SIZES)]
    for name, count, limit in limits:
        if name in ours:
            values = took[name, count]
            result.compare(f"times {limit:g} ms, {count:,} trials: {name}", values, [limit] * len(values), at_most=1.0)
    for name in ("tpe", "auto"):
        if name in ours:
            words = f"of an ask at 1,000 trials, 100,000 trials: {name}"
            result.compare(words, took[name, 100_000], took[name, 1_000], at_most=1.5)


if __name__ == "__main__":
    sys.exit(main(ask, question="latency", about=ABOUT, packages=["optuna", "numpy", "scipy"]))
