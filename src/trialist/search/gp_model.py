"""A Gaussian process over a mixed, conditional space: kernel, hyperparameters by MAP with the analytic gradient, prediction.

Matern 5/2 with one weight for each parameter (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006). Knows
columns and values, no trial, no searcher and no acquisition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtri
from scipy.optimize import minimize

from trialist.search.cube import Cube, Floats

ROOT5 = 5.0**0.5
JITTER = 1e-8
MAX_JITTER = 1e-2
WEIGHT_BOUNDS = (-12.0, 8.0)
SIGNAL_BOUNDS = (-4.0, 4.0)
NOISE_BOUNDS = (-13.8, 1.0)


class Features:
    """Rows of a cube as columns in which a kernel can measure distances.

    A number is one column. A choice is one column an option, scaled so that two options are 1 apart (squared); all its
    columns are 0 where it means nothing. Whether a number means something is told by the options above it.

    Args:
        cube: The space's.
        extra: Columns that come after those of the cube, e.g. a step; each is a group of its own.
    """

    def __init__(self, cube: Cube, extra: int = 0) -> None:
        self.cube = cube
        self._numbers = np.flatnonzero(~cube.is_choice)
        self._choices = [(int(column), int(cube.options[column])) for column in np.flatnonzero(cube.is_choice)]
        groups = [*self._numbers, *(column for column, count in self._choices for _ in range(count))]
        groups += [cube.dimension + at for at in range(extra)]
        self.groups: NDArray[np.int64] = np.array(groups, dtype=np.int64)
        """By column: its parameter, which has one weight."""
        self.num_groups = cube.dimension + extra

    def of(self, points: Floats, extra: Floats | None = None) -> Floats:
        """(n, columns) of legal rows; ``extra`` is (n, extra)."""
        out = np.zeros((len(points), len(self.groups)))
        at = len(self._numbers)
        out[:, :at] = points[:, self._numbers]
        if self._choices:
            rows, active = np.arange(len(points)), self.cube.active(points)
            for column, count in self._choices:
                out[rows, at + self.cube.option(points, column)] = np.where(active[:, column], 0.5**0.5, 0.0)
                at += count
        if extra is not None:
            out[:, at:] = extra
        return out


@dataclass(frozen=True, kw_only=True, slots=True)
class Prior:
    """What is believed of hyperparameters before any data: independent gaussians on their logarithms."""

    length: float = 0.0
    """Mean of ln length scale, in unit cubes."""
    length_sd: float = 1.0
    signal: float = 0.0
    signal_sd: float = 1.0
    noise: float = -6.9
    """Mean of ln noise variance, in units of the standardised values' variance."""
    noise_sd: float = 2.0
    noise_floor: float = NOISE_BOUNDS[0]

    def centre(self, num_groups: int) -> Floats:
        """The prior's own guess of the hyperparameters."""
        return np.array([-2.0 * self.length] * num_groups + [self.signal, self.noise])

    def bounds(self, num_groups: int) -> list[tuple[float, float]]:
        """Where the optimiser may go."""
        return [WEIGHT_BOUNDS] * num_groups + [SIGNAL_BOUNDS, (self.noise_floor, NOISE_BOUNDS[1])]

    def cost(self, theta: Floats) -> tuple[float, Floats]:
        """Minus the log density but for a constant, and its gradient."""
        means, sds = self.centre(len(theta) - 2), np.full(len(theta), 2.0 * self.length_sd)
        sds[-2:] = self.signal_sd, self.noise_sd
        z = (theta - means) / sds
        return 0.5 * float(z @ z), z / sds


DEFAULT_PRIOR = Prior()


class Prediction(NamedTuple):
    """What is expected at some rows."""

    mean: Floats
    sd: Floats
    """Of the function, without noise."""


class Posterior:
    """A Gaussian process given data and hyperparameters.

    Args:
        rows: (n, columns) features; n at least 1.
        values: (n,) standardised.
        groups: By column, which weight it has.
        theta: (groups + 2,) ln weights, ln signal variance, ln noise variance.
        noise: (n,) further noise variance by row, e.g. of what is only believed; ``None``: none.
    """

    def __init__(
        self, rows: Floats, values: Floats, groups: NDArray[np.int64], theta: Floats, noise: Floats | None = None
    ) -> None:
        self.theta, self._groups, self._values = theta, groups, values
        self._noise = np.zeros(len(rows)) if noise is None else noise
        self._scale = np.exp(0.5 * theta[groups])
        self._signal = float(np.exp(theta[-2]))
        self._plain = rows
        self._rows = rows * self._scale
        self._squares = np.einsum("ij,ij->i", self._rows, self._rows)
        kernel = self._kernel(self._rows, self._squares)
        kernel[np.diag_indices_from(kernel)] = self._signal + np.exp(theta[-1]) + self._noise
        lower = _cholesky(kernel)
        self._inverse: Floats = dtrtri(lower, lower=1)[0]
        self._alpha: Floats = self._inverse.T @ (self._inverse @ values)

    def predict(self, rows: Floats) -> Prediction:
        """Mean and standard deviation at rows of features."""
        scaled = rows * self._scale
        cross = self._kernel(scaled, np.einsum("ij,ij->i", scaled, scaled))
        half = cross @ self._inverse.T
        variance = self._signal - np.einsum("ij,ij->i", half, half)
        return Prediction(cross @ self._alpha, np.sqrt(np.maximum(variance, 1e-12 * self._signal)))

    def believing(self, rows: Floats) -> Posterior:
        """The posterior after seeing at ``rows`` what is expected there: means stay, deviations shrink."""
        return Posterior(
            np.concatenate([self._plain, rows]),
            np.concatenate([self._values, self.predict(rows).mean]),
            self._groups,
            self.theta,
            np.concatenate([self._noise, np.zeros(len(rows))]),
        )

    def _kernel(self, scaled: Floats, squares: Floats) -> Floats:
        """Covariances of scaled rows with the data's."""
        out = scaled @ self._rows.T
        out *= -2.0
        out += squares[:, None]
        out += self._squares
        np.maximum(out, 0.0, out=out)
        radius = np.sqrt(5.0 * out)
        out *= 5.0 / 3.0
        out += radius
        out += 1.0
        np.negative(radius, out=radius)
        np.exp(radius, out=radius)
        out *= radius
        out *= self._signal
        return out


