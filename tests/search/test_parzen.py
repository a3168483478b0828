"""Densities over the cube: they are densities, on mixed and conditional spaces, and what is drawn follows them."""

from __future__ import annotations

import numpy as np
import pytest

from trialist.search.cube import Cube
from trialist.search.parzen import Axes, Mixture
from trialist.space import SearchSpace

CONDITIONAL = SearchSpace.of(
    {
        "model": {
            "type": "choice",
            "values": [{"name": "plain"}, {"name": "tree", "depth": {"type": "uniform", "low": 0.0, "high": 1.0}}],
        },
        "scale": ["a", "b", "c"],
    }
)
LINE = SearchSpace.of({"x": {"type": "uniform", "low": 0.0, "high": 1.0}})


def mixture(space: SearchSpace, points: list[dict], width: float = 0.1) -> tuple[Cube, Mixture]:
    cube = Cube(space)
    rows = np.array([cube.encode(point) for point in points]).reshape(len(points), cube.dimension)
    return cube, Mixture(Axes(cube), rows, np.ones(len(points)), prior=1.0, width=width)


def density(cube: Cube, mixed: Mixture, points: np.ndarray) -> np.ndarray:
    return np.exp(mixed.log_density(Axes(cube).features(points, cube.active(points))))


@pytest.mark.parametrize("centres", [[], [0.0], [0.02, 0.5, 1.0]])
def test_a_line_adds_up_to_one(centres):
    cube, mixed = mixture(LINE, [{"x": x} for x in centres], width=0.03)
    grid = (np.arange(20_000)[:, None] + 0.5) / 20_000
    assert density(cube, mixed, grid).mean() == pytest.approx(1.0, rel=1e-4)


def test_a_conditional_space_adds_up_to_one_over_all_branches():
    points = [{"model": {"name": "plain"}, "scale": "a"}, {"model": {"name": "tree", "depth": 0.9}, "scale": "b"}]
    cube, mixed = mixture(CONDITIONAL, points)
    total = 0.0
    for scale in "abc":
        plain = cube.encode({"model": {"name": "plain"}, "scale": scale})[None, :]
        total += density(cube, mixed, plain)[0]
        tree = np.tile(cube.encode({"model": {"name": "tree", "depth": 0.5}, "scale": scale}), (2000, 1))
        tree[:, cube.is_choice.argmin()] = (np.arange(2000) + 0.5) / 2000
        total += density(cube, mixed, tree).mean()
    assert total == pytest.approx(1.0, rel=1e-4)


def test_what_is_drawn_follows_the_density():
    points = [{"model": {"name": "tree", "depth": 0.3}, "scale": "c"}] * 4
    cube, mixed = mixture(CONDITIONAL, points, width=0.05)
    drawn = mixed.sample(np.random.default_rng(0), 4000)
    np.testing.assert_array_equal(drawn, cube.snap(drawn))
    params = [cube.decode(row) for row in drawn]
    like = [one for one in params if one["model"]["name"] == "tree"]
    # Four components of five keep the branch in 0.8 + 0.2 / 2 of all draws, the uniform one in a half.
    assert len(like) / len(params) == pytest.approx(0.8 * 0.9 + 0.2 * 0.5, abs=0.03)
    assert sum(one["scale"] == "c" for one in params) / len(params) == pytest.approx(
        0.8 * (0.8 + 0.2 / 3) + 0.2 / 3, abs=0.03
    )
    near = np.mean([abs(one["model"]["depth"] - 0.3) < 0.1 for one in like])
    assert near == pytest.approx((0.72 * 0.954 + 0.1 * 0.2) / 0.82, abs=0.03)


def test_draws_never_leave_the_cube_and_widths_reach_the_next_integer():
    space = SearchSpace.of(
        {"n": {"type": "randint", "low": 1, "high": 3}, "x": {"type": "uniform", "low": 0.0, "high": 1.0}}
    )
    cube, mixed = mixture(space, [{"n": 1, "x": 0.0}, {"n": 3, "x": 1.0}], width=1e-6)
    drawn = mixed.sample(np.random.default_rng(1), 2000)
    assert drawn.min() >= 0.0
    assert drawn.max() <= 1.0
    assert np.isfinite(drawn).all()
    moved = [row for row in drawn if cube.decode(row)["n"] == 2]
    assert len(moved) > 300
    assert np.isfinite(mixed.log_density(Axes(cube).features(drawn, cube.active(drawn)))).all()
