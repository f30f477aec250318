"""Which trials are on the front, and the hypervolume below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ecoautoml.pareto.front import front_mask, non_dominated_mask
from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.pareto.scale import as_losses, reference_point
from ecoautoml.records.columns import METRICS, column_with_ties
from ecoautoml.records.trial_result import TrialResult, TrialState


class Standing(NamedTuple):
    """Number of models on the front, and the share of the objective space it dominates.

    ``hypervolume`` is relative to the box between the best and the worst value of each objective
    so far (costs on a log scale), so it lies within [0, 1]; None until the box has a volume.
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


def front_numbers(results: Sequence[TrialResult], objectives: Sequence[str]) -> set[int]:
    """Return the trials on the front; once some were measured in turn, it is among those.

    Of models whose joules then tied, those that are worse in the rest are not on it.
    """
    found = comparable(results, objectives)
    found = [one for one in found if one.final is not None] or found
    if not found:
        return set()
    losses = np.array(
        [[METRICS[name].loss(one.metrics[name]) for name in objectives] for one in found]
    )
    ties = {one.number: one.ties_with for one in found}
    mask = front_mask(losses, column_with_ties(objectives), ties)
    return {result.number for result, is_on in zip(found, mask, strict=True) if is_on}


def standing(results: Sequence[TrialResult], objectives: Sequence[str]) -> Standing:
    """Return the standing after these trials."""
    found = comparable(results, objectives)
    if not found:
        return Standing(0, None)
    metrics = [METRICS[name] for name in objectives]
    values = np.array([[one.metrics[name] for name in objectives] for one in found])
    costs = [index for index, metric in enumerate(metrics) if not metric.is_score]
    losses = as_losses(values, [metric.direction for metric in metrics], costs)
    reference = reference_point(losses)
    box = math.prod(reference - losses.min(axis=0))
    mask = non_dominated_mask(losses)
    volume = hypervolume(losses[mask], reference) / box if box > 0 else None
    return Standing(len(np.unique(losses[mask], axis=0)), volume)
