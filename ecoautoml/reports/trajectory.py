"""How good the front was after how many joules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ecoautoml.pareto.front import Losses
from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.pareto.scale import reference_point
from ecoautoml.records.energy_reading import EnergyLine, Provenance, total_billed_j
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.reports.frame import objective_losses, trials_frame
from ecoautoml.reports.summary import RunSummary


class TrajectoryPoint(NamedTuple):
    """The run right after one trial.

    Attributes:
        trial: Trial number.
        state: How the trial ended.
        energy_j: Joules spent by then, of all trials so far and their share of the overhead.
        hypervolume: Of the front by then, against the final reference, costs on the log10 scale.
        share: The same as a share of its final value, within [0, 1].
    """

    trial: int
    state: str
    energy_j: float
    hypervolume: float
    share: float


class Trajectory(NamedTuple):
    """A run over its joules.

    Attributes:
        points: One per trial, in the order given.
        provenances: Every provenance among the joules, strong to weak; empty when none are known.
    """

    points: tuple[TrajectoryPoint, ...]
    provenances: tuple[Provenance, ...]


def trajectory(results: Sequence[TrialResult], summary: RunSummary) -> Trajectory:
    """Return the hypervolume as a function of the joules spent.

    The reference is the worst of each objective among the finished trials plus a margin, or the
    worst of use where that was given, the same at every point. Pruned, infeasible, failed and
    interrupted trials add joules only. The overhead of the search and the idle power have no time
    stamps and are spread evenly over the trials. Unknown joules count 0.

    Args:
        results: Trials in the order in which they ended.
        summary: The run's objectives, overhead and interrupted attempts.
    """
    losses = _losses_by_trial(results, summary)
    final = np.array(list(losses.values())).reshape(-1, len(summary.objectives))
    reference, final_volume = _bounds(final, summary)
    beside = (*summary.overhead, *summary.idle)
    beside_j = (total_billed_j(beside) or 0.0) / max(len(results), 1)
    spent_j, volume = 0.0, 0.0
    seen: list[Losses] = []
    points = []
    for result in results:
        spent_j += beside_j + (total_billed_j(_lines(result, summary)) or 0.0)
        if result.number in losses:
            seen.append(losses[result.number])
            volume = hypervolume(np.array(seen), reference)
        share = volume / final_volume if final_volume > 0 else 0.0
        points.append(
            TrajectoryPoint(result.number, result.state.value, spent_j, volume, min(share, 1.0))
        )
    lines = [line for result in results for line in _lines(result, summary)]
    seen_kinds = {line.provenance for line in (*lines, *beside)}
    return Trajectory(tuple(points), tuple(kind for kind in Provenance if kind in seen_kinds))


def _losses_by_trial(results: Sequence[TrialResult], summary: RunSummary) -> dict[int, Losses]:
    """Return the losses of the complete trials whose objectives are all known."""
    frame = trials_frame(results, summary)
    complete = frame[(frame["state"] == TrialState.COMPLETE.value).to_numpy(dtype=bool)]
    losses = objective_losses(complete, summary.objectives, is_logged=True)
    return {
        int(trial): row
        for trial, row in zip(complete["trial"], losses, strict=True)
        if np.isfinite(row).all()
    }


def _bounds(final: Losses, summary: RunSummary) -> tuple[Losses, float]:
    """Return the reference, and the volume within; one that leaves nothing is not taken."""
    row = summary.prefer.reference_row(summary.objectives)
    worst = pd.DataFrame([row], columns=list(summary.objectives))
    given = objective_losses(worst, summary.objectives, is_logged=True)[0]
    for reference in (reference_point(final, given=given), reference_point(final)):
        volume = hypervolume(final, reference) if len(final) else 0.0
        if volume > 0:
            break
    return reference, volume


def _lines(result: TrialResult, summary: RunSummary) -> list[EnergyLine]:
    """Return what was spent for a trial, with its interrupted attempts."""
    interrupted = summary.interrupted.get(result.number)
    is_free = result.state is TrialState.REUSED or (
        # The summary's line covers all attempts of a trial that never finished.
        result.state is TrialState.INTERRUPTED and interrupted is not None
    )
    own = [] if is_free else list(result.energy)
    return [*own, *([interrupted] if interrupted else [])]
