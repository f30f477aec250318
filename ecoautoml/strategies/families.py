"""Trained networks with their forms, and what those tell about each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ecoautoml.pareto.front import non_dominated_mask
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.columns import METRICS
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History

FEW = 6
"""Comparisons of a form with others, below which nothing is hopeless."""

Family = Sequence[TrialResult]
"""A training, and after it the finished variants of its network."""


class Tried(NamedTuple):
    """A form, how many times it was tried, and how often it was among the best of its family."""

    form: Candidate
    times: int
    good: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Families:
    """All families of a search.

    Attributes:
        objectives: Column names.
        by_parent: The families, by the number of their training.
        losses: What has completed, as losses (n, n_objectives).
        tried: The forms that were tried in families of more than one.
        comparable: The members of each family that have completed, by form.
    """

    objectives: tuple[str, ...]
    by_parent: Mapping[int, Family]
    losses: NDArray[np.float64]
    tried: tuple[Tried, ...]
    comparable: tuple[Mapping[str, TrialResult], ...]

    @classmethod
    def of(cls, history: History, objectives: tuple[str, ...]) -> Self:
        """Gather the families of a search; a training that has not completed has none."""
        found: dict[int, list[TrialResult]] = {
            one.number: [one]
            for one in history.finished
            if one.parent is None and _is_complete(one, objectives)
        }
        for one in history.finished:
            if one.parent in found:
                found[one.parent].append(one)
        members = [one for family in found.values() for one in family]
        return cls(
            objectives=objectives,
            by_parent=found,
            losses=_losses([one for one in members if _is_complete(one, objectives)], objectives),
            tried=_tried(found.values(), objectives),
            comparable=tuple(
                {one.candidate.form_key(): one for one in family if _is_complete(one, objectives)}
                for family in found.values()
                if len(family) > 1
            ),
        )

    def is_hopeless(self, parent: TrialResult) -> bool:
        """Return whether even the best form of a network would be beaten by what there is."""
        hopes = self._hopes(parent)
        if hopes is None:
            return False
        row = np.array(hopes)
        is_beaten = np.all(self.losses <= row, axis=1) & np.any(self.losses < row, axis=1)
        return bool(is_beaten.any())

    def _hopes(self, parent: TrialResult) -> list[float] | None:
        """Return the best each objective of a network may come to in another form.

        As forms compared in the families before: by the best change from the form that the network
        has now to any other. None while few such changes are known: then anything may be hoped for.
        """
        own = parent.candidate.form_key()
        pairs = [
            (family[own], other)
            for family in self.comparable
            if own in family
            for key, other in family.items()
            if key != own
        ]
        if len(pairs) < FEW:
            return None
        return [_hoped(parent, pairs, name) for name in self.objectives]


def _hoped(
    parent: TrialResult, pairs: Sequence[tuple[TrialResult, TrialResult]], name: str
) -> float:
    """Return the best loss in one objective, when the best change seen happened here too."""
    metric, value = METRICS[name], parent.metrics[name]
    values = [(base.metrics[name], other.metrics[name]) for base, other in pairs]
    if metric.is_score:
        return metric.loss(value + max(0.0, *(after - before for before, after in values)))
    shares = [after / before for before, after in values if before > 0]
    return metric.loss(value * min([1.0, *shares]))


def _tried(families: Iterable[Family], objectives: Sequence[str]) -> tuple[Tried, ...]:
    found: dict[str, Tried] = {}
    for family in families:
        if len(family) < 2:
            continue
        mask = non_dominated_mask(_losses(family, objectives))
        for one, is_good in zip(family, mask, strict=True):
            key = one.candidate.form_key()
            before = found.get(key, Tried(one.candidate, 0, 0))
            found[key] = Tried(before.form, before.times + 1, before.good + int(is_good))
    return tuple(found.values())


def _losses(results: Sequence[TrialResult], objectives: Sequence[str]) -> NDArray[np.float64]:
    """Return losses ``(n_results, n_objectives)``; NaN for what has not completed."""
    rows = [
        [METRICS[name].loss(one.metrics[name]) for name in objectives]
        if _is_complete(one, objectives)
        else [math.nan] * len(objectives)
        for one in results
    ]
    return np.array(rows, dtype=np.float64).reshape(len(results), len(objectives))


def _is_complete(one: TrialResult, objectives: Sequence[str]) -> bool:
    return (
        one.state is TrialState.COMPLETE
        and one.is_feasible
        and all(name in one.metrics for name in objectives)
    )