def fit(
    rows: Floats,
    values: Floats,
    groups: NDArray[np.int64],
    starts: list[Floats],
    *,
    prior: Prior = DEFAULT_PRIOR,
    max_iterations: int = 25,
) -> Floats:
    """The hyperparameters of greatest posterior density that are found from ``starts``.

    Args:
        rows: (n, columns) features.
        values: (n,) standardised.
        groups: By column, which weight it has.
        starts: Where to begin; the best end is taken.
        prior: On the hyperparameters.
        max_iterations: Of L-BFGS-B from each start.
    """
    likelihood = _Likelihood(rows, values, groups, len(starts[0]) - 2, prior)
    bounds = prior.bounds(len(starts[0]) - 2)
    low, high = np.array(bounds).T
    best, best_cost = starts[0], np.inf
    for start in starts:
        found = minimize(
            likelihood,
            np.clip(start, low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": max_iterations, "ftol": 1e-5, "gtol": 1e-2},
        )
        if found.fun < best_cost:
            best, best_cost = found.x, found.fun
    return best


class _Likelihood:
    """Minus the log posterior of hyperparameters and its gradient, over pairs of rows i < j."""

    def __init__(self, rows: Floats, values: Floats, groups: NDArray[np.int64], num_groups: int, prior: Prior) -> None:
        self._values, self._prior = values, prior
        self._pairs = np.triu_indices(len(rows), 1)
        self._squares = np.zeros((num_groups, len(self._pairs[0])))
        for column, group in enumerate(groups):
            step = rows[self._pairs[0], column] - rows[self._pairs[1], column]
            self._squares[group] += step * step

    def __call__(self, theta: Floats) -> tuple[float, Floats]:
        weights, signal, noise = np.exp(theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1]))
        radius = np.sqrt(5.0 * (weights @ self._squares))
        decay = signal * np.exp(-radius)
        slope = (1.0 + radius) * decay
        cross = slope + (radius * radius) * decay / 3.0
        size = len(self._values)
        kernel = np.zeros((size, size), order="F")
        kernel[self._pairs[1], self._pairs[0]] = cross
        kernel[np.diag_indices(size)] = signal + noise + JITTER
        lower, info = dpotrf(kernel, lower=1, overwrite_a=1)
        if info != 0:
            return 1e10, np.zeros(len(theta))
        alpha = dpotrs(lower, self._values, lower=1)[0]
        inverse = dpotri(lower, lower=1)[0]
        outer = inverse[self._pairs[1], self._pairs[0]] - alpha[self._pairs[0]] * alpha[self._pairs[1]]
        trace = float(np.sum(np.diag(inverse)) - alpha @ alpha)
        cost, gradient = self._prior.cost(theta)
        cost += 0.5 * float(self._values @ alpha) + float(np.sum(np.log(np.diag(lower))))
        gradient[:-2] -= (5.0 / 6.0) * weights * (self._squares @ (outer * slope))
        gradient[-2] += float(outer @ cross) + 0.5 * signal * trace
        gradient[-1] += 0.5 * noise * trace
        return cost, gradient


def standardised(losses: Floats) -> Floats:
    """Losses as values of mean 0 and deviation 1, the worse half compressed; NaN counts like the worst.

    Of equal losses all values are 0. What is worse than the median counts by its logarithm, so that neither one enormous
    loss nor a plain of bad ones hides the differences between good ones.
    """
    values, known = losses.copy(), ~np.isnan(losses)
    if not known.any():
        return np.zeros(len(values))
    low, high = float(values[known].min()), float(values[known].max())
    if not low < high:
        return np.zeros(len(values))
    values[~known] = high
    values = values / 2 - low / 2
    values /= float(values.max())
    middle = float(np.median(values)) or float(values.mean())
    values /= middle
    values = np.where(values > 1.0, 1.0 + np.log(np.maximum(values, 1.0)), values)
    return np.asarray((values - values.mean()) / values.std())


def _cholesky(kernel: Floats) -> Floats:
    """The lower factor; what is added to the diagonal grows until there is one."""
    jitter = JITTER * float(kernel[0, 0])
    while True:
        kernel[np.diag_indices_from(kernel)] += jitter
        lower, info = dpotrf(kernel, lower=1, clean=1)
        if info == 0:
            return np.asarray(lower)
        jitter *= 10.0
        assert jitter < MAX_JITTER * 1e6, "a kernel matrix with a heavy diagonal has a factor"
