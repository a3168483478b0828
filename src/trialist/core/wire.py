"""Records as strict JSON and back, driven by their type hints.

Guarantee: ``from_json(type(r), json.loads(json.dumps(to_json(r), allow_nan=False))) == r`` for every record of
``core.records`` and ``core.events`` whose free-form fields hold JSON. Fields at their defaults are left out, so a record
that gains a field can still be read from what an older version wrote; keys that this version does not know are skipped.
Non-finite floats travel as ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, in float fields and in metrics alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from trialist.core.events import EVENT_KINDS, Body, Event, kind_of

R = TypeVar("R")
_REQUIRED = object()
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class _Field(NamedTuple):
    name: str
    default: Any
    encode: Callable[[Any], Any] | None
    """``None``: the value is JSON as it is."""
    decode: Callable[[Any], Any] | None


def to_json(record: Any) -> dict[str, Any]:
    """The fields of a record as JSON, those at their defaults left out."""
    out: dict[str, Any] = {}
    for name, default, encode, _ in _plan(type(record)):
        value = getattr(record, name)
        if value is default or (default is not _REQUIRED and value == default):
            continue
        out[name] = value if encode is None or value is None else encode(value)
    return out


def from_json(cls: type[R], data: Mapping[str, Any]) -> R:
    """The record that ``to_json`` was given.

    Raises:
        TypeError: A field without a default is missing.
        ValueError: A value is none of its enum's.
    """
    values: dict[str, Any] = {}
    for name, _, _, decode in _plan(cls):
        if name in data:
            value = data[name]
            values[name] = value if decode is None or value is None else decode(value)
    return cls(**values)


def event_to_json(event: Event) -> dict[str, Any]:
    """An event as one flat JSON object: ``seq``, ``at``, ``kind`` and the fields of its body."""
    return {"seq": event.seq, "at": event.at, "kind": kind_of(event.body), **to_json(event.body)}


def event_from_json(data: Mapping[str, Any]) -> Event:
    """The inverse of ``event_to_json``.

    Event bodies have no field called ``seq``, ``at`` or ``kind`` but for the command events' ``kind``, which
    ``event_to_json`` would shadow: those are called ``command_kind`` in their class.
    """
    body: Body = from_json(EVENT_KINDS[data["kind"]], data)
    return Event(seq=data["seq"], at=data["at"], body=body)


def encode_float(value: float) -> float | str:
    """A float as strict JSON."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def decode_float(value: float | str) -> float:
    """The inverse of ``encode_float``."""
    return NON_FINITE[value] if isinstance(value, str) else value


def encode_metrics(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Metrics as strict JSON."""
    return {name: encode_float(value) for name, value in metrics.items()}


def decode_metrics(data: Mapping[str, Any]) -> dict[str, float]:
    """The inverse of ``encode_metrics``."""
    return {name: decode_float(value) for name, value in data.items()}


_PLANS: dict[type, tuple[_Field, ...]] = {}


def _plan(cls: type) -> tuple[_Field, ...]:
    plan = _PLANS.get(cls)
    if plan is None:
        hints = get_type_hints(cls)
        plan = tuple(_Field(f.name, _default(f), *_codec(hints[f.name])) for f in fields(cls))
        _PLANS[cls] = plan
    return plan


def _default(f: Any) -> Any:
    if f.default is not MISSING:
        return f.default
    return _REQUIRED if f.default_factory is MISSING else f.default_factory()


def _codec(hint: Any) -> tuple[Callable[[Any], Any] | None, Callable[[Any], Any] | None]:
    """How a value of this type is encoded and decoded; ``None`` where it is JSON already."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(arg for arg in get_args(hint) if arg is not NoneType)
    origin, args = get_origin(hint), get_args(hint)
    if hint is float:
        return encode_float, decode_float
    if origin is tuple:
        encode, decode = _codec(args[0])
        return (
            list if encode is None else lambda value: [encode(item) for item in value],
            tuple if decode is None else lambda value: tuple(decode(item) for item in value),
        )
    if origin is Mapping:
        if isinstance(args[0], type) and issubclass(args[0], Enum):
            return lambda value: {key.value: item for key, item in value.items()}, lambda value: {
                args[0](key): item for key, item in value.items()
            }
        return (encode_metrics, decode_metrics) if args[1] is float else (dict, None)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: value.value, hint
    if is_dataclass(hint):
        return to_json, lambda value: from_json(hint, value)  # type: ignore[arg-type]
    return None, None
