"""How much of a search goes into looking for candidates, and how much into those it has found.

The index of a candidate counts what that candidate may add. What a first look teaches about others
is not in it, so by the index alone a search trains on and on what it knows. Here looks get a fixed
share of what is spent: the larger, the better first looks tell how trainings end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from ecoautoml.strategies.energy_first.problem import Prices, Seen

MOST = 0.6
"""Share of what is spent that first looks get, where they rank candidates as their ends do."""
USUAL, WEIGHT = 0.8, 5
"""Rank correlation of first looks with ends that is supposed at first, as if seen so often."""


def agreement(seen: Sequence[Seen], last: int) -> float:
    """Return how well first looks rank trainings that have ended, within [0, 1].

    It is Spearman's rank correlation of the first score's errors, drawn towards what is usual while
    there are few trainings. Those that ended were chosen by their first looks: that makes it lower.

    Args:
        seen: Candidates that were begun.
        last: Number of the last rung.
    """
    pairs = [(one.errors[0][0], one.errors[last][0]) for one in seen if len(one.errors) > last > 0]
    if len(pairs) < 2:
        return USUAL
    ranks = rankdata(np.array(pairs), axis=0)
    centred, deviations = ranks - ranks.mean(axis=0), ranks.std(axis=0)
    found = 0.0
    if deviations.all():
        found = float((centred / deviations).prod(axis=1).mean())
    n = len(pairs)
    return max(0.0, (n * found + WEIGHT * USUAL) / (n + WEIGHT))


def looks_are_due(
    seen: Sequence[Seen], shares: Sequence[float], prices: Prices, *, is_resumed: bool
) -> bool:
    """Return whether first looks have got less than their share of what was spent.

    Args:
        seen: Candidates that were begun.
        shares: Share of a full training at each rung.
        prices: What comes on top of training, in mean full trainings.
        is_resumed: Whether a longer training goes on where the shorter one ended.
    """
    last = len(shares) - 1
    if last == 0:
        return False
    known = [one.price for one in seen if one.price]
    mean = math.fsum(known) / len(known) if known else 1.0
    looks = later = 0.0
    for one in (each for each in seen if each.number >= 0):  # not those of an earlier run
        price = (one.price or mean) / mean
        reached = len(one.errors)
        if reached:
            looks += price * shares[0] + prices.begin
        if reached > 1:
            paid = shares[reached - 1] - shares[0] if is_resumed else sum(shares[1:reached])
            later += price * paid
        if reached > last:
            later += prices.end
    return looks < MOST * agreement(seen, last) * (looks + later)
