"""The trial's side: what an objective or a script uses while it runs. Standard library only, and quick to import."""

from trialist.runtime.context import Paused, Stopped, TrialContext
from trialist.runtime.current import checkpoint_dir, current_trial, emit_progress, params, report
from trialist.runtime.process import ControllerGone

__all__ = [
    "ControllerGone",
    "Paused",
    "Stopped",
    "TrialContext",
    "checkpoint_dir",
    "current_trial",
    "emit_progress",
    "params",
    "report",
]
