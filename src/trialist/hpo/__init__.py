"""Tuning a training pipeline from Python: the door behind ``HPOptimizer``."""

from trialist.hpo.config_loader import ConfigLoader
from trialist.hpo.optimizer import HPOptimizer
from trialist.hpo.results import HPOResults, load_results

__all__ = ["ConfigLoader", "HPOResults", "HPOptimizer", "load_results"]
