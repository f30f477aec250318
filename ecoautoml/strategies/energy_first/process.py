"""A Gaussian process over candidates: what they are, what they cost, what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from ecoautoml.strategies.energy_first.encoding import Encoded

Array = NDArray[np.float64]
Rows = Sequence[int] | NDArray[np.int64]
STEPS = 25
"""Steps of the climb to kernel parameters; each costs a factorisation and an inverse."""
LEAST_VARIANCE = 1e-6
FARTHEST = 8.0
"""Prior deviations that a kernel's parameter may be off: a step of the climb may try any size."""
SPREAD = (1.0, 0.7, 1.0, 0.7, 1.2, 1.2)
WEIGHT_SPREAD = 0.7
"""Prior deviations of a kernel's parameters: as they stand in `Kernel.log`, and of each weight."""


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

    def and_(self, other: Self) -> Self:
        """Return these points, then others."""
        return replace(
            self,
            encoded=self.encoded.and_(other.encoded),
            features=np.vstack([self.features, other.features]),
            costs=np.vstack([self.costs, other.costs]),
            basis=np.vstack([self.basis, other.basis]),
        )

    def knowing(self, one: Array, basis: Array) -> Self:
        """Return the points with one more feature, and other columns of a given effect.

        Args:
            one: The feature, in deviations, ``(n,)``; it weighs as much as all others together.
            basis: ``(n, n_basis)``.
        """
        column = one[:, None] * np.sqrt(max(self.features.shape[1], 1))
        return replace(self, features=np.hstack([self.features, column]), basis=basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Parameters of the covariance, all as natural logarithms, in units of the targets' scale.

    What hangs on a candidate's make-up fades with the distance of make-ups and with that of
    features. In these distances every dimension, every value that like dimensions share, and every
    feature has a weight that is learnt.

    Attributes:
        log: Variance of what hangs on make-up and features together; its length (as a distance of
            `Encoded.distance`); variance of what hangs on features alone; the length of features
            (in deviations); variance of what is linear in log costs; variance of the noise.
        log_ties: Weights of dimensions and values, ``(n_weights,)``; None: all are 1.
        log_features: Weights of features, ``(n_features,)``; those left out are 1.
        least_noise: Variance of the noise at least.
        basis_variance: Prior variance of each basis column's weight.
    """

    log: Array
    log_ties: Array | None = None
    log_features: Array = field(default_factory=lambda: np.zeros(0))
    least_noise: float = 1e-4
    basis_variance: Array = field(default_factory=lambda: np.zeros(0))

    def __call__(self, one: Points, two: Points) -> Array:
        """Return the covariance of noiseless values of points."""
        make, length, smooth, _, linear, _ = np.exp(self.log)
        apart = self.apart(one, two)
        found = one.encoded.distance(two.encoded, self.log_ties)
        found *= -1.0 / length  # in place from here: tables are large
        np.exp(found, out=found)
        found *= make
        found += smooth
        found *= np.exp(-apart)
        apart += 1.0
        found *= apart
        found += (one.costs * (linear / max(one.costs.shape[1], 1))) @ two.costs.T
        if one.basis.shape[1]:
            found += (one.basis * self.basis_variance) @ two.basis.T
        return found

    def apart(self, one: Points, two: Points) -> Array:
        """Return how far features are apart, in lengths, as a Matern kernel of 3/2 takes them."""
        n_features = one.features.shape[1]
        if not n_features:
            return np.zeros((len(one), len(two)))
        weights = self.feature_weights(n_features) * (
            np.sqrt(3.0 / n_features) / np.exp(self.log[3])
        )
        return np.asarray(cdist(one.features * weights, two.features * weights))

    def feature_weights(self, n_features: int) -> Array:
        """Return the weights of features, ``(n_features,)``."""
        rest = n_features - len(self.log_features)
        return np.asarray(np.exp(np.concatenate([self.log_features, np.zeros(rest)])))

    def variance(self, points: Points) -> Array:
        """Return the prior variance of noiseless values."""
        make, _, smooth, _, linear, _ = np.exp(self.log)
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
    fitted: Points
    scale: float
    shift: float
    lower: Array
    weights: Array

    def predict(self, points: Points) -> tuple[Array, Array]:
        """Return mean and variance of the noiseless values, in the targets' own units."""
        across = self.kernel(points, self.fitted)
        explained = solve_triangular(self.lower, across.T, lower=True, check_finite=False)
        variance = self.kernel.variance(points) - (explained**2).sum(axis=0)
        mean = self.shift + self.scale * (across @ self.weights)
        return mean, self.scale**2 * np.maximum(variance, LEAST_VARIANCE)

    @property
    def basis_weights(self) -> Array:
        """Return the mean weight of each basis column, in the targets' own units."""
        weights = self.kernel.basis_variance * (self.fitted.basis.T @ self.weights)
        return np.asarray(self.scale * weights)


def fit(
    points: Points,
    targets: Array,
    prior: Kernel,
    *,
    scale: float | None = None,
    start: Kernel | None = None,
    steps: int = STEPS,
    has_own_weights: bool = True,
) -> Process:
    """Return the process with the kernel parameters that explain the targets best.

    They are climbed to from the prior's or the last ones, under a normal prior about the prior's.

    Args:
        points: What it is fitted to, ``n``.
        targets: ``(n,)``.
        prior: The parameters expected, and what stays as it is.
        scale: Unit of the targets; None: their own deviation, their mean taken off.
        start: Where to begin; None: at the prior.
        steps: Of the climb, at most; 0: the parameters of ``start`` are taken.
        has_own_weights: Whether weights are learnt too; else they stay those of the prior.
    """
    shift = 0.0 if scale is not None else float(targets.mean())
    unit = float(scale) if scale is not None else max(float(targets.std()), 1e-3)
    scaled = (targets - shift) / unit
    best = prior if start is None else start
    if steps:
        best = Climb(points, scaled, prior, has_own_weights=has_own_weights).best(best, steps)
    lower = _factor(best, points)
    return Process(
        kernel=best,
        fitted=points,
        scale=unit,
        shift=shift,
        lower=lower,
        weights=cho_solve((lower, True), scaled),
    )


class Climb:
    """The search for the kernel parameters of the greatest evidence, along its slope.

    As in Rasmussen and Williams 2006 (Gaussian Processes for Machine Learning), chapter 5.

    Args:
        points: What is fitted to.
        scaled: Targets.
        prior: Parameters expected.
        has_own_weights: Whether weights are learnt too.
    """

    def __init__(
        self, points: Points, scaled: Array, prior: Kernel, *, has_own_weights: bool
    ) -> None:
        self._points, self._scaled, self._prior = points, scaled, prior
        self._n_ties = points.encoded.ties.shape[1] * has_own_weights
        self._n_features = points.features.shape[1] * has_own_weights
        spread = [*SPREAD, *[WEIGHT_SPREAD] * (self._n_ties + self._n_features)]
        self._spread, self._expected = np.array(spread), self.start(prior)
        numbers = points.encoded.n_numbers
        self._chosen = (points.encoded.columns[:, numbers:] > 0).astype(np.float64)

    def best(self, start: Kernel, steps: int) -> Kernel:
        """Return the best parameters found in so many steps."""
        far = FARTHEST * self._spread
        lowest, highest = self._expected - far, self._expected + far
        found = minimize(
            self.loss,
            np.clip(self.start(start), lowest, highest),
            jac=True,
            method="L-BFGS-B",
            bounds=np.stack([lowest, highest], axis=1),
            options={"maxiter": steps},
        )
        return self._kernel(found.x)

    def loss(self, free: Array) -> tuple[float, Array]:
        """Return the negative log evidence under the prior, and its slope."""
        kernel = self._kernel(free)
        try:
            lower = _factor(kernel, self._points)
        except LinAlgError:
            return 1e10, np.zeros(len(free))
        weights = cho_solve((lower, True), self._scaled)
        off = (free - self._expected) / self._spread
        loss = 0.5 * self._scaled @ weights + np.log(np.diag(lower)).sum() + 0.5 * off @ off
        inverse = cho_solve((lower, True), np.eye(len(weights)), check_finite=False)
        pull = 0.5 * (inverse - np.outer(weights, weights))
        return float(loss), self._slope(kernel, pull) + off / self._spread

    def start(self, kernel: Kernel) -> Array:
        """Return the parameters of a kernel that are learnt, as one row."""
        parts = [kernel.log]
        if self._n_ties:
            known = kernel.log_ties
            parts.append(np.zeros(self._n_ties) if known is None else known)
        if self._n_features:
            parts.append(np.log(kernel.feature_weights(self._n_features)))
        return np.concatenate(parts)

    def _kernel(self, free: Array) -> Kernel:
        n, ties = len(SPREAD), self._n_ties
        kernel = replace(self._prior, log=free[:n])
        if ties:
            kernel = replace(kernel, log_ties=free[n : n + ties])
        return replace(kernel, log_features=free[n + ties :]) if self._n_features else kernel

    def _slope(self, kernel: Kernel, pull: Array) -> Array:
        """Return the slope of the negative log evidence; ``pull`` is that by the covariance."""
        make, length, smooth, reach, linear, noise = np.exp(kernel.log)
        encoded, costs = self._points.encoded, self._points.costs
        far = encoded.distance(encoded, kernel.log_ties) / length
        apart = kernel.apart(self._points, self._points)
        fade = np.exp(-apart)
        near = make * np.exp(-far)
        both, along = pull * near * (1.0 + apart) * fade, pull * (near + smooth) * fade
        product = costs @ costs.T / max(costs.shape[1], 1)
        slopes = [
            [
                both.sum(),
                (both * far).sum(),
                smooth * (pull * (1.0 + apart) * fade).sum(),
                (along * apart**2).sum(),
                linear * (pull * product).sum(),
                noise * np.trace(pull),
            ]
        ]
        if self._n_ties:
            slopes.append(-self._along_columns(kernel, both) / length)
        if self._n_features:
            slopes.append(-self._along_features(kernel, along) / reach**2)
        return np.concatenate(slopes)

    def _along_columns(self, kernel: Kernel, both: Array) -> Array:
        """Return the sum over pairs of what each weight of the make-up adds to their distance."""
        encoded = self._points.encoded
        numbers = [(both * np.abs(one[:, None] - one[None])).sum() for one in encoded.numbers.T]
        choices = (self._chosen * (both @ (1.0 - self._chosen))).sum(axis=0)
        weights = np.ones(len(encoded.ties))
        if kernel.log_ties is not None:
            weights = np.exp(encoded.ties @ kernel.log_ties)
        sums = weights * np.concatenate([numbers, choices]) / max(encoded.n_dimensions, 1)
        return np.asarray(encoded.ties.T @ sums)

    def _along_features(self, kernel: Kernel, along: Array) -> Array:
        """Return the sum over pairs of what each feature adds to their squared distance."""
        features = self._points.features * kernel.feature_weights(self._n_features)
        squares = (features**2 * along.sum(axis=1)[:, None]).sum(axis=0)
        crossed = (features * (along @ features)).sum(axis=0)
        return np.asarray(2.0 * (squares - crossed) * 3.0 / self._n_features)


def _factor(kernel: Kernel, points: Points) -> Array:
    covariance = kernel(points, points)
    covariance[np.diag_indices_from(covariance)] += kernel.noise
    return np.asarray(cholesky(covariance, lower=True, check_finite=False))
