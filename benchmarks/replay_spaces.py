"""Spaces made from the values that candidates of a table have."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import Condition, Dimension, SearchSpace

MOST_CHOICES = 48
"""Different numbers that are choices; more are a range."""
LOG_RANGE = 100.0
"""Times that the largest number of a range is the smallest: it is searched on a log scale."""
LONGEST_ROW = 1000
"""Whole numbers in a row that are told apart one by one; of a longer range any number is asked."""
RARE = 0.05
"""Share of candidates without a value for no reason that are left out."""
CODES = re.compile(
    r"(^|[_.])(op|ops|operation|choice|type|code|gene)s?([_.]?\d|$)|(^|[_.])(edge|node|cell|arch)[_.]?\d"
)
"""Names of dimensions whose numbers 0, 1, 2 … are names and not amounts."""
NONE = "none"
"""Choice of candidates that have no value, where nothing says why."""


class Spanned(NamedTuple):
    """A space, the candidates that span it, which rows they come from, and what was noticed."""

    space: SearchSpace
    candidates: list[dict[str, Value]]
    is_kept: NDArray[np.bool_]
    notes: list[str]


def space_of(
    name: str, columns: Mapping[str, Sequence[Value]], pieces: Collection[str] = ()
) -> Spanned:
    """Return the space that candidates span; each is left with the dimensions it has.

    A dimension without a value is inactive. When another one's value always says so, that is its
    condition; else it has a choice of its own for that, or, where it is rare, the candidate is left
    out.

    Args:
        name: Of the space.
        columns: Values of all candidates by dimension; None where there is none.
        pieces: Dimensions that are pieces of encodings; no other one hangs on them.
    """
    notes: list[str] = []
    varying = {key: list(each) for key, each in columns.items() if len(set(each)) > 1}
    constant = [key for key in columns if key not in varying]
    if constant:
        notes.append(f"the same for all candidates: {', '.join(constant)}")
    n = len(next(iter(columns.values()), ()))
    is_kept = np.ones(n, dtype=np.bool_)
    for key, values in sorted(varying.items(), key=lambda each: each[1].count(None)):
        is_missing = np.array([value is None for value in values])
        if is_missing.any() and _condition(key, varying, pieces) is None:
            if is_missing.mean() < RARE:
                notes.append(f"{int(is_missing.sum())} candidates without {key} are left out")
                is_kept &= ~is_missing
            else:
                varying[key] = [NONE if value is None else str(value) for value in values]
    rows = np.flatnonzero(is_kept)
    varying = {key: [values[row] for row in rows] for key, values in varying.items()}
    conditions = {key: _condition(key, varying, pieces) for key in varying if None in varying[key]}
    for key, condition in conditions.items():
        if condition is None:
            varying[key] = [NONE if value is None else str(value) for value in varying[key]]
        else:
            notes.append(f"{key} only where {condition.name} is {_in_words(condition)}")
    dimensions = [
        _dimension(key, values, conditions.get(key))
        for key, values in varying.items()
        if len(set(values)) > 1
    ]
    space = SearchSpace(
        name=name, description="", builder="table", parameters=tuple(_parents_first(dimensions))
    )
    names = [one.name for one in space.parameters]
    candidates = [
        {key: varying[key][row] for key in names if varying[key][row] is not None}
        for row in range(len(rows))
    ]
    return Spanned(space, candidates, is_kept, notes)


def _in_words(condition: Condition) -> str:
    words = [str(value) for value in condition.values or ()]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _condition(
    key: str, columns: Mapping[str, Sequence[Value]], pieces: Collection[str]
) -> Condition | None:
    """Return which other dimension's value decides whether this one has a value."""
    is_missing = [value is None for value in columns[key]]
    n_missing = sum(is_missing)
    found: list[tuple[int, Condition]] = []
    for other, values in columns.items():
        if other == key or other in pieces or values.count(None) >= n_missing:
            continue
        pairs = list(zip(values, is_missing, strict=True))
        active = {value for value, inactive in pairs if not inactive}
        inactive = {value for value, inactive in pairs if inactive and value is not None}
        if None not in active and len(active) <= MOST_CHOICES and not active & inactive:
            allowed = tuple(sorted(active, key=_order))
            found.append((len(active | inactive), Condition(name=other, values=allowed)))
    return min(found, key=lambda each: each[0])[1] if found else None


def _parents_first(dimensions: Sequence[Dimension]) -> list[Dimension]:
    placed: dict[str, Dimension] = {}
    left = list(dimensions)
    while left:
        ready = [one for one in left if all(each.name in placed for each in one.conditions)]
        placed |= {one.name: one for one in ready}
        left = [one for one in left if one.name not in placed]
    return list(placed.values())


