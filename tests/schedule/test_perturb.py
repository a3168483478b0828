"""Params moved a little: always legal, really moved, and only where they may."""

from __future__ import annotations

import random

import pytest

from trialist.core.errors import ConfigError
from trialist.schedule.perturb import Perturbation
from trialist.space import SearchSpace

SPACE = SearchSpace.of(
    {
        "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
        "shift": {"type": "uniform", "low": -1, "high": 1},
        "rate": {"type": "quniform", "low": 0, "high": 1, "q": 0.1},
        "width": {"type": "randint", "low": 1, "high": 8},
        "batch": [16, 32, 64],
        "model": [{"kind": "tree", "depth": {"type": "randint", "low": 1, "high": 9}}, {"kind": "net", "drop": {"type": "uniform", "low": 0, "high": 0.5}}],
    },
    constraints=["lr * width < 0.5"],
)  # fmt: skip
ALL = ["lr", "shift", "rate", "width", "batch", "model.depth", "model.drop"]


def made(names=None, factors=(0.8, 1.2), resample=0.25, space=SPACE):
    return Perturbation(space, names, factors, resample, "scheduler 'pbt'")


@pytest.mark.parametrize("resample", [0.0, 0.25, 1.0])
def test_what_is_moved_stays_in_the_space_and_in_its_branch(resample):
    perturbation = made(ALL, resample=resample)
    for seed in range(200):
        rng = random.Random(seed)
        params = SPACE.sample(rng)
        moved = perturbation.moved(params, rng)
        assert SPACE.check(moved) == moved
        assert moved["model"].keys() == params["model"].keys()
        assert moved["model"]["kind"] == params["model"]["kind"]


def test_without_names_the_floats_alone_move():
    params = SPACE.sample(random.Random(1))
    moved = made().moved(params, random.Random(2))
    assert (moved["width"], moved["batch"]) == (params["width"], params["batch"])
    assert moved["lr"] != params["lr"]
    assert made().names == ("lr", "shift", "rate", "model.drop")


def test_numbers_are_multiplied_by_a_factor_and_options_change_to_one_beside():
    params = {"lr": 1e-3, "shift": 0.0, "rate": 0.5, "width": 4, "batch": 16, "model": {"kind": "net", "drop": 0.2}}
    found = [made(ALL, resample=0).moved(params, random.Random(seed)) for seed in range(60)]
    assert {round(one["lr"] / 1e-3, 9) for one in found} == {0.8, 1.2}
    assert {round(one["shift"], 9) for one in found} == {-0.4, 0.4}  # a fifth of the range where it holds 0
    assert {one["width"] for one in found} == {3, 5}  # at least the next value
    assert {one["batch"] for one in found} == {32}
    assert {one["rate"] for one in found} == {0.3, 0.7}


def test_at_a_bound_it_stays_within_and_where_nothing_is_allowed_it_stays():
    params = {"lr": 0.1, "shift": 1.0, "rate": 1.0, "width": 4, "batch": 64, "model": {"kind": "tree", "depth": 9}}
    for seed in range(30):
        moved = made(ALL, factors=(1.5,), resample=0).moved(params, random.Random(seed))
        assert (moved["shift"], moved["rate"], moved["model"]["depth"]) == (1.0, 1.0, 9)
        assert moved["lr"] * moved["width"] < 0.5
    tight = SearchSpace.of({"x": {"type": "uniform", "low": 1, "high": 2}}, constraints=["x < 1.1"])
    assert made(factors=(1.5,), resample=0, space=tight).moved({"x": 1.05}, random.Random(0)) == {"x": 1.05}


def test_the_same_generator_gives_the_same_params_and_leaves_the_old_ones_alone():
    params = SPACE.sample(random.Random(5))
    before = repr(params)
    assert made(ALL).moved(params, random.Random(6)) == made(ALL).moved(params, random.Random(6))
    assert repr(params) == before


@pytest.mark.parametrize(
    ("names", "space", "words"),
    [
        (["lrr"], SPACE, "no parameter.*'lr'"),
        (["model"], SPACE, "parameters of their own"),
        (["a"], SearchSpace.of({"a": 1, "b": [1, 2]}), "is fixed"),
        (None, SearchSpace.of({"a": [1, 2]}), r"mutate: \[a\]"),
    ],
)
def test_what_cannot_move_is_named(names, space, words):
    with pytest.raises(ConfigError, match=words):
        made(names, space=space)
