"""Leading a study in this process: the lease, the parts, the engine. Knows no front door."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from trialist.api.assembling import make_scheduler, make_searcher
from trialist.api.steering import leading_here
from trialist.core import faults
from trialist.core.errors import ConfigError, NotFound, StoreError, StudyLed
from trialist.core.events import RunConfigured
from trialist.core.ports import Clock, Executor, Replier, Scheduler, Searcher, Sink, Store
from trialist.core.records import Budget, Lease, Study, Trial
from trialist.engine.assembly import Assembly, RunEnd
from trialist.engine.control import check_budget
from trialist.engine.loop import Engine
from trialist.engine.placement import Placement, machine_resources, visible_devices
from trialist.space import SearchSpace
from trialist.store.holders import holder
from trialist.telemetry.follow import Follower, catch_up

_log = logging.getLogger("trialist")
LEASE_TTL_S = 30.0
"""How long a leader may be silent before another process may take over; a dead one on this machine is known at once."""
ENV_LEASE_S = "TRIALIST_LEASE_S"
"""Stands in for ``LEASE_TTL_S`` where a call does not say; the same for all leaders of a study, or the shorter ones lose."""


class Turn(NamedTuple):
    """A worker's turn at leading a study: it holds the lease already, and gives the study no more than its share."""

    lease: Lease
    capacity: Mapping[str, float]
    """What the study's running trials may take together, by name of the resource."""
    devices: Sequence[str] = ()
    """The accelerators among it."""


class LeadRequest(NamedTuple):
    """How a study is to be led; see ``Study.lead``."""

    executor: Executor
    run_dir: Callable[[Trial], Path]
    sinks: Sequence[Sink]
    budget: Budget | None
    configured: RunConfigured | None
    timeout_s: float | None
    on_end: Callable[[Trial], None] | None
    replier: Replier | None
    say: Callable[[str], None] | None
    lease_s: float | None = None
    turn: Turn | None = None
    """``None``: a person's own process leads; a study that was handed to workers is theirs no longer."""
    searcher: Searcher | None = None
    """One that a person gave as an object, new; ``None``: as the study's spec says."""
    scheduler: Scheduler | None = None


def lease_seconds(given: float | None = None) -> float:
    """How long a lease runs: what a call says, else what ``TRIALIST_LEASE_S`` says, else ``LEASE_TTL_S``.

    Raises:
        ConfigError: It is no number of seconds above 0.
    """
    if given is not None:
        return _checked_seconds(given, "lease_s")
    text = os.environ.get(ENV_LEASE_S, "").strip()
    if not text:
        return LEASE_TTL_S
    try:
        return _checked_seconds(float(text), ENV_LEASE_S)
    except ValueError:
        raise ConfigError(f"must be a number of seconds above 0, such as 30, not '{text}'", path=ENV_LEASE_S) from None


def _checked_seconds(seconds: float, what: str) -> float:
    if not (math.isfinite(seconds) and seconds > 0):
        raise ConfigError(f"must be a number of seconds above 0, not {seconds:g}", path=what)
    return float(seconds)


def lead_study(store: Store, study: Study, space: SearchSpace, request: LeadRequest, clock: Clock) -> RunEnd:
    """Take the lease, lead the study to its end, and leave the lease; the executor is closed in any case.

    Raises:
        StudyLed, LeaseLost, StoreError: See ``Study.lead``.
    """
    try:
        if request.budget is not None:
            check_budget(request.budget)
        lease = _lease(store, study, request)
        try:
            faults.point("engine.leased")
            request = request._replace(
                sinks=[sink for sink in request.sinks if _is_caught_up(sink, store, study, request)]
            )
            faults.point("engine.caught_up")
            engine = _engine(store, lease, space, request, clock)
            with leading_here(study.id, engine):
                return engine.run()
        finally:
            _release(store, lease)
    finally:
        request.executor.close()


def _is_caught_up(sink: Sink, store: Store, study: Study, request: LeadRequest) -> bool:
    """Whether a sink can be used: what a crash kept from its file is written now. One that raises never fails a study."""
    if not isinstance(sink, Follower):
        return True
    say = request.say or _log.warning
    try:
        catch_up(sink, store, study.id)
    except StoreError:
        raise  # the store's trouble, not the sink's
    except Exception as error:  # noqa: BLE001  a sink can never fail a study
        say(f"{type(sink).__name__} is switched off: {error}")
        with suppress(Exception):
            sink.close()
        return False
    return True


def _release(store: Store, lease: Lease) -> None:
    """Leave; where the store is away the lease runs out by itself, and that must not hide how the run has ended."""
    try:
        store.release_lease(lease)
    except StoreError as error:
        _log.warning("the lease was not given back and runs out in %g s: %s", lease.ttl_s, error)


def _lease(store: Store, study: Study, request: LeadRequest) -> Lease:
    if request.turn is not None:
        return request.turn.lease
    lease_s = lease_seconds(request.lease_s)
    try:
        return store.take_lease(study.id, holder(), lease_s)
    except StudyLed as error:
        raise StudyLed(study.name, error.holder) from None


def _engine(store: Store, lease: Lease, space: SearchSpace, request: LeadRequest, clock: Clock) -> Engine:
    study = store.find_study(lease.study_id)  # read again: under the lease nobody else changes it
    if study is None:
        raise NotFound("study", lease.study_id, store.url)
    spec = study.spec
    needs = spec.resources if request.configured is None else request.configured.resources
    turn = request.turn
    places = (machine_resources(), visible_devices()) if turn is None else (turn.capacity, turn.devices)
    if request.executor.is_elsewhere:
        places = ({}, [])
    searcher = request.searcher or make_searcher(spec, space)
    assembly = Assembly(
        store=store,
        searcher=searcher,
        scheduler=request.scheduler or make_scheduler(spec),
        executor=request.executor,
        placement=Placement(needs, *places),
        clock=clock,
        workspace=request.run_dir,
        check_params=space.check,
        remove_files=lambda path: shutil.rmtree(path, ignore_errors=True),
        replier=request.replier,
        sinks=request.sinks,
        on_end=request.on_end,
        timeout_s=request.timeout_s,
        configured=request.configured,
        budget=request.budget,
        check_suggestions=not type(searcher).__module__.startswith("trialist."),  # ours are proven by their suite
        hands_back=turn is not None,
    )
    return Engine(assembly if request.say is None else assembly._replace(say=request.say), lease, study)
