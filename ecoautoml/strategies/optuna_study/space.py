"""The search space of an Optuna study, as its trials show it: dimensions and their conditions.

Optuna asks for one parameter after the other and never says which depends on which. What trials had
and had not tells: a parameter that some of them did not have is there under conditions on others,
and the fewest are taken that explain all trials so far (a greedy set cover). Where nothing explains
it, a parameter counts as always there: to propose it in vain costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import Condition, Dimension, SearchSpace

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Numeric = IntDistribution | FloatDistribution
MOST_VALUES = 100
"""Numbers of which there are more count as continuous; they are rounded when proposed."""
LEAST_STEP = 1e-6
"""Steps below this count as none; numbers are rounded to them when proposed."""
MOST_CONDITIONS = 3
"""Conditions on other parameters that one may have."""


@dataclass(frozen=True)
class Axis:
    """One parameter of a study, and what stands for its values in a `SearchSpace`.

    Choices that are all numbers are ordered by size; others have no order.
    """

    name: str
    distribution: BaseDistribution

    @cached_property
    def codes(self) -> tuple[Value, ...]:
        """Return what stands for each choice, in Optuna's order; nothing for numbers."""
        if not isinstance(self.distribution, CategoricalDistribution):
            return ()
        given = self.distribution.choices
        if all(_is_finite_number(one) for one in given) and len(set(given)) == len(given):
            return tuple(given)
        return tuple(f"{index}: {one!r}" for index, one in enumerate(given))

    @cached_property
    def is_usable(self) -> bool:
        """Return whether there is something to choose, in numbers that can be worked with."""
        if self.distribution.single():
            return False
        return bool(self.codes) or math.isfinite(self._numeric.high - self._numeric.low)

    @cached_property
    def is_ordered(self) -> bool:
        """Return whether what stands for its values are numbers."""
        return not any(isinstance(code, str) for code in self.codes)

    @cached_property
    def is_listed(self) -> bool:
        """Return whether its values can be listed."""
        return bool(self.codes) or self._step is not None

    def dimension(self, conditions: tuple[Condition, ...]) -> Dimension:
        """Return the parameter as a dimension of a space."""
        if self.codes:
            codes = [one for one in self.codes if isinstance(one, int | float)]
            return Dimension(
                name=self.name,
                section="hyperparameters",
                kind="categorical",
                choices=tuple(sorted(codes)) if self.is_ordered else self.codes,
                conditions=conditions,
            )
        return Dimension(
            name=self.name,
            section="hyperparameters",
            kind="int" if self._is_int else "float",
            low=float(self._numeric.low),
            high=float(self._numeric.high),
            step=self._step,
            log=self._numeric.log,
            conditions=conditions,
        )

    def encode(self, value: Any) -> Value:
        """Return what stands for a value; one beyond the limits (enqueued) counts as the limit."""
        if self.codes:
            return self.codes[int(self.distribution.to_internal_repr(value))]
        number = min(max(value, self._numeric.low), self._numeric.high)
        return int(number) if self._is_int else float(number)

    def decode(self, code: Value) -> Any:
        """Return the value, allowed by the distribution, that something stands for."""
        if self.codes:
            return self._choices[code]
        low, high, step = self._grid
        number = cast("float", code)
        if step is not None:
            number = low + round((number - low) / step) * step
        number = low if number < low else min(number, high)
        return int(number) if self._is_integral else float(number)

    def number(self, code: Value) -> float:
        """Return a code as a number: itself, or its index."""
        return float(self.codes.index(code)) if isinstance(code, str) else float(code or 0.0)

    @cached_property
    def _numeric(self) -> Numeric:
        return cast("Numeric", self.distribution)

    @cached_property
    def _grid(self) -> tuple[float, float, float | None]:
        return self._numeric.low, self._numeric.high, self._numeric.step

    @cached_property
    def _choices(self) -> dict[Value, Any]:
        given = cast("CategoricalDistribution", self.distribution).choices
        return dict(zip(self.codes, given, strict=True))

    @cached_property
    def _is_integral(self) -> bool:
        return isinstance(self.distribution, IntDistribution)

    @cached_property
    def _is_int(self) -> bool:
        """Return whether it is an integer for the planner, too."""
        return self._is_integral and self._step is not None

    @cached_property
    def _step(self) -> float | None:
        """Return the distance of numbers that can be listed; None where they are continuous."""
        if self.codes or self._numeric.step is None or self._numeric.step < LEAST_STEP:
            return None
        step = float(self._numeric.step)
        return step if (self._numeric.high - self._numeric.low) / step < MOST_VALUES else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySpace:
    """The parameters of a study, those before others that these depend on.

    Attributes:
        axes: Parameters to choose, by name.
        conditions: When each of them is there.
        constants: Parameters with a single value.
        changing: Parameters whose distribution changes from trial to trial.
        unexplained: Parameters that some trials did not have, for no reason to be seen.
    """

    axes: Mapping[str, Axis]
    conditions: Mapping[str, tuple[Condition, ...]]
    constants: Mapping[str, Any]
    changing: frozenset[str] = frozenset()
    unexplained: frozenset[str] = frozenset()

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial]) -> StudySpace:
        """Return the space that explains some trials."""
        distributions: dict[str, BaseDistribution] = {}
        changing = set()
        for trial in trials:
            for name, distribution in trial.distributions.items():
                if distributions.setdefault(name, distribution) != distribution:
                    changing.add(name)
        every = {
            name: Axis(name, distribution)
            for name, distribution in distributions.items()
            if name not in changing
        }
        constants = {
            name: trial.params[name]
            for trial in trials
            for name in trial.params
            if name in every and every[name].distribution.single()
        }
        changing |= {
            name for name, one in every.items() if not one.is_usable and name not in constants
        }
        table = _Table.of(trials, [one for one in every.values() if one.is_usable])
        found = [table.explain(column) for column in range(len(table.axes))]
        return cls(
            axes={one.name: one for one in table.axes},
            conditions={
                one.name: conditions or ()
                for one, conditions in zip(table.axes, found, strict=True)
            },
            constants=constants,
            changing=frozenset(changing),
            unexplained=frozenset(
                one.name
                for one, conditions in zip(table.axes, found, strict=True)
                if conditions is None
            ),
        )

    def among(self, names: Mapping[str, BaseDistribution]) -> StudySpace:
        """Return the space of some parameters alone, unknown ones included."""
        axes = {name: one for name, one in self.axes.items() if name in names}
        axes = {name: one for name, one in axes.items() if one.distribution == names[name]} | {
            name: Axis(name, distribution)
            for name, distribution in names.items()
            if name not in axes or axes[name].distribution != distribution
        }
        axes = {name: one for name, one in axes.items() if one.is_usable}
        return StudySpace(
            axes=axes,
            conditions={
                name: tuple(one for one in self.conditions.get(name, ()) if one.name in axes)
                for name in axes
            },
            constants=self.constants,
        )

    def explains(self, trial: FrozenTrial) -> bool:
        """Return whether a trial has the parameters that it has to have, and no others."""
        for name, distribution in trial.distributions.items():
            if name in self.changing:
                continue
            if name in self.constants:
                if not distribution.single():
                    return False
            elif name not in self.axes or self.axes[name].distribution != distribution:
                return False
        codes = self.encode(trial)
        return all(
            (name in codes) == all(one.holds(codes) for one in self.conditions[name])
            for name in self.axes
            if name not in self.unexplained
        )

    def encode(self, trial: FrozenTrial) -> dict[str, Value]:
        """Return what stands for a trial's values; what it has not, or otherwise, is left out."""
        return {
            name: axis.encode(trial.params[name])
            for name, axis in self.axes.items()
            if name in trial.params and trial.distributions[name] == axis.distribution
        }

    def has(self, name: str, code: Value) -> bool:
        """Return whether something can stand for a value of a parameter."""
        axis = self.axes.get(name)
        return axis is not None and (
            code in axis.codes if axis.codes else not isinstance(code, str)
        )

    def decode(self, codes: Mapping[str, Value]) -> dict[str, Any]:
        """Return the values that something stands for."""
        return {name: self.axes[name].decode(code) for name, code in codes.items()}

    def search_space(self) -> SearchSpace:
        """Return the space as the planner takes it."""
        return SearchSpace(
            name="study",
            description="",
            builder="",
            parameters=tuple(
                axis.dimension(self.conditions[name]) for name, axis in self.axes.items()
            ),
        )


