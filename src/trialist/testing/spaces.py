"""Hypothesis strategies for search spaces and their params: for suites of searchers, codecs and front doors.

    @given(spaces())
    def test_what_is_drawn_is_inside(space): ...

Needs hypothesis, which the extra ``dev`` brings.
"""

from __future__ import annotations

import random
from typing import Any

from trialist.core.errors import MissingExtra, SpaceError
from trialist.space import Choice, Domain, Fixed, Float, Group, Int, SearchSpace

try:
    from hypothesis import assume
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtra("trialist.testing.spaces", "dev", "hypothesis") from error

_NAMES = st.sampled_from(
    ["lr", "depth", "act", "training.batch_size", "a.2.p", "größe", "x y", "type", "low", "values"]
)


def json_values(max_leaves: int = 6) -> st.SearchStrategy[Any]:
    """Any JSON, finite numbers."""
    scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | finite_floats() | st.text(max_size=6)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=max_leaves,
    )


def finite_floats() -> st.SearchStrategy[float]:
    """Floats but NaN and infinity, subnormals included."""
    return st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def floats(draw: st.DrawFn, *, stepped: bool | None = None) -> Float:
    """``Float`` domains; ``stepped=True`` for those with a step, which are finite."""
    log = draw(st.booleans())
    if draw(st.booleans()) if stepped is None else stepped:
        places = draw(st.integers(0, 6))
        first = draw(st.integers(1 if log else -1000, 1000))
        cells, step = draw(st.integers(0, 40)), draw(st.integers(1, 50))
        over = draw(st.integers(0, step - 1))
        unit: int = 10**places
        return Float(first / unit, (first + cells * step + over) / unit, log=log, q=step / unit)
    edge = st.floats(min_value=5e-324, max_value=1.7e308) if log else finite_floats()
    low, high = sorted([draw(edge), draw(edge)])
    return Float(low, high, log=log)


@st.composite
def ints(draw: st.DrawFn, *, small: bool = False) -> Int:
    """``Int`` domains; ``small=True`` for at most 20 values."""
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -50, 100) if small or log else st.integers(-(2**70), 2**70))
    width = draw(st.integers(0, 19) if small else st.integers(0, 2**20) | st.integers(0, 2**71))
    step = draw(st.just(1) | st.integers(1, 9))
    return Int(low, low + width * (step if small else 1), log=log, step=step)


@st.composite
def choices(draw: st.DrawFn, *, depth: int = 0, finite: bool = False) -> Choice:
    """``Choice`` domains, with branches up to ``depth`` levels."""
    values: list[Any] = draw(
        st.lists(json_values(max_leaves=3), min_size=1, max_size=4, unique_by=lambda v: Fixed(v).text)
    )
    if depth and draw(st.booleans()):
        for number in range(draw(st.integers(1, 2))):
            inner = draw(groups(depth=depth - 1, finite=finite, max_params=2))
            values.append(Group({"kind": Fixed(f"branch {number}"), **inner.params}))
    values = draw(st.permutations(values))
    try:
        return Choice(tuple(values))
    except SpaceError:  # 1 beside 1.0: two values that JSON calls one
        assume(False)
        raise


def domains(*, depth: int = 0, finite: bool = False) -> st.SearchStrategy[Domain]:
    """Domains of all kinds; ``finite=True`` for those that a grid can be made of, each of few values."""
    kinds: list[st.SearchStrategy[Any]] = [
        floats(stepped=True if finite else None),
        ints(small=finite),
        choices(depth=depth, finite=finite),
        json_values().map(Fixed),
    ]
    if depth:
        kinds.append(groups(depth=depth - 1, finite=finite, max_params=2))
    return st.one_of(kinds)


@st.composite
def groups(draw: st.DrawFn, *, depth: int = 2, finite: bool = False, max_params: int = 4) -> Group:
    """Groups of domains, nested up to ``depth`` levels."""
    return Group(draw(st.dictionaries(_NAMES, domains(depth=depth, finite=finite), max_size=max_params)))


@st.composite
def spaces(draw: st.DrawFn, *, depth: int = 2, finite: bool = False, max_params: int = 4) -> SearchSpace:
    """Search spaces, nested and conditional, without constraints."""
    try:
        return SearchSpace(draw(groups(depth=depth, finite=finite, max_params=max_params)))
    except SpaceError:  # a nested path and a name with dots that are the same
        assume(False)
        raise


def params_of(space: SearchSpace) -> st.SearchStrategy[dict[str, Any]]:
    """Params of a space, drawn by the space itself."""
    return st.integers(0, 2**32).map(lambda seed: space.sample(random.Random(seed)))
