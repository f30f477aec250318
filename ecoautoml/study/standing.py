"""How far a search has come: the size of its front and the hypervolume below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ecoautoml.pareto.front import non_dominated_mask
from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.pareto.scale import as_losses, reference_point
from ecoautoml.records.columns import METRICS
from ecoautoml.records.trial_result import TrialResult, TrialState


class Standing(NamedTuple):
    """Number of models on the front, and the share of the objective space it dominates.

    ``hypervolume`` is relative to the box between the best and the worst value of each objective
    so far (costs on a log scale), so it lies within [0, 1]; None until the box has a volume.
    """

    front_size: int
    hypervolume: float | None


def standing(results: Sequence[TrialResult], objectives: Sequence[str]) -> Standing:
    """Return the standing after these trials."""
    values = [
        [result.metrics[name] for name in objectives]
        for result in results
        if result.state is TrialState.COMPLETE
        and all(name in result.metrics for name in objectives)
    ]
    if not values:
        return Standing(0, None)
    metrics = [METRICS[name] for name in objectives]
    costs = [index for index, metric in enumerate(metrics) if not metric.is_score]
    losses = as_losses(np.array(values), [metric.direction for metric in metrics], costs)
    reference = reference_point(losses)
    box = math.prod(reference - losses.min(axis=0))
    mask = non_dominated_mask(losses)
    volume = hypervolume(losses[mask], reference) / box if box > 0 else None
    return Standing(len(np.unique(losses[mask], axis=0)), volume)
