"""Candidates of any space as numbers a model can compare."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoautoml.records.candidate import Value
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
        total = np.zeros((len(self.numbers), len(other.numbers)))
        for one, two in zip(self.numbers.T, other.numbers.T, strict=True):
            total += np.abs(one[:, None] - two[None])
        for code, code_two in zip(self.choices.T, other.choices.T, strict=True):
            total += code[:, None] != code_two[None]
        return np.asarray(total / max(self.numbers.shape[1] + self.choices.shape[1], 1))


class Encoder:
    """Encodes candidates of one space, with features made from the space alone.

    Dimensions are alike when they allow the same values (the kernels of several stages, say).

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        varying = [one for one in space.parameters if not one.is_fixed]
        self._ordered = [one for one in varying if one.is_ordered]
        self._unordered = [one for one in varying if not one.is_ordered]
        self._like = _like(self._ordered), _like(self._unordered)

    def encode(self, candidates: Sequence[Mapping[str, Value]]) -> Encoded:
        """Return the candidates, given as values by dimension."""
        n = len(candidates)
        placed = [[_place(one, values) for one in self._ordered] for values in candidates]
        numbers = np.array(placed, dtype=np.float64).reshape(n, len(self._ordered))
        indices = [[_index(one, values) for one in self._unordered] for values in candidates]
        choices = np.array(indices, dtype=np.int64).reshape(n, len(self._unordered))
        is_active = ~np.isnan(numbers)
        conditional = [index for index, one in enumerate(self._ordered) if one.conditions]
        return Encoded(
            numbers=np.hstack(
                [np.where(is_active, numbers, INACTIVE), is_active[:, conditional].astype(float)]
            ),
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
            for index in range(len(self._unordered[members[0]].choices)):
                columns.append((these_choices == index).mean(axis=1)[:, None])
        return np.hstack(columns)


def _like(dimensions: Sequence[Dimension]) -> list[list[int]]:
    """Return the indices of dimensions that allow the same values, where there are several."""
    groups: dict[object, list[int]] = defaultdict(list)
    for index, one in enumerate(dimensions):
        groups[(one.kind, one.low, one.high, one.step, one.log, one.choices)].append(index)
    return [members for members in groups.values() if len(members) > 1]


def _index(dimension: Dimension, values: Mapping[str, Value]) -> int:
    if dimension.name not in values:
        return -1
    return dimension.choices.index(values[dimension.name])


def _place(dimension: Dimension, values: Mapping[str, Value]) -> float:
    """Return where a value lies between the smallest and the largest; NaN when inactive."""
    value = values.get(dimension.name)
    if value is None:
        return math.nan
    if dimension.kind == "categorical":
        return dimension.choices.index(value) / max(len(dimension.choices) - 1, 1)
    assert isinstance(value, int | float)
    assert dimension.low is not None
    assert dimension.high is not None
    low, high, number = float(dimension.low), float(dimension.high), float(value)
    if dimension.log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return (number - low) / (high - low) if high > low else 0.5
