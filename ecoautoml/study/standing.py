"""Which trials are on the front, and the hypervolume below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ecoautoml.config.preferences import NOTHING, Prefer
from ecoautoml.pareto.front import front_mask, non_dominated_mask
from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.pareto.scale import as_losses, reference_point
from ecoautoml.records.columns import METRICS, column_with_ties
from ecoautoml.records.trial_result import TrialResult, TrialState


class Standing(NamedTuple):
    """Number of models on the front, and the share of the objective space it dominates.

    ``hypervolume`` is relative to the box between the best and the worst value of each objective
    so far, or the worst of use (costs on a log scale), so it lies within [0, 1]; None until the box
    has a volume.
    """

    front_size: int
    hypervolume: float | None


def comparable(results: Sequence[TrialResult], objectives: Sequence[str]) -> list[TrialResult]:
    """Return the trials that can be on a front: complete, feasible, every objective known."""
    return [
        result
        for result in results
        if result.state is TrialState.COMPLETE
        and result.is_feasible
        and all(name in result.metrics for name in objectives)
    ]


def of_use(results: Sequence[TrialResult], prefer: Prefer) -> list[TrialResult]:
    """Return the trials within the reference; all of them where none is."""
    return [one for one in results if prefer.is_within(one.metrics)] or list(results)


def front_numbers(
    results: Sequence[TrialResult], objectives: Sequence[str], prefer: Prefer = NOTHING
) -> set[int]:
    """Return the trials on the front; once some were measured in turn, it is among those.

    Of models whose joules then tied, those that are worse in the rest are not on it. Those beyond
    the reference are on it only when no other is left.
    """
    found = comparable(results, objectives)
    found = of_use([one for one in found if one.final is not None] or found, prefer)
    if not found:
        return set()
    losses = np.array(
        [[METRICS[name].loss(one.metrics[name]) for name in objectives] for one in found]
    )
    ties = {one.number: one.ties_with for one in found}
    mask = front_mask(losses, column_with_ties(objectives), ties)
    return {result.number for result, is_on in zip(found, mask, strict=True) if is_on}


def standing(
    results: Sequence[TrialResult], objectives: Sequence[str], prefer: Prefer = NOTHING
) -> Standing:
    """Return the standing after these trials."""
    found = of_use(comparable(results, objectives), prefer)
    if not found:
        return Standing(0, None)
    metrics = [METRICS[name] for name in objectives]
    values = np.array([[one.metrics[name] for name in objectives] for one in found])
    costs = [index for index, metric in enumerate(metrics) if not metric.is_score]
    directions = [metric.direction for metric in metrics]
    losses = as_losses(values, directions, costs)
    given = as_losses([prefer.reference_row(objectives)], directions, costs)[0]
    reference = reference_point(losses, given=given)
    box = math.prod(np.maximum(reference - losses.min(axis=0), 0.0))
    mask = non_dominated_mask(losses)
    volume = hypervolume(losses[mask], reference) / box if box > 0 else None
    return Standing(len(np.unique(losses[mask], axis=0)), volume)
