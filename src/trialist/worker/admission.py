"""Which studies fit on a worker: what a study takes together, and what is free. Pure arithmetic; knows no store.

A study takes its ``jobs`` times what one of its trials takes; a trial that names no ``cpu`` takes one. A study that wants
more than the whole worker gets the whole worker, with fewer trials at once, as long as one trial fits. Accelerators are
given whole: two studies never share one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trialist.core.errors import ConfigError
from trialist.core.records import StudySpec
from trialist.engine.placement import machine_resources, visible_devices

CPU, GPU, MEMORY = "cpu", "gpu", "memory_gb"
_EPSILON = 1e-9


class Share(NamedTuple):
    """What a study may take of a worker."""

    resources: Mapping[str, float]
    devices: tuple[str, ...] = ()


class Room(NamedTuple):
    """What a worker has, or has left."""

    resources: Mapping[str, float]
    """By name; a name that is missing is something it has none of."""
    devices: tuple[str, ...] = ()

    def without(self, share: Share) -> Room:
        """What is left when a study has its share."""
        left = {name: has - share.resources.get(name, 0.0) for name, has in self.resources.items()}
        return Room(left, tuple(device for device in self.devices if device not in share.devices))


def whole_room(
    *,
    cpu: float | None = None,
    gpu: int | None = None,
    memory_gb: float | None = None,
    others: Mapping[str, float] | None = None,
) -> Room:
    """What this machine has, or the less that it is told to give.

    Args:
        cpu: Cores; ``None``: those that this process may use.
        gpu: Accelerators; ``None``: those that this process may use.
        memory_gb: Memory, in 10^9 bytes; ``None``: the machine's.
        others: Resources of other names.

    Raises:
        ConfigError: There are fewer accelerators than that.
    """
    devices = visible_devices()
    if gpu is not None and gpu > len(devices):
        raise ConfigError(f"is {gpu}, and this process may use {len(devices)}: see CUDA_VISIBLE_DEVICES", path="gpu")
    devices = devices if gpu is None else devices[:gpu]
    told = {CPU: cpu, GPU: float(len(devices)), MEMORY: memory_gb}
    resources = {**machine_resources(), **{name: has for name, has in told.items() if has is not None}}
    return Room({**resources, **(others or {})}, tuple(devices))


def share_of(spec: StudySpec, whole: Room) -> Share:
    """What a study takes of a worker; ask ``misfit`` first."""
    needs, jobs = _needs(spec), spec.budget.jobs
    resources = {name: min(jobs * need, whole.resources[name]) for name, need in needs.items() if need > 0}
    gpus = needs.get(GPU, 0.0)
    if gpus > 0:
        # As many whole devices as its trials fill: three halves take two.
        wanted = jobs * int(gpus) if gpus >= 1 else math.ceil(jobs / math.floor(1 / gpus + _EPSILON))
        resources[GPU] = float(min(wanted, len(whole.devices)))
    return Share(resources)


def misfit(spec: StudySpec, whole: Room) -> str:
    """Why a worker can never run a study, as a sentence; empty where it can."""
    for name, need in _needs(spec).items():
        has = whole.resources.get(name, 0.0)
        if need > has + _EPSILON:
            return f"study '{spec.name}' needs {need:g} {name} for a trial; this worker has {has:g}"
    return ""


def fits(spec: StudySpec, whole: Room, free: Room) -> Share | None:
    """The share that a study gets now; ``None``: it has to wait, or can never run here."""
    if misfit(spec, whole):
        return None
    share = share_of(spec, whole)
    if any(take > free.resources.get(name, 0.0) + _EPSILON for name, take in share.resources.items()):
        return None
    return Share(share.resources, free.devices[: round(share.resources.get(GPU, 0.0))])


def room_text(resources: Mapping[str, float]) -> str:
    """Resources in words: ``2 cpu, 0 gpu, 8.2 memory_gb``."""
    return ", ".join(f"{round(has, 1):g} {name}" for name, has in resources.items())


def left_of(whole: Room, shares: Sequence[Share]) -> Room:
    """What a worker has left beside the studies that it leads."""
    for share in shares:
        whole = whole.without(share)
    return whole


def _needs(spec: StudySpec) -> Mapping[str, float]:
    return {CPU: 1.0, **spec.resources}
