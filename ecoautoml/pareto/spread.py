"""In which order to take points so that few of them cover all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecoautoml.pareto.front import Losses, as_matrix


def farthest_first(points: Losses, priority: ArrayLike) -> NDArray[np.int64]:
    """Return an order in which each point is the one farthest from those before it.

    However many are taken from its beginning, they are spread as evenly as within a factor of two
    is possible (Gonzalez 1985, doi 10.1016/0304-3975(85)90224-5): an eps-net of the points. The
    order of the rows does not matter.

    Args:
        points: Shape ``(n_points, n_objectives)``, scaled so that distances mean something (see
            `ecoautoml.pareto.scale.to_unit_range`); no NaN.
        priority: Shape ``(n_points,)``: the point with the lowest is first, and of equally distant
            ones it comes earlier.

    Raises:
        ValueError: ``points`` has another number of dimensions.
    """
    rest = as_matrix(points)
    numbers = np.argsort(np.asarray(priority), kind="stable")
    rest = rest[numbers]
    order: list[int] = []
    distances = np.full(len(rest), np.inf)
    while len(order) < len(rest):
        last = int(np.argmax(distances))  # the first of equals, which has the lowest priority
        order.append(last)
        distances = np.minimum(distances, np.linalg.norm(rest - rest[last], axis=1))
        distances[order] = -1.0
    return np.asarray(numbers[order], dtype=np.int64)


def crowding_distance(losses: Losses) -> NDArray[np.float64]:
    """Return how lonely each point of a front is, shape ``(n_points,)``.

    In each objective, the gap between a point's neighbours as a share of the range, summed over
    the objectives; infinite for the extremes (Deb et al. 2002, doi 10.1109/4235.996017).

    Args:
        losses: Points of one front, shape ``(n_points, n_objectives)``; no NaN.

    Raises:
        ValueError: ``losses`` has another number of dimensions.
    """
    points = as_matrix(losses)
    distances = np.zeros(len(points))
    for column in points.T if len(points) else ():
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        span = ordered[-1] - ordered[0]
        distances[order[[0, -1]]] = np.inf
        if span > 0:
            distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / span
    return distances
