"""What candidates will cost, learnt from those whose costs are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecoautoml.strategies.energy_first.memory import Memory
from ecoautoml.strategies.energy_first.process import Kernel, Points

Array = NDArray[np.float64]
PRIOR = Kernel(log=np.log([0.15, 0.5, 0.3, 2.0, 1.0, 0.01]))
"""Log costs go mostly with the logarithms of what is counted beforehand."""


def forecast_costs(
    name: str,
    memory: Memory,
    points: Points,
    known: Sequence[Sequence[float | None]],
    n_learn: int,
) -> tuple[Array, Array]:
    """Return mean and variance of candidates' log costs; those that are known have no variance.

    Args:
        name: What kind of costs, for the memory.
        memory: Keeps kernel parameters.
        points: ``n`` candidates.
        known: Their costs, above 0, ``(n, n_costs)``; None where unknown.
        n_learn: How many of the first are learnt from.

    Returns:
        ``(n, n_costs)`` each.
    """
    n, n_costs = len(points), len(known[0]) if known else 0
    mean, variance = np.zeros((n, n_costs)), np.ones((n, n_costs))
    for cost in range(n_costs):
        logs = np.array([math.log(one[cost] or math.nan) for one in known])
        is_known = np.isfinite(logs)
        learnt = np.flatnonzero(is_known[:n_learn])
        if len(learnt) and not is_known.all():
            these = points.rows(learnt)
            process = memory.fit(f"{name} {cost}", these, logs[learnt], PRIOR, least=4)
            mean[:, cost], variance[:, cost] = process.predict(points)
        mean[is_known, cost], variance[is_known, cost] = logs[is_known], 0.0
    return mean, variance