def _dimension(key: str, values: Sequence[Value], condition: Condition | None) -> Dimension:
    conditions = () if condition is None else (condition,)
    known = {value for value in values if value is not None}
    if len(known) <= MOST_CHOICES or not all(_is_number(value) for value in known):
        choices = tuple(sorted(known, key=_order))
        return Dimension(
            name=key,
            section="architecture",
            kind="categorical",
            choices=choices,
            conditions=conditions,
        )
    amounts = [float(value) for value in known]  # type: ignore[arg-type]
    low, high = min(amounts), max(amounts)
    is_whole = high - low <= LONGEST_ROW and all(isinstance(value, int) for value in known)
    return Dimension(
        name=key,
        section="architecture",
        kind="int" if is_whole else "float",
        low=low,
        high=high,
        log=low > 0 and high / low >= LOG_RANGE and _is_even_in_logs(amounts),
        conditions=conditions,
    )


def _is_even_in_logs(amounts: Sequence[float]) -> bool:
    """Return whether numbers spread more evenly over their logs' range than over their own."""
    plain, logs = np.array(amounts), np.log(amounts)
    apart = [
        abs(np.median(each) - (each.min() + each.max()) / 2) / np.ptp(each)
        for each in (plain, logs)
    ]
    return bool(apart[1] < apart[0])


def as_names(key: str, values: Sequence[Value], is_piece: bool) -> list[Value]:
    """Return numbers as texts where they stand for names: codes 0, 1, 2 … of operations.

    Args:
        key: Name of the column.
        values: Its values.
        is_piece: Whether they are a piece of an encoding.
    """
    known = {value for value in values if value is not None}
    is_code = (
        len(known) > 2
        and all(isinstance(value, int) and not isinstance(value, bool) for value in known)
        and known <= set(range(len(known) + 1))
        and (is_piece or CODES.search(key.lower()) is not None)
    )
    return [None if v is None else str(v) for v in values] if is_code else list(values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order(value: Value) -> tuple[bool, float, str]:
    return (not _is_number(value), float(value) if _is_number(value) else 0.0, str(value))  # type: ignore[arg-type]


class Places:
    """Which candidate is nearest to values that none has.

    Candidates are as far apart as their dimensions are on average: numbers by their difference on
    the dimension's scale, anything else by 0 or 1 (Gower 1971, doi 10.2307/2528823). Of several
    nearest ones, the values themselves decide, always alike.

    Args:
        space: The space.
        candidates: Values by dimension.
    """

    def __init__(self, space: SearchSpace, candidates: Sequence[Mapping[str, Value]]) -> None:
        self._ordered = [one for one in space.dimensions if one.is_ordered]
        self._unordered = [one for one in space.dimensions if not one.is_ordered]
        self._codes = {
            one.name: {value: index for index, value in enumerate(one.choices)}
            for one in space.dimensions
        }
        n = len(candidates)
        places = np.array([self._place(one) for one in candidates], dtype=np.float32)
        self._places = np.ascontiguousarray(places.reshape(n, len(self._ordered)).T)
        names = np.array([self._names(one) for one in candidates], dtype=np.int32)
        self._chosen = np.ascontiguousarray(names.reshape(n, len(self._unordered)).T)

    def nearest(self, values: Mapping[str, Value]) -> int:
        """Return the row of the candidate that is nearest."""
        place, names = self._place(values), self._names(values)
        total = np.zeros(max(self._places.shape[1], self._chosen.shape[1]), dtype=np.float32)
        for column, at in zip(self._places, place, strict=True):
            apart = np.abs(column - np.float32(at))
            is_unknown = np.isnan(apart)
            if is_unknown.any():  # one of the two is inactive, or both are
                apart[is_unknown] = np.isnan(column[is_unknown]) != math.isnan(at)
            total += apart
        for codes, code in zip(self._chosen, names, strict=True):
            total += codes != code
        ties = np.flatnonzero(total <= total.min() + 1e-6)
        return int(ties[zlib.crc32(repr((place, names)).encode()) % len(ties)])

    def _place(self, values: Mapping[str, Value]) -> list[float]:
        return [
            self._position(one, self._codes[one.name], values.get(one.name))
            for one in self._ordered
        ]

    def _names(self, values: Mapping[str, Value]) -> list[int]:
        """Return which choice is taken in unordered dimensions; -1: an inactive one."""
        return [self._codes[one.name].get(values.get(one.name), -1) for one in self._unordered]

    def _position(self, one: Dimension, codes: Mapping[Value, int], value: Value) -> float:
        if value is None:
            return math.nan
        if one.kind == "categorical":
            return codes.get(value, -1) / max(len(codes) - 1, 1)
        assert one.low is not None
        assert one.high is not None
        low, high, number = float(one.low), float(one.high), float(value)
        if one.log:
            low, high, number = math.log(low), math.log(high), math.log(max(number, 1e-300))
        return (number - low) / (high - low)
