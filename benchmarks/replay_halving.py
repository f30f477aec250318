"""Multi-objective asynchronous successive halving, after its paper."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from replay_clock import Method, Replay


def moasha(reduction: int) -> Method:
    """Return MO-ASHA (Schmucker et al. 2021, arXiv 2106.12639).

    Rungs are ``reduction`` times as long as the one before, as nearly as the table has them. A free
    worker promotes a candidate that is among the best 1/reduction of its rung and was not promoted
    yet, from the highest rung that has one; else another random candidate begins. The best are
    those of a non-dominated sort, and within a front those of an eps-net: always the farthest from
    the ones before it comes next.

    Args:
        reduction: Of how many candidates one goes on.
    """

    def run(replay: Replay) -> None:
        fresh = iter(
            np.random.default_rng(replay.seed).permutation(len(replay.table.candidates)).tolist()
        )
        levels = rung_levels(replay.table.shares, reduction)
        rungs: list[dict[int, float]] = [{} for _ in levels]
        while not replay.is_over:
            with replay.thinking():
                found = promotion(replay, rungs, reduction)
            replay.proposals += 1
            if found is None:
                row = next(fresh, None)
                # with nothing left to begin, the rest is promoted in the same order
                found = (row, 0) if row is not None else promotion(replay, rungs, 1)
            if found is None:
                return
            row, rung = found
            rungs[rung][row] = replay.train(row, levels[rung])

    return run


def rung_levels(shares: tuple[float, ...], reduction: int) -> list[int]:
    """Return the fidelities that are rungs: each as nearly ``reduction`` times the one before."""
    levels, last = [0], len(shares) - 1
    while levels[-1] < last:
        aim = math.log(shares[levels[-1]] * reduction)
        above = range(levels[-1] + 1, last + 1)
        levels.append(min(above, key=lambda level: abs(math.log(shares[level]) - aim)))
    return levels


def promotion(
    replay: Replay, rungs: list[dict[int, float]], reduction: int
) -> tuple[int, int] | None:
    """Return a candidate that may go on, and to which rung; None: no one may."""
    for number in reversed(range(len(rungs) - 1)):
        rung, above = rungs[number], rungs[number + 1]
        n_best = len(rung) // reduction
        if not n_best:
            continue
        rows = list(rung)
        energies = [replay.energy(row) for row in rows]
        losses = np.stack([list(rung.values()), np.log(energies)], axis=1)
        for place in eps_net_order(losses, n_best):
            if rows[place] not in above:
                return rows[place], number + 1
    return None


def eps_net_order(losses: NDArray[np.float64], n: int) -> list[int]:
    """Return the best n of points with two losses, front by front.

    Within a front, always the farthest from those before it comes next (Clarkson 2006, on nearest
    neighbours and metric space dimensions), each loss scaled to its range.
    """
    span = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    left = np.lexsort((losses[:, 1], losses[:, 0]))
    order: list[int] = []
    while len(order) < n:
        second = losses[left, 1]
        is_on = second < np.minimum.accumulate(np.concatenate([[np.inf], second[:-1]]))
        order += _spread(left[is_on], scaled)[: n - len(order)]
        left = left[~is_on]
    return order


def _spread(members: NDArray[np.int64], scaled: NDArray[np.float64]) -> list[int]:
    points = scaled[members]
    picked = [int(np.argmin(points.sum(axis=1)))]
    far = np.linalg.norm(points - points[picked[0]], axis=1)
    while len(picked) < len(members):
        far[picked] = -1.0
        picked.append(int(np.argmax(far)))
        far = np.minimum(far, np.linalg.norm(points - points[picked[-1]], axis=1))
    return [int(members[index]) for index in picked]
