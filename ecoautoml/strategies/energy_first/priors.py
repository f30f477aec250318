"""What the user supposes about good values: drawn more often, and trusted ever less."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ecoautoml.records.candidate import Value
from ecoautoml.strategies.energy_first.lattice import Column, Lattice

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
SPREADS = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""Deviation about the best guess, as a share of a dimension's range, by confidence."""
FAVOURS = {"low": 2.0, "medium": 4.0, "high": 8.0}
"""How many times as likely the best guess is as any other choice without an order."""
EVEN = 0.25
"""Share of a prior that is spread evenly: no value is ruled out."""
STRENGTH = 10.0
"""Trials after which a prior counts in full; before, it counts for more, later for less."""
LEAST_FREE = 4
"""Trainings beyond the unknowns from which on it is judged whether priors can be trusted."""
CELLS = 101
"""Places that stand for a continuous range."""
SHARE = 0.5
"""Share of what is drawn by chance that is drawn from the priors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What the user supposes about one dimension.

    Attributes:
        value: The best guess.
        confidence: A key of `SPREADS`.
    """

    value: Value
    confidence: str


class Priors:
    """What the user supposes, dimension by dimension.

    Values near a best guess are drawn more often, and what a candidate promises is multiplied by
    how likely it is under the priors, to a power that falls with the number of trials (piBO,
    Hvarfner et al. 2022, arXiv 2204.11051), and at once where what was seen speaks against them.

    Args:
        guesses: By dimension.
        lattice: The space's candidates.
    """

    def __init__(self, guesses: Mapping[str, Guess], lattice: Lattice) -> None:
        columns = {name: lattice.column(name) for name in guesses}
        self._supposed = {
            index: _Supposed.of(column, guesses[name]) for name, (index, column) in columns.items()
        }

    def __bool__(self) -> bool:
        return bool(self._supposed)

    def redrawn(self, rows: Array, rng: np.random.Generator) -> Array:
        """Return candidates, some of them (`SHARE`) with values drawn from the priors."""
        if not self:
            return rows
        changed, is_chosen = rows.copy(), rng.random(len(rows)) < SHARE
        for index, supposed in self._supposed.items():
            drawn = supposed.draw(rng, len(rows))
            changed[:, index] = np.where(is_chosen, drawn, rows[:, index])
        return changed

    def half(self, part: Rows, rows: Array, *, is_likely: bool) -> Rows:
        """Return the likelier half of some candidates, or the other; all of them without priors.

        Args:
            part: Which rows.
            rows: Candidates, ``(n, n_parameters)``.
            is_likely: Which half.
        """
        if not self or len(part) < 2:
            return part
        order = part[np.argsort(-self.log_likelihood(rows[part]), kind="stable")]
        middle = len(part) // 2
        return order[:middle] if is_likely else order[middle:]

    def log_likelihood(self, rows: Array) -> Array:
        """Return how likely candidates are, over how likely they are by chance, ``(n,)``."""
        total = np.zeros(len(rows))
        for index, supposed in self._supposed.items():
            places = rows[:, index]
            is_active = ~np.isnan(places)
            total[is_active] += supposed.log_likelihood(places[is_active])
        return total

    def trust(self, rows: Array, log_errors: Array, log_costs: Array) -> float:
        """Return how far the priors can be trusted by what was seen, within [0, 1].

        It is 1 while likely candidates have no higher errors than others of the same costs, else
        twice the chance of that much by accident.

        Args:
            rows: Candidates that were trained, ``(n, n_parameters)``.
            log_errors: Their log errors after the first look, ``(n,)``.
            log_costs: Their log costs, ``(n, n_costs)``.
        """
        likely = self.log_likelihood(rows)
        table = np.column_stack([np.ones(len(rows)), log_costs, likely])
        n_free = len(rows) - table.shape[1]
        if n_free < LEAST_FREE or np.ptp(likely) < 1e-9:
            return 1.0
        weights, *_ = np.linalg.lstsq(table, log_errors, rcond=None)
        noise = ((log_errors - table @ weights) ** 2).sum() / n_free
        deviation = math.sqrt(noise * np.linalg.pinv(table.T @ table)[-1, -1])
        return float(min(1.0, 2.0 * ndtr(-weights[-1] / max(deviation, 1e-12))))

    def weighed(self, index: Array, rows: Array, share: float) -> Array:
        """Return what new candidates promise, weighed by the priors.

        The best of them promises as much as the best did before: the priors decide which new
        candidate is begun, not whether one is.

        Args:
            index: What each promises, ``(n,)``.
            rows: The candidates, ``(n, n_parameters)``.
            share: How much the priors count: one over the trials begun so far, times their trust.
        """
        if not self or not len(index):
            return index
        weights = self.log_likelihood(rows) * STRENGTH * share
        weighed = index * np.exp(weights - weights.max())
        return np.asarray(weighed * index.max() / max(weighed.max(), 1e-300))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Supposed:
    """The prior of one dimension, as a table over places.

    Attributes:
        column: The dimension.
        places: Places within [0, 1], ascending.
        chances: Of each, in all 1.
    """

    column: Column
    places: Array
    chances: Array

    @classmethod
    def of(cls, column: Column, guess: Guess) -> _Supposed:
        """Return the prior about a best guess."""
        places = np.linspace(0.0, 1.0, column.n_values or CELLS)
        best = column.place(guess.value)
        if column.dimension.is_ordered:
            likely = np.exp(-0.5 * ((places - best) / SPREADS[guess.confidence]) ** 2)
        else:
            likely = np.where(np.abs(places - best) < 1e-9, FAVOURS[guess.confidence], 1.0)
        chances = (1.0 - EVEN) * likely / likely.sum() + EVEN / len(places)
        return cls(column=column, places=places, chances=chances)

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Return places drawn from the prior, ``(n,)``."""
        drawn = self.places[rng.choice(len(self.places), size=n, p=self.chances)]
        if self.column.n_values is not None:
            return drawn
        within = (rng.random(n) - 0.5) / (len(self.places) - 1)
        return self.column.snap(np.clip(drawn + within, 0.0, 1.0))

    def log_likelihood(self, places: Array) -> Array:
        """Return the logarithm of how likely places are, over how likely they are by chance."""
        nearest = np.round(places * max(len(self.places) - 1, 1)).astype(np.int64)
        return np.asarray(np.log(self.chances[nearest]) + math.log(len(self.places)))
