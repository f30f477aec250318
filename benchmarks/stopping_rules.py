"""Rules that stop trials early, as `stopping.py` compares them, and what they may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ecoautoml.config import models as config
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import CONTINUE, Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History, Pruner, Running
from ecoautoml.strategies.calibration import Calibration
from ecoautoml.strategies.pruners import make_pruner
from ecoautoml.strategies.ranking import ranked

Array = NDArray[np.float64]
SCORE, COST = "validation_accuracy", "params"
REDUCTION = 3
NOBODY = Candidate(space="replayed", builder="none", architecture={}, hyperparameters={})


@dataclass(frozen=True, kw_only=True)
class Study:
    """Trainings in the order in which a search begins them.

    Attributes:
        errors: After each epoch, ``(n_trials, n_epochs)``.
        costs: Known before training, ``(n_trials,)``; None: the error is the only objective.
    """

    errors: Array
    costs: Array | None

    @property
    def epochs(self) -> int:
        """Return how long every training is."""
        return int(self.errors.shape[1])

    @property
    def finals(self) -> Array:
        """Return the final errors, ``(n_trials,)``."""
        return self.errors[:, -1]

    @cached_property
    def losses(self) -> Array:
        """Return final errors and log costs, ``(n_trials, n_objectives)``."""
        columns = [self.finals] if self.costs is None else [self.finals, np.log10(self.costs)]
        return np.stack(columns, axis=1)

    @property
    def objectives(self) -> list[str]:
        """Return the objectives by column name."""
        return [SCORE] if self.costs is None else [SCORE, COST]

    def reports(self, trial: int, epochs: int) -> tuple[Progress, ...]:
        """Return a trial's probe and the reports of its first epochs."""
        costs = {} if self.costs is None else {COST: float(self.costs[trial])}
        scores = [{}, *({SCORE: 1.0 - float(error)} for error in self.errors[trial, :epochs])]
        return tuple(
            Progress(trial=trial, epoch=epoch, epochs=self.epochs, metrics={**costs, **score})
            for epoch, score in enumerate(scores)
        )


@dataclass(kw_only=True)
class Seen:
    """What a search has seen so far; a rule uses nothing else of the study.

    Attributes:
        study: The study.
        seed: Of the search.
        reached: Epochs of each trial that has begun, by number.
        finished: Trials trained to their end, in order.
        stopped: Epoch and bound in force of each stopped trial, by number.
        watched: The same of those that would have been stopped and ran on, by number.
    """

    study: Study
    seed: int
    reached: dict[int, int] = field(default_factory=dict)
    finished: list[int] = field(default_factory=list)
    stopped: dict[int, tuple[int, float]] = field(default_factory=dict)
    watched: dict[int, tuple[int, float]] = field(default_factory=dict)

    def bound(self, trial: int) -> float:
        """Return the lowest final error of what costs no more; infinity while there is nothing."""
        return float(self.study.finals[self.rivals(trial)].min(initial=np.inf))

    def rivals(self, trial: int) -> list[int]:
        """Return the finished trials that cost no more."""
        costs = self.study.costs
        return [one for one in self.finished if costs is None or costs[one] <= costs[trial]]

    def calibration(self, alpha: float) -> Calibration:
        """Return what the control group says so far."""
        ended = [one for one in self.watched if self.reached[one] == self.study.epochs]
        wrong = sum(self.study.finals[one] < self.watched[one][1] for one in ended)
        return Calibration(alpha=alpha, controls=len(ended), wrong=int(wrong))


Rule = Callable[[int, Seen], Decision]
"""What a trial that has just reported is told; once a stop is withheld, it is not asked again."""
STOP = Decision(action=Action.PRUNE)


