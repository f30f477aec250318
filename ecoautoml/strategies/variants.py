"""Many models from one training: what else is made of a trained network, and in which order.

A training is paid for once, so a network that is worth it is tried in several forms. Which forms
pay is learnt from the families before: a form is likely to pay as often as near ones were among the
best of their family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.records.turn import Move, Turn
from ecoautoml.spaces.dimensions import SearchSpace
from ecoautoml.spaces.variants import distance, variants
from ecoautoml.strategies.base import Begin, History
from ecoautoml.strategies.families import Families, Tried

WIDTH = 0.5
"""Distance over which what one form has shown tells of another."""
DOUBT = 0.5
"""Trials that what is not known yet counts as, all of them good."""
WORTH_TRYING = 0.3
"""Chance to be among the best of its family below which a form is not tried."""
MOST_OPEN = 8
"""Families that are looked at for another variant: the last ones."""


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
        for parent, form in self._worth_it(history):
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
        return busy | {parent.number for parent, _ in self._worth_it(history)}

    # --- inside -------------------------------------------------------------------------------

    def _worth_it(self, history: History) -> Iterator[tuple[TrialResult, Candidate]]:
        """Yield the trainings that have a form worth trying, with the best such form.

        Of the last few trainings, the first first.
        """
        families = Families.of(history, self.objectives)
        running = [one for one in history.running if one.parent is not None]
        is_open = (
            family
            for number, family in families.by_parent.items()
            if len(family) - 1 + sum(one.parent == number for one in running) < self.per_training
            and self.is_kept(number)
            and not families.is_hopeless(family[0])
        )
        for family in list(is_open)[-MOST_OPEN:]:
            taken = {one.candidate.form_key() for one in family}
            taken |= {one.candidate.form_key() for one in running if one.parent == family[0].number}
            form = self._form(family[0], taken, families)
            if form is not None:
                yield family[0], form

    def _form(self, parent: TrialResult, taken: Set[str], families: Families) -> Candidate | None:
        """Return the form of a network that is likeliest to be among the best of its family."""
        forms = [
            one
            for one in variants(self.space, parent.candidate, self.seed + parent.number)
            if one.form_key() not in taken and self.is_possible(one)
        ]
        chances = [self._chance(form, families.tried) for form in forms]
        best = max(range(len(forms)), key=lambda index: chances[index], default=None)
        return None if best is None or chances[best] < WORTH_TRYING else forms[best]

    def _chance(self, form: Candidate, tried: Iterable[Tried]) -> float:
        """Return the chance that a form is among the best of its family."""
        good, total = DOUBT, DOUBT
        for one in tried:
            weight = math.exp(-distance(self.space, form, one.form) / WIDTH)
            good, total = good + weight * one.good, total + weight * one.times
        return good / total
