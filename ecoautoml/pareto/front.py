"""Which points nobody beats."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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
    left = known[np.lexsort(points[known].T)]
    columns = np.ascontiguousarray(points[left].T)
    while len(left):  # in this order nobody beats the first of those left
        first = columns[:, :1]
        mask[left[(columns == first).all(axis=0)]] = True
        is_better_somewhere = (columns < first).any(axis=0)
        left, columns = left[is_better_somewhere], columns[:, is_better_somewhere]
    return mask


def front_mask(
    losses: Losses, column: int | None, ties: Mapping[int, Collection[int]]
) -> NDArray[np.bool_]:
    """Return the front when values of one objective cannot always be told apart.

    Being lower by less than can be told is no merit: a point is off the front when another that
    stays on it is no worse in every other objective and ties with it, or is lower, in this one. Of
    points that nothing tells apart the lowest stays. "Tied" is not transitive (a may tie with b,
    and b with c, when a and c differ), so points are judged from the best in the others down,
    against those that stay: whatever goes has somebody left who stands for it.

    Args:
        losses: Shape ``(n_points, n_objectives)``; smaller is better, NaN is never on the front.
        column: The objective in question; None: there is none.
        ties: Names of the points, in order of the rows; for each the names of those it ties with.

    Raises:
        ValueError: ``losses`` has another number of dimensions.
    """
    if column is None or not any(ties.values()):
        return non_dominated_mask(losses)
    points = as_matrix(losses)
    is_tied = np.array([[other in ties[one] for other in ties] for one in ties])
    others = np.delete(points, column, axis=1)
    mask = np.zeros(len(points), dtype=np.bool_)
    known = np.flatnonzero(~np.isnan(points).any(axis=1))
    for index in sorted(known, key=lambda i: (*others[i], points[i, column])):
        kept = np.flatnonzero(mask)
        no_worse = (others[kept] <= others[index]).all(axis=1)
        no_more = is_tied[kept, index] | (points[kept, column] <= points[index, column])
        mask[index] = not (no_worse & no_more).any()
    return mask


def non_domination_rank(losses: Losses) -> NDArray[np.int64]:
    """Return the front each point belongs to, shape ``(n_points,)``.

    0 is the front, 1 the front of what remains without it, and so on; -1 for rows with NaN. Takes
    time and memory in proportion to ``n_points`` squared, whatever the number of fronts.

    Args:
        losses: Shape ``(n_points, n_objectives)``; smaller is better.

    Raises:
        ValueError: ``losses`` has another number of dimensions.
    """
    points = as_matrix(losses)
    ranks = np.full(len(points), -1, dtype=np.int64)
    rest = np.flatnonzero(~np.isnan(points).any(axis=1))
    is_beaten_by = _is_beaten_by(points[rest])
    n_beating = is_beaten_by.sum(axis=1)
    rank = 0
    while (is_front := n_beating == 0).any():
        ranks[rest[is_front]] = rank
        n_beating -= is_beaten_by[:, is_front].sum(axis=1)
        n_beating[is_front] = -1
        rank += 1
    return ranks


def _is_beaten_by(points: Losses) -> NDArray[np.bool_]:
    """Return who dominates whom, shape ``(n_points, n_points)``; entry [i, j]: j dominates i."""
    is_no_worse = np.ones((len(points), len(points)), dtype=np.bool_)
    for column in points.T:
        is_no_worse &= column[None, :] <= column[:, None]
    return np.asarray(is_no_worse & ~is_no_worse.T)


def as_matrix(losses: Losses) -> Losses:
    """Return ``losses`` as a float array of shape ``(n_points, n_objectives)``.

    Raises:
        ValueError: It has another number of dimensions.
    """
    points = np.asarray(losses, dtype=np.float64)
    if points.ndim != 2:
        raise ValueError(f"losses must have the shape (n_points, n_objectives), not {points.shape}")
    return points
