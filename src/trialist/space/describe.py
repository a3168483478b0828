"""Domains in short words, for plans, tables and messages."""

from __future__ import annotations

from trialist.space.choices import Choice, describe_values
from trialist.space.domains import Domain, Fixed, Float, Group, Int
from trialist.space.values import short


def describe(domain: Domain, *, width: int = 60) -> str:
    """A domain in about ``width`` characters: ``1e-05 … 0.1, log``, ``1 … 8``, ``16, 32, 64``.

    >>> describe(Float(0, 1, q=0.1))
    '0.0 … 1.0, step 0.1'
    """
    if isinstance(domain, Float):
        step = "" if domain.q is None else f", step {domain.q!r}"
        return f"{domain.low!r} … {domain.high!r}{step}{', log' if domain.log else ''}"
    if isinstance(domain, Int):
        step = "" if domain.step == 1 else f", step {short(domain.step)}"
        return f"{short(domain.low)} … {short(domain.high)}{step}{', log' if domain.log else ''}"
    if isinstance(domain, Fixed):
        return f"{short(domain.value, width)} (fixed)"
    if isinstance(domain, Choice):
        return describe_values(domain, width)
    assert isinstance(domain, Group)
    return f"{len(domain.params)} parameters: {', '.join(domain.params)}"
