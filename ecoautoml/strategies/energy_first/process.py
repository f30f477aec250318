"""A Gaussian process over candidates: what they are, what they cost, what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from ecoautoml.strategies.energy_first.encoding import Encoded

Array = NDArray[np.float64]
Rows = Sequence[int] | NDArray[np.int64]
STEPS = 40
"""Tries of other kernel parameters per fit; each costs one factorisation."""
LEAST_VARIANCE = 1e-6
ROWS = 32
"""Rows of a covariance worked out at once, so that what is in between stays in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Inputs of the process.

    Attributes:
        encoded: The candidates.
        features: Traits and log costs, each of mean 0 and deviation 1, ``(n, n_features)``.
        costs: Columns with a linear effect whose size is learnt, the log costs among them,
            ``(n, n_costs)``.
        basis: Columns with a linear effect of a given size, ``(n, n_basis)``.
    """

    encoded: Encoded
    features: Array
    costs: Array
    basis: Array

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, rows: Rows) -> Self:
        """Return some of the points."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            encoded=self.encoded.rows(index),
            features=self.features[index],
            costs=self.costs[index],
            basis=self.basis[index],
        )

    def with_basis(self, basis: Array) -> Self:
        """Return the points with other columns of the linear part."""
        return replace(self, basis=basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """How far points are apart: by make-up, by features; and the product of their costs."""

    make_up: Array
    features: Array
    costs: Array

    @classmethod
    def between(cls, one: Points, two: Points, make_up: Array | None = None) -> Self:
        """Return the distances of all pairs, ``(n_one, n_two)`` each.

        Args:
            one: Points.
            two: Points.
            make_up: Their distances by make-up, where these are known already.
        """
        n_features, n_costs = max(one.features.shape[1], 1), max(one.costs.shape[1], 1)
        squared = (-2.0 * one.features) @ two.features.T  # in place from here: tables are large
        squared += (one.features**2).sum(axis=1)[:, None]
        squared += (two.features**2).sum(axis=1)[None]
        squared *= 3.0 / n_features  # Matern 3/2
        return cls(
            make_up=one.encoded.distance(two.encoded) if make_up is None else make_up,
            features=np.sqrt(np.maximum(squared, 0.0, out=squared), out=squared),
            costs=(one.costs / n_costs) @ two.costs.T,
        )

    def among(self, rows: Rows, columns: Rows) -> Self:
        """Return those of some pairs."""
        above, across = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
        is_whole = np.array_equal(across, np.arange(self.make_up.shape[1]))
        index = above if is_whole else np.ix_(above, across)  # whole rows are copied much faster
        return replace(
            self,
            make_up=self.make_up[index],
            features=self.features[index],
            costs=self.costs[index],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Parameters of the covariance, all as natural logarithms, in units of the targets' scale.

    Attributes:
        log: Variance of what hangs on the candidate's make-up; its length (as a distance of
            `Encoded.distance`); variance of what hangs smoothly on features; its length (in
            deviations); variance of what is linear in log costs; variance of the noise.
        least_noise: Variance of the noise at least.
        basis_variance: Prior variance of each basis column's weight.
    """

    log: Array
    least_noise: float = 1e-4
    basis_variance: Array = field(default_factory=lambda: np.zeros(0))

    def __call__(self, apart: Distances, basis: Array, other_basis: Array) -> Array:
        """Return the covariance of noiseless values of points whose distances are known."""
        make, length, smooth, reach, linear = np.exp(self.log[:5])
        found = np.empty(apart.make_up.shape)
        for start in range(0, len(found), ROWS):
            part = slice(start, start + ROWS)
            radius = apart.features[part] / reach
            found[part] = (
                make * np.exp(-apart.make_up[part] / length)
                + smooth * (1.0 + radius) * np.exp(-radius)
                + linear * apart.costs[part]
            )
        if basis.shape[1]:
            found += (basis * self.basis_variance) @ other_basis.T
        return found

    def variance(self, points: Points) -> Array:
        """Return the prior variance of noiseless values."""
        make, _, smooth, _, linear = np.exp(self.log[:5])
        n_costs = max(points.costs.shape[1], 1)
        along_costs = (points.costs**2).sum(axis=1) / n_costs
        along_basis = (points.basis**2 * self.basis_variance).sum(axis=1)
        return np.asarray(make + smooth + linear * along_costs + along_basis)

    @property
    def noise(self) -> float:
        """Return the variance of the noise."""
        return float(np.exp(self.log[5])) + self.least_noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process fitted to some points."""

    kernel: Kernel
    basis: Array
    scale: float
    shift: float
    lower: Array
    weights: Array

    def predict(self, points: Points, apart: Distances) -> tuple[Array, Array]:
        """Return mean and variance of the noiseless values, in the targets' own units.

        Args:
            points: ``n`` points.
            apart: Their distances from those the process was fitted to, ``(n, n_fitted)``.
        """
        across = self.kernel(apart, points.basis, self.basis)
        explained = solve_triangular(self.lower, across.T, lower=True, check_finite=False)
        variance = self.kernel.variance(points) - (explained**2).sum(axis=0)
        mean = self.shift + self.scale * (across @ self.weights)
        return mean, self.scale**2 * np.maximum(variance, LEAST_VARIANCE)

    @property
    def basis_weights(self) -> Array:
        """Return the mean weight of each basis column, in the targets' own units."""
        weights = self.kernel.basis_variance * (self.basis.T @ self.weights)
        return np.asarray(self.scale * weights)


def fit(
    basis: Array,
    apart: Distances,
    targets: Array,
    prior: Kernel,
    *,
    rng: np.random.Generator,
    scale: float | None = None,
    start: Kernel | None = None,
    steps: int = STEPS,
) -> Process:
    """Return the process with the kernel parameters that explain the targets best.

    They are found by trying others at random, from the prior's or the last ones, under a normal
    prior about the prior's (deviation 1 for variances, 0.7 for lengths).

    Args:
        basis: Basis columns of at least one point, ``(n, n_basis)``.
        apart: Distances among the points, ``(n, n)``.
        targets: ``(n,)``.
        prior: The parameters expected, and what stays as it is.
        rng: Chance.
        scale: Unit of the targets; None: their own deviation, their mean taken off.
        start: Where to begin; None: at the prior.
        steps: How many others to try.
    """
    shift = 0.0 if scale is not None else float(targets.mean())
    unit = float(scale) if scale is not None else max(float(targets.std()), 1e-3)
    scaled = (targets - shift) / unit
    best = replace(prior, log=(prior if start is None else start).log)
    if steps:
        best = _searched(best, prior, apart, basis, scaled, rng, steps)
    lower = _factor(best, apart, basis)
    return Process(
        kernel=best,
        basis=basis,
        scale=unit,
        shift=shift,
        lower=lower,
        weights=cho_solve((lower, True), scaled),
    )


def _searched(
    best: Kernel,
    prior: Kernel,
    apart: Distances,
    basis: Array,
    scaled: Array,
    rng: np.random.Generator,
    steps: int,
) -> Kernel:
    score, size = _evidence(best, prior, apart, basis, scaled), 0.6
    for _ in range(steps):
        moved = size * rng.standard_normal(6) * (rng.random(6) < 0.5)
        other = replace(prior, log=best.log + moved)
        found = _evidence(other, prior, apart, basis, scaled)
        if found > score:
            best, score, size = other, found, min(1.3 * size, 1.0)
        else:
            size = max(0.93 * size, 0.1)
    return best


SPREAD = np.array([1.0, 0.7, 1.0, 0.7, 1.2, 1.2])


def _evidence(
    kernel: Kernel, prior: Kernel, apart: Distances, basis: Array, scaled: Array
) -> float:
    try:
        lower = _factor(kernel, apart, basis)
    except LinAlgError:
        return -np.inf
    white = solve_triangular(lower, scaled, lower=True, check_finite=False)
    likely = -0.5 * white @ white - np.log(np.diag(lower)).sum()
    return float(likely - 0.5 * (((kernel.log - prior.log) / SPREAD) ** 2).sum())


def _factor(kernel: Kernel, apart: Distances, basis: Array) -> Array:
    covariance = kernel(apart, basis, basis)
    covariance[np.diag_indices_from(covariance)] += kernel.noise
    return np.asarray(cholesky(covariance, lower=True, check_finite=False))
