"""Which trained models stay on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from ecoautoml.config.models import SearchConfig
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.study.finalists import finalists


def discard_paused(
    folder: Path, results: Sequence[TrialResult], paused: Sequence[TrialResult]
) -> None:
    """Delete the checkpoints of finished trials, and those of paused ones but for the last.

    Args:
        folder: Holds a file for each epoch after which a training was paused, named as in
            `ecoautoml.trial.pausing`.
        results: Finished trials.
        paused: Paused trials that do not run now; other trials' checkpoints are left alone.
    """
    wanted = {one.number: one.epochs for one in paused} | {one.number: 0 for one in results}
    for file in folder.glob("trial_*_epoch_*.pt*"):
        _, number, _, epoch = file.name.partition(".")[0].split("_")
        if int(epoch) != wanted.get(int(number), int(epoch)):
            file.unlink()


def discard_models(
    folder: Path,
    results: Sequence[TrialResult],
    config: SearchConfig,
    lost: Set[int],
    needed: Set[int] = frozenset(),
) -> None:
    """Delete the models of finished trials that are not wanted.

    A model that is surely dominated never comes back to the front, so it is deleted at once; one
    that is dominated by less than its joules are uncertain waits for the last measuring.

    Args:
        folder: Holds one folder per trial.
        results: Finished trials; other trials' folders are left alone.
        config: Names the objectives, and whether all models are kept.
        lost: Trials that were measured in turn and are not on the front.
        needed: Trials whose trained networks are still to be varied.
    """
    if config.keep_models == "all":
        wanted = {r.number for r in results if r.state is TrialState.COMPLETE}
    else:
        wanted = finalists(results, config.objectives, lost, config.prefer)
    for result in results:
        model = folder / f"trial_{result.number:04d}"
        if result.number not in wanted | needed and model.is_dir():
            shutil.rmtree(model)
