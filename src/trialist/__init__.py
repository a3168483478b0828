"""Trialist decides what to try next in machine learning, runs it, and remembers everything.

The public names, each loaded at its first use (PEP 562), so that ``import trialist`` costs next to nothing. Knows no
object itself: the table says where each one lives, and the registry fetches it. Type checkers read ``__init__.pyi``,
which is made from this table.
"""

from __future__ import annotations

from typing import Any

from trialist import registry as _registry
from trialist._version import __version__ as __version__
from trialist.core.errors import nearest as _nearest

_EXPORTS: dict[str, str] = {
    "create_study": "trialist.api:create_study",
    "load_study": "trialist.api:load_study",
    "list_studies": "trialist.api:list_studies",
    "list_workers": "trialist.api:list_workers",
    "delete_study": "trialist.api:delete_study",
    "import_studies": "trialist.api:import_studies",
    "fsck": "trialist.api:fsck",
    "Study": "trialist.api:Study",
    "HyperParamSearch": "trialist.sweep:HyperParamSearch",
    "TrainingEngine": "trialist.train.engine:TrainingEngine",
    "HPOptimizer": "trialist.hpo:HPOptimizer",
    "HPOResults": "trialist.hpo:HPOResults",
    "load_results": "trialist.hpo:load_results",
    "ConfigLoader": "trialist.hpo:ConfigLoader",
    "RayTuneSearcher": "trialist.hpo.ray_search:RayTuneSearcher",
    "HPOVisualizer": "trialist.analysis.visualizer:HPOVisualizer",
    "analyze": "trialist.analysis.analyze:analyze",
    "SearchSpace": "trialist.space:SearchSpace",
    "Float": "trialist.space:Float",
    "Int": "trialist.space:Int",
    "Choice": "trialist.space:Choice",
    "Fixed": "trialist.space:Fixed",
    "report": "trialist.runtime:report",
    "params": "trialist.runtime:params",
    "emit_progress": "trialist.runtime:emit_progress",
    "checkpoint_dir": "trialist.runtime:checkpoint_dir",
    "Stopped": "trialist.runtime:Stopped",
    "Paused": "trialist.runtime:Paused",
    "TrialistError": "trialist.core.errors:TrialistError",
    "UserError": "trialist.core.errors:UserError",
    "SpaceError": "trialist.core.errors:SpaceError",
    "ConfigError": "trialist.core.errors:ConfigError",
    "ObjectiveError": "trialist.core.errors:ObjectiveError",
    "UnknownName": "trialist.core.errors:UnknownName",
    "MissingExtra": "trialist.core.errors:MissingExtra",
    "NotFound": "trialist.core.errors:NotFound",
    "Conflict": "trialist.core.errors:Conflict",
    "StudyExists": "trialist.core.errors:StudyExists",
    "StudyMismatch": "trialist.core.errors:StudyMismatch",
    "StudyLed": "trialist.core.errors:StudyLed",
    "IllegalTransition": "trialist.core.errors:IllegalTransition",
    "LeaseLost": "trialist.core.errors:LeaseLost",
    "StoreError": "trialist.core.errors:StoreError",
    "StoreBusy": "trialist.core.errors:StoreBusy",
    "StoreFull": "trialist.core.errors:StoreFull",
    "SchemaMismatch": "trialist.core.errors:SchemaMismatch",
    "InternalError": "trialist.core.errors:InternalError",
}
"""Public name to ``module:attribute``."""

_OPTIONAL = frozenset({"RayTuneSearcher"})
"""Those that need an optional library to be there at all; ``from trialist import *`` leaves them out."""

__all__ = ["__version__", *(_name for _name in _EXPORTS if _name not in _OPTIONAL)]


def __getattr__(name: str) -> Any:
    """The public object of this name; loaded now, and kept.

    Raises:
        AttributeError: There is none; the nearest is offered.
    """
    if name not in _EXPORTS:
        # Python itself asks for dunder names (``__path__``, ``__wrapped__``); a hint would only slow it down.
        hint = "" if name.startswith("__") else _nearest(name, _EXPORTS)
        raise AttributeError(f"module 'trialist' has no attribute '{name}'.{hint}", name=name)
    value = _registry.resolve(_EXPORTS[name], what=f"trialist.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_OPTIONAL})
