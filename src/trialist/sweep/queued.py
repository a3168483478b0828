"""Leads a sweep that was handed to workers: the same files as ever, and nobody at a terminal."""

from __future__ import annotations

import sys

from rich.console import Console

from trialist.api.leading import Turn
from trialist.api.study import Study
from trialist.sweep.leading import lead_sweep
from trialist.sweep.options import SweepOptions
from trialist.sweep.record import SweepRecord


def lead_queued(study: Study, turn: Turn) -> None:
    """Lead a sweep's study for as long as it is a worker's turn.

    Raises:
        ConfigError: A newer Trialist made the sweep.
        LeaseLost, StoreError: See ``Study.lead``.
    """
    record = SweepRecord.from_json(study.row.spec.config, study.name)
    options = SweepOptions(quiet=True)
    lead_sweep(study, record, options, Console(file=sys.stderr, highlight=False), turn=turn)
