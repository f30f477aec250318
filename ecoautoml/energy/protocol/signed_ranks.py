"""The middle of values that are scattered evenly about it, some of them far off."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Middle(NamedTuple):
    """An estimate and its interval."""

    low: float
    estimate: float
    high: float


def middle(values: Sequence[float], confidence: float) -> Middle | None:
    """Return the Hodges-Lehmann estimate with the interval of Wilcoxon's signed-rank test.

    The estimate is the median of the means of all pairs, each value with itself included; the
    interval is exact for any distribution that is symmetric about its middle, and hardly wider than
    Student's where that is the normal one (Hollander, Wolfe, Chicken, Nonparametric Statistical
    Methods, 3rd ed. 2014, sections 3.1 to 3.3).

    Args:
        values: At least 8 for a confidence of 0.99.
        confidence: Of the interval, in (0, 1).

    Returns:
        None when there are too few values for an interval of that confidence.
    """
    found = np.asarray(values, dtype=np.float64)
    rank = _rank(len(found), confidence)
    if rank is None:
        return None
    one, other = np.triu_indices(len(found))
    means = np.sort((found[one] + found[other]) / 2)
    return Middle(float(means[rank - 1]), float(np.median(means)), float(means[-rank]))


@functools.cache
def _rank(n: int, confidence: float) -> int | None:
    """Return which of the sorted means is the interval's lower end, counted from 1."""
    tail = np.cumsum(_null_distribution(n))
    rank = int(np.searchsorted(tail, (1 - confidence) / 2, side="right"))
    return rank if rank >= 1 else None


def _null_distribution(n: int) -> NDArray[np.float64]:
    """Return how likely each sum of positive ranks is when the middle is 0, from 0 upwards."""
    likely = np.zeros(n * (n + 1) // 2 + 1)
    likely[0] = 1.0
    for rank in range(1, n + 1):
        likely[rank:] = likely[rank:] + likely[:-rank]
        likely /= 2
    return likely
