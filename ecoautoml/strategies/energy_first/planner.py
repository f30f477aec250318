"""What to train next: a new candidate a little, or a promising one further."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoautoml.pareto.front import non_dominated_mask
from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import SearchSpace
from ecoautoml.strategies.energy_first.beginning import first_ones, spread_over
from ecoautoml.strategies.energy_first.encoding import Encoder
from ecoautoml.strategies.energy_first.gain import Front
from ecoautoml.strategies.energy_first.lattice import Lattice, stacked
from ecoautoml.strategies.energy_first.memory import Memory
from ecoautoml.strategies.energy_first.priors import Guess, Priors
from ecoautoml.strategies.energy_first.problem import (
    Goal,
    Prices,
    Seen,
    Status,
    Values,
    n_trainings,
)
from ecoautoml.strategies.energy_first.situation import (
    MOST_LEARNT,
    Situation,
    assess,
    front_of,
    has_failed,
    selected,
)
from ecoautoml.strategies.energy_first.worth import Terms, Worth, appraise

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Known = Callable[[Sequence[Values]], Array]
"""Returns what is known of candidates before anything is run, above 0, ``(n, n_known)``."""

RANDOM, NEIGHBOURS = 100, 400
"""Candidates considered each time: by chance, and next to those on the front so far."""
MOST_STEPS = 20
"""Steps worked out per plan and rung."""
LEAST_CHANCE = 0.05
"""Chance to join the front below which nothing goes on once nothing new may begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do next.

    Attributes:
        number: Of the candidate that goes on; None: a new one begins.
        values: Its values.
        rung: To which rung it is to be trained.
        figures: What this rests on, by name (`ecoautoml.records.turn.FIGURES`); empty for the first
            ones, chosen by chance.
        index: Expected hypervolume per unit of cost; None for the first ones.
    """

    number: int | None
    values: Mapping[str, Value]
    rung: int
    figures: Mapping[str, float] = field(default_factory=dict)
    index: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do next, all of it before asking again; and what is to be kept until then."""

    steps: tuple[Step, ...]
    state: Mapping[str, Any]


