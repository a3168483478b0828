"""The Gaussian process by itself: against textbook formulas and differences."""

from __future__ import annotations

import numpy as np
import pytest

from trialist.search.cube import Cube
from trialist.search.gp_model import Features, Posterior, Prior, _Likelihood, fit
from trialist.space import SearchSpace

GROUPS = np.array([0, 1, 2, 2])
THETA = np.array([0.5, -1.0, 1.2, 0.3, -3.0])


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 4))


def kernel(a: np.ndarray, b: np.ndarray, theta: np.ndarray) -> np.ndarray:
    weights = np.exp(theta[GROUPS])
    radius = np.sqrt(5.0 * (weights * (a[:, None] - b[None]) ** 2).sum(-1))
    return np.exp(theta[-2]) * (1 + radius + radius**2 / 3) * np.exp(-radius)


def test_the_gradient_agrees_with_differences():
    data, values = rows(15), np.random.default_rng(1).standard_normal(15)
    cost = _Likelihood(data, values, GROUPS, 3, Prior())
    _, gradient = cost(THETA)
    steps = 1e-6 * np.eye(5)
    differences = [(cost(THETA + step)[0] - cost(THETA - step)[0]) / 2e-6 for step in steps]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-6)


def test_predictions_are_those_of_the_textbook():
    data, values, new = rows(12), np.random.default_rng(1).standard_normal(12), rows(7, seed=2)
    inverse = np.linalg.inv(kernel(data, data, THETA) + np.exp(THETA[-1]) * np.eye(12))
    cross = kernel(new, data, THETA)
    mean, sd = Posterior(data, values, GROUPS, THETA).predict(new)
    np.testing.assert_allclose(mean, cross @ inverse @ values, rtol=1e-5)
    variance = np.diag(kernel(new, new, THETA) - cross @ inverse @ cross.T)
    np.testing.assert_allclose(sd, np.sqrt(variance), rtol=1e-5)


def test_what_is_believed_moves_no_mean_and_makes_sure():
    data, values, pending, new = (
        rows(12),
        np.random.default_rng(1).standard_normal(12),
        rows(2, seed=3),
        rows(7, seed=2),
    )
    before = Posterior(data, values, GROUPS, THETA)
    after = before.believing(pending)
    np.testing.assert_allclose(after.predict(new).mean, before.predict(new).mean, atol=1e-5)
    assert np.all(after.predict(new).sd <= before.predict(new).sd + 1e-9)
    assert np.all(after.predict(pending).sd < 0.75 * before.predict(pending).sd)


def test_equal_rows_and_no_noise_are_still_a_model():
    data = np.repeat(rows(3), 4, axis=0)
    theta = np.array([0.0, 0.0, 0.0, 0.0, -40.0])
    mean, sd = Posterior(data, np.repeat([0.0, 1.0, 2.0], 4), GROUPS, theta).predict(data)
    np.testing.assert_allclose(mean, np.repeat([0.0, 1.0, 2.0], 4), atol=1e-3)
    assert np.all(np.isfinite(sd))


def test_fitting_finds_what_matters():
    data = rows(40)
    values = np.sin(6 * data[:, 0])
    theta = fit(data, (values - values.mean()) / values.std(), GROUPS, [Prior().centre(3)])
    assert theta[0] > 0 > max(theta[1], theta[2])
    assert np.exp(theta[-1]) < 0.01


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_fitting_finds_noise(noise: float):
    data = rows(80)
    values = np.sin(6 * data[:, 0]) + noise * np.random.default_rng(4).standard_normal(80)
    values = (values - values.mean()) / values.std()
    theta = fit(data, values, GROUPS, [Prior().centre(3)])
    assert 0.4 * noise < np.exp(theta[-1] / 2) < 2.5 * noise


def test_distances_between_rows_of_a_conditional_space():
    space = SearchSpace.of(
        {
            "x": {"type": "uniform", "low": 0.0, "high": 1.0},
            "model": {
                "type": "choice",
                "values": ["none", {"name": "tree", "kind": {"type": "choice", "values": ["a", "b"]}}],
            },
        }
    )
    cube = Cube(space)
    features = Features(cube, extra=1)
    points = np.array(
        [
            cube.encode({"x": 0.25, "model": "none"}),
            cube.encode({"x": 0.75, "model": "none"}),
            cube.encode({"x": 0.25, "model": {"name": "tree", "kind": "a"}}),
            cube.encode({"x": 0.25, "model": {"name": "tree", "kind": "b"}}),
        ]
    )
    columns = features.of(points, np.array([[0.0], [0.0], [0.0], [1.0]]))
    assert columns.shape[1] == len(features.groups) == 6
    assert features.num_groups == 4

    def distance(one: int, two: int) -> dict[int, float]:
        squares = (columns[one] - columns[two]) ** 2
        return {group: float(squares[features.groups == group].sum()) for group in range(4)}

    assert distance(0, 1) == pytest.approx({0: 0.25, 1: 0.0, 2: 0.0, 3: 0.0})
    assert distance(0, 2) == pytest.approx({0: 0.0, 1: 1.0, 2: 0.5, 3: 0.0})
    assert distance(2, 3) == pytest.approx({0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0})
