"""Candidates of a space as rows of numbers, so that hundreds are drawn and changed at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import SECTIONS, Condition, Dimension, SearchSpace

Array = NDArray[np.float64]
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Column:
    """One parameter of a space: its values as places within [0, 1]."""

    dimension: Dimension

    @cached_property
    def n_values(self) -> int | None:
        """Return how many values there are; None when continuous, or even on a log scale only."""
        one = self.dimension
        if one.kind == "categorical":
            return len(one.choices)
        step = one.step or (1 if one.kind == "int" else None)
        low, high = self._bounds
        if low == high:
            return 1
        return None if step is None or one.log else math.floor((high - low) / step + 1e-9) + 1

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        assert self.dimension.low is not None
        assert self.dimension.high is not None
        return float(self.dimension.low), float(self.dimension.high)

    def snap(self, chance: Array) -> Array:
        """Return places of the dimension's values, for numbers drawn evenly from [0, 1)."""
        n = self.n_values
        if n is not None:
            return np.asarray(np.floor(chance * n) / max(n - 1, 1))
        if self.dimension.kind == "float" and self.dimension.step is None:
            return chance
        return self._place_of_numbers(self.numbers(chance))

    def numbers(self, places: Array) -> Array:
        """Return values at places: of a categorical dimension, their indices."""
        one, n = self.dimension, self.n_values
        if one.kind == "categorical":
            return np.round(places * max(len(one.choices) - 1, 1))
        low, high = self._bounds
        step = one.step or (1 if one.kind == "int" else None)
        if not one.log:
            if n is None:
                return np.clip(low + places * (high - low), low, high)
            return low + np.round(places * max(n - 1, 1)) * (step or 0.0)
        found = np.exp(math.log(low) + places * (math.log(high) - math.log(low)))
        if step is None:
            return np.clip(found, low, high)
        return np.clip(low + np.round((found - low) / step) * step, low, high)

    def values(self, places: Array) -> Sequence[Value]:
        """Return the values at places."""
        one = self.dimension
        numbers = self.numbers(places)
        if one.kind == "categorical":
            return [one.choices[index] for index in numbers.astype(np.int64).tolist()]
        if one.kind == "int":
            return [int(number) for number in numbers.tolist()]
        if one.step is None:
            return list(numbers.tolist())
        return [round(number, 12) for number in numbers.tolist()]  # 0.3, not 0.1 + 2 x 0.1

    def place(self, value: Value) -> float:
        """Return the place of a value."""
        if self.dimension.kind == "categorical":
            index = self.dimension.choices.index(value)
            return index / max(len(self.dimension.choices) - 1, 1)
        assert isinstance(value, int | float)
        return float(self._place_of_numbers(np.array([float(value)]))[0])

    def _place_of_numbers(self, numbers: Array) -> Array:
        low, high = self._bounds
        if high == low:
            return np.zeros(len(numbers))
        if self.dimension.log:
            return np.log(numbers / low) / math.log(high / low)
        n = self.n_values
        span = high - low if n is None else (n - 1) * float(self.dimension.step or 1)
        return (numbers - low) / span

    def holds(self, condition: Condition, places: Array) -> NDArray[np.bool_]:
        """Return whether a condition on this parameter holds; never where it is not active."""
        is_active = ~np.isnan(places)
        numbers = self.numbers(np.where(is_active, places, 0.0))
        name = self.dimension.name
        if self.dimension.kind == "categorical":
            table = np.array([condition.holds({name: one}) for one in self.dimension.choices])
            return np.asarray(is_active & table[numbers.astype(np.int64)])
        if condition.values is not None:
            wanted = [float(one) for one in condition.values if isinstance(one, int | float)]
            return np.asarray(is_active & np.isin(np.round(numbers, 9), np.round(wanted, 9)))
        assert condition.above is not None
        return np.asarray(is_active & (numbers > condition.above))


