"""Log expected improvement, and the candidates that are ranked by it."""

from __future__ import annotations

import itertools
import random

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

from trialist.search.acquisition import Candidates, log_ei
from trialist.search.cube import Cube
from trialist.space import SearchSpace
from trialist.testing.searchers import SPACES


def improvement(mean: float, sd: float, best: float) -> float:
    """By quadrature."""
    low = mean - 40 * sd
    return float(quad(lambda y: (best - y) * norm.pdf(y, mean, sd), low, best, points=[min(mean, best)], limit=200)[0])


def test_log_ei_is_the_integral():
    for mean, sd, best in itertools.product((-1.0, 0.0, 2.0), (0.1, 1.0, 3.0), (-1.5, 0.5)):
        expected = improvement(mean, sd, best)
        if expected > 1e-6:
            value = log_ei(np.array([mean]), np.array([sd]), best)[0]
            np.testing.assert_allclose(value, np.log(expected), rtol=1e-5, atol=1e-6)


def test_log_ei_is_smooth_and_falling_far_into_the_tail():
    means = np.linspace(-5.0, 1e4, 100_001)
    values = log_ei(means, np.ones(len(means)), 0.0)
    assert np.all(np.isfinite(values))
    assert np.all(np.diff(values) < 0)
    at_the_joint = log_ei(np.array([1.0 - 1e-9, 1.0 + 1e-9]), np.ones(2), 0.0)
    assert abs(at_the_joint[0] - at_the_joint[1]) < 1e-7


def test_moves_go_somewhere_else():
    for space in SPACES.values():
        cube = Cube(space)
        if not cube.dimension:
            continue
        rng = np.random.default_rng(0)
        points = cube.snap(rng.random((5, cube.dimension)))
        moved = Candidates(cube, rng).moved(points, 20, lambda n: np.full(n, 0.5))
        assert moved.shape == (100, cube.dimension)
        assert len(np.unique(cube.snap(moved), axis=0)) > 1


def test_the_best_of_a_function_is_found():
    cube = Cube(SPACES["mixed"])
    target = cube.encode(SPACES["mixed"].sample(random.Random(3)))
    found = next(
        Candidates(cube, np.random.default_rng(0)).search(
            lambda points: -np.sum((points - target) ** 2, axis=1), cube.snap(np.random.default_rng(1).random((3, 5)))
        )
    )
    assert np.sum((found - target) ** 2) < 1e-3


def test_constraints_hold_for_what_is_given():
    space = SearchSpace.of(
        {f"x{k}": {"type": "uniform", "low": 0.0, "high": 1.0} for k in range(3)}, constraints=["x0 + x1 + x2 <= 0.6"]
    )
    cube = Cube(space)
    ranked = Candidates(cube, np.random.default_rng(0)).search(
        lambda points: points.sum(axis=1),
        cube.snap(np.full((1, 3), 0.1)),
        lambda point: space.allows(cube.decode(point)),
    )
    points = np.array(list(itertools.islice(ranked, 20)))
    assert np.all(points.sum(axis=1) <= 0.6)
    assert points[0].sum() > 0.55
