"""Many models from one training: what else is made of a trained network, and in which order.

A training costs a hundred times what compressing, exporting and measuring its network costs, so a
network worth its training is tried in several forms. Which forms pay is learnt from the families
before: a form is likely to pay as often as near ones were among the best of their family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecoautoml.pareto.front import non_dominated_mask
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.columns import METRICS
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.records.turn import Move, Turn
from ecoautoml.spaces.dimensions import SearchSpace
from ecoautoml.spaces.variants import distance, variants
from ecoautoml.strategies.base import Begin, History

WIDTH = 0.5
"""Distance over which what one form has shown tells of another."""
DOUBT = 0.5
"""Trials that what is not known yet counts as, all of them good."""
WORTH_TRYING = 0.3
"""Chance to be among the best of its family below which a form is not tried."""
MOST_OPEN = 8
"""Families that are looked at for another variant: the last ones."""
FEW = 6
"""Comparisons of a form with others, below which nothing is hopeless."""

Family = Sequence[TrialResult]


class _Tried(NamedTuple):
    """A form, how many times it was tried, and how often it was among the best of its family."""

    form: Candidate
    times: int
    good: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """Proposes variants of trained networks.

    Attributes:
        space: Where candidates come from.
        objectives: Column names.
        per_training: Variants of one training at most.
        seed: Seed of the search.
        is_possible: Whether a candidate's runtime can write its precision.
        is_kept: Whether the trained network of a trial is still on disk.
    """

    space: SearchSpace
    objectives: tuple[str, ...]
    per_training: int
    seed: int
    is_possible: Callable[[Candidate], bool]
    is_kept: Callable[[int], bool]

    def next(self, history: History) -> Begin | None:
        """Return the next variant to begin, None when no family has one worth it."""
        families = self._families(history)
        for parent in self._parents(history, families):
            form = self._form(parent, families, history)
            if form is not None:
                reason = f"another form of the network trained in trial {parent.number}"
                return Begin(
                    turn=Turn(move=Move.BEGIN, epoch=0, reason=reason),
                    values=form.parameters(),
                    parent=parent.number,
                )
        return None

    def needed(self, history: History) -> set[int]:
        """Return the trials whose trained networks are still to be varied, or are just now."""
        busy = {one.parent for one in history.running if one.parent is not None}
        families = self._families(history)
        waiting = {
            parent.number
            for parent in self._parents(history, families)
            if self._form(parent, families, history) is not None
        }
        return busy | waiting

    # --- inside -------------------------------------------------------------------------------

    def _families(self, history: History) -> dict[int, list[TrialResult]]:
        """Return each completed training with its finished variants, by its number."""
        found = {one.number: [one] for one in history.finished if _is_trained(one)}
        for one in history.finished:
            if one.parent in found:
                found[one.parent].append(one)
        return found

    def _parents(self, history: History, families: Mapping[int, Family]) -> list[TrialResult]:
        """Return the trainings that may have more variants, the first first."""
        running = [one.parent for one in history.running]
        losses = self._losses([one for family in families.values() for one in family])
        found = [
            family[0]
            for number, family in families.items()
            if len(family) - 1 + running.count(number) < self.per_training
            and not self._is_hopeless(family[0], losses, families)
            and self.is_kept(number)
        ]
        return found[-MOST_OPEN:]

    def _form(
        self, parent: TrialResult, families: Mapping[int, Family], history: History
    ) -> Candidate | None:
        """Return the form of a network that is likeliest to be among the best of its family."""
        known = {one.candidate.key() for one in history.finished}
        known |= {one.candidate.key() for one in history.running}
        forms = [
            one
            for one in variants(self.space, parent.candidate, self.seed + parent.number)
            if one.key() not in known and self.is_possible(one)
        ]
        tried = self._tried(families) if forms else {}
        chances = [self._chance(form, tried.values()) for form in forms]
        best = max(range(len(forms)), key=lambda index: chances[index], default=None)
        return None if best is None or chances[best] < WORTH_TRYING else forms[best]

    def _tried(self, families: Mapping[int, Family]) -> dict[str, _Tried]:
        """Return the forms tried so far, and how often each was among the best of its family."""
        found: dict[str, _Tried] = {}
        for family in families.values():
            mask = non_dominated_mask(self._losses(family))
            for one, is_good in list(zip(family, mask, strict=True))[1:]:
                key = one.candidate.form_key()
                before = found.get(key, _Tried(one.candidate, 0, 0))
                found[key] = before._replace(
                    times=before.times + 1, good=before.good + int(is_good)
                )
        return found

    def _chance(self, form: Candidate, tried: Iterable[_Tried]) -> float:
        """Return the chance that a form is among the best of its family."""
        good, total = DOUBT, DOUBT
        for one in tried:
            weight = math.exp(-distance(self.space, form, one.form) / WIDTH)
            good, total = good + weight * one.good, total + weight * one.times
        return good / total

    def _hopes(self, parent: TrialResult, families: Mapping[int, Family]) -> list[float] | None:
        """Return the best each objective of a network may come to in another form.

        As forms compared in the families before: by the best change from the form that the network
        has now to any other. None while few such changes are known: then anything may be hoped for.
        """
        own = parent.candidate.form_key()
        pairs = [
            (base, other)
            for family in families.values()
            for base in family
            for other in family
            if base.candidate.form_key() == own
            and other is not base
            and self._is_known(base, other)
        ]
        if len(pairs) < FEW:
            return None
        return [self._hoped(parent, pairs, name) for name in self.objectives]

    def _hoped(
        self, parent: TrialResult, pairs: Sequence[tuple[TrialResult, TrialResult]], name: str
    ) -> float:
        """Return the best loss in one objective, when the best change seen happened here too."""
        metric, value = METRICS[name], parent.metrics[name]
        values = [(base.metrics[name], other.metrics[name]) for base, other in pairs]
        if metric.is_score:
            return metric.loss(value + max(0.0, *(after - before for before, after in values)))
        shares = [after / before for before, after in values if before > 0]
        return metric.loss(value * min(1.0, *shares))

    def _is_known(self, *results: TrialResult) -> bool:
        return all(
            one.state is TrialState.COMPLETE
            and all(name in one.metrics for name in self.objectives)
            for one in results
        )

    def _is_hopeless(
        self, parent: TrialResult, losses: NDArray[np.float64], families: Mapping[int, Family]
    ) -> bool:
        """Return whether even the best form of a network would be beaten by what there is."""
        hopes = self._hopes(parent, families) if self._is_known(parent) else None
        if hopes is None:
            return False
        row = np.array(hopes)
        return bool((np.all(losses <= row, axis=1) & np.any(losses < row, axis=1)).any())

    def _losses(self, results: Sequence[TrialResult]) -> NDArray[np.float64]:
        """Return losses ``(n_results, n_objectives)``; NaN for what has not completed."""
        return np.array(
            [
                [
                    METRICS[name].loss(one.metrics[name])
                    if one.state is TrialState.COMPLETE and one.is_feasible and name in one.metrics
                    else math.nan
                    for name in self.objectives
                ]
                for one in results
            ]
        ).reshape(len(results), len(self.objectives))


def _is_trained(one: TrialResult) -> bool:
    return one.state is TrialState.COMPLETE and one.parent is None and one.is_feasible
