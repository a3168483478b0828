"""What holds for every search space: drawing, numbering, encoding, storing."""

import itertools
import json
import math
import pickle
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trialist.core.errors import TrialistError
from trialist.space import Choice, Codec, Fixed, Float, Group, Int, SearchSpace, describe
from trialist.space.choices import disjoint
from trialist.testing.spaces import choices, domains, finite_floats, floats, ints, json_values, params_of, spaces

slow = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    deadline=None,
    derandomize=True,
    max_examples=60,
)


def attempt(call):
    """What a call gives, or the error of ours that it raises; any other error fails the test."""
    try:
        return call(), None
    except TrialistError as error:
        return None, error


def same(a, b, rel=1e-11):
    """Equal JSON, floats to rounding."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k], rel) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return isinstance(b, float) and (a == b or math.isclose(a, b, rel_tol=rel))
    return type(a) is type(b) and a == b


@slow
@given(spaces(), st.integers(0, 2**32))
def test_drawn_params_are_in_the_space_and_survive_json(space, seed):
    params = space.sample(random.Random(seed))
    assert space.contains(params)
    assert space.check(params) == params
    assert json.dumps(space.check(json.loads(json.dumps(params)))) == json.dumps(params)
    assert space.sample(random.Random(seed)) == params
    assert space.key(params) == space.key(json.loads(json.dumps(params)))


@slow
@given(spaces())
def test_a_space_survives_json_and_pickle_with_all_it_does(space):
    back = SearchSpace.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False)))
    assert back == space
    assert hash(back) == hash(space)
    assert SearchSpace.of(json.dumps(space.to_json())) == space
    copy = pickle.loads(pickle.dumps(space))
    assert copy == space
    assert copy.sample(random.Random(1)) == space.sample(random.Random(1)) == back.sample(random.Random(1))
    assert space.difference(back) == {}
    assert isinstance(repr(space), str)


@slow
@given(spaces(finite=True, max_params=3), st.data())
def test_the_grid_has_as_many_different_points_as_counted(space, data):
    size = space.grid_size()
    assert space.count() == size
    if size <= 3000:
        points = list(space.grid())
        assert len(points) == size
        assert len({space.key(point) for point in points}) == size
        assert all(space.contains(point) for point in points)
    index = data.draw(st.integers(0, size - 1))
    assert space.contains(space.grid_point(index))


@slow
@given(spaces(), st.data())
def test_params_decode_from_their_own_point(space, data):
    codec = Codec(space)
    params = data.draw(params_of(space))
    point, active = codec.encode(params), codec.active(params)
    assert len(point) == len(active) == codec.dimension == len(codec.leaves)
    assert all(0.0 <= u <= 1.0 for u in point)
    assert all(u == 0.5 for u, on in zip(point, active, strict=True) if not on)
    back = codec.decode(point)
    assert space.contains(back)
    wide = any(
        (isinstance(leaf.domain, Int) and leaf.domain.high - leaf.domain.low > 2**40)
        or (isinstance(leaf.domain, Int) and leaf.domain.log and leaf.domain.high > 2**40)
        for leaf in space.leaves
    )
    if not wide:
        for path, value in space.flatten(params).items():
            other = space.flatten(back)[path]
            leaf = next(leaf for leaf in space.leaves if leaf.path == path)
            if (
                isinstance(value, float)
                and isinstance(leaf.domain, Float)
                and leaf.domain.q is None
                and not leaf.domain.log
            ):
                assert abs(value - other) <= 1e-15 * max(abs(leaf.domain.low), abs(leaf.domain.high)) * 4
            else:
                assert same(value, other)


@slow
@given(spaces(), st.data())
def test_every_point_decodes_into_the_space(space, data):
    codec = Codec(space)
    coordinate = st.floats(0, 1) | st.sampled_from([0.0, 1.0, math.nextafter(1, 0), 5e-324])
    point = data.draw(st.lists(coordinate, min_size=codec.dimension, max_size=codec.dimension))
    params = codec.decode(point)
    assert space.contains(params)
    again = codec.encode(params)
    assert codec.decode(again).keys() == params.keys()


@slow
@given(spaces(), st.data())
def test_flattened_params_are_read_back(space, data):
    params = data.draw(params_of(space))
    flat = space.flatten(params)
    assert set(flat) <= set(space.paths)
    assert space.check(flat) == params


@slow
@given(floats(stepped=True))
def test_steps_are_exact_decimals_inside_the_bounds(domain):
    for index in {0, domain.size // 2, domain.size - 1}:
        value = domain.nth(index)
        assert domain.low <= value <= domain.high
        assert len(repr(value)) <= len("-1000.000000e-06")
        assert domain.check(value) == value
        assert domain.check(domain.low + index * domain.q) == value or value > domain.high - 1e-9
        assert domain.decoder()(domain.position(value)) == value


@slow
@given(floats(stepped=True) | ints(small=True))
def test_cells_of_a_line_are_equally_wide(domain):
    if domain.log:
        return
    decode, size = domain.decoder(), domain.size
    for index in range(size):
        assert decode((index + 0.001) / size) == decode((index + 0.999) / size) == domain.nth(index)
    assert decode(0.0) == domain.nth(0)
    assert decode(1.0) == domain.nth(size - 1)


@slow
@given(ints())
def test_log_integers_take_the_cell_from_half_below_to_half_above(domain):
    if not domain.log or domain.step > 1 or domain.high > 2**20:
        return
    low, span = math.log(domain.low - 0.5), math.log(domain.high + 0.5) - math.log(domain.low - 0.5)
    if domain.size == 1:
        return
    decode = domain.decoder()
    for value in {domain.low, (domain.low + domain.high) // 2, domain.high}:
        left, right = (math.log(value - 0.5) - low) / span, (math.log(value + 0.5) - low) / span
        assert decode(left + 0.01 * (right - left)) == decode(right - 0.01 * (right - left)) == value


@slow
@given(domains(depth=1), json_values())
def test_a_domain_takes_a_value_or_says_why_not(domain, value):
    checked, error = attempt(lambda: domain.check(value, "some.path"))
    assert "some.path" in str(error) if error else domain.check(checked) == checked
    assert isinstance(describe(domain), str)


@slow
@given(choices(depth=1), choices(depth=1))
def test_disjoint_domains_share_no_value(a, b):
    if disjoint(a, b):
        rng = random.Random(0)
        for _ in range(5):
            value = SearchSpace(Group({"x": a})).sample(rng)["x"]
            assert not b.contains(value)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=3)
    | st.just(object)
    | st.sampled_from(["uniform", "choice", "randint", "loguniform", "fixed", "tune.uniform", Float(0, 1), Int(1, 3)]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.sampled_from(
                ["type", "low", "high", "min", "max", "q", "values", "value", "a", "b", "trialist_space", "params"]
            )
            | st.text(max_size=3)
            | st.integers(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(slow, max_examples=400)
@given(anything, st.lists(st.text(max_size=10) | st.sampled_from(["a > 1", "a", "b in [1]", "a == b"]), max_size=2))
def test_whatever_is_given_is_a_space_or_a_clear_error(given_, constraints):
    space, error = attempt(lambda: SearchSpace.of(given_, constraints))
    if error:
        assert len(str(error)) > 10
        return
    assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))) == space
    _, error = attempt(lambda: space.sample(random.Random(0)))
    assert constraints or error is None


@settings(slow, max_examples=300)
@given(st.text(max_size=30))
def test_any_text_is_a_space_or_a_clear_error(text):
    space, error = attempt(lambda: SearchSpace.of(text))
    assert error or space


typed = st.builds(
    lambda kind, keys: {"type": kind, **keys},
    st.sampled_from(
        ["uniform", "loguniform", "quniform", "qloguniform", "randint", "lograndint", "qrandint", "qlograndint"]
    ),
    st.dictionaries(
        st.sampled_from(["low", "high", "min", "max", "q"]),
        st.floats() | st.integers() | st.integers(-(10**400), 10**400) | st.none() | st.text(max_size=3),
        max_size=4,
    ),
)


@settings(slow, max_examples=300)
@given(typed)
def test_any_bounds_give_a_domain_that_works_or_a_clear_error(given_):
    space, error = attempt(lambda: SearchSpace.of({"x": given_}))
    if error:
        assert error.path == "x"
        return
    rng = random.Random(0)
    codec = Codec(space)
    for params in [space.sample(rng) for _ in range(5)] + [
        codec.decode([u] * codec.dimension) for u in (0.0, 0.3, 1.0)
    ]:
        assert space.contains(params)
        assert space.contains(codec.decode(codec.encode(params)))


@slow
@given(st.lists(finite_floats(), min_size=2, max_size=2).map(sorted), st.floats(0, 1))
def test_no_float_leaves_its_bounds_by_rounding(bounds, u):
    low, high = bounds
    for log in (False, True):
        if log and low <= 0:
            continue
        value = Float(low, high, log=log).decoder()(u)
        assert low <= value <= high


@slow
@given(spaces(finite=True, max_params=3), st.data())
def test_constrained_counts_are_exact(space, data):
    once = [leaf for leaf in space.leaves if [other.path for other in space.leaves].count(leaf.path) == 1]
    numeric = [leaf for leaf in once if isinstance(leaf.domain, Int | Float)]
    if not numeric or space.grid_size() > 3000:
        return
    chosen = data.draw(st.lists(st.sampled_from(numeric), min_size=1, max_size=2))
    texts = [
        f"`{leaf.path}` <= {data.draw(st.sampled_from([leaf.domain.nth(0), leaf.domain.nth(leaf.domain.size - 1)]))}"
        for leaf in chosen
    ]
    constrained = SearchSpace.of(space, texts)
    allowed = list(constrained.grid())
    assert constrained.count() == len(allowed)
    if allowed:
        assert constrained.contains(constrained.sample(random.Random(0)))
    indexed = [constrained.grid_point(index) for index in range(constrained.grid_size())]
    assert [point for point in indexed if point is not None] == allowed


def test_the_grid_runs_like_nested_loops():
    space = SearchSpace.of({"a": [1, 2], "b": ["x", "y", "z"]})
    expected = [{"a": a, "b": b} for a, b in itertools.product([1, 2], ["x", "y", "z"])]
    assert list(space.grid()) == expected


def test_values_that_are_handed_out_do_not_reach_back_into_the_space():
    space = SearchSpace.of({"betas": Choice(([0.9, 0.99],)), "fixed": Fixed({"a": [1]})})
    for params in (
        space.sample(random.Random(0)),
        next(space.grid()),
        Codec(space).decode([]),
        space.check({"betas": [0.9, 0.99]}),
    ):
        params["betas"].append(1)
        params["fixed"]["a"].append(2)
    assert space.sample(random.Random(0)) == {"betas": [0.9, 0.99], "fixed": {"a": [1]}}