class PrunerRule:
    """A pruner of the package, told what the loop of a search tells it.

    Args:
        settings: As in a configuration.
        is_blind: Whether it is told of no costs.
    """

    def __init__(self, settings: config.PrunerConfig, is_blind: bool = False) -> None:
        self._settings, self._is_blind = settings, is_blind
        self._pruner: Pruner | None = None
        self._results: dict[int, TrialResult] = {}
        self._reports: dict[int, tuple[Progress, ...]] = {}

    def __call__(self, trial: int, seen: Seen) -> Decision:
        """Return what the trial is told."""
        if self._pruner is None:
            objectives = [SCORE] if self._is_blind else seen.study.objectives
            self._pruner = make_pruner(self._settings, objectives, seen.seed)
        for one in [*seen.finished, *seen.stopped]:
            if one not in self._results:
                self._results[one] = self._result(one, seen)
        running = [self._running(one, seen) for one in seen.reached if one not in self._results]
        history = History(finished=tuple(self._results.values()), running=running)
        return self._pruner.decide(next(one for one in running if one.number == trial), history)

    def _running(self, trial: int, seen: Seen) -> Running:
        return Running(
            number=trial,
            candidate=NOBODY,
            epochs=seen.study.epochs,
            curve=self._curve(trial, seen),
            would_have_stopped=seen.watched[trial][0] if trial in seen.watched else None,
        )

    def _curve(self, trial: int, seen: Seen) -> tuple[Progress, ...]:
        if trial not in self._reports:
            self._reports[trial] = seen.study.reports(trial, seen.study.epochs)
        return self._reports[trial][: seen.reached[trial] + 1]

    def _result(self, trial: int, seen: Seen) -> TrialResult:
        curve = self._curve(trial, seen)
        state = TrialState.PRUNED if trial in seen.stopped else TrialState.COMPLETE
        return TrialResult(
            number=trial,
            state=state,
            candidate=NOBODY,
            metrics=curve[-1].metrics,
            curve=curve,
            epochs=curve[-1].epoch,
            would_have_stopped=seen.watched[trial][0] if trial in seen.watched else None,
        )


def asha(trial: int, seen: Seen) -> Decision:
    """Stop who is not among the best third of a rung: asynchronous successive halving.

    Rungs are at 1, 1/3, 1/9 ... of the epochs. With a cost among the objectives the order is that
    of non-dominated sorting. The first two at a rung go on (Li et al. 2020, arXiv 1810.05934, in
    the variant that stops instead of pausing).
    """
    study, epoch = seen.study, seen.reached[trial]
    if epoch not in _rungs(study.epochs):
        return CONTINUE
    there = [one for one, reached in seen.reached.items() if reached >= epoch]
    if len(there) < REDUCTION:
        return CONTINUE
    losses = study.losses[there].copy()
    losses[:, 0] = study.errors[there, epoch - 1]
    chance = np.random.default_rng([seen.seed, len(there)]).random(len(there))
    best = ranked(losses, "non-dominated", chance)[: len(there) // REDUCTION]
    return CONTINUE if there.index(trial) in best else STOP


def _rungs(epochs: int) -> set[int]:
    rungs, length = set(), epochs
    while length >= REDUCTION:
        length //= REDUCTION
        rungs.add(length)
    return rungs


def _asha() -> Rule:
    return asha


def chance(alpha: float, control: float) -> Rule:
    """Return the default pruner for an error rate and a share of controls."""
    return PrunerRule(config.AutoPruner(alpha=alpha, control_share=control))


_MEDIAN = config.MedianPruner(kind="median")
_PATIENCE = config.PatiencePruner(kind="patience")
PEERS: dict[str, Callable[[], Rule]] = {
    "dominance": partial(PrunerRule, config.DominancePruner(kind="dominance")),
    "median": partial(PrunerRule, _MEDIAN),
    "median, blind to cost": partial(PrunerRule, _MEDIAN, is_blind=True),
    "patience": partial(PrunerRule, _PATIENCE),
    "asha": _asha,
}
"""Rules without an error rate. A median that is blind to cost is the rule as published."""
