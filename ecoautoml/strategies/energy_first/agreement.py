"""Whether first looks tell anything about how trainings end, on the search's own trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from ecoautoml.strategies.energy_first.problem import Seen

LEAST = 8
"""Trainings that must have ended before first looks are judged."""
TELLS = 0.5
"""Rank correlation of first looks with ends below which they are not worth their price."""
SURE = 0.8
"""How sure it must be that the correlation is lower."""
MOST = 1.0 - 1e-9
"""Correlation beyond which it is not told from 1."""


def looks_tell(seen: Sequence[Seen], last: int) -> bool:
    """Return whether first looks may tell enough about how trainings end.

    They do not once the upper bound of Spearman's rank correlation of the first score's errors is
    too low (with its variance by Fieller, Hartley and Pearson 1957, doi 10.1093/biomet/44.3-4.470).
    Those that ended were chosen by their first looks, which lowers the correlation; the bound
    leaves room for it.

    Args:
        seen: Candidates that were begun.
        last: Number of the last rung; 0: there are no first looks.
    """
    pairs = [(one.errors[0][0], one.errors[last][0]) for one in seen if len(one.errors) > last > 0]
    if len(pairs) < LEAST:
        return True
    ranks = rankdata(np.array(pairs), axis=0)
    if not ranks.std(axis=0).all():
        return True  # all alike: nothing can be told apart by other means either
    found = float(np.corrcoef(ranks.T)[0, 1])
    deviation = math.sqrt(1.06 / (len(pairs) - 3))
    bound = float(np.arctanh(np.clip(found, -MOST, MOST)) + ndtri(SURE) * deviation)
    return math.tanh(bound) >= TELLS


def ends_only(seen: Sequence[Seen], last: int) -> list[Seen]:
    """Return candidates as if only the end of a training had been looked at."""
    return [replace(one, errors=one.errors[last : last + 1]) for one in seen]