@dataclass(frozen=True, slots=True)
class _Table:
    """Which trial had which parameter, with which value.

    Attributes:
        axes: Parameters, those that most trials have first; among equals, choices before numbers.
        numbers: Their values as numbers, ``(n_trials, n_axes)``; NaN where there is none.
        codes: By column: what stands for the value of each number.
    """

    axes: Sequence[Axis]
    numbers: Array
    codes: Sequence[Mapping[float, Value]]

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial], axes: Sequence[Axis]) -> _Table:
        counts = {one.name: sum(one.name in trial.params for trial in trials) for one in axes}
        axes = sorted(axes, key=lambda one: (-counts[one.name], not one.codes, not one.is_listed))
        numbers = np.full((len(trials), len(axes)), math.nan)
        codes: list[dict[float, Value]] = [{} for _ in axes]
        for column, axis in enumerate(axes):
            for row, trial in enumerate(trials):
                if axis.name in trial.params:
                    code = axis.encode(trial.params[axis.name])
                    numbers[row, column] = axis.number(code)
                    codes[column][numbers[row, column]] = code
        return cls(axes, numbers, codes)

    def explain(self, column: int) -> tuple[Condition, ...] | None:
        """Return under which conditions a parameter is there; None where none explain it."""
        is_there = ~np.isnan(self.numbers[:, column])
        left = ~is_there
        found: list[Condition] = []
        while left.any():
            options = list(self._conditions(column, is_there))
            best = max(options, key=lambda one: (one[1] & left).sum(), default=None)
            if best is None or not (best[1] & left).any() or len(found) == MOST_CONDITIONS:
                return None
            found.append(best[0])
            left &= ~best[1]
        return tuple(found)

    def _conditions(self, column: int, is_there: Mask) -> Iterator[tuple[Condition, Mask]]:
        """Return conditions that held whenever a parameter was there, and whom each rules out.

        Only what more trials have, or is named before it, can decide whether it is there.
        """
        for other in range(column):
            numbers, axis = self.numbers[:, other], self.axes[other]
            held = numbers[is_there]
            if np.isnan(held).any():
                continue
            is_absent = np.isnan(numbers)
            if axis.is_ordered:
                below = numbers[numbers < held.min()]
                above = float(below.max() if len(below) else held.min() - 1.0)
                yield Condition(name=axis.name, above=above), is_absent | (numbers < held.min())
            if axis.is_listed:
                values = tuple(self.codes[other][number] for number in np.unique(held).tolist())
                is_other = is_absent | ~np.isin(numbers, held)
                yield Condition(name=axis.name, values=values), is_other


def _is_finite_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(cast("float", value))
