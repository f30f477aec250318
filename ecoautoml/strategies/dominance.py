"""Stop a trial once a cheaper finished model has a score that it cannot plausibly reach.

A trial's costs (energy, latency, size) are known from its probe; only its scores are open. Each
finished trial tells by how much the error still fell between a share of its training and its end.
The most favourable of these falls, applied to the running trial's error, gives an optimistic
forecast. When even that forecast is worse than what some finished model with no higher cost has,
in every score, the trial cannot join the front and is stopped.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from ecoautoml.records.columns import METRICS
from ecoautoml.records.progress import CONTINUE, Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History, Pruner, Running

SMALLEST_ERROR = 1e-4
"""Errors are compared by ratio; below this they are rounding of the validation set."""


class DominancePruner(Pruner):
    """See the module's text.

    Args:
        objectives: Objectives of the search, by column name.
        warmup_fraction: Share of a trial's epochs during which it is never stopped.
        min_curves: Finished curves needed before anything is stopped.
        margin: How far the forecast may stay below the rival's score without a stop.
    """

    def __init__(
        self,
        *,
        objectives: Sequence[str],
        warmup_fraction: float,
        min_curves: int,
        margin: float,
    ) -> None:
        self._scores = [name for name in objectives if METRICS[name].is_score]
        self._costs = [name for name in objectives if not METRICS[name].is_score]
        self._warmup_fraction, self._min_curves = warmup_fraction, min_curves
        self._margin = margin

    def decide(self, trial: Running, history: History) -> Decision:
        """Return PRUNE with the rival's number, or CONTINUE."""
        now, finished = trial.curve[-1], history.finished
        share = now.epoch / max(1, now.epochs)
        if now.epoch == 0 or now.epoch >= now.epochs or share <= self._warmup_fraction:
            return CONTINUE
        models = [result for result in finished if result.state is TrialState.COMPLETE]
        forecast = self._forecast(now, share, models)
        if forecast is None:
            return CONTINUE
        for rival in models:
            if self._is_beaten(forecast, now.metrics, rival.metrics):
                return Decision(action=Action.PRUNE, reason=self._reason(now, forecast, rival))
        return CONTINUE

    def _forecast(
        self, now: Progress, share: float, models: Sequence[TrialResult]
    ) -> dict[str, float] | None:
        """Return optimistic final scores, None when too few curves are known."""
        forecast = {}
        for name in self._scores:
            falls = [
                fall
                for model in models
                if (fall := _remaining_fall(model, name, share)) is not None
            ]
            if len(falls) < self._min_curves:
                return None
            best_so_far = now.metrics[name]
            forecast[name] = 1.0 - max(1.0 - best_so_far, SMALLEST_ERROR) * min(1.0, *falls)
        return forecast

    def _is_beaten(
        self,
        forecast: Mapping[str, float],
        costs: Mapping[str, float],
        rival: Mapping[str, float],
    ) -> bool:
        # a cost still growing (training energy) can only get worse, so its present value is fair
        is_no_dearer = all(
            name in costs and name in rival and rival[name] <= costs[name] for name in self._costs
        )
        return is_no_dearer and all(
            forecast[name] + self._margin < rival.get(name, 0.0) for name in self._scores
        )

    def _reason(self, now: Progress, forecast: Mapping[str, float], rival: TrialResult) -> str:
        name = self._scores[0]
        return (
            f"after epoch {now.epoch} of {now.epochs} at best {forecast[name]:.4f} "
            f"{name} to come; trial {rival.number} has {rival.metrics[name]:.4f} for no more cost"
        )


def _remaining_fall(model: TrialResult, name: str, share: float) -> float | None:
    """Return final error ÷ error at that share of the training, for one finished trial."""
    points = [
        (report.epoch / max(1, report.epochs), 1.0 - report.metrics[name])
        for report in model.curve
        if report.epoch > 0 and name in report.metrics
    ]
    if len(points) < 2 or name not in model.metrics:
        return None
    final = max(1.0 - model.metrics[name], SMALLEST_ERROR)
    return final / max(_error_at(points, share), SMALLEST_ERROR)


def _error_at(points: Sequence[tuple[float, float]], share: float) -> float:
    """Return the error at a share of the training, interpolated between epochs."""
    shares = [point[0] for point in points]
    after = bisect.bisect_left(shares, share)
    if after == 0:
        return points[0][1]
    if after == len(points):
        return points[-1][1]
    (left, error_left), (right, error_right) = points[after - 1], points[after]
    weight = (share - left) / (right - left)
    return error_left + weight * (error_right - error_left)
