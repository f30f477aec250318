"""What it is worth to train candidates on, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoautoml.strategies.energy_first.accuracy import Forecast
from ecoautoml.strategies.energy_first.gain import Front, chance_below, index_of, outcomes
from ecoautoml.strategies.energy_first.problem import Goal, Prices
from ecoautoml.strategies.energy_first.situation import Situation

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
LOOKS, LOOK_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
"""Nodes and weights that stand for what a look may show (Gauss and Hermite)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What candidates are worth, as arrays over some rows.

    Attributes:
        rows: Rows of the situation.
        rungs: The rung each would be trained to next.
        index: Expected gain per cost of training on, in as many steps as is worth it.
        gain: Expected gain of training to the end.
        cost: Cost of training to the end, in mean full trainings.
        chance: Chance to join the front.
        allowed: Chance to keep to the limits.
        mean: Expected log error at the end, of the first score.
        variance: Its variance.
    """

    rows: Rows
    rungs: Rows
    index: Array
    gain: Array
    cost: Array
    chance: Array
    allowed: Array
    mean: Array
    variance: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What trainings are judged by.

    Attributes:
        goal: What the search is after.
        shares: Share of a full training at each rung.
        is_resumed: Whether a longer training goes on where the shorter one ended.
        prices: What comes on top of training.
        at_hand: Number of the candidate that runs, so need not be taken up again; None: none does.
    """

    goal: Goal
    shares: tuple[float, ...]
    is_resumed: bool
    prices: Prices
    at_hand: int | None = None


def appraise(
    rows: Rows, rung: int, situation: Situation, front: Front, least: Array, terms: Terms
) -> Worth:
    """Return what it is worth to train candidates on that have reached a rung.

    Args:
        rows: Of the situation.
        rung: The rung they have reached; -1: none.
        situation: Where the search stands.
        front: What is left to gain.
        least: Places along the axes below which nothing is gained.
        terms: What trainings are judged by.
    """
    _, end, deviation = _forecast(rows, rung, situation, 0)
    axes, doubt = _axes(rows, rung, situation, terms.goal)
    axes = np.maximum(axes, least)
    is_last = rung + 1 >= len(terms.shares) - 1
    nodes, weights = (np.zeros(1), np.ones(1)) if is_last else (LOOKS, LOOK_WEIGHTS)
    variance = end.variance + deviation**2 if is_last else end.variance
    gains = np.stack(
        [_mean_gain(front, axes, doubt, end.mean + node * deviation, variance) for node in nodes],
        axis=1,
    )
    allowed = _chance_allowed(rows, situation, terms.goal)
    allowed *= situation.works[rows]
    gains *= allowed[:, None]
    look, rest = _costs(rows, rung, situation, terms)
    spread = end.variance + deviation**2
    return Worth(
        rows=rows,
        rungs=np.full(len(rows), rung + 1),
        index=index_of(gains, weights / weights.sum(), look, rest),
        gain=gains @ (weights / weights.sum()),
        cost=look + rest,
        chance=chance_below(front.to_beat(axes), end.mean, spread) * allowed,
        allowed=allowed,
        mean=end.mean,
        variance=spread,
    )


def _forecast(
    rows: Rows, rung: int, situation: Situation, score: int
) -> tuple[Forecast, Forecast, Array]:
    """Return the next rung, the end if that turns out as expected, and what the end owes to it.

    The last is the deviation of the expected end over what the next rung may show.
    """
    model, logs = situation.models[score], situation.logs[score]
    points = situation.points.rows(rows)
    if rung < 0:
        following = model.first(points)
    else:
        before = np.array([logs[row][rung] for row in rows])
        following = model.later(points, rung + 1, before)
    end = model.final(points, rung + 1, following.mean)
    return following, end, np.abs(end.slope) * np.sqrt(following.variance)


def _axes(rows: Rows, rung: int, situation: Situation, goal: Goal) -> tuple[Array, Array]:
    """Return candidates' places along all axes but the first score's, and their variances."""
    n_costs = goal.n_costs
    axes, doubt = situation.log_costs[rows, :n_costs], situation.cost_variance[rows, :n_costs]
    for score in range(1, goal.n_scores):
        _, end, deviation = _forecast(rows, rung, situation, score)
        axes = np.column_stack([axes, end.mean])
        doubt = np.column_stack([doubt, end.variance + deviation**2])
    return axes, doubt


def _costs(rows: Rows, rung: int, situation: Situation, terms: Terms) -> tuple[Array, Array]:
    """Return what it costs to train candidates to the next rung, and from there to the end."""
    price = situation.price[rows]
    before = 0.0 if rung < 0 or not terms.is_resumed else terms.shares[rung]
    upto = terms.shares[rung + 1]
    look = price * (upto - before)
    rest = price * ((1.0 - upto) if terms.is_resumed else float(upto < 1.0)) + terms.prices.end
    n_seen = len(situation.seen)
    is_new = rows >= n_seen
    is_at_hand = np.array(
        [row < n_seen and situation.seen[row].number == terms.at_hand for row in rows], dtype=bool
    )
    look += np.where(is_new, terms.prices.begin, np.where(is_at_hand, 0.0, terms.prices.go_on))
    return np.maximum(look, 1e-9), np.maximum(rest, 1e-9)


def _chance_allowed(rows: Rows, situation: Situation, goal: Goal) -> Array:
    """Return how likely candidates are to keep to the limits of their costs."""
    chance = np.ones(len(rows))
    for cost, limit in enumerate(goal.limits):
        if math.isfinite(limit):
            mean = situation.log_costs[rows, cost]
            variance = np.maximum(situation.cost_variance[rows, cost], 1e-12)
            chance *= chance_below(np.full(len(rows), limit), mean, variance)
    return chance


def _mean_gain(front: Front, axes: Array, doubt: Array, mean: Array, variance: Array) -> Array:
    """Return expected gains, also over what is not certain about the axes."""
    uncertain = np.flatnonzero((doubt > 0).any(axis=0))
    points, weights = outcomes(len(uncertain))
    total = np.zeros(len(mean))
    for point, weight in zip(points, weights, strict=True):
        shifted = axes.copy()
        shifted[:, uncertain] += point * np.sqrt(doubt[:, uncertain])
        total += weight * front.expected_gain(shifted, mean, variance)
    return total
