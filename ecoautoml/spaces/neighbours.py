"""The candidates one step away from a candidate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ecoautoml.errors import SpaceError
from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode, is_active

_BLOCK = re.compile(r"^(stage\d+\.block)(\d+)(\..+)$")
_STAGE = re.compile(r"^(stage)(\d+)(\..+)$")


def neighbours(space: SearchSpace, candidate: Candidate) -> list[Candidate]:
    """Return every candidate that differs in one step of one dimension.

    Numbers go one step up or down, names change to every other name, continuous dimensions stay.
    Dimensions that become active take the value of the block (else the stage) before them where
    they allow it, else a middle one.
    """
    values = candidate.parameters()
    return [
        _changed(space, values, dimension.name, value)
        for dimension in space.dimensions
        if is_active(dimension, values)
        for value in _steps(dimension, values[dimension.name])
    ]


def _steps(dimension: Dimension, value: Value) -> list[Value]:
    values = dimension.values
    if values is None:
        return []
    if not dimension.is_ordered:
        return [other for other in values if other != value]
    index = values.index(dimension.accept(value))
    return [values[near] for near in (index - 1, index + 1) if 0 <= near < len(values)]


def _changed(space: SearchSpace, values: Mapping[str, Value], name: str, value: Value) -> Candidate:
    known = {**values, name: value}

    def choose(dimension: Dimension) -> Value:
        if dimension.name not in known:
            known[dimension.name] = _inherited(dimension, known)
        return known[dimension.name]

    return decode(space, choose)


def _inherited(dimension: Dimension, known: Mapping[str, Value]) -> Value:
    for sibling in _siblings_before(dimension.name):
        if sibling in known:
            try:
                return dimension.accept(known[sibling])
            except SpaceError:
                continue
    return dimension.middle


def _siblings_before(name: str) -> Iterator[str]:
    """Yield the same setting of the blocks before, nearest first, then of the stages before."""
    for pattern in (_BLOCK, _STAGE):
        match = pattern.match(name)
        if match is not None:
            before, number, after = match.groups()
            for index in range(int(number) - 1, -1, -1):
                yield f"{before}{index}{after}"