class Lattice:
    """The candidates of a space as rows of places.

    A place lies within [0, 1]: 0 is a parameter's smallest (or first) value, 1 its largest (or
    last), on its own scale. NaN: the candidate does not have the parameter.

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._columns = [Column(one) for one in space.parameters]
        self._index = {one.name: index for index, one in enumerate(space.parameters)}
        self.varying = np.array([not one.is_fixed for one in space.parameters], dtype=bool)
        self._names = [one.name for one in space.parameters]
        sections = [SECTIONS.index(one.section) for one in space.parameters]
        self._in_order = sorted(range(len(sections)), key=sections.__getitem__)

    def __len__(self) -> int:
        return len(self._columns)

    def places(self, values: Values) -> Array:
        """Return a candidate's row, ``(n_parameters,)``; fixed values may be left out."""
        row = np.full(len(self), math.nan)
        for index, column in enumerate(self._columns):
            value = values.get(column.dimension.name)
            if value is not None:
                row[index] = column.place(value)
            elif column.dimension.is_fixed:
                row[index] = 0.0
        return np.asarray(self._only_active(row[None])[0])

    def values(self, row: Array) -> dict[str, Value]:
        """Return the candidate of a row, as values by parameter."""
        return self.candidates(row[None])[0]

    def candidates(self, rows: Array) -> list[dict[str, Value]]:
        """Return the candidates of rows, each as values by parameter."""
        found: list[dict[str, Value]] = [{} for _ in rows]
        for index in self._in_order:
            active = np.flatnonzero(~np.isnan(rows[:, index]))
            values = self._columns[index].values(rows[active, index])
            for row, value in zip(active.tolist(), values, strict=True):
                found[row][self._names[index]] = value
        return found

    def column(self, name: str) -> tuple[int, Column]:
        """Return the place of a parameter in a row, and the parameter."""
        return self._index[name], self._columns[self._index[name]]

    def draw(
        self,
        rng: np.random.Generator,
        n: int,
        change: Callable[[Array, np.random.Generator], Array] | None = None,
    ) -> Array:
        """Return random candidates, each value as likely as any other, ``(n, n_parameters)``.

        Args:
            rng: Chance.
            n: How many.
            change: Gives other rows instead, all parameters being active in them.
        """
        rows = self._anything(rng, n)
        return self._only_active(rows if change is None else change(rows, rng))

    def change(self, rows: Array, rng: np.random.Generator, most: int) -> Array:
        """Return each candidate with 1 to ``most`` of its values drawn anew.

        What only then becomes active is drawn too.
        """
        n = len(rows)
        fresh = self._anything(rng, n)
        may_change = ~np.isnan(rows) & self.varying
        order = np.where(may_change, rng.random(rows.shape), np.inf).argsort(axis=1)
        n_changes = rng.integers(1, most + 1, size=n)
        is_changed = np.zeros(rows.shape, dtype=bool)
        for place in range(min(most, rows.shape[1])):
            chosen = np.flatnonzero(n_changes > place)
            is_changed[chosen, order[chosen, place]] = True
        is_fresh = (is_changed & may_change) | np.isnan(rows)
        return self._only_active(np.where(is_fresh, fresh, rows))

    def unknown(self, rows: Array, known: Array) -> Array:
        """Return rows that are not among others, each once, in order."""
        seen = set(_keys(known))
        kept = []
        for index, key in enumerate(_keys(rows)):
            if key not in seen:
                seen.add(key)
                kept.append(index)
        return rows[kept]

    def _anything(self, rng: np.random.Generator, n: int) -> Array:
        chance = rng.random((n, len(self)))
        if not len(self):
            return chance
        places = [column.snap(chance[:, index]) for index, column in enumerate(self._columns)]
        return np.stack(places, axis=1)

    def _only_active(self, rows: Array) -> Array:
        """Return rows without the values that their other values rule out."""
        rows = rows.copy()
        for index, column in enumerate(self._columns):
            for condition in column.dimension.conditions:
                asked = self._index[condition.name]
                holds = self._columns[asked].holds(condition, rows[:, asked])
                rows[~holds, index] = math.nan
        return rows


def _keys(rows: Array) -> list[bytes]:
    rounded = np.where(np.isnan(rows), -1.0, np.round(rows, 9)) + 0.0
    return [row.tobytes() for row in rounded]


def stacked(rows: Sequence[Array], width: int) -> Array:
    """Return rows as one table, also when there are none."""
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)
