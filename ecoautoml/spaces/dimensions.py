"""What can vary in a space, when it can, and how values become a `Candidate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ecoautoml.errors import SpaceError
from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.registry import suggest

Section = Literal["architecture", "hyperparameters", "compression", "runtime"]
SECTIONS: tuple[Section, ...] = ("architecture", "hyperparameters", "compression", "runtime")

_GRID_TOLERANCE = 1e-6  # relative to the step: forgives the rounding of sums of floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A demand on another dimension; it never holds while that one is inactive.

    Attributes:
        name: The other dimension.
        values: Values at which it holds; None when ``above`` decides.
        above: It holds beyond this number; None when ``values`` decide.
    """

    name: str
    values: tuple[Value, ...] | None = None
    above: float | None = None

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Return whether it holds, given the values of the active dimensions."""
        if self.name not in values:
            return False
        value = values[self.name]
        if self.values is not None:
            return any(_is_same(value, allowed) for allowed in self.values)
        return isinstance(value, int | float) and self.above is not None and value > self.above


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One thing that can vary.

    Attributes:
        name: Unique in its space ("stage1.block0.expansion").
        section: Section of the candidate its value belongs to.
        kind: "categorical" uses ``choices``; "int" and "float" use ``low`` … ``step``.
        low: Smallest value.
        high: Largest value, included.
        step: Distance of two values; None for a continuous float.
        log: Whether it is to be sampled on a logarithmic scale.
        choices: All values; ascending when they are numbers.
        conditions: All must hold for the dimension to be active.
    """

    name: str
    section: Section
    kind: Literal["categorical", "int", "float"]
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def is_fixed(self) -> bool:
        """Return whether there is nothing to choose."""
        return self.values is not None and len(self.values) == 1

    @property
    def is_ordered(self) -> bool:
        """Return whether its values are numbers, so that some are nearer than others."""
        return self.kind != "categorical" or all(_is_number(choice) for choice in self.choices)

    @property
    def values(self) -> tuple[Value, ...] | None:
        """Return all values, ascending where they are ordered; None when continuous."""
        if self.kind == "categorical":
            return self.choices
        low, high = self._bounds()
        if self.kind == "int":
            return tuple(range(int(low), int(high) + 1, int(self.step or 1)))
        if low == high:
            return (low,)
        if self.step is None:
            return None
        steps = range(round((high - low) / self.step) + 1)
        return tuple(_grid_point(low, index, self.step) for index in steps)

    @property
    def middle(self) -> Value:
        """Return a value in the middle: on the logarithmic scale when ``log``."""
        values = self.values
        if values is not None and not self.log:
            return values[(len(values) - 1) // 2]
        low, high = self._bounds()
        middle = math.sqrt(low * high) if self.log else (low + high) / 2
        return round(middle) if self.kind == "int" else middle

    @property
    def allowed(self) -> str:
        """Return what is allowed, in words."""
        if self.kind == "categorical":
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        grid = f" in steps of {self.step:g}" if self.step not in (None, 1) else ""
        noun = "an integer" if self.kind == "int" else "a number"
        return f"{noun} from {self.low:g} to {self.high:g}{grid}"

    def accept(self, value: object) -> Value:
        """Return the value in this dimension's own type (3 for 3.0 where integers are meant).

        Raises:
            SpaceError: The value is not allowed here.
        """
        accepted = self._accept_choice(value) if self.kind == "categorical" else self._near(value)
        if accepted is None:
            raise SpaceError(f"{self.name} is {value!r}; allowed: {self.allowed}")
        return accepted

    def _accept_choice(self, value: object) -> Value:
        return next((choice for choice in self.choices if _is_same(choice, value)), None)

    def _near(self, value: object) -> int | float | None:
        low, high = self._bounds()
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        step = self.step if self.kind == "float" else self.step or 1
        slack = _GRID_TOLERANCE * (step or high - low)
        if not low - slack <= value <= high + slack:
            return None
        if step is None:
            return float(min(max(value, low), high))
        index = round((value - low) / step)
        on_grid = _grid_point(low, index, step)
        if abs(on_grid - value) > slack:
            return None
        return int(on_grid) if self.kind == "int" else float(on_grid)

    def _bounds(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name}: a dimension of kind {self.kind} needs low and high")
        return self.low, self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """All there is to choose from.

    Attributes:
        name: Name of the space.
        description: One line for people.
        builder: Which builder makes its networks.
        parameters: Everything that has a value, whether it varies or not, ordered so that each
            stands behind those its conditions ask about.
    """

    name: str
    description: str
    builder: str
    parameters: tuple[Dimension, ...]

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Return what varies, in an order in which conditions can be decided."""
        return tuple(parameter for parameter in self.parameters if not parameter.is_fixed)

    @property
    def fixed(self) -> dict[str, Value]:
        """Return the values that never vary, by name (conditional ones included)."""
        return {
            parameter.name: parameter.middle for parameter in self.parameters if parameter.is_fixed
        }

    @property
    def size(self) -> float | None:
        """Return log10 of the number of points; None when something is continuous."""
        return log10_points(self.parameters)

    def dimension(self, name: str) -> Dimension:
        """Return the parameter called ``name``.

        Raises:
            SpaceError: There is none; the message names the nearest.
        """
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        names = [parameter.name for parameter in self.parameters]
        raise SpaceError(f"space {self.name} has no dimension {name!r}{suggest(name, names)}")


def is_active(dimension: Dimension, values: Mapping[str, Value]) -> bool:
    """Return whether the dimension has a value, given those of the dimensions before it."""
    return all(condition.holds(values) for condition in dimension.conditions)


def decode(space: SearchSpace, choose: Callable[[Dimension], object]) -> Candidate:
    """Return the candidate made of the values ``choose`` gives, asked for one after the other.

    Args:
        space: The space.
        choose: Called for each active dimension that varies, in order; returns a value of it.

    Raises:
        SpaceError: A chosen value is not allowed.
    """
    values: dict[str, Value] = {}
    sections: dict[Section, dict[str, Value]] = {section: {} for section in SECTIONS}
    for parameter in space.parameters:
        if is_active(parameter, values):
            fixed = parameter.is_fixed
            value = parameter.middle if fixed else parameter.accept(choose(parameter))
            values[parameter.name] = sections[parameter.section][parameter.name] = value
    return Candidate(space=space.name, builder=space.builder, **sections)


def candidate(space: SearchSpace, values: Mapping[str, object]) -> Candidate:
    """Return the candidate with these values; those of inactive dimensions are dropped.

    Args:
        space: The space.
        values: Values by dimension name; fixed ones may be left out.

    Raises:
        SpaceError: A value is missing or not allowed.
    """

    def look_up(dimension: Dimension) -> object:
        if dimension.name not in values:
            raise SpaceError(f"{dimension.name} is missing; allowed: {dimension.allowed}")
        return values[dimension.name]

    return decode(space, look_up)


def validate_point(space: SearchSpace, values: Mapping[str, object]) -> None:
    """Check that the values make a candidate, and that no name is unknown or contradicted.

    Raises:
        SpaceError: The first mistake, naming its dimension.
    """
    for name, value in values.items():
        dimension = space.dimension(name)
        if dimension.is_fixed:
            dimension.accept(value)
    candidate(space, values)


def with_choices(space: SearchSpace, name: str, choices: Sequence[Value]) -> SearchSpace:
    """Return the space with one dimension being a choice among these, whatever it was.

    Raises:
        SpaceError: There is no such dimension.
    """
    old = space.dimension(name)
    changed = Dimension(
        name=name,
        section=old.section,
        kind="categorical",
        choices=tuple(choices),
        conditions=old.conditions,
    )
    parameters = tuple(changed if p.name == name else p for p in space.parameters)
    return replace(space, parameters=parameters)


def log10_points(parameters: Sequence[Dimension]) -> float | None:
    """Return log10 of the number of distinct points; None when something is continuous.

    Points are counted exactly: walking the parameters, only the values that later conditions ask
    about are told apart.
    """
    last_use = {
        condition.name: index
        for index, parameter in enumerate(parameters)
        for condition in parameter.conditions
    }
    counts: dict[tuple[tuple[str, Value], ...], int] = {(): 1}
    for index, parameter in enumerate(parameters):
        values = parameter.values
        if values is None:
            return None
        following: dict[tuple[tuple[str, Value], ...], int] = {}
        for state, count in counts.items():
            is_asked_about = parameter.name in last_use
            for branch, ways in _branches(parameter, values, dict(state), is_asked_about):
                kept = tuple((name, value) for name, value in branch if last_use[name] > index)
                following[kept] = following.get(kept, 0) + count * ways
        counts = following
    return math.log10(sum(counts.values()))


def _branches(
    parameter: Dimension, values: Sequence[Value], known: dict[str, Value], is_asked_about: bool
) -> Iterable[tuple[tuple[tuple[str, Value], ...], int]]:
    state = tuple(known.items())
    if not is_active(parameter, known):
        return [(state, 1)]
    if not is_asked_about:
        return [(state, len(values))]
    return [((*state, (parameter.name, value)), 1) for value in values]


def _grid_point(low: float, index: int, step: float) -> float:
    return round(low + index * step, 12)  # 0.1 + 2 x 0.1 is 0.3 in a candidate


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_same(one: object, other: object) -> bool:
    """Return whether two values are equal; True is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
