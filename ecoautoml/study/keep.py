"""Which trained models stay on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecoautoml.pareto.front import non_dominated_mask
from ecoautoml.records.columns import METRICS
from ecoautoml.records.trial_result import TrialResult, TrialState


def front_numbers(results: Sequence[TrialResult], objectives: Sequence[str]) -> set[int]:
    """Return the trials on the front of the complete, feasible ones."""
    complete = [
        result
        for result in results
        if result.state is TrialState.COMPLETE
        and all(name in result.metrics for name in objectives)
    ]
    if not complete:
        return set()
    losses = np.array(
        [[METRICS[name].loss(result.metrics[name]) for name in objectives] for result in complete]
    )
    mask = non_dominated_mask(losses)
    return {result.number for result, is_on in zip(complete, mask, strict=True) if is_on}


def discard_models(
    folder: Path, results: Sequence[TrialResult], objectives: Sequence[str], keep: str
) -> None:
    """Delete the models of finished trials that are not wanted.

    A dominated model never comes back to the front, so it is deleted at once.

    Args:
        folder: Holds one folder per trial.
        results: Finished trials; other trials' folders are left alone.
        objectives: Column names.
        keep: "front" or "all" (every complete trial).
    """
    if keep == "all":
        wanted = {r.number for r in results if r.state is TrialState.COMPLETE}
    else:
        wanted = front_numbers(results, objectives)
    for result in results:
        model = folder / f"trial_{result.number:04d}"
        if result.number not in wanted and model.is_dir():
            shutil.rmtree(model)
