"""How accurate candidates will be: a model of their errors from one rung of training to the next.

The first rung's log error is a Gaussian process over candidates. Each later rung's is the rung's
before, less what training usually gains in between, plus a linear correction in that log error and
a process of its own (as Kennedy and O'Hagan 2000, doi 10.1093/biomet/87.1.1). What was observed
takes the place of what is predicted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoautoml.strategies.energy_first.process import Kernel, Points, Process, fit

Array = NDArray[np.float64]
FALL = 0.25
"""By how much the log error falls while the training gets e times as long; corrected by data."""
FALL_DEVIATION = 0.3
SLOPE_DEVIATION = 0.2
UNKNOWN_VARIANCE = 0.01
"""Variance of a later rung's log error before any of it was seen."""
UNIT = 0.1
"""Log errors of later rungs are modelled in tenths: their spread is known before there are many."""
GROWTH = 1.25
"""Kernel parameters are sought again when there is a quarter more to learn from."""
FIRST_PRIOR = Kernel(log=np.log([0.5, 0.3, 0.5, 2.0, 0.3, 0.02]))
LATER_PRIOR = Kernel(
    log=np.log([0.07, 0.3, 0.5, 2.0, 0.1, 0.02]),
    least_noise=0.03,
    basis_variance=np.array([FALL_DEVIATION, SLOPE_DEVIATION]) ** 2 / UNIT**2,
)
SQUEEZED = 0.25
"""What lies beyond the errors of interest is drawn towards them by this factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Log errors at one rung: mean and variance, ``(n,)`` each; and what the next depends on.

    Attributes:
        mean: Expected log error.
        variance: Its variance.
        slope: By how much the mean grows with the log error of the rung before.
    """

    mean: Array
    variance: Array
    slope: float = 1.0


class AccuracyModel:
    """Learns from trainings and forecasts others.

    Args:
        shares: Share of a full training at each rung, ascending; the last is 1.
        rng: Chance, for kernel parameters.
    """

    def __init__(self, shares: Sequence[float], rng: np.random.Generator) -> None:
        self._falls = [
            FALL * math.log(later / earlier) for earlier, later in itertools.pairwise(shares)
        ]
        self._rng = rng
        self._processes: list[Process | None] = [None] * len(shares)
        self._fitted_to = [0] * len(shares)
        self._center = 0.0

    @property
    def last(self) -> int:
        """Return the number of the last rung."""
        return len(self._processes) - 1

    @property
    def total_fall(self) -> float:
        """Return by how much the log error is expected to fall from the first rung to the last."""
        return sum(self._falls)

    def learn(
        self, points: Points, errors: Sequence[tuple[float, ...]], bound: float
    ) -> list[list[float]]:
        """Learn from trainings; return their log errors, as the model takes them.

        Those beyond what matters are drawn towards it: at the first rung the worst quarter, at the
        last what lies beyond the bound.

        Args:
            points: What was trained.
            errors: Errors at the rungs each has reached, at least the first.
            bound: Final error beyond which differences do not matter.
        """
        logs = self._logs(errors, bound)
        firsts = np.array([each[0] for each in logs])
        self._center = float(np.quantile(firsts, 0.3))
        self._fit(0, points, firsts, FIRST_PRIOR, None)
        for rung in range(1, len(self._processes)):
            reached = [index for index, each in enumerate(logs) if len(each) > rung]
            if not reached:
                self._processes[rung] = None
                continue
            before = np.array([logs[index][rung - 1] for index in reached])
            after = np.array([logs[index][rung] for index in reached])
            these = points.rows(reached).with_basis(self._basis(before))
            change = after - before + self._falls[rung - 1]
            self._fit(rung, these, change, LATER_PRIOR, UNIT)
        return logs

    def _logs(self, errors: Sequence[tuple[float, ...]], bound: float) -> list[list[float]]:
        worst = [math.log(max(float(np.quantile([e[0] for e in errors], 0.75)), 1e-6))]
        worst += [math.inf] * (len(self._processes) - 2) + [math.log(bound)]
        return [
            [_squeezed(math.log(max(e, 1e-6)), worst[rung]) for rung, e in enumerate(each)]
            for each in errors
        ]

    def first(self, points: Points) -> Forecast:
        """Return what candidates are expected to reach at the first rung."""
        process = self._processes[0]
        assert process is not None, "learn first"
        mean, variance = process.predict(points)
        return Forecast(mean=mean, variance=variance)

    def later(self, points: Points, rung: int, before: Array) -> Forecast:
        """Return what candidates are expected to reach at a rung, given the rung before.

        Args:
            points: The candidates.
            rung: From 1.
            before: Their log errors at the rung before, ``(n,)``.
        """
        process, fall = self._processes[rung], self._falls[rung - 1]
        if process is None:
            return Forecast(mean=before - fall, variance=np.full(len(before), UNKNOWN_VARIANCE))
        change, variance = process.predict(points.with_basis(self._basis(before)))
        slope = 1.0 + float(process.basis_weights[1])
        return Forecast(mean=before - fall + change, variance=variance, slope=slope)

    def final(self, points: Points, rung: int, log_error: Array) -> Forecast:
        """Return what candidates are expected to reach in the end.

        Args:
            points: The candidates.
            rung: The rung they have reached.
            log_error: Their log errors there, ``(n,)``.
        """
        mean, variance, slope = log_error, np.zeros(len(log_error)), 1.0
        for later in range(rung + 1, len(self._processes)):
            step = self.later(points, later, mean)
            mean, variance = step.mean, step.variance + step.slope**2 * variance
            slope *= step.slope
        return Forecast(mean=mean, variance=variance, slope=slope)

    def _basis(self, before: Array) -> Array:
        return np.stack([np.ones(len(before)), before - self._center], axis=1)

    def _fit(
        self, rung: int, points: Points, targets: Array, prior: Kernel, scale: float | None
    ) -> None:
        n, last = len(targets), self._processes[rung]
        is_due = n >= GROWTH * self._fitted_to[rung] and (rung == 0 or n >= 4)
        self._fitted_to[rung] = n if is_due else self._fitted_to[rung]
        self._processes[rung] = fit(
            points,
            targets,
            prior,
            rng=self._rng,
            scale=scale,
            start=None if last is None else last.kernel,
            steps=40 if is_due else 0,
        )


def _squeezed(value: float, bound: float) -> float:
    return value if value <= bound else bound + SQUEEZED * (value - bound)
