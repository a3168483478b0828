"""Where the trials of an optimisation run: this machine, a Ray cluster, or Ray Tune.

An engine is a registered name (kind ``hpo_engine``) of a function that leads a study to its end. Knows which one is meant; Ray
itself is never imported here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from trialist import registry
from trialist.api.assembling import Made, objective_executor
from trialist.api.leading import Turn
from trialist.api.naming import artifacts_dir, trial_dir
from trialist.api.shipping import shipped
from trialist.api.study import Study
from trialist.core.errors import ConfigError, UnknownName
from trialist.core.events import RunConfigured
from trialist.core.ports import Scheduler, Searcher, Sink
from trialist.core.records import Budget, Spec, Trial
from trialist.engine.assembly import RunEnd
from trialist.hpo.record import DOOR, HPORecord
from trialist.hpo.training import Training

LOCAL, RAY, RAY_TUNE = "local", "ray", "ray_tune"
_JOBS_OF_ITS_OWN = 2
"""A pool is asked for, however few trials run at once: each is a process, which alone suffers what it does."""


class Request(NamedTuple):
    """How an optimisation's study is to be led."""

    training: Training
    budget: Budget | None = None
    """Replaces the study's, where given."""
    resources: Mapping[str, float] | None = None
    """What one trial takes; ``None``: what the study says."""
    ray: Mapping[str, Any] = {}
    """``ray_config``."""
    sinks: Sequence[Sink] = ()
    on_end: Callable[[Trial], None] | None = None
    say: Callable[[str], None] | None = None
    turn: Turn | None = None
    """A worker's."""
    searcher: Searcher | None = None
    """One that was given as an object."""
    scheduler: Scheduler | None = None


HPOEngine = Callable[[Study, HPORecord, Request], RunEnd]
"""Leads a study of this door to its end, or until it is interrupted."""


def choose_engine(asked: str, ray_config: Mapping[str, Any] | None) -> str:
    """The name of the engine that is meant; ``auto``: Ray where a cluster is at hand, else this machine.

    Raises:
        UnknownName: There is no such engine.
        MissingExtra: Ray is asked for and not installed.
    """
    if asked == "auto":
        return RAY if _has_cluster(ray_config or {}) else LOCAL
    known = registry.names("hpo_engine")
    if asked not in known:
        raise UnknownName("engine", asked, [*known, "auto"])
    if asked.startswith(RAY):
        registry.optional("ray", f"engine='{asked}'")
    return asked


def _has_cluster(ray_config: Mapping[str, Any]) -> bool:
    """Whether a cluster is named, or this process is connected to one; asks nobody."""
    ray = sys.modules.get("ray")
    connected = ray is not None and bool(ray.is_initialized())
    return connected or bool(os.environ.get("RAY_ADDRESS")) or bool(ray_config.get("address"))


def lead_local(study: Study, record: HPORecord, request: Request) -> RunEnd:
    """Lead with trials as processes of this machine, forked warm."""
    return _lead(study, record, request, {"name": "pool"})


def lead_ray(study: Study, record: HPORecord, request: Request) -> RunEnd:
    """Lead with trials on the actors of a Ray cluster."""
    init = {name: value for name, value in request.ray.items() if name != "address"}
    address = request.ray.get("address")
    options = {"address": address} if address else {}
    return _lead(study, record, request, {"name": RAY, **options, **({"init": init} if init else {})})


def lead_ray_tune(study: Study, record: HPORecord, request: Request) -> RunEnd:
    """Lead with trials in one ``Tuner`` of Ray Tune's, under its own scheduler; what they do is recorded as it happens."""
    spec = study.row.spec
    metric = study.row.metric
    if metric is None:
        raise ConfigError("engine 'ray_tune' compares trials by one metric; engine 'ray' takes several", path="engine")
    what = f"engine='{RAY_TUNE}'"
    mirror = registry.resolve("trialist.execute.ray_schedulers:Mirror", what)()
    init = {name: value for name, value in request.ray.items() if name != "address"}
    executor = registry.resolve("trialist.execute.ray_tune:RayTuneExecutor", what)(
        shipped(request.training),
        metric=metric,
        metric_names=[one.name for one in spec.metrics],
        jobs=(request.budget or spec.budget).jobs,
        mirror=mirror,
        scheduler=spec.scheduler,
        address=request.ray.get("address"),
        init=init,
    )
    return _lead_with(study, record, request, Made(executor, Spec(name=RAY_TUNE)), mirror)


def _lead(study: Study, record: HPORecord, request: Request, executor: Mapping[str, Any]) -> RunEnd:
    spec = study.row.spec
    jobs = max((request.budget or spec.budget).jobs, _JOBS_OF_ITS_OWN)
    made = objective_executor(executor, request.training, spec, jobs)
    return _lead_with(study, record, request, made, request.scheduler)


def _lead_with(study: Study, record: HPORecord, request: Request, made: Made, scheduler: Scheduler | None) -> RunEnd:
    spec = study.row.spec
    root = artifacts_dir(study.store.url, study.id, study.name)
    return study.lead(
        made.executor,
        run_dir=lambda trial: trial_dir(root, trial.number),
        sinks=request.sinks,
        budget=request.budget,
        configured=RunConfigured(
            objective=objective_of(record),
            executor=made.spec,
            resources=spec.resources if request.resources is None else request.resources,
        ),
        timeout_s=record.timeout_s,
        on_end=request.on_end,
        say=request.say,
        turn=request.turn,
        searcher=request.searcher,
        scheduler=scheduler,
    )


def objective_of(record: HPORecord) -> dict[str, Any]:
    """What runs, as data: the configs, into which a trial's params are laid."""
    return {"trainer": record.sections.tree, "door": DOOR}
