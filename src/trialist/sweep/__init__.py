"""Sweep: one config file, many runs. The door behind ``trialist sweep`` and ``HyperParamSearch``."""

from trialist.sweep.options import SweepOptions
from trialist.sweep.run import run_sweep
from trialist.sweep.search import HyperParamSearch

__all__ = ["HyperParamSearch", "SweepOptions", "run_sweep"]
