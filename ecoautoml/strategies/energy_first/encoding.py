"""Candidates of any space as numbers a model can compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

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
        numbers: Ordered dimensions within [0, 1], and whether conditional ones are active,
            ``(n, n_numbers)``.
        choices: Index of the choice in unordered dimensions, -1 where inactive, ``(n, n_choices)``.
        traits: How often each choice is taken in like dimensions, and means of like numbers,
            ``(n, n_traits)``.
    """

    numbers: Array
    choices: NDArray[np.int64]
    traits: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, index: NDArray[np.int64]) -> Encoded:
        """Return some of the candidates."""
        return Encoded(
            numbers=self.numbers[index], choices=self.choices[index], traits=self.traits[index]
        )

    def distance(self, other: Encoded) -> Array:
        """Return how far candidates are apart, ``(n, n_other)``, within [0, 1].

        The mean over all columns of how far numbers are apart, 1 for unequal choices (Gower 1971,
        doi 10.2307/2528823): a distance whose negative exponential is a kernel.
        """
        n_columns = self.numbers.shape[1] + self.choices.shape[1]
        n_unequal = np.zeros((len(self), len(other)), dtype=np.int32)
        for code, code_two in zip(self.choices.T, other.choices.T, strict=True):
            n_unequal += code.astype(np.int32)[:, None] != code_two.astype(np.int32)[None]
        if not self.numbers.shape[1]:
            return np.asarray(n_unequal / max(n_columns, 1))
        return np.asarray((cdist(self.numbers, other.numbers, "cityblock") + n_unequal) / n_columns)


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
        self._like = _like(ordered), _like(unordered)

    def encode(self, places: Array) -> Encoded:
        """Return candidates given as rows of a `Lattice`, ``(n, n_parameters)``."""
        numbers, chosen = places[:, self._ordered], places[:, self._unordered]
        is_active = ~np.isnan(numbers)
        indices = np.round(chosen * np.maximum(self._n_choices - 1, 1))
        choices = np.where(np.isnan(chosen), -1, indices).astype(np.int64)
        marks = is_active[:, self._conditional].astype(float)
        return Encoded(
            numbers=np.hstack([np.where(is_active, numbers, INACTIVE), marks]),
            choices=choices,
            traits=self._traits(numbers, choices),
        )

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
