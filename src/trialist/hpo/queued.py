"""Leads an optimisation that was handed to workers: the same trials, and nobody at a terminal."""

from __future__ import annotations

from trialist import registry
from trialist.api.given import OBJECT
from trialist.api.leading import Turn
from trialist.api.study import Study
from trialist.core.errors import ObjectiveError
from trialist.hpo.engines import HPOEngine, Request
from trialist.hpo.record import HPORecord
from trialist.hpo.training import Training, import_types


def lead_queued(study: Study, turn: Turn) -> None:
    """Lead an optimisation's study for as long as it is a worker's turn.

    Raises:
        ConfigError: A newer Trialist made it.
        ObjectiveError: Its training engine or model type is one that only the process that made it had.
        LeaseLost, StoreError: See ``Study.lead``.
    """
    record = HPORecord.from_json(study.row.spec.config, study.name)
    if record.own_engine:
        raise ObjectiveError(
            f"study '{study.name}' trains with {record.own_engine}, which only the process that made it has: run it there, "
            "with optimize(..., resume=True)"
        )
    spec = study.row.spec
    for what, chosen in (("searcher", spec.searcher), ("scheduler", spec.scheduler)):
        if chosen is not None and chosen.name == OBJECT:
            raise ObjectiveError(
                f"study '{study.name}' has a {what} that was given as an object ({chosen.options.get('class')}), which only "
                "the process that made it has: run it there, with optimize(..., resume=True)"
            )
    import_types(record.modules)
    lead: HPOEngine = registry.load("hpo_engine", record.engine)
    lead(study, record, Request(training=Training(record), turn=turn))
