"""Which trained models stay on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.study.standing import front_numbers


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
