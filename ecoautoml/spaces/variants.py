"""What else can be made of a trained network: compressed or exported otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice

from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode, is_active
from ecoautoml.spaces.random import random_candidate

SECTIONS = ("compression", "runtime")
"""Sections whose values leave the trained network as it is."""
MOST = 64
"""Variants that are listed at most; of more, as many are drawn by chance."""


def has_variants(space: SearchSpace) -> bool:
    """Return whether anything varies that needs no other training."""
    return any(dimension.section in SECTIONS for dimension in space.dimensions)


def variants(space: SearchSpace, candidate: Candidate, seed: int) -> list[Candidate]:
    """Return the candidates with the same training, the given one left out.

    Args:
        space: Where the values come from.
        candidate: A point of it.
        seed: Of the draws, where something is continuous or there are more than `MOST`.
    """
    values = candidate.parameters()
    if _is_countable(space):
        found = list(islice(_all(space, values), MOST + 1))
        if len(found) <= MOST:
            return [one for one in found if one.key() != candidate.key()]
    draws = (_drawn(space, values, seed + index) for index in range(MOST))
    unique = {one.key(): one for one in draws}
    return [one for key, one in unique.items() if key != candidate.key()]


def distance(space: SearchSpace, one: Candidate, other: Candidate) -> float:
    """Return how far two variants are apart: 1 for every value that differs, less for near numbers.

    Numbers differ by the share of their range, on the log scale where they are searched so.
    """
    here, there = ({**each.compression, **each.runtime} for each in (one, other))
    return sum(
        _gap(dimension, here.get(dimension.name), there.get(dimension.name))
        for dimension in space.dimensions
        if dimension.section in SECTIONS
    )


def _is_countable(space: SearchSpace) -> bool:
    return all(one.values is not None for one in space.dimensions if one.section in SECTIONS)


def _all(space: SearchSpace, values: Mapping[str, Value]) -> Iterator[Candidate]:
    """Yield every variant: choices are made one dimension after the other, as a tree is walked."""
    varied = [one for one in space.parameters if one.section in SECTIONS]
    fixed = {name: value for name, value in values.items() if name not in {v.name for v in varied}}

    def walk(index: int, known: dict[str, Value]) -> Iterator[Candidate]:
        if index == len(varied):
            yield decode(space, lambda dimension: known[dimension.name])
            return
        here = varied[index]
        if not is_active(here, known):
            yield from walk(index + 1, known)
            return
        for value in here.values or ():
            yield from walk(index + 1, {**known, here.name: value})

    yield from walk(0, fixed)


def _drawn(space: SearchSpace, values: Mapping[str, Value], seed: int) -> Candidate:
    """Return a variant by chance."""
    drawn = random_candidate(space, seed).parameters()

    def choose(dimension: Dimension) -> Value:
        if dimension.section not in SECTIONS:
            return values[dimension.name]
        return drawn.get(dimension.name, dimension.middle)

    return decode(space, choose)


def _gap(dimension: Dimension, one: Value, other: Value) -> float:
    if one == other:
        return 0.0
    numbers = [value for value in (one, other) if isinstance(value, int | float)]
    if not dimension.is_ordered or len(numbers) < 2:
        return 1.0
    ends = (dimension.values or ())[:1] + (dimension.values or ())[-1:]
    low, high = ends if len(ends) == 2 else (dimension.low, dimension.high)
    a, b, low, high = (_scaled(dimension, value) for value in (*numbers, low, high))
    return min(1.0, abs(a - b) / (high - low)) if high > low else 1.0


def _scaled(dimension: Dimension, value: Value) -> float:
    number = float(value)  # type: ignore[arg-type]
    return math.log(number) if dimension.log else number
