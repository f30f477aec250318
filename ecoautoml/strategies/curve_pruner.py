"""Stop a trial once it is unlikely to join the front, with a stated and measured risk.

A trial's costs are known before training, so what it must beat is known too: the finished models
that cost no more. How its errors will end is forecast from its own curve and those of the study
(`curve_model`). When the chance to beat every rival in some score falls below a threshold that
follows from the stated error rate (`calibration`), the trial is stopped, but for a random share of
those that would be: they run on, and show how many stops are wrong. Of the first few more run on,
as long as the study knows nothing but what was never to be stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecoautoml.records.columns import METRICS
from ecoautoml.records.progress import CONTINUE, Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History, Pruner, Running
from ecoautoml.strategies.calibration import Calibration, is_control
from ecoautoml.strategies.curve_model import (
    CurveModel,
    FinalError,
    LearningCurve,
    chance_to_join,
    doubted,
)
from ecoautoml.strategies.rivals import Aims, may_stop

LEAST_WHOLE = 6
"""Finished models before anything is stopped: with fewer it may stop all that could show that it is
wrong."""
_Key = tuple[tuple[int, int], ...]


class CurvePruner(Pruner):
    """See the module's text.

    Args:
        objectives: Objectives of the search, by column name.
        alpha: Share of the stopped trials that may be wrong, within (0, 1).
        control_share: Share of the trials that would be stopped that run on, within [0, 1]; of the
            first few, more: 1 / n of the n-th.
        seed: Seed of the search.
    """

    def __init__(
        self, *, objectives: Sequence[str], alpha: float, control_share: float, seed: int
    ) -> None:
        self._objectives, self._aims = tuple(objectives), Aims.of(objectives)
        self._alpha, self._control_share, self._seed = alpha, control_share, seed
        self._known: tuple[_Key, dict[str, CurveModel]] | None = None

    def decide(self, trial: Running, history: History) -> Decision:
        """Return PRUNE, or CONTINUE; withheld where the trial belongs to the control group."""
        if not trial.curve or not may_stop(trial.curve[-1], 0.0):
            return CONTINUE
        now, whole = trial.curve[-1], self._whole(history)
        rivals = self._aims.rivals(now.metrics, whole)
        if not rivals or len(whole) < LEAST_WHOLE:
            return CONTINUE
        calibration = calibrate(history.finished, self._objectives, self._alpha)
        threshold = calibration.threshold_at(now.epoch / now.epochs)
        if doubted(0.0, len(whole)) >= threshold:
            return CONTINUE
        forecasts = self._forecasts(trial, history)
        if forecasts is None:
            return CONTINUE
        errors = [[_error(one.metrics[name]) for name in self._aims.scores] for one in rivals]
        chance = doubted(chance_to_join(forecasts, errors), len(whole))
        if chance >= threshold:
            return CONTINUE
        best = max(one.metrics[self._aims.scores[0]] for one in rivals)
        is_watched = is_control(seed=self._seed, trial=trial.number, share=self._share_now(history))
        return Decision(
            action=Action.CONTINUE if is_watched else Action.PRUNE,
            reason=_reason(now, chance, best, self._aims.scores[0]),
            is_withheld=is_watched,
            figures={
                "chance_to_join": chance,
                "threshold": threshold,
                "score_to_beat": best,
                "forecast_score": 1.0 - forecasts[0].quantile(0.5),
                "forecast_score_low": 1.0 - forecasts[0].quantile(0.95),
                "forecast_score_high": 1.0 - forecasts[0].quantile(0.05),
            },
        )

    def _share_now(self, history: History) -> float:
        """Return the share of controls: of the first that would be stopped, more than later.

        Few models have finished by then, and those that are never stopped may all be alike.
        """
        n_before = sum(
            one.state is TrialState.PRUNED or one.would_have_stopped is not None
            for one in history.finished
        )
        n_before += sum(one.would_have_stopped is not None for one in history.running)
        first = 1 / (1 + n_before) if self._control_share else 0.0
        return max(self._control_share, first)

    def _whole(self, history: History) -> list[TrialResult]:
        """Return the models that a trial may be compared with."""
        scores = self._aims.scores
        return [
            one
            for one in history.finished
            if _is_whole(one) and all(name in one.metrics for name in scores)
        ]

    def _forecasts(self, trial: Running, history: History) -> list[FinalError] | None:
        """Return what each score's error will be; None where that cannot be told."""
        models = self._models(history)
        found = []
        for name in self._aims.scores:
            errors = _errors(trial.curve, name)
            if len(errors) != trial.epoch:
                return None
            forecast = models[name].final_error(errors, trial.curve[-1].epochs)
            if forecast is None:
                return None
            found.append(forecast)
        return found

    def _models(self, history: History) -> dict[str, CurveModel]:
        """Return the model of each score, worked out once for the same trials."""
        ended = [*history.finished, *history.paused]
        key = tuple((one.number, one.epochs) for one in ended)
        if self._known is None or key != self._known[0]:
            models = {
                name: CurveModel([_curve(one, name) for one in ended if one.curve])
                for name in self._aims.scores
            }
            self._known = key, models
        return self._known[1]


def calibrate(
    finished: Sequence[TrialResult], objectives: Sequence[str], alpha: float
) -> Calibration:
    """Return what the control group says: trials that would have been stopped, and ran on.

    A stop would have been wrong when nothing begun before is as good in all objectives. So what is
    wrong stays wrong, even if later trials push it off the front.

    Args:
        finished: Trials that have ended.
        objectives: By column name.
        alpha: The stated error rate.
    """
    whole = [
        one
        for one in finished
        if _is_whole(one) and all(name in one.metrics for name in objectives)
    ]
    if all(one.would_have_stopped is None for one in whole):
        return Calibration(alpha=alpha)
    numbers = np.array([one.number for one in whole])
    losses = np.array(
        [[METRICS[name].loss(one.metrics[name]) for name in objectives] for one in whole]
    )
    wrong = [
        not (losses[numbers < one.number] <= own).all(axis=1).any()
        for one, own in zip(whole, losses, strict=True)
        if one.would_have_stopped is not None
    ]
    return Calibration(alpha=alpha, controls=len(wrong), wrong=sum(wrong))


def _is_whole(one: TrialResult) -> bool:
    return one.state is TrialState.COMPLETE and one.is_feasible


def _curve(one: TrialResult, name: str) -> LearningCurve:
    """Return a trial's curve; one that did not come to its end has no final error."""
    errors, epochs = _errors(one.curve, name), one.curve[-1].epochs
    final = errors[-1] if len(errors) >= epochs else None  # and failed, or broke a limit, after it
    if one.state is TrialState.COMPLETE and name in one.metrics:
        final = _error(one.metrics[name])
    return LearningCurve(errors=tuple(errors), epochs=epochs, final=final)


def _errors(curve: Sequence[Progress], name: str) -> list[float]:
    """Return the error after each epoch, as far as all are known."""
    by_epoch = {report.epoch: report.metrics.get(name) for report in curve}
    found = []
    for epoch in range(1, curve[-1].epoch + 1):
        score = by_epoch.get(epoch)
        if score is None:
            break
        found.append(_error(score))
    return found


def _error(score: float) -> float:
    return 1.0 - score


def _reason(now: Progress, chance: float, best: float, name: str) -> str:
    return (
        f"after epoch {now.epoch} of {now.epochs} a chance of {chance:.1%} to join the front: "
        f"a finished model has {best:.4f} {name} for no more cost"
    )
