"""Where a front bends: the point after which a little more costs a lot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecoautoml.pareto.front import Losses, as_matrix
from ecoautoml.pareto.scale import to_unit_range

_FLAT = 1e-9
"""Depth below the line, as a share of the range, under which a front counts as straight."""


def knee_index(losses: Losses, weights: Sequence[float] | None = None) -> int:
    """Return the row of the knee of a front.

    Each objective is first scaled to [0, 1] over the front. With two objectives it is the point
    farthest below the line through the two extremes; with any other number, or when no point lies
    below that line, it is the point nearest the ideal (the best of every objective). The first row
    wins a tie.

    Weights tilt the line, and stretch the distances: with 2 and 1, a step along the first
    objective's range must be paid with two along the second's.

    Args:
        losses: Points of a front, shape ``(n_points, n_objectives)``, already on the scale on which
            a step should count the same everywhere (log10 for energy). Rows with NaN never win.
        weights: Above 0, ``(n_objectives,)``; None: all alike.

    Raises:
        ValueError: There is no row without NaN.
    """
    points = as_matrix(losses)
    stretch = np.ones(points.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not len(known):
        raise ValueError("a knee needs at least one point without unknown objectives")
    if len(known) == 1:
        return int(known[0])
    scaled = to_unit_range(points[known])
    if scaled.shape[1] == 2 and _depths_below_line(scaled, np.ones(2)).max() > _FLAT:
        return int(known[np.argmax(_depths_below_line(scaled, stretch))])
    distances = np.linalg.norm(scaled * stretch, axis=1)
    return int(known[np.flatnonzero(distances <= distances.min() + _FLAT)[0]])


def _depths_below_line(scaled: Losses, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each point lies on the ideal's side of the line through the extremes.

    Weights tilt that line about the first extreme.
    """
    first = scaled[np.lexsort((scaled[:, 1], scaled[:, 0]))[0]]
    second = scaled[np.lexsort((scaled[:, 0], scaled[:, 1]))[0]]
    direction = second - first
    length = float(np.hypot(direction[0], direction[1]))
    if length == 0.0:
        return np.zeros(len(scaled))
    offset = (scaled - first) * weights
    return np.asarray((direction[1] * offset[:, 0] - direction[0] * offset[:, 1]) / length)
