"""What a candidate may still add to the front, given its costs and what its error may be."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from ecoautoml.pareto.front import non_dominated_mask

Array = NDArray[np.float64]
MOST_CELLS = 4000
"""Cells of the front up to which gains are exact; beyond, they are taken from sample points."""
SAMPLES = 1024
LEAST_ERROR = 1e-12
"""No error is below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What is left to gain: regions of the costs, each with the error to be beaten there.

    A candidate adds, for every combination of costs that is no lower than its own, what its error
    is below the least error found for no more than these costs. Costs are logarithms.

    Attributes:
        low: Lower corners of the regions, ``(n_regions, n_costs)``.
        high: Upper corners, ``(n_regions, n_costs)``; the same as ``low`` for sample points.
        weight: Volume of what a sample point stands for; None: the regions are cells.
        level: Index in ``errors`` of the error to be beaten in each region, ``(n_regions,)``.
        errors: Errors to be beaten, ``(n_levels,)``; the first is the reference.
        costs: Costs of the front's models, ``(n_models, n_costs)``.
        reached: Their errors, ``(n_models,)``.
        target: Error that is good enough: less is worth no more; 0: none is.
        is_target_reached: Whether a model has reached it: then only what does so too counts.
    """

    low: Array
    high: Array
    weight: float | None
    level: NDArray[np.int64]
    errors: Array
    costs: Array
    reached: Array
    target: float = 0.0
    is_target_reached: bool = False

    @classmethod
    def of(
        cls,
        costs: Array,
        errors: Array,
        *,
        worst_error: float,
        worst_costs: Array,
        target: float = 0.0,
        most_cells: int = MOST_CELLS,
    ) -> Front:
        """Return the front of finished models.

        Args:
            costs: Log costs, ``(n, n_costs)``.
            errors: ``(n,)``.
            worst_error: Error from which on nothing counts.
            worst_costs: Log costs from which on nothing counts, ``(n_costs,)``.
            target: Error that is good enough, below the worst; 0: none is.
            most_cells: Cells up to which gains are exact.
        """
        errors = np.maximum(errors, target)
        counts = (errors < worst_error) & (costs < worst_costs).all(axis=1)
        is_reached = bool(target > 0 and (errors[counts] <= target).any())
        if is_reached:
            counts &= errors <= target
        costs, errors = costs[counts], errors[counts]
        is_on = non_dominated_mask(np.column_stack([costs, errors]))
        costs, errors = costs[is_on], errors[is_on]
        levels, index = np.unique(-errors, return_inverse=True)
        edges = [np.unique(column) for column in costs.T]
        n_cells = np.prod([len(each) + 1 for each in edges], dtype=float)
        weight = None
        if n_cells <= most_cells:
            low, high = _cells(edges, worst_costs)
        else:
            least = costs.min(axis=0) if len(costs) else worst_costs - 1.0
            low = least + _even(len(worst_costs)) * (worst_costs - least)
            high, weight = low, float(np.prod(worst_costs - least)) / len(low)
        covered = (costs[None] <= low[:, None]).all(axis=2)
        level = np.where(covered, index[None] + 1, 0).max(axis=1, initial=0)
        return cls(
            low=low,
            high=high,
            weight=weight,
            level=level,
            errors=np.concatenate([[worst_error], -levels]),
            costs=costs,
            reached=errors,
            target=target,
            is_target_reached=is_reached,
        )

    def expected_gain(self, costs: Array, mean: Array, variance: Array) -> Array:
        """Return the expected hypervolume each candidate adds, its costs being known.

        Args:
            costs: Log costs, ``(n, n_costs)``.
            mean: Of the log error, ``(n,)``.
            variance: Of the log error, ``(n,)``.
        """
        volumes = self._volumes(costs)
        total = np.zeros(len(mean))
        for level, error in enumerate(self.errors):
            matters = volumes[:, level] > 0
            if error > self.target and matters.any():
                below = self._below(error, mean[matters], variance[matters])
                total[matters] += volumes[matters, level] * below
        return total

    def _below(self, error: float, mean: Array, variance: Array) -> Array:
        """Return by how much an error is expected to be below another, as far as that counts."""
        if self.is_target_reached:
            chance = chance_below(np.full(len(mean), self.target), mean, variance)
            return np.asarray((error - self.target) * chance)
        below = shortfall(error, mean, variance)
        return below - shortfall(self.target, mean, variance) if self.target > 0 else below

    def to_beat(self, costs: Array) -> Array:
        """Return the error each candidate must fall below to join the front, ``(n,)``.

        With a target, to be of use; nothing is low enough where that is reached for no more.
        """
        covered = (self.costs[None] <= costs[:, None]).all(axis=2)
        best = np.where(covered, self.reached[None], np.inf).min(axis=1, initial=np.inf)
        if self.is_target_reached:
            return np.where(np.isfinite(best), LEAST_ERROR, self.target)
        best = np.where(best <= self.target, LEAST_ERROR, best)
        return np.asarray(np.minimum(best, self.errors[0]))

    def _volumes(self, costs: Array) -> Array:
        """Return the volume of each level that lies beyond a candidate, ``(n, n_levels)``."""
        if self.weight is not None:
            beyond = (self.low[None] >= costs[:, None]).all(axis=2) * self.weight
        else:
            beyond = np.ones((len(costs), len(self.low)))
            for cost in range(self.low.shape[1]):
                begin = np.maximum(costs[:, None, cost], self.low[None, :, cost])
                beyond *= np.maximum(self.high[None, :, cost] - begin, 0.0)
        membership = np.zeros((len(self.low), len(self.errors)))
        membership[np.arange(len(self.low)), self.level] = 1.0
        return np.asarray(beyond @ membership)


def _cells(edges: Sequence[Array], worst: Array) -> tuple[Array, Array]:
    """Return the corners of all cells between edges, ``(n_cells, n_costs)`` each."""
    lows = [np.concatenate([[-np.inf], each]) for each in edges]
    highs = [np.concatenate([each, [end]]) for each, end in zip(edges, worst, strict=True)]
    low = np.array(list(itertools.product(*lows)))
    return low, np.array(list(itertools.product(*highs)))


@functools.cache
def _even(n_costs: int) -> Array:
    """Return points spread evenly over the unit cube (Sobol 1967)."""
    return np.asarray(qmc.Sobol(n_costs, scramble=False).random(SAMPLES)) + 0.5 / SAMPLES


def shortfall(bound: float, mean: Array, variance: Array) -> Array:
    """Return E[max(0, bound - error)] of errors whose logarithm is normal.

    It is the price of a put option (Black and Scholes 1973, doi 10.1086/260062), undiscounted.
    """
    deviation = np.sqrt(variance)
    quantile = (np.log(bound) - mean) / deviation
    expected = np.exp(mean + variance / 2.0)
    return np.asarray(bound * ndtr(quantile) - expected * ndtr(quantile - deviation))


def chance_below(bound: Array, mean: Array, variance: Array) -> Array:
    """Return the probability that an error whose logarithm is normal is below a bound."""
    return np.asarray(ndtr((np.log(bound) - mean) / np.sqrt(variance)))


def outcomes(n_uncertain: int) -> tuple[Array, Array]:
    """Return points that stand for independent normal values, and their weights.

    Exact for polynomials where one value is uncertain (Gauss and Hermite); evenly spread points
    (Sobol) where several are.

    Returns:
        ``(n_points, n_uncertain)`` and ``(n_points,)``.
    """
    if n_uncertain == 0:
        return np.zeros((1, 0)), np.ones(1)
    if n_uncertain == 1:
        nodes, weights = np.polynomial.hermite_e.hermegauss(5)
        return nodes[:, None], weights / weights.sum()
    even = np.asarray(qmc.Sobol(n_uncertain, scramble=False).random(16)) + 1.0 / 32.0
    return np.asarray(ndtri(even)), np.full(16, 1.0 / 16.0)


def index_of(gains: Array, weights: Array, first_cost: Array, rest_cost: Array) -> Array:
    """Return the gain per cost of looking first and going on only if it is worth it.

    Looking costs ``first_cost`` and shows one of several outcomes; going on costs ``rest_cost``
    and brings that outcome's gain. The index is the price per unit of cost at which both together
    break even (Weitzman 1979, doi 10.2307/1910412): it is largest over how many of the best
    outcomes are gone on with.

    Args:
        gains: Of each outcome, ``(n, n_outcomes)``.
        weights: Probabilities of the outcomes, ``(n_outcomes,)``.
        first_cost: ``(n,)``.
        rest_cost: ``(n,)``.
    """
    order = np.argsort(-gains, axis=1)
    chance = weights[order]
    bought = np.cumsum(chance * np.take_along_axis(gains, order, axis=1), axis=1)
    paid = first_cost[:, None] + np.cumsum(chance, axis=1) * rest_cost[:, None]
    return np.asarray((bought / paid).max(axis=1))
