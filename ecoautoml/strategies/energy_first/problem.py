"""What a search is after, and what it has seen so far, in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ecoautoml.records.candidate import Value

Values = Mapping[str, Value]


class Status(StrEnum):
    """What can be done with a candidate that was begun."""

    WAITING = "waiting"
    """It can be trained further."""
    RUNNING = "running"
    """It is being trained to its next rung."""
    CLOSED = "closed"
    """It has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A candidate that was begun.

    Attributes:
        number: Tells it from others; ascending in the order in which they were begun.
        values: Its values by parameter.
        errors: At each rung it has reached: one error per score.
        costs: What is known of its costs, objectives first; None where unknown.
        price: What training it in full takes, in any unit; None: unknown.
        status: What can be done with it.
        has_failed: Whether it broke down, so that its likes are to be avoided.
        is_allowed: Whether it keeps to the constraints, as far as is known.
        is_variant: Whether another candidate's trained network is behind it: it was never trained.
    """

    number: int
    values: Values
    errors: tuple[tuple[float, ...], ...] = ()
    costs: tuple[float | None, ...] = ()
    price: float | None = None
    status: Status = Status.WAITING
    has_failed: bool = False
    is_allowed: bool = True
    is_variant: bool = False


def n_trainings(seen: Sequence[Seen]) -> int:
    """Return how many of the candidates were begun to be trained."""
    return sum(not one.is_variant for one in seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a search is after: low errors and low costs.

    Attributes:
        n_scores: Errors to be kept low; training shows them.
        n_costs: Costs to be kept low; known before training, or learnt from others.
        limits: Upper limit of each cost, objectives first, then those that are only limited; inf
            where there is none.
        worst_errors: Error from which on nothing counts, by score; inf: the search finds one.
        worst_costs: Cost from which on nothing counts, by objective; inf: the search finds one.
        is_open_below: Whether being cheaper than all that works so far counts.
        guess_error: Error of guessing, in the first score; None: unknown, then no training counts
            as failed.
        target_error: Error of the first score that is good enough: less is worth no more, and once
            it is reached, only what reaches it at lower costs counts; None: there is no target.
        n_features: How many of the costs, the last ones, are none, but tell something about errors.
    """

    n_scores: int = 1
    n_costs: int = 1
    limits: tuple[float, ...] = (math.inf,)
    worst_errors: tuple[float, ...] = (math.inf,)
    worst_costs: tuple[float, ...] = (math.inf,)
    is_open_below: bool = False
    guess_error: float | None = None
    target_error: float | None = None
    n_features: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What comes on top of training, in mean full trainings.

    Attributes:
        begin: Building and probing a new candidate.
        go_on: Halting one and taking it up again.
        end: Exporting, evaluating and measuring a trained one.
    """

    begin: float = 0.0
    go_on: float = 0.0
    end: float = 0.0
