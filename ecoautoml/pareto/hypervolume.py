"""How much of the space up to a reference a front covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecoautoml.pareto.front import Losses, as_matrix, non_dominated_mask


def hypervolume(losses: Losses, reference: NDArray[np.float64]) -> float:
    """Return the exact volume dominated by the points and bounded by the reference.

    Points that are not better than the reference in every objective, and rows with NaN, are
    ignored. Two objectives cost O(n log n); more are exact too, meant for fronts of up to about a
    hundred points.

    Args:
        losses: Shape ``(n_points, n_objectives)``; smaller is better. Need not be a front.
        reference: Shape ``(n_objectives,)``.

    Raises:
        ValueError: The shapes do not fit, or there are no objectives.
    """
    points = as_matrix(losses)
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != (points.shape[1],) or not len(corner):
        raise ValueError(
            f"reference must have the shape ({points.shape[1]},) and at least one objective, "
            f"not {corner.shape}"
        )
    inside = points[(points < corner).all(axis=1)]
    return _volume(_front(inside), corner)


def _front(points: Losses) -> Losses:
    """Return the non-dominated points, each once, sorted by the first objective."""
    unique: Losses = np.unique(points, axis=0)
    return unique[non_dominated_mask(unique)]


def _volume(front: Losses, corner: NDArray[np.float64]) -> float:
    """Return the volume of a sorted front without duplicates, all of it below the corner."""
    if not len(front):
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - front[0, 0])
    if len(corner) == 2:
        return _area(front, corner)
    # Exclusive volumes: what each point covers that the points after it do not. Those, moved
    # behind the point, overlap its box in exactly that part (While, Bradstreet & Barone 2012).
    total = 0.0
    for index, point in enumerate(front):
        behind = np.maximum(front[index + 1 :], point)
        total += float(np.prod(corner - point)) - _volume(_front(behind), corner)
    return total


def _area(front: Losses, corner: NDArray[np.float64]) -> float:
    """Return the area of a front of two objectives: one strip per point, left to right."""
    tops = np.concatenate(([corner[1]], front[:-1, 1]))
    return float(np.sum((corner[0] - front[:, 0]) * (tops - front[:, 1])))
