"""Trials with several losses, put into one order: which of them go on first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecoautoml.pareto.front import Losses, as_matrix, non_domination_rank
from ecoautoml.pareto.scale import to_unit_range
from ecoautoml.pareto.spread import crowding_distance, farthest_first

Order = NDArray[np.int64]


def ranked(losses: Losses, kind: str, chance: ArrayLike) -> Order:
    """Return the rows, the best first.

    Fronts come one after the other: what nobody beats, what nobody beats among the rest, and so
    on. Within a front

    - "eps-net" takes one by chance, and then always the one farthest from those taken, so that
      those that come first cover the whole front (Schmucker et al. 2021, arXiv 2106.12639);
    - "non-dominated" takes the loneliest first, the extremes before all: the crowding distance of
      NSGA-II (Deb et al. 2002, doi 10.1109/4235.996017). Equal ones come by chance.

    A loss that is known of nobody is left out. Rows with another unknown loss come last.

    Args:
        losses: Shape ``(n_trials, n_objectives)``; smaller is better, NaN is unknown. Distances
            are taken with each loss scaled to the range it has here, so energy and its like belong
            on a log scale.
        kind: One of `RANKINGS`.
        chance: Shape ``(n_trials,)``: the lower, the earlier where chance decides. Belongs to the
            trial and not to its row, so that the order of the rows does not matter.

    Raises:
        ValueError: ``losses`` has another number of dimensions.
        KeyError: There is no such kind.
    """
    within, priority = RANKINGS[kind], np.asarray(chance)
    points = as_matrix(losses)
    points = points[:, ~np.isnan(points).all(axis=0)] if len(points) else points
    ranks = non_domination_rank(points)
    known, unknown = np.flatnonzero(ranks >= 0), np.flatnonzero(ranks < 0)
    scaled = np.full_like(points, np.nan)
    if len(known):
        scaled[known] = to_unit_range(points[known])
    fronts = (np.flatnonzero(ranks == rank) for rank in range(ranks.max(initial=-1) + 1))
    parts = [front[within(scaled[front], priority[front])] for front in fronts]
    return np.concatenate([*parts, unknown[np.argsort(priority[unknown], kind="stable")]])


def _loneliest_first(front: Losses, priority: NDArray[np.generic]) -> Order:
    return np.lexsort((priority, -crowding_distance(front)))


RANKINGS: dict[str, Callable[[Losses, NDArray[np.generic]], Order]] = {
    "eps-net": farthest_first,
    "non-dominated": _loneliest_first,
}
"""By name: which rows of a front come first, given their scaled losses and their chance."""
