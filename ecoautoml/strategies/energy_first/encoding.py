"""Candidates of any space as numbers a model can compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from ecoautoml.spaces.dimensions import Dimension, SearchSpace

Array = NDArray[np.float64]
INACTIVE = 0.5
"""Where a number lies that a candidate does not have: in the middle, beside a mark of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Some candidates.

    Attributes:
        columns: Ordered dimensions within [0, 1]; whether conditional ones are active; half an
            indicator for each choice of unordered dimensions: ``(n, n_columns)``.
        traits: How often each choice is taken in like dimensions, and means of like numbers,
            ``(n, n_traits)``.
        ties: Which weights bear on which columns, ``(n_columns, n_weights)``: a column of 1s per
            dimension, and one per value that like dimensions share.
        n_numbers: How many of the columns are numbers or marks; the others are indicators.
        n_dimensions: The largest distance there is, in units of one dimension's.
    """

    columns: Array
    traits: Array
    ties: Array
    n_numbers: int
    n_dimensions: int

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def numbers(self) -> Array:
        """Return ordered dimensions and marks, ``(n, n_numbers)``."""
        return self.columns[:, : self.n_numbers]

    def rows(self, index: NDArray[np.int64]) -> Encoded:
        """Return some of the candidates."""
        return replace(self, columns=self.columns[index], traits=self.traits[index])

    def and_(self, other: Encoded) -> Encoded:
        """Return these candidates, then others of the same space."""
        return replace(
            self,
            columns=np.vstack([self.columns, other.columns]),
            traits=np.vstack([self.traits, other.traits]),
        )

    def distance(self, other: Encoded, log_weights: Array | None = None) -> Array:
        """Return how far candidates are apart, ``(n, n_other)``; unweighted within [0, 1].

        The mean over all dimensions of how far numbers are apart, 1 for unequal choices (Gower
        1971, doi 10.2307/2528823): a distance whose negative exponential is a kernel.

        Args:
            other: Other candidates of the same space.
            log_weights: ``(n_weights,)``; None: all dimensions weigh the same.
        """
        if not self.columns.shape[1]:
            return np.zeros((len(self), len(other)))
        weights = np.ones(self.columns.shape[1]) / max(self.n_dimensions, 1)
        if log_weights is not None:
            weights = weights * np.exp(self.ties @ log_weights)
        return np.asarray(cdist(self.columns * weights, other.columns * weights, "cityblock"))


class Encoder:
    """Encodes candidates of one space, with features made from the space alone.

    Dimensions are alike when they allow the same values (the kernels of several stages, say).

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        varying = [i for i, one in enumerate(space.parameters) if not one.is_fixed]
        self._ordered = [i for i in varying if space.parameters[i].is_ordered]
        self._unordered = [i for i in varying if not space.parameters[i].is_ordered]
        ordered = [space.parameters[i] for i in self._ordered]
        unordered = [space.parameters[i] for i in self._unordered]
        self._n_choices = np.array([len(one.choices) for one in unordered], dtype=np.int64)
        self._conditional = [i for i, one in enumerate(ordered) if one.conditions]
        self._may_be_absent = [int(bool(one.conditions)) for one in unordered]
        self._like = _like(ordered), _like(unordered)
        self._ties = self._tied()

    def encode(self, places: Array) -> Encoded:
        """Return candidates given as rows of a `Lattice`, ``(n, n_parameters)``."""
        numbers, chosen = places[:, self._ordered], places[:, self._unordered]
        is_active = ~np.isnan(numbers)
        indices = np.round(chosen * np.maximum(self._n_choices - 1, 1))
        choices = np.where(np.isnan(chosen), -1, indices).astype(np.int64)
        marks = is_active[:, self._conditional].astype(float)
        indicators = [
            0.5 * (choices[:, [index]] == np.arange(-self._may_be_absent[index], n_choices))
            for index, n_choices in enumerate(self._n_choices)
        ]
        return Encoded(
            columns=np.hstack([np.where(is_active, numbers, INACTIVE), marks, *indicators]),
            traits=self._traits(numbers, choices),
            ties=self._ties,
            n_numbers=numbers.shape[1] + marks.shape[1],
            n_dimensions=numbers.shape[1] + marks.shape[1] + len(self._n_choices),
        )

    def _tied(self) -> Array:
        """Return which weights bear on which columns: one per dimension, one per shared value."""
        n_numbers = len(self._ordered) + len(self._conditional)
        rows: list[set[tuple[object, ...]]] = [{("number", index)} for index in range(n_numbers)]
        shared = {index: group for group, members in enumerate(self._like[1]) for index in members}
        for index, n_choices in enumerate(self._n_choices):
            for value in range(-self._may_be_absent[index], n_choices):
                rows.append({("choice", index)})
                if index in shared:
                    rows[-1].add(("value", shared[index], value))
        names = sorted(set().union(*rows), key=repr)
        table = np.array([[name in row for name in names] for row in rows], dtype=np.float64)
        return table.reshape(len(rows), len(names))

    def _traits(self, numbers: Array, choices: NDArray[np.int64]) -> Array:
        columns = [np.zeros((len(numbers), 0))]
        ordered, unordered = self._like
        for members in ordered:
            these = numbers[:, members]
            n_active = (~np.isnan(these)).sum(axis=1)
            mean = np.nansum(these, axis=1) / np.maximum(n_active, 1)
            columns += [mean[:, None], n_active[:, None] / len(members)]
        for members in unordered:
            these_choices = choices[:, members]
            for index in range(self._n_choices[members[0]]):
                columns.append((these_choices == index).mean(axis=1)[:, None])
        return np.hstack(columns)


def _like(dimensions: Sequence[Dimension]) -> list[list[int]]:
    """Return the indices of dimensions that allow the same values, where there are several."""
    groups: dict[object, list[int]] = defaultdict(list)
    for index, one in enumerate(dimensions):
        groups[(one.kind, one.low, one.high, one.step, one.log, one.choices)].append(index)
    return [members for members in groups.values() if len(members) > 1]
