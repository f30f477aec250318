"""Candidates that are run before anything is planned or proposed, whatever the sampler."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from ecoautoml.errors import ConfigError, SpaceError
from ecoautoml.records.candidate import Value
from ecoautoml.records.progress import CONTINUE, Decision
from ecoautoml.records.turn import Move, Turn
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, candidate, decode
from ecoautoml.strategies.base import Begin, Earlier, GoOn, History, Planner, Running
from ecoautoml.strategies.known_points import known_candidates

Values = Mapping[str, Value]
Fill = Callable[[Dimension], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A candidate to be begun.

    Attributes:
        values: Its values by dimension, as its space writes them.
        reason: Why, in one sentence without a full stop.
    """

    values: Values
    reason: str


class WishesFirst(Planner):
    """Begins what is wished for, then leaves everything to others.

    Args:
        wishes: What is begun, the first first; nothing is begun twice.
        planner: Who plans afterwards; None: the sampler proposes.
        sampler: The sampler's kind.
    """

    def __init__(self, wishes: Sequence[Wish], planner: Planner | None, sampler: str) -> None:
        self._wishes, self._planner, self._sampler = tuple(wishes), planner, sampler

    def next(self, history: History, state: Mapping[str, object]) -> Begin | GoOn | None:
        """Return the next wish, then what is planned."""
        wish = self._open(history) if history.may_begin else None
        if wish is not None:
            turn = Turn(move=Move.BEGIN, epoch=0, reason=wish.reason)
            return Begin(turn=turn, values=wish.values)
        if self._planner is not None:
            return self._planner.next(history, state)
        reason = f"proposed by the sampler {self._sampler}"
        turn = Turn(move=Move.BEGIN, epoch=0, reason=reason)
        return Begin(turn=turn) if history.may_begin else None

    def decide(self, trial: Running, history: History, state: Mapping[str, object]) -> Decision:
        """Return what the planner says."""
        return CONTINUE if self._planner is None else self._planner.decide(trial, history, state)

    def _open(self, history: History) -> Wish | None:
        """Return a wish that was not begun yet."""
        begun = [one.candidate.parameters() for one in (*history.finished, *history.paused)]
        begun += [one.candidate.parameters() for one in history.running]
        return next((wish for wish in self._wishes if wish.values not in begun), None)


def asked_for(space: SearchSpace, points: Sequence[Mapping[str, object]], fill: Fill) -> list[Wish]:
    """Return the points that a configuration names; what they leave out is filled in.

    Raises:
        ConfigError: One of them is no point of the space; the sentence says why.
    """
    found = []
    for index, point in enumerate(points):
        try:
            values = _completed(space, point, fill)
        except SpaceError as error:
            raise ConfigError(f"sampler.begin_with.{index}: {error}") from None
        found.append(Wish(values=values, reason=f"point {index} of sampler.begin_with"))
    return found


def front_of(earlier: Earlier, space: SearchSpace) -> list[Wish]:
    """Return an earlier run's front, as far as it lies in this space."""
    reason = f"on the front of the earlier run {earlier.name}"
    return [Wish(values=one, reason=reason) for one in valid(earlier.front, space)]


def known_to_be_good(space: SearchSpace, image_size: int, fill: Fill, most: int) -> list[Wish]:
    """Return published networks that the space holds, the cheapest ones."""
    found = islice(known_candidates(space, image_size, fill), most)
    return [
        Wish(values=one.parameters(), reason=f"a published network, {name}") for name, one in found
    ]


def valid(candidates: Sequence[Values], space: SearchSpace) -> Iterator[Values]:
    """Yield those candidates that are points of a space, as it writes them.

    Where the space leaves no choice of epochs, others than its own are taken for these: how long
    an earlier run trained is no reason not to learn from it.
    """
    fixed = {
        one.name: one.middle for one in space.parameters if one.name == "epochs" and one.is_fixed
    }
    for values in candidates:
        with contextlib.suppress(SpaceError):
            yield candidate(space, {**values, **fixed}).parameters()


def _completed(space: SearchSpace, point: Mapping[str, object], fill: Fill) -> Values:
    """Return a point with what it leaves out.

    Raises:
        SpaceError: A value is not allowed, unknown, or without meaning beside the others.
    """
    for name, value in point.items():
        space.dimension(name).accept(value)

    def choose(dimension: Dimension) -> object:
        return point[dimension.name] if dimension.name in point else fill(dimension)

    values = decode(space, choose).parameters()
    for name in point:
        if name not in values:
            raise SpaceError(f"{name} is not used with the other values of this point")
    return values
