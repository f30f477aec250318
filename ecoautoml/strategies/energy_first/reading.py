"""From the records of a search to what the planner works with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.columns import METRICS
from ecoautoml.records.progress import Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History, Running
from ecoautoml.strategies.energy_first.problem import Prices, Seen, Status
from ecoautoml.strategies.energy_first.rungs import rung_epochs

TRAINING, BEGINNING = ("training", "validation"), ("probe",)
GOING_ON, ENDING = ("going on", "pausing"), ("export", "evaluation", "measurement")
"""Lines of a trial's bill by what they are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads trials.

    Attributes:
        scores: Objectives that training decides, by column name.
        costs: Columns of costs: objectives first, then those that are only limited.
        shares: Share of a full training at each rung.
        is_in_joules: Whether prices are joules; else seconds.
    """

    scores: Sequence[str]
    costs: Sequence[str]
    shares: tuple[float, ...]
    is_in_joules: bool = True

    def seen(self, history: History) -> list[Seen]:
        """Return the trials of a search, by number; those that reuse another's result are not."""
        curves = {one.number: one.curve for one in history.finished}
        found = [
            self._ended(one, curves.get(one.parent, ()) if one.parent is not None else one.curve)
            for one in history.finished
            if one.state is not TrialState.REUSED
        ]
        found += [
            self._of(one.number, one.candidate, one.curve, _epochs(one), Status.WAITING)
            for one in history.paused
        ]
        found += [self.running(one) for one in history.running]
        return sorted(found, key=lambda one: one.number)

    def running(self, one: Running, status: Status = Status.RUNNING) -> Seen:
        """Return a trial that runs."""
        found = self._of(one.number, one.candidate, one.curve, one.epochs, status)
        return replace(found, is_variant=one.parent is not None)

    def prices(self, history: History) -> Prices:
        """Return what comes on top of training, in mean full trainings; 0 while that is unknown."""
        trials = [*history.finished, *history.paused]
        prices = [one.price for one in self.seen(history) if one.price]
        if not prices:
            return Prices()
        unit = fmean(prices)
        return Prices(
            begin=self._mean(trials, BEGINNING) / unit,
            go_on=self._mean(trials, GOING_ON) / unit,
            end=self._mean(trials, ENDING) / unit,
        )

    def spent(self, history: History) -> float:
        """Return what all trials took so far, in mean full trainings; 0 while that is unknown."""
        prices = [one.price for one in self.seen(history) if one.price]
        taken = [self._paid(one) for one in (*history.finished, *history.paused)]
        taken += [
            (one.curve[-1].energy_j if self.is_in_joules else one.curve[-1].duration_s) or 0.0
            for one in history.running
            if one.curve
        ]
        return sum(taken) / fmean(prices) if prices else 0.0

    # --- inside -------------------------------------------------------------------------------

    def _ended(self, one: TrialResult, curve: Sequence[Progress]) -> Seen:
        """Return a trial that has ended.

        Args:
            one: The trial.
            curve: Its training's reports; for a variant, whose end alone is its own, its parent's.
        """
        is_variant = one.parent is not None
        if is_variant and one.state is not TrialState.COMPLETE:
            curve = ()  # nothing is known of its costs
        epochs = curve[-1].epochs if curve else _epochs(one)
        found = self._of(one.number, one.candidate, curve, epochs, Status.CLOSED)
        errors = found.errors
        if one.state is TrialState.COMPLETE and all(name in one.metrics for name in self.scores):
            final = tuple(_error(one.metrics[name]) for name in self.scores)
            errors = (*errors, *[final] * (len(self.shares) - len(errors)))
            errors = (*errors[:-1], final)
        costs = tuple(
            _known(one.metrics.get(name, found.costs[index]))
            for index, name in enumerate(self.costs)
        )
        return Seen(
            number=one.number,
            values=found.values,
            errors=errors,
            costs=costs,
            price=None if is_variant else found.price,
            status=Status.CLOSED,
            has_failed=one.state is TrialState.FAILED,
            is_allowed=one.state is not TrialState.INFEASIBLE and one.is_feasible,
            is_variant=is_variant,
        )

    def _of(
        self,
        number: int,
        candidate: Candidate,
        curve: Sequence[Progress],
        epochs: int,
        status: Status,
    ) -> Seen:
        by_epoch = {report.epoch: report for report in curve}
        errors: list[tuple[float, ...]] = []
        for epoch in rung_epochs(self.shares, epochs):
            report = by_epoch.get(epoch)
            if report is None or any(name not in report.metrics for name in self.scores):
                break
            errors.append(tuple(_error(report.metrics[name]) for name in self.scores))
        last = curve[-1] if curve else None
        return Seen(
            number=number,
            values=candidate.parameters(),
            errors=tuple(errors),
            costs=tuple(_cost(name, last) for name in self.costs),
            price=self._price(curve),
            status=status,
        )

    def _price(self, curve: Sequence[Progress]) -> float | None:
        """Return what the whole training takes, at the pace so far."""
        if not curve or not curve[-1].epoch:
            return None
        last, first = curve[-1], curve[0]
        if self.is_in_joules:
            taken = None
            if last.energy_j is not None and first.energy_j is not None:
                taken = last.energy_j - first.energy_j
        else:
            taken = last.duration_s - first.duration_s
        return taken * last.epochs / last.epoch if taken and taken > 0 else None

    def _mean(self, trials: Sequence[TrialResult], names: Sequence[str]) -> float:
        """Return the mean of some lines of the bill, over the trials that have them."""
        sums = []
        for one in trials:
            lines = [line for line in one.energy if line.line in names]
            amounts = [line.energy_j if self.is_in_joules else line.duration_s for line in lines]
            known = [amount for amount in amounts if amount is not None]
            if known:
                sums.append(sum(known))
        return fmean(sums) if sums else 0.0

    def _paid(self, one: TrialResult) -> float:
        return (one.energy_j if self.is_in_joules else one.duration_s) or 0.0


def in_joules(history: History) -> bool:
    """Return whether the joules of everything trained so far are known."""
    curves = [one.curve for one in (*history.finished, *history.paused) if one.epochs]
    return all(curve[-1].energy_j is not None for curve in curves if curve)


def _epochs(one: TrialResult) -> int:
    return one.curve[-1].epochs if one.curve else max(one.epochs, 1)


def _error(score: float) -> float:
    return max(1.0 - score, 1e-6)


def _cost(name: str, report: Progress | None) -> float | None:
    """Return a cost as far as it is known; what training takes is extended to its end."""
    if report is None or name not in report.metrics:
        return None
    value: float | None = report.metrics[name]
    if name == "training_energy_j":
        value = value * report.epochs / report.epoch if value and report.epoch else None
    return _known(value)


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value > 0 else None


def split(objectives: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the objectives that are scores, and those that are costs."""
    scores = [name for name in objectives if METRICS[name].is_score]
    return scores, [name for name in objectives if not METRICS[name].is_score]


def limits_of(costs: Sequence[str], limits: Mapping[str, float]) -> tuple[float, ...]:
    """Return the upper limit of each cost; inf where there is none."""
    return tuple(limits.get(name, math.inf) for name in costs)
