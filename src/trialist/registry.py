"""Names to objects: the one table that turns ``"sobol"`` into a class, loaded at first use.

Built-ins and plugins are one mechanism: a plugin is an entry point in the group ``trialist.<kind>s`` (``trialist.searchers``
…) of an installed package. Knows no object before it is asked for, so importing this costs nothing; it is the only module
that imports others of ours by name.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from types import ModuleType
from typing import Any

from trialist.core.errors import MissingExtra, UnknownName

BUILT_IN: dict[str, dict[str, str]] = {
    "searcher": {
        "auto": "trialist.search.auto:AutoSearcher",
        "random": "trialist.search.random:RandomSearcher",
        "grid": "trialist.search.grid:GridSearcher",
        "sobol": "trialist.search.sobol:SobolSearcher",
        "tpe": "trialist.search.tpe:TpeSearcher",
        "cmaes": "trialist.search.cmaes:CmaEsSearcher",
        "optuna": "trialist.search.optuna:OptunaSearcher",
        "gp": "trialist.search.gp:GpSearcher",
        "curves": "trialist.search.curves:CurveSearcher",
    },
    "scheduler": {
        "fifo": "trialist.schedule.fifo:FifoScheduler",
        "median": "trialist.schedule.median:MedianScheduler",
        "asha": "trialist.schedule.asha:AshaScheduler",
        "hyperband": "trialist.schedule.hyperband:HyperbandScheduler",
        "pbt": "trialist.schedule.pbt:PbtScheduler",
        "forecast": "trialist.schedule.forecast:ForecastScheduler",
    },
    "executor": {
        "inline": "trialist.execute.inline:InlineExecutor",
        "pool": "trialist.execute.pool:PoolExecutor",
        "command": "trialist.execute.command:CommandExecutor",
        "ray": "trialist.execute.ray:RayExecutor",
    },
    "store": {
        "memory": "trialist.store.memory:MemoryStore",
        "sqlite": "trialist.store.sql:SqlStore",
        "postgresql": "trialist.store.sql:SqlStore",
    },
    "door": {
        "sweep": "trialist.sweep.queued:lead_queued",
        "hpo": "trialist.hpo.queued:lead_queued",
    },
    "hpo_engine": {
        "local": "trialist.hpo.engines:lead_local",
        "ray": "trialist.hpo.engines:lead_ray",
        "ray_tune": "trialist.hpo.engines:lead_ray_tune",
    },
    "model_type": {
        "sklearn": "trialist.train.sklearn:SklearnModel",
        "mlp": "trialist.train.mlp:MlpModel",
        "text_classifier": "trialist.train.text:TextClassifier",
        "ppo": "trialist.train.ppo:PpoModel",
    },
}
"""Kind to name to ``module:attribute``."""

EXTRAS: dict[str, str] = {
    "cmaes": "cmaes",
    "optuna": "optuna",
    "sklearn": "sklearn",
    "psycopg": "postgres",
    "torch": "torch",
    "transformers": "text",
    "tokenizers": "text",
    "stable_baselines3": "rl",
    "gymnasium": "rl",
    "ray": "ray",
    "matplotlib": "plots",
    "plotly": "plots",
}
"""Top-level module that may be missing to the extra that brings it."""


@cache
def _plugins(kind: str) -> dict[str, str]:
    # Here, because it brings half the standard library along: it was most of what `import trialist` cost.
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=f"trialist.{kind}s")}


def names(kind: str) -> list[str]:
    """All registered names of a kind (``searcher``, ``scheduler``, ``executor``, ``store``), built-ins first."""
    return list({**BUILT_IN[kind], **_plugins(kind)})


def load(kind: str, name: str) -> Any:
    """The object registered under a name.

    Raises:
        UnknownName: Nobody registered it; the nearest is offered.
        MissingExtra: It needs a library that is not installed; the pip line is named.
    """
    known = {**_plugins(kind), **BUILT_IN[kind]}
    if name not in known:
        raise UnknownName(kind, name, known)
    return resolve(known[name], what=f"{kind} '{name}'")


def resolve(target: str, what: str) -> Any:
    """The object behind ``module:attribute``; ``what`` names it in the user's words, for the error."""
    module, _, attribute = target.partition(":")
    return getattr(optional(module, what), attribute)


def optional(module: str, what: str) -> ModuleType:
    """A module of an optional library, imported now; ``what`` names who needs it in the user's words.

    Raises:
        MissingExtra: The library is not installed; the pip line is named.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        raise MissingExtra(what, EXTRAS[missing], missing) from error


def require(module: str, what: str) -> None:
    """Whether a module of an optional library is there, without importing it.

    Raises:
        MissingExtra: It is not; the pip line is named.
    """
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        missing = module.partition(".")[0]
        raise MissingExtra(what, EXTRAS[missing], missing)
