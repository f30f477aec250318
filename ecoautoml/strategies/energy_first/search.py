"""Energy first in a search: from its records to a plan, and from a plan to what is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoautoml.config.constraints import Constraint
from ecoautoml.config.preferences import NOTHING, Prefer
from ecoautoml.records.progress import CONTINUE, Action, Decision
from ecoautoml.records.turn import Move, Turn
from ecoautoml.spaces.dimensions import SearchSpace
from ecoautoml.strategies.base import Begin, Earlier, GoOn, History, Planner, Running
from ecoautoml.strategies.energy_first.planner import EnergyFirst, Known, Step
from ecoautoml.strategies.energy_first.priors import Guess
from ecoautoml.strategies.energy_first.problem import (
    Goal,
    Prices,
    Seen,
    Status,
    Values,
    n_trainings,
)
from ecoautoml.strategies.energy_first.reading import Reader, in_joules, split
from ecoautoml.strategies.energy_first.rungs import rung_epochs
from ecoautoml.strategies.wishes import valid

RANDOM, NEIGHBOURS = 60, 140
"""New candidates considered each time: counting one takes a third of a millisecond."""

LEAST_TARGET = 1e-4
"""Error below which a target counts as this error: logarithms are modelled."""
START_SHARE, LEAST_START = 0.25, 4
"""Share of a budget that the first trials may take, before a model is used; how many there are at
least."""

SWITCH = 1.25
"""Something else must promise so many times as much for a running training to be halted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a search is after, as its configuration says.

    Attributes:
        objectives: By column name.
        constraints: Hard limits.
        prefer: What is of use of what may be found.
        guess_accuracy: Accuracy of guessing; None: unknown.
        features: Columns known from the probe on that tell something about errors.
    """

    objectives: Sequence[str]
    constraints: Sequence[Constraint] = ()
    prefer: Prefer = NOTHING
    guess_accuracy: float | None = None
    features: Sequence[str] = ()

    def goal(self, scores: Sequence[str], costs: Sequence[str], known: Sequence[str]) -> Goal:
        """Return what the search is after in numbers.

        Args:
            scores: Objectives that training decides, the one with a target first.
            costs: Objectives that are costs.
            known: These, then others that are only limited, then what only tells about errors.
        """
        limits, reference = _upper_limits(self.constraints), self.prefer.reference
        guess = self.guess_accuracy if scores[0] == "validation_accuracy" else None
        target = self.prefer.target
        return Goal(
            n_scores=len(scores),
            n_costs=len(costs),
            limits=tuple(limits.get(name, math.inf) for name in known),
            worst_errors=tuple(
                min(_worst_error(name, self.constraints), 1.0 - reference.get(name, -math.inf))
                for name in scores
            ),
            worst_costs=tuple(
                min(limits.get(name, math.inf), reference.get(name, math.inf)) for name in costs
            ),
            guess_error=None if guess is None else 1.0 - guess,
            target_error=None if target is None else max(1.0 - target[1], LEAST_TARGET),
            n_features=len(self.features),
        )


class EnergyFirstPlanner(Planner):
    """Plans a search energy first (see `EnergyFirst`).

    Args:
        space: Where candidates come from.
        aim: What the search is after.
        shares: Rungs as shares of a full training, ascending; the last is 1.
        known: Tells what is known of candidates before they are run.
        guesses: What the user supposes about good values, by dimension.
        start: Candidates begun before the model is asked.
        may_pause: Whether trainings may be halted for better ones.
        earlier: An earlier run to learn from; None: there is none.
        seed: Seed of the search.
    """

    def __init__(
        self,
        space: SearchSpace,
        aim: Aim,
        *,
        shares: tuple[float, ...],
        known: Known | None,
        guesses: Mapping[str, Guess] | None = None,
        start: int,
        may_pause: bool,
        earlier: Earlier | None = None,
        seed: int,
    ) -> None:
        scores, costs = split(aim.objectives)
        self._scores = sorted(scores, key=lambda name: name not in aim.prefer.at_least)
        limits = _upper_limits(aim.constraints)
        self._costs = [*costs, *(name for name in limits if name not in costs), *aim.features]
        self._shares = shares if may_pause else (1.0,)
        self._may_pause, self._start = may_pause, start
        self._useful = "be of use" if aim.prefer.at_least else "join the front"
        self._earlier = [] if earlier is None else self._learnt(earlier, space)
        self._planner = EnergyFirst(
            space,
            self._shares,
            known or _nothing,
            goal=aim.goal(self._scores, costs, self._costs),
            guesses=guesses,
            start=start,
            n_random=RANDOM,
            n_neighbours=NEIGHBOURS,
            seed=seed,
        )

    def next(self, history: History, state: Mapping[str, object]) -> Begin | GoOn | None:
        """Return what is expected to add the most per joule still to be spent."""
        reader, seen = self._read(history)
        plan = self._planner.plan(
            seen,
            state,
            prices=reader.prices(history),
            may_begin=history.may_begin,
            left=self._left(reader, history),
            start=self._start_of(history, seen),
        )
        if not plan.steps:
            return None
        step = plan.steps[0]
        changed = plan.state if plan.state != state else None
        if step.number is None:
            turn = Turn(
                move=Move.BEGIN, epoch=0, reason=_why(step, self._useful), figures=step.figures
            )
            return Begin(turn=turn, values=step.values, state=changed)
        paused = next(one for one in history.paused if one.number == step.number)
        turn = Turn(
            move=Move.GO_ON,
            epoch=paused.epochs,
            reason=_why(step, self._useful),
            figures=step.figures,
        )
        return GoOn(number=step.number, turn=turn, state=changed)

    def decide(self, trial: Running, history: History, state: Mapping[str, object]) -> Decision:
        """Return PAUSE at a rung when something else is expected to add more per joule."""
        if not self._may_pause or trial.epoch >= trial.epochs:
            return CONTINUE
        if trial.epoch and trial.epoch not in rung_epochs(self._shares, trial.epochs):
            return CONTINUE
        others = [one for one in history.running if one.number != trial.number]
        history = replace(history, running=[*others, trial])
        reader, seen = self._read(history)
        at_hand = reader.running(trial, Status.WAITING)
        seen = [at_hand if one.number == trial.number else one for one in seen]
        n_begun = n_trainings(seen)
        if history.may_begin and n_begun < self._start_of(history, seen):
            return self._decide_first(trial, n_begun, reader.prices(history))
        own, other = self._planner.reconsider(
            trial.number,
            seen,
            state,
            prices=reader.prices(history),
            may_begin=history.may_begin,
            left=self._left(reader, history),
        )
        if other is None or (own is not None and (own.index or 0.0) * SWITCH >= (other.index or 0)):
            return CONTINUE
        return Decision(
            action=Action.PAUSE,
            reason=_why_not(own, other),
            figures={} if own is None else own.figures,
        )

    def _start_of(self, history: History, seen: Sequence[Seen]) -> int:
        """Return how many trials are begun before a model is used: none more once they are dear."""
        n_looked = sum(bool(one.errors) and not one.is_variant for one in seen)
        is_dear = 1.0 / (1.0 + history.left) > START_SHARE
        return 0 if is_dear and n_looked >= LEAST_START else self._start

    def _decide_first(self, trial: Running, n_begun: int, prices: Prices) -> Decision:
        """Return whether one of the first trials goes on: to its first rung, no further.

        Unless going on costs little beside what beginning has cost.
        """
        rest = 1.0 - self._shares[0]
        if not trial.epoch or rest < prices.begin + self._shares[0]:
            return CONTINUE
        reason = f"the first {self._start} candidates are looked at before any goes on"
        return Decision(action=Action.PAUSE, reason=f"{reason} ({n_begun} begun)")

    def _learnt(self, earlier: Earlier, space: SearchSpace) -> list[Seen]:
        """Return an earlier run's trials as something to learn from, numbered below 0."""
        reader = Reader(
            scores=self._scores,
            costs=self._costs,
            shares=self._shares,
            is_in_joules=in_joules(History(finished=earlier.results)),
        )
        found: list[Seen] = []
        for one in reader.seen(History(finished=earlier.results)):
            values = next(valid([one.values], space), None)
            if values is None or not one.errors:
                continue
            unknown = (None,) * len(self._costs)
            found.append(
                replace(
                    one,
                    number=len(found) - len(earlier.results),
                    values=values,
                    costs=one.costs if earlier.has_same_costs else unknown,
                    price=one.price if earlier.has_same_costs else None,
                    status=Status.CLOSED,
                    is_allowed=False,  # its models are not this run's
                )
            )
        return found

    def _read(self, history: History) -> tuple[Reader, list[Seen]]:
        reader = Reader(
            scores=self._scores,
            costs=self._costs,
            shares=self._shares,
            is_in_joules=in_joules(history),
        )
        return reader, [*self._earlier, *reader.seen(history)]

    def _left(self, reader: Reader, history: History) -> float:
        """Return what one more trial may still take, in mean full trainings."""
        if not math.isfinite(history.left):
            return math.inf
        return history.left * reader.spent(history) / max(len(history.running), 1)


