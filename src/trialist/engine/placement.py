"""Who may run now, and on which devices: slots, named resources, fractions of accelerators.

Only what a study's ``resources`` name is counted; ``jobs`` always is. Knows nothing of processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from trialist.core.errors import ConfigError

COUNTED = frozenset({"cpu", "gpu", "memory_gb"})
"""What every machine tells of itself; other names are counted where a worker is told how much of them there is."""
_CLOSE = 0.75
"""How near a name must be to a counted one to be taken for it: ``gpus`` is, ``tpu`` is not."""
_EPSILON = 1e-9


def visible_devices() -> list[str]:
    """Ids of the accelerators this process may use: ``CUDA_VISIBLE_DEVICES``, else all that the driver lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [part for part in (piece.strip() for piece in named.split(",")) if part and part != "-1"]
    gpus = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index in range(len(list(gpus.iterdir())))] if gpus.is_dir() else []


def machine_memory_gb() -> float | None:
    """Memory that processes here may use together, in 10**9 bytes; ``None`` where the system does not tell."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        with suppress(OSError, ValueError):  # no limit, or "max"
            total = min(total, int(limit.read_text()))
    return total / 1e9


def machine_resources() -> dict[str, float]:
    """What this machine has: ``cpu`` (cores this process may use), ``gpu``, and ``memory_gb`` where the system tells."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = machine_memory_gb()
    return {
        "cpu": float(cores),
        "gpu": float(len(visible_devices())),
        **({} if memory is None else {"memory_gb": memory}),
    }


class Placement:
    """The places of one study on one machine.

    Args:
        needs: What one trial takes, by name.
        capacity: What there is, by name; a name that is missing is not limited here.
        devices: Ids of accelerators; ``needs["gpu"]`` is taken from these, fractions of one device or whole ones.

    Raises:
        ConfigError: A single trial needs more than there is, or a need is not a positive number.
    """

    def __init__(self, needs: Mapping[str, float], capacity: Mapping[str, float], devices: Sequence[str] = ()) -> None:
        for name, need in needs.items():
            meant = [] if name in COUNTED or name in capacity else get_close_matches(name, COUNTED, n=1, cutoff=_CLOSE)
            if meant:
                raise ConfigError(
                    f"nothing is counted under this name. Did you mean '{meant[0]}'?", path=f"resources.{name}"
                )
            if not need >= 0:
                raise ConfigError(f"must be a number of at least 0, not {need!r}", path=f"resources.{name}")
            if name in capacity and need > capacity[name] + _EPSILON:
                there = f"{capacity[name]:g}" if capacity[name] else "none"
                raise ConfigError(
                    f"a trial needs {need:g}, and this machine has {there}: ask for less, or run it elsewhere",
                    path=f"resources.{name}",
                )
        gpus = needs.get("gpu", 0.0)
        if gpus > 1 and gpus != int(gpus):
            raise ConfigError(f"must be a fraction below 1 or a whole number, not {gpus:g}", path="resources.gpu")
        self._needs = {name: need for name, need in needs.items() if need > 0}
        self._free = {name: capacity[name] for name in self._needs if name in capacity}
        self._device_free = dict.fromkeys(devices, 1.0)
        self._taken: dict[int, tuple[str, ...]] = {}

    @property
    def taken(self) -> int:
        """How many trials hold a place."""
        return len(self._taken)

    def has_room(self, jobs: int, devices: tuple[str, ...] | None = None) -> bool:
        """Whether one more trial may run; one that sits parked on ``devices`` can only go on there."""
        if len(self._taken) >= jobs:
            return False
        if any(self._needs[name] > free + _EPSILON for name, free in self._free.items()):
            return False
        gpus = self._needs.get("gpu", 0.0)
        if devices:
            return all(self._device_free[device] + _EPSILON >= min(gpus, 1.0) for device in devices)
        return not gpus or self._pick(gpus) is not None

    def take(self, trial: int, devices: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Give a place to a trial and return its devices; call only after ``has_room``."""
        gpus = self._needs.get("gpu", 0.0)
        if not devices:
            devices = self._pick(gpus) if gpus else ()
        assert devices is not None
        for name in self._free:
            self._free[name] -= self._needs[name]
        for device in devices:
            self._device_free[device] -= min(gpus, 1.0)
        self._taken[trial] = devices
        return devices

    def give_back(self, trial: int) -> tuple[str, ...]:
        """A trial left its place; returns the devices it had. Does nothing for one that holds none."""
        devices = self._taken.pop(trial, None)
        if devices is None:
            return ()
        for name in self._free:
            self._free[name] += self._needs[name]
        for device in devices:
            self._device_free[device] += min(self._needs["gpu"], 1.0)
        return devices

    def _pick(self, gpus: float) -> tuple[str, ...] | None:
        """The fullest device that still fits a fraction, or that many free ones; ``None`` where there is no room."""
        if not self._device_free:
            return ()
        if gpus < 1:
            fitting = [(free, device) for device, free in self._device_free.items() if free + _EPSILON >= gpus]
            return (min(fitting)[1],) if fitting else None
        whole = [device for device, free in self._device_free.items() if free >= 1 - _EPSILON]
        return tuple(whole[: int(gpus)]) if len(whole) >= gpus else None