class EnergyFirst:
    """Plans a search for accurate models of little energy.

    Energy is known before training, so each candidate's place along that axis is certain, and what
    it may add to the front depends on its error alone. A short training shows whether a longer one
    is worth it; all are chosen by what they are expected to add per cost still to be spent. How
    much a short training tells is learnt on the way.

    It keeps no state: the same arguments give the same plan.

    Args:
        space: Where candidates come from.
        shares: Share of a full training at each rung, ascending; the last is 1.
        known: Tells what is known of candidates beforehand.
        goal: What the search is after.
        is_exact: Whether the first columns of ``known`` are the costs themselves.
        is_resumed: Whether a longer training goes on where the shorter one ended.
        nearest: Gives the candidate to take instead, where not everything the space allows exists.
        guesses: What the user supposes about good values, by dimension.
        start: Candidates begun before the model is asked; None: as many as `first_ones`.
        n_random: New candidates considered by chance.
        n_neighbours: New candidates considered next to those that lead.
        most_learnt: Candidates the models learn from.
        seed: Seed of all chance.
    """

    def __init__(
        self,
        space: SearchSpace,
        shares: Sequence[float],
        known: Known,
        *,
        goal: Goal | None = None,
        is_exact: bool = False,
        is_resumed: bool = True,
        nearest: Callable[[Values], Values] | None = None,
        guesses: Mapping[str, Guess] | None = None,
        start: int | None = None,
        n_random: int = RANDOM,
        n_neighbours: int = NEIGHBOURS,
        most_learnt: int = MOST_LEARNT,
        seed: int = 0,
    ) -> None:
        self._shares, self._is_resumed = tuple(shares), is_resumed
        self._goal = goal or Goal()
        self._known, self._is_exact = known, is_exact
        self._start = first_ones(self._shares[0]) if start is None else start
        self._n_random, self._n_neighbours = n_random, n_neighbours
        self._seed, self._nearest, self._most_learnt = seed, nearest, most_learnt
        self._lattice, self._encoder = Lattice(space), Encoder(space)
        self._priors = Priors(guesses or {}, self._lattice)
        self._seen_places: dict[int, Array] = {}
        self._seen_known: dict[int, Array] = {}

    @property
    def last(self) -> int:
        """Return the number of the last rung."""
        return len(self._shares) - 1

    def plan(
        self,
        seen: Sequence[Seen],
        state: Mapping[str, Any],
        *,
        prices: Prices | None = None,
        may_begin: bool = True,
        left: float = math.inf,
        start: int | None = None,
        most: int = 1,
    ) -> Plan:
        """Return what to do next; no steps when there is nothing worth doing.

        Args:
            seen: Everything begun so far, by number.
            state: What the last plan wanted to be kept; empty at first.
            prices: What comes on top of training.
            may_begin: Whether new candidates may begin.
            left: What may still be spent, in mean full trainings.
            start: Candidates begun before the model is asked; None: as usual.
            most: New candidates to begin at once, at most.
        """
        rng = self._chance(seen)
        memory = Memory(state)
        is_first = may_begin and n_trainings(seen) < (self._start if start is None else start)
        steps, prices = self._begin(seen) if is_first else [], prices or Prices()
        if seen and not steps:
            steps = self._go_on(seen, memory, rng, prices, may_begin, left)
        n_new = 0
        chosen = []
        for step in steps:
            n_new += step.number is None
            chosen.append(step)
            if step.number is not None or n_new >= most:
                break
        return Plan(steps=tuple(chosen), state=memory.state)

    def reconsider(
        self,
        number: int,
        seen: Sequence[Seen],
        state: Mapping[str, Any],
        *,
        prices: Prices | None = None,
        may_begin: bool = True,
        left: float = math.inf,
    ) -> tuple[Step | None, Step | None]:
        """Return a running candidate's next step, and the best step that could replace it.

        Args:
            number: The candidate; among those seen it is waiting.
            seen: Everything begun so far.
            state: What the last plan wanted to be kept.
            prices: As for `plan`, like the rest.
            may_begin: Whether new candidates may begin.
            left: What may still be spent.
        """
        memory, prices = Memory(state, may_change=False), prices or Prices()
        rng = self._chance(seen)
        steps = self._go_on(seen, memory, rng, prices, may_begin, left, at_hand=number)
        own = next((step for step in steps if step.number == number), None)
        return own, next((step for step in steps if step.number != number), None)

    def _chance(self, seen: Sequence[Seen]) -> np.random.Generator:
        """Return chance that depends on the seed and on how much has been seen."""
        n_rungs = sum(len(one.errors) for one in seen)
        return np.random.default_rng([self._seed, 1, len(seen), n_rungs])

    # --- the beginning --------------------------------------------------------------------------

    def _begin(self, seen: Sequence[Seen]) -> list[Step]:
        """Return the first candidates, one from each part of the range of what is known.

        They are drawn from the seed alone, so they do not depend on what has been seen meanwhile.
        """
        rng = np.random.default_rng([self._seed, 0])
        rows = self._existing(self._lattice.draw(rng, 20 * self._start, self._priors.redrawn))
        rows = self._lattice.unknown(rows, rows[:0])
        candidates = self._lattice.candidates(rows)
        known = self._known(candidates)
        chosen = spread_over(known, self._start, rows, self._priors, rng)
        old = self._places(seen)
        fresh = [i for i in chosen if len(self._lattice.unknown(rows[[i]], old))]
        return [Step(number=None, values=candidates[i], rung=0) for i in fresh]

    # --- later ----------------------------------------------------------------------------------

    def _go_on(
        self,
        seen: Sequence[Seen],
        memory: Memory,
        rng: np.random.Generator,
        prices: Prices,
        may_begin: bool,
        left: float,
        at_hand: int | None = None,
    ) -> list[Step]:
        """Return what can be done next, the best first."""
        chosen = selected(seen, self._goal, self.last, self._most_learnt)
        situation = self._situation(seen, chosen, memory, rng, may_begin)
        if not situation.models:  # nothing has worked so far
            return [Step(number=None, values=one, rung=0) for one in situation.fresh[:MOST_STEPS]]
        front, least = front_of(situation, self._goal, self.last)
        terms = Terms(
            goal=self._goal,
            shares=self._shares,
            is_resumed=self._is_resumed,
            prices=prices,
            at_hand=at_hand,
        )
        worths = [
            appraise(rows, rung, situation, front, least, terms)
            for rung, rows in self._groups(situation, may_begin).items()
            if len(rows)
        ]
        worths = [self._supposed(worth, situation, len(seen)) for worth in worths]
        steps = [
            step
            for worth in worths
            for step in self._steps(worth, situation, front, may_begin, left, at_hand)
        ]
        return sorted(steps, key=lambda step: -(step.index or 0.0))

    def _situation(
        self,
        seen: Sequence[Seen],
        chosen: Sequence[Seen],
        memory: Memory,
        rng: np.random.Generator,
        may_begin: bool,
    ) -> Situation:
        old = self._places(chosen)
        new = self._pool(seen, chosen, old, rng) if may_begin else old[:0]
        fresh = self._lattice.candidates(new)
        known = self._known_of(chosen)
        if fresh:
            known = np.vstack([known, self._known(fresh)])
        n_costs = len(self._goal.limits)
        costs: list[tuple[float | None, ...]] = [one.costs for one in chosen]
        costs += [(None,) * n_costs] * len(new)
        if self._is_exact:
            costs = [tuple(row[:n_costs]) for row in known.tolist()]
        return assess(
            chosen,
            fresh,
            np.vstack([old, new]),
            known,
            costs,
            self._encoder,
            self._goal,
            self._shares,
            memory,
            is_resumed=self._is_resumed,
        )

    def _groups(self, situation: Situation, may_begin: bool) -> dict[int, Rows]:
        """Return rows that can be trained on, by the rung they have reached (-1: none)."""
        waiting = [
            row
            for row in situation.rows(Status.WAITING)
            if situation.seen[row].is_allowed and not situation.seen[row].has_failed
        ]
        groups: dict[int, Rows] = {}
        for rung in range(-1, self.last):
            reached = [row for row in waiting if len(situation.seen[row].errors) == rung + 1]
            groups[rung] = np.array(reached, dtype=np.int64)
        groups[-1] = np.concatenate([groups[-1], situation.new])
        return groups

    def _supposed(self, worth: Worth, situation: Situation, n_trials: int) -> Worth:
        """Return what candidates are worth, new ones weighed by what the user supposes."""
        is_new = worth.rows >= len(situation.seen)
        if not self._priors or not is_new.any():
            return worth
        trained = list(situation.logs[0])
        trust = self._priors.trust(
            situation.places[trained],
            np.array([logs[0] for logs in situation.logs[0].values()]),
            situation.log_costs[trained, : self._goal.n_costs],
        )
        index, places = worth.index.copy(), situation.places[worth.rows[is_new]]
        index[is_new] = self._priors.weighed(index[is_new], places, trust / n_trials)
        return replace(worth, index=index)

    def _steps(
        self,
        worth: Worth,
        situation: Situation,
        front: Front,
        may_begin: bool,
        left: float,
        at_hand: int | None,
    ) -> list[Step]:
        """Return the best steps of some candidates, those that can be afforded, the best first.

        The candidate at hand, if it is among them, is never left out for being worse than many.
        """
        is_possible = worth.cost <= left
        if not may_begin:
            is_possible &= worth.chance >= LEAST_CHANCE
        order = np.argsort(-worth.index, kind="stable")
        spans = np.ptp(situation.log_costs[:, : self._goal.n_costs], axis=0)
        unit = front.errors[0] * max(float(np.prod(spans)), 1e-9)
        possible = order[is_possible[order]]
        n_seen = len(situation.seen)
        own = [
            index
            for index in possible[MOST_STEPS:]
            if (row := worth.rows[index]) < n_seen and situation.seen[row].number == at_hand
        ]
        return [
            self._step(worth, int(index), situation, unit)
            for index in [*possible[:MOST_STEPS], *own]
        ]

    def _step(self, worth: Worth, index: int, situation: Situation, unit: float) -> Step:
        row, n_seen = int(worth.rows[index]), len(situation.seen)
        mean, deviation = worth.mean[index], math.sqrt(worth.variance[index])
        one = None if row >= n_seen else situation.seen[row]
        return Step(
            number=None if one is None else one.number,
            values=situation.fresh[row - n_seen] if one is None else one.values,
            rung=int(worth.rungs[index]),
            index=float(worth.index[index]),
            figures={
                "expected_gain": float(worth.gain[index] / unit),
                "expected_training": float(worth.cost[index]),
                "chance_to_join": float(worth.chance[index]),
                "chance_to_be_allowed": float(worth.allowed[index]),
                "forecast_score": 1.0 - math.exp(mean),
                "forecast_score_low": 1.0 - math.exp(mean + 1.645 * deviation),
                "forecast_score_high": 1.0 - math.exp(mean - 1.645 * deviation),
            },
        )

    # --- candidates -----------------------------------------------------------------------------

    def _pool(
        self,
        seen: Sequence[Seen],
        chosen: Sequence[Seen],
        places: Array,
        rng: np.random.Generator,
    ) -> Array:
        """Return new candidates: some by chance, more next to those that lead so far."""
        parents = places[self._leading(chosen)]
        found = [self._lattice.draw(rng, self._n_random, self._priors.redrawn)]
        if len(parents):
            mothers = parents[rng.integers(len(parents), size=self._n_neighbours)]
            found.append(self._lattice.change(mothers, rng, 2))
        return self._lattice.unknown(self._existing(np.vstack(found)), self._places(seen))

    def _existing(self, rows: Array) -> Array:
        """Return candidates that exist: those given, or what is nearest to them."""
        if self._nearest is None:
            return rows
        taken = [self._lattice.places(self._nearest(one)) for one in self._lattice.candidates(rows)]
        return stacked(taken, len(self._lattice))

    def _leading(self, chosen: Sequence[Seen]) -> list[int]:
        """Return who has, for its costs, the least errors at the first rung or at the end."""
        costs = self._costs_of(chosen)
        leading: list[int] = []
        for rung in sorted({0, self.last}):
            reached = [
                row
                for row, one in enumerate(chosen)
                if len(one.errors) > rung
                and not has_failed(one, self._goal, self.last)
                and np.isfinite(costs[row]).all()
            ]
            if reached:
                errors = np.array([chosen[row].errors[rung] for row in reached])
                is_on = non_dominated_mask(np.hstack([costs[reached], errors]))
                leading += np.array(reached)[is_on].tolist()
        return leading

    def _costs_of(self, seen: Sequence[Seen]) -> Array:
        """Return the costs to be kept low, ``(n_seen, n_costs)``; NaN where unknown."""
        n_costs = self._goal.n_costs
        if self._is_exact:
            return self._known_of(seen)[:, :n_costs]
        return stacked([np.array(one.costs[:n_costs], dtype=np.float64) for one in seen], n_costs)

    def _places(self, seen: Sequence[Seen]) -> Array:
        """Return candidates as rows, each worked out once."""
        for one in seen:
            if one.number not in self._seen_places:
                self._seen_places[one.number] = self._lattice.places(one.values)
        return stacked([self._seen_places[one.number] for one in seen], len(self._lattice))

    def _known_of(self, seen: Sequence[Seen]) -> Array:
        """Return what was known of candidates beforehand, each asked for once."""
        fresh = [one for one in seen if one.number not in self._seen_known]
        if fresh:
            asked = self._known([one.values for one in fresh])
            self._seen_known |= {one.number: row for one, row in zip(fresh, asked, strict=True)}
        return np.array([self._seen_known[one.number] for one in seen])
