"""Reads single values of a training job, and says what is wrong with one in its own words and at its own path.

Knows the shape of a job and no library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, overload

from trialist.core.errors import ConfigError
from trialist.train.model_type import Job


@overload
def whole(job: Job, section: str, name: str, default: int, *, least: int = ...) -> int: ...
@overload
def whole(job: Job, section: str, name: str, default: None = ..., *, least: int = ...) -> int | None: ...
def whole(job: Job, section: str, name: str, default: int | None = None, *, least: int = 1) -> int | None:
    """A whole number from ``least``; ``default`` where there is none.

    Raises:
        ConfigError: It is something else.
    """
    value = _section(job, section).get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a number drawn as 32.0 means 32
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"must be a whole number from {least}, not {value!r}", path=job.path(section, name))
    return value


def number(
    job: Job,
    section: str,
    name: str,
    default: float,
    *,
    low: float = 0.0,
    high: float = math.inf,
    above: bool = False,
    below: bool = False,
) -> float:
    """A finite number in [low, high]; ``default`` where there is none.

    Args:
        job: The training.
        section: ``model``, ``data`` or ``training``.
        name: The name in it.
        default: What holds where it is not given, or ``null``.
        low: The least that is allowed.
        high: The most.
        above: Whether ``low`` itself is too little.
        below: Whether ``high`` itself is too much.

    Raises:
        ConfigError: It is something else.
    """
    value = _section(job, section).get(name)
    if value is None:
        return default
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if fits and (value > low or (value == low and not above)) and (value < high or (value == high and not below)):
        return float(value)
    least = f"above {low:g}" if above else f"from {low:g}"
    most = "" if high == math.inf else f" {'and below' if below else 'to'} {high:g}"
    raise ConfigError(f"must be a number {least}{most}, not {value!r}", path=job.path(section, name))


def optional_number(job: Job, section: str, name: str) -> float | None:
    """A number above 0, or ``None`` where there is none.

    Raises:
        ConfigError: It is something else.
    """
    if _section(job, section).get(name) is None:
        return None
    return number(job, section, name, 0.0, above=True)


def one_of(job: Job, section: str, name: str, known: Iterable[str], default: str) -> str:
    """One of a few names; ``default`` where there is none.

    Raises:
        ConfigError: It is none of them.
    """
    known = list(known)
    value = _section(job, section).get(name)
    if value is None:
        return default
    if value not in known:
        raise ConfigError(f"must be one of {', '.join(known)}, not {value!r}", path=job.path(section, name))
    return str(value)


def switch(job: Job, section: str, name: str, default: bool) -> bool:
    """True or false; ``default`` where there is neither.

    Raises:
        ConfigError: It is something else.
    """
    value = _section(job, section).get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ConfigError(f"must be true or false, not {value!r}", path=job.path(section, name))
    return value


def _section(job: Job, name: str) -> Mapping[str, Any]:
    return {"model": job.model, "data": job.data, "training": job.training}[name]
