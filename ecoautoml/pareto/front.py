"""Which points nobody beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]


def non_dominated_mask(losses: Losses) -> NDArray[np.bool_]:
    """Return which points are on the front, shape ``(n_points,)``.

    A point is dominated when another is no worse in every objective and better in one. Equal points
    of the front all stay on it. Rows with NaN are never on the front and dominate nothing.

    Args:
        losses: Shape ``(n_points, n_objectives)``; smaller is better.

    Raises:
        ValueError: ``losses`` has another number of dimensions.
    """
    points = as_matrix(losses)
    mask = np.zeros(len(points), dtype=np.bool_)
    known = np.flatnonzero(~np.isnan(points).any(axis=1))
    candidates = points[known]
    for index, point in zip(known, candidates, strict=True):
        no_worse = (candidates <= point).all(axis=1)
        better = (candidates < point).any(axis=1)
        mask[index] = not (no_worse & better).any()
    return mask


def non_domination_rank(losses: Losses) -> NDArray[np.int64]:
    """Return the front each point belongs to, shape ``(n_points,)``.

    0 is the front, 1 the front of what remains without it, and so on; -1 for rows with NaN.

    Args:
        losses: Shape ``(n_points, n_objectives)``; smaller is better.

    Raises:
        ValueError: ``losses`` has another number of dimensions.
    """
    points = as_matrix(losses)
    ranks = np.full(len(points), -1, dtype=np.int64)
    rest = np.flatnonzero(~np.isnan(points).any(axis=1))
    rank = 0
    while len(rest):
        mask = non_dominated_mask(points[rest])
        ranks[rest[mask]] = rank
        rest = rest[~mask]
        rank += 1
    return ranks


def as_matrix(losses: Losses) -> Losses:
    """Return ``losses`` as a float array of shape ``(n_points, n_objectives)``.

    Raises:
        ValueError: It has another number of dimensions.
    """
    points = np.asarray(losses, dtype=np.float64)
    if points.ndim != 2:
        raise ValueError(f"losses must have the shape (n_points, n_objectives), not {points.shape}")
    return points
