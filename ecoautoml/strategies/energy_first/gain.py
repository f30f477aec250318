"""What a candidate may still add to the front, given its energy and what its error may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The front as steps: from one energy to the next, the error to be beaten.

    Attributes:
        edges: Log energies, ascending, one more than ``errors``; the last is the reference.
        errors: Error to be beaten from each edge on; the first is the reference.
    """

    edges: Array
    errors: Array

    @classmethod
    def of(
        cls, log_energy: Sequence[float], error: Sequence[float], reference: tuple[float, float]
    ) -> Steps:
        """Return the steps of finished models.

        Args:
            log_energy: Of each model.
            error: Of each model.
            reference: Error and log energy beyond which nothing counts.
        """
        edges, errors = [-np.inf], [reference[0]]
        for energy, found in sorted(zip(log_energy, error, strict=True)):
            if energy < reference[1] and found < errors[-1]:
                edges.append(energy)
                errors.append(found)
        return cls(edges=np.array([*edges, reference[1]]), errors=np.array(errors))

    def expected_gain(self, log_energy: Array, mean: Array, variance: Array) -> Array:
        """Return the expected hypervolume each candidate adds; exact, as its energy is known.

        Args:
            log_energy: ``(n,)``.
            mean: Of the log error, ``(n,)``.
            variance: Of the log error, ``(n,)``.
        """
        total = np.zeros(len(mean))
        for index, error in enumerate(self.errors):
            begin = np.maximum(log_energy, self.edges[index])
            width = np.maximum(self.edges[index + 1] - begin, 0.0)
            is_open = width > 0
            total[is_open] += width[is_open] * shortfall(error, mean[is_open], variance[is_open])
        return total


def shortfall(bound: float, mean: Array, variance: Array) -> Array:
    """Return E[max(0, bound - error)] of errors whose logarithm is normal.

    It is the price of a put option (Black and Scholes 1973, doi 10.1086/260062), undiscounted.
    """
    deviation = np.sqrt(variance)
    quantile = (np.log(bound) - mean) / deviation
    expected = np.exp(mean + variance / 2.0)
    return np.asarray(bound * ndtr(quantile) - expected * ndtr(quantile - deviation))


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