def _why(step: Step, useful: str) -> str:
    if not step.figures:
        return "one of the first candidates, spread over what they are known to cost"
    figures = step.figures
    return (
        f"best expected gain per joule: {figures['expected_gain']:.2%} of the hypervolume for "
        f"{figures['expected_training']:.2g} full trainings, with a chance of "
        f"{figures['chance_to_join']:.0%} to {useful}"
    )


def _why_not(own: Step | None, other: Step) -> str:
    what = "a new candidate" if other.number is None else f"trial {other.number}"
    if own is None:
        return f"{what} promises more; this one would not end within the budget"
    chance = own.figures["chance_to_join"]
    ratio = (other.index or 0.0) / own.index if own.index else math.inf
    times = f"{ratio:.1f} times as much" if ratio < 100 else "far more"
    return f"{what} promises {times} per joule (chance to join the front: {chance:.0%})"


def _upper_limits(constraints: Sequence[Constraint]) -> dict[str, float]:
    """Return the lowest upper limit of each cost."""
    found: dict[str, float] = {}
    for one in constraints:
        if one.operator == "<=" and one.limit > 0:
            found[one.metric] = min(one.limit, found.get(one.metric, math.inf))
    return found


def _worst_error(score: str, constraints: Sequence[Constraint]) -> float:
    """Return the error from which on a score breaks a constraint; inf where there is none."""
    floors = [one.limit for one in constraints if one.metric == score and one.operator == ">="]
    return max(1.0 - max(floors), 1e-6) if floors else math.inf


def _nothing(candidates: Sequence[Values]) -> NDArray[np.float64]:
    return np.zeros((len(candidates), 0))


def known_from(
    count: Callable[[Values], Sequence[float] | None], example: Values
) -> Callable[[Sequence[Values]], NDArray[Any]] | None:
    """Return a function for `EnergyFirst` from one that counts a candidate at a time.

    Args:
        count: Returns what is known of a candidate, above 0; None where its kind cannot be counted.
        example: Any candidate; None is returned where it cannot be counted.
    """
    first = count(example)
    if first is None:
        return None

    def known(candidates: Sequence[Values]) -> NDArray[np.float64]:
        rows = [count(one) or first for one in candidates]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(first))

    return known
