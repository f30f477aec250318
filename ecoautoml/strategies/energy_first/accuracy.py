"""How accurate candidates will be: a model of their errors from one rung of training to the next.

The first rung's log error is a Gaussian process over candidates. Each later rung's is linear in
that of the rung before, less what training usually gains in between, plus a correction of that line
and a process of its own (as Kennedy and O'Hagan 2000, doi 10.1093/biomet/87.1.1). What was observed
takes the place of what is predicted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecoautoml.strategies.energy_first.memory import Memory
from ecoautoml.strategies.energy_first.process import Kernel, Points, Process

Array = NDArray[np.float64]
FALL = 0.25
"""By how much the log error falls while the training gets e times as long; corrected by data."""
FALL_DEVIATION = 0.3
SLOPE_DEVIATION = 0.5
RESUMED_SLOPE = 0.6
"""By how much the log error of a rung is expected to grow with that of the rung before, where both
are of one training; 1 where each is a training of its own. Among the better half of the networks in
four of six sets of curves (Baker et al. 2017, arXiv 1705.10823) it is 0.2 to 0.6 from a ninth of a
training to its end, and 0.3 to 1 from a third; of the others, AlexNets have not begun to learn
after a ninth, and the errors of LSTMs are perplexities."""
UNKNOWN_VARIANCE = 0.01
"""Variance of a later rung's log error before any of it was seen."""
UNIT = 0.1
"""Log errors of later rungs are modelled in tenths: their spread is known before there are many."""
FIRST_PRIOR = Kernel(log=np.log([0.5, 0.3, 0.5, 2.0, 0.3, 0.02]))
LATER_PRIOR = Kernel(
    log=np.log([0.6, 0.7, 0.3, 2.0, 0.4, 0.02]),
    least_noise=0.1,
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
        name: Of the score, for the memory.
        shares: Share of a full training at each rung, ascending; the last is 1.
        memory: Keeps kernel parameters.
        is_resumed: Whether a longer training goes on where the shorter one ended.
    """

    def __init__(
        self, name: str, shares: Sequence[float], memory: Memory, *, is_resumed: bool = False
    ) -> None:
        self._falls = [
            FALL * math.log(later / earlier) for earlier, later in itertools.pairwise(shares)
        ]
        self._name, self._memory = name, memory
        self._slope = RESUMED_SLOPE if is_resumed else 1.0
        self._processes: list[_Fitted | None] = [None] * len(shares)
        self._center, self._width = 0.0, 1.0

    @property
    def last(self) -> int:
        """Return the number of the last rung."""
        return len(self._processes) - 1

    @property
    def total_fall(self) -> float:
        """Return by how much the log error is expected to fall from the first rung to the last."""
        return sum(self._falls)

    def learn(
        self,
        points: Points,
        errors: Mapping[int, Sequence[float]],
        bound: float,
    ) -> dict[int, list[float]]:
        """Learn from trainings; return their log errors, as the model takes them.

        Those beyond what matters are drawn towards it: at the first rung the worst quarter, at the
        last what lies beyond the bound.

        Args:
            points: ``n`` points, what was trained among them.
            errors: Errors at the rungs reached, at least the first, by the row of what was trained.
            bound: Final error beyond which differences do not matter.
        """
        logs = self._logs(errors, bound)
        firsts = np.array([each[0] for each in logs.values()])
        self._center = float(np.quantile(firsts, 0.3))
        self._width = max(float(firsts.std()), 1e-3)
        trained = list(logs)
        self._fit(0, points.rows(trained), firsts, FIRST_PRIOR, None)
        for rung in range(1, len(self._processes)):
            reached = [index for index, each in logs.items() if len(each) > rung]
            if not reached:
                self._processes[rung] = None
                continue
            before = np.array([logs[index][rung - 1] for index in reached])
            after = np.array([logs[index][rung] for index in reached])
            these = self._knowing(points.rows(reached), rung, before)
            change = after - self._expected(rung, before)
            self._fit(rung, these, change, LATER_PRIOR, UNIT)
        return logs

    def believe(self, points: Points) -> None:
        """Take for known, at the first rung, what is expected of trainings that run towards it.

        So that others like them are not begun meanwhile (kriging believer, Ginsbourger et al. 2010,
        doi 10.1007/978-3-642-10701-6_6).

        Args:
            points: Those that run.
        """
        fitted = self._processes[0]
        assert fitted is not None, "learn first"
        expected, _ = fitted.process.predict(points)
        targets = np.concatenate([fitted.targets, expected])
        self._fit(0, fitted.process.fitted.and_(points), targets, FIRST_PRIOR, None)

    def _logs(self, errors: Mapping[int, Sequence[float]], bound: float) -> dict[int, list[float]]:
        firsts = [each[0] for each in errors.values()]
        worst = [math.log(max(float(np.quantile(firsts, 0.75)), 1e-6))]
        worst += [math.inf] * (len(self._processes) - 2)
        worst += [math.log(max(bound, 1e-6))] * (len(self._processes) > 1)
        return {
            row: [_squeezed(math.log(max(e, 1e-6)), worst[rung]) for rung, e in enumerate(each)]
            for row, each in errors.items()
        }

    def first(self, points: Points) -> Forecast:
        """Return what candidates are expected to reach at the first rung."""
        fitted = self._processes[0]
        assert fitted is not None, "learn first"
        mean, variance = fitted.process.predict(points)
        return Forecast(mean=mean, variance=variance)

    def later(self, points: Points, rung: int, before: Array) -> Forecast:
        """Return what candidates are expected to reach at a rung, given the rung before.

        Args:
            points: The candidates.
            rung: From 1.
            before: Their log errors at the rung before, ``(n,)``.
        """
        fitted, expected = self._processes[rung], self._expected(rung, before)
        if fitted is None:
            doubt = np.full(len(before), UNKNOWN_VARIANCE)
            return Forecast(mean=expected, variance=doubt, slope=self._slope)
        change, variance = fitted.process.predict(self._knowing(points, rung, before))
        slope = self._slope + float(fitted.process.basis_weights[1])
        return Forecast(mean=expected + change, variance=variance, slope=slope)

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

    def _expected(self, rung: int, before: Array) -> Array:
        """Return the log errors at a rung that those at the rung before suggest by themselves."""
        off = self._off(rung, before)
        return before - self._falls[rung - 1] + (self._slope - 1.0) * off

    def _off(self, rung: int, before: Array) -> Array:
        """Return how far log errors at the rung before are from good ones there."""
        return before - self._center + sum(self._falls[: rung - 1])

    def _knowing(self, points: Points, rung: int, before: Array) -> Points:
        """Return points as the process of a later rung takes them."""
        off = self._off(rung, before)
        return points.knowing(off / self._width, np.stack([np.ones(len(before)), off], axis=1))

    def _fit(
        self, rung: int, points: Points, targets: Array, prior: Kernel, scale: float | None
    ) -> None:
        first = self._processes[0]
        if rung and first is not None:  # what tells candidates apart at first does so later
            kernel = first.process.kernel
            prior = replace(prior, log_ties=kernel.log_ties, log_features=kernel.log_features)
        process = self._memory.fit(
            f"{self._name} {rung}",
            points,
            targets,
            prior,
            scale=scale,
            least=1 if rung == 0 else 4,
            has_own_weights=rung == 0,
        )
        self._processes[rung] = _Fitted(process, targets)


class _Fitted(NamedTuple):
    """A process, and the targets it was fitted to."""

    process: Process
    targets: Array


def _squeezed(value: float, bound: float) -> float:
    return value if value <= bound else bound + SQUEEZED * (value - bound)
