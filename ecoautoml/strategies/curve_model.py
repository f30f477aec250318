"""How good a training will be in the end, from its first epochs and the study's other curves.

Errors (1 - score) are taken as logarithms. What is forecast is the change of a curve's log error
from its present epoch t to the end T, by linear regression over the study's other curves at the
same share t / T of their training. The features are the log error now, its mean over the last
tenth, the best and the first one, and its change over the second half of what was trained. The last
is the exponent of a power law through that half, times log 2: a power law is among the lines.

- **Few curves.** Coefficients and residual variance have a conjugate prior (normal and inverse
  gamma), so four curves are enough for an answer, and the predictive distribution is a Student-t
  (Gelman et al., Bayesian Data Analysis, 3rd edition, chapter 14). How far coefficients may be from
  zero is chosen by the marginal likelihood.
- **Many curves.** They are weighted by how alike they are to the curve in question (locally
  weighted regression, Cleveland and Devlin 1988, doi 10.1080/01621459.1988.10478639): networks that
  learn slowly, at chance level or on a plateau do not share one line, nor one variance.
- **Stopped curves** count as far as they go. Which curves end early was decided by what was seen of
  them, so the unseen part is missing at random and may be filled in with its expectation (Rubin
  1976, doi 10.1093/biomet/63.3.581; Little and Rubin, Statistical Analysis with Missing Data,
  chapter 7: monotone patterns). It is, from the longest curve to the shortest, each from those that
  are longer. Such an end has the uncertainty of its forecast as additional variance, and the weight
  1 - that / residual variance at epoch t: what was learnt of it after epoch t, and nothing else.
  Without them the model would know only what was never stopped, which is better than average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Array = NDArray[np.float64]
SMALLEST_ERROR = 1e-4
"""Errors are compared by ratio; below this they are rounding of the validation set."""
LEAST_FINISHED = 4
"""Finished curves below which nothing is forecast."""
NOVELTY = 0.05
"""How likely a curve is of a kind that was not seen yet, in curves; see `doubted`."""
NEIGHBOURS = 30
"""Curves, by weight, within the distance at which a curve counts half."""
PRIOR_FREEDOM = 1.0
"""Degrees of freedom of the prior of the residual variance: what it counts, in curves."""
PRIOR_SPREAD = 0.3
"""Prior standard deviation of a change, as a share of the mean change."""
LEAST_SPREAD = 1e-3
"""Standard deviation of a log error that validation images alone make; no feature's is less."""
RIDGES = np.array([0.1, 1.0, 10.0])
"""Variances of the coefficients to choose from, in residual variances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """One training of the study that has ended.

    Attributes:
        errors: Error (1 - score) after each epoch, from the first on. What is not a number counts
            as 1.
        epochs: Epochs it was to be trained for; at least ``len(errors)``.
        final: Error of the finished model; None: it was stopped before its end. With a final error
            and fewer errors than epochs, it ended by itself and stays as it was.
    """

    errors: tuple[float, ...]
    epochs: int
    final: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalError:
    """Predictive distribution of a final error: its logarithm is a Student-t.

    Attributes:
        mean: Of the log error.
        scale: Of the log error; above 0.
        degrees_of_freedom: Above 0.
    """

    mean: float
    scale: float
    degrees_of_freedom: float

    def chance_below(self, bound: float) -> float:
        """Return the probability that the final error is below a bound; 0 for a bound of 0."""
        if bound <= 0:
            return 0.0
        return float(stdtr(self.degrees_of_freedom, (math.log(bound) - self.mean) / self.scale))

    def quantile(self, probability: float) -> float:
        """Return the error that the final one stays below with a probability within (0, 1)."""
        return math.exp(
            self.mean + self.scale * float(stdtrit(self.degrees_of_freedom, probability))
        )


def chance_to_join(forecasts: Sequence[FinalError], rivals: Sequence[Sequence[float]]) -> float:
    """Return the chance that no rival is at least as good in every error; 1 without rivals.

    With one error this is the chance to be below the lowest of the rivals. With several it is an
    upper limit, whatever the errors have to do with each other: a trial joins the front only if it
    escapes every rival, and it escapes a rival only if one of its errors is lower.

    Args:
        forecasts: Of each uncertain error of the trial.
        rivals: The same errors, in the same order, of each finished model that costs no more.
    """
    escapes = (
        sum(one.chance_below(error) for one, error in zip(forecasts, errors, strict=True))
        for errors in rivals
    )
    return min(1.0, min(escapes, default=1.0))


def doubted(chance: float, n_finished: int) -> float:
    """Return a chance that allows for curves of a kind that was not seen yet.

    A model of few curves knows nothing of those that are like none of them. After n of them, the
    next is of a new kind with a chance of `NOVELTY` / (n + `NOVELTY`) (Blackwell and MacQueen 1973,
    doi 10.1214/aos/1176342372), and then may well be good.

    Args:
        chance: As the model has it.
        n_finished: Curves it has seen to their end.
    """
    return (n_finished * chance + NOVELTY) / (n_finished + NOVELTY)


class CurveModel:
    """Learns from the curves of a study; see the module's text.

    Keeps what it works out, and gives the same answers whenever it is asked: a pure function of the
    curves, in whatever order they are. Make a new one when a training has ended.

    Args:
        curves: Trainings that have ended. Those without any error are left out.
    """

    def __init__(self, curves: Sequence[LearningCurve]) -> None:
        self._curves = tuple(curve for curve in curves if curve.errors)
        self._tables: dict[int, _Table] = {}

    @cached_property
    def n_finished(self) -> int:
        """Return how many of the curves were not stopped."""
        return sum(curve.final is not None for curve in self._curves)

    def final_error(self, errors: Sequence[float], epochs: int) -> FinalError | None:
        """Return what the final error will be; None with fewer than `LEAST_FINISHED` curves.

        Args:
            errors: After each epoch so far, from the first on.
            epochs: Epochs the training is to have; more than there are errors.

        Raises:
            ValueError: There are no errors, or no epochs to come.
        """
        if not 0 < len(errors) < epochs:
            raise ValueError(f"{len(errors)} errors of a training of {epochs} epochs")
        if self.n_finished < LEAST_FINISHED:
            return None
        if epochs not in self._tables:
            self._tables[epochs] = _Table(self._curves, epochs)
        return self._tables[epochs].final_error(_logs(errors))


class _Line(NamedTuple):
    """Predictive Student-t of the changes of some curves.

    Attributes:
        means: ``(n_curves,)``.
        scales: ``(n_curves,)``.
        freedom: Degrees of freedom.
        variance: Of the residuals.
    """

    means: Array
    scales: Array
    freedom: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Design:
    """Everything known at one epoch, of the curves that go beyond it.

    Attributes:
        features: Standardised, ``(n, n_features)``.
        center: What was subtracted, ``(n_features,)``.
        spread: What they were divided by, ``(n_features,)``.
        changes: Of the log error from here to the end, ``(n,)``.
        doubts: Variances of those that are expected and not seen, ``(n,)``.
        weights: Within [0, 1], ``(n,)``.
    """

    features: Array
    center: Array
    spread: Array
    changes: Array
    doubts: Array
    weights: Array

    @classmethod
    def of(cls, features: Array, changes: Array, doubts: Array, weights: Array) -> _Design:
        total = weights.sum()
        center = weights @ features / total
        spread = np.sqrt(weights @ (features - center) ** 2 / total) + LEAST_SPREAD
        return cls(
            features=(features - center) / spread,
            center=center,
            spread=spread,
            changes=changes,
            doubts=doubts,
            weights=weights,
        )

    def all_alike(self, features: Array) -> _Line:
        """Return the forecast for curves, ``(n_curves, n_features)``, from all curves."""
        return self._line((features - self.center) / self.spread, self.weights)

    def by_likeness(self, features: Array) -> _Line:
        """Return the forecast for one curve, ``(1, n_features)``, from those that are like it."""
        point = (features - self.center) / self.spread
        if self.weights.sum() <= NEIGHBOURS:
            return self._line(point, self.weights)
        apart = np.sqrt(((self.features - point) ** 2).mean(axis=1))
        order = np.argsort(apart, kind="stable")
        within = int(np.searchsorted(np.cumsum(self.weights[order]), NEIGHBOURS))
        half = max(float(apart[order[min(within, len(order) - 1)]]), 1e-9)
        return self._line(point, self.weights / (1 + (apart / half) ** 4))

    def _line(self, points: Array, weights: Array) -> _Line:
        """Return the forecast at points, with the ridge of the highest marginal likelihood."""
        total = weights.sum()
        mean, center = weights @ self.changes / total, weights @ self.features / total
        changes, features = self.changes - mean, self.features - center
        weighted = features * weights[:, None]
        values, vectors = np.linalg.eigh(weighted.T @ features)
        products = vectors.T @ (weighted.T @ changes)
        precisions = np.maximum(values, 0.0) + 1 / RIDGES[:, None]  # (ridges, features)
        freedom = PRIOR_FREEDOM + total - 1
        prior = PRIOR_FREEDOM * (PRIOR_SPREAD * abs(mean) + LEAST_SPREAD) ** 2
        rest = weights @ (changes**2 + self.doubts) - (products**2 / precisions).sum(axis=1)
        variances = (prior + np.maximum(rest, 0.0)) / freedom
        likelihoods = -0.5 * np.log(precisions * RIDGES[:, None]).sum(axis=1)
        likelihoods -= freedom / 2 * np.log(variances)
        best = int(likelihoods.argmax())
        along = (points - center) @ vectors
        spread = 1 + 1 / total + along**2 @ (1 / precisions[best])
        return _Line(
            means=mean + along @ (products / precisions[best]),
            scales=np.sqrt(variances[best] * spread),
            freedom=float(freedom),
            variance=float(variances[best]),
        )


class _Table:
    """The curves at the epochs of a training of a given length, those that go on longest first."""

    def __init__(self, curves: Sequence[LearningCurve], epochs: int) -> None:
        rows = [_stretched(curve, epochs) for curve in curves]
        lengths = np.array([len(row) for row in rows])
        finished = [curve.final is not None for curve in curves]
        lengths = np.where(finished, epochs, lengths)
        order = [int(i) for i in np.argsort(-lengths, kind="stable") if lengths[i] > 0]
        self._lengths = lengths[order]
        self._logs = np.array([np.pad(rows[i], (0, epochs - len(rows[i])), "edge") for i in order])
        self._finished = np.array([finished[i] for i in order])
        finals = [curves[i].final for i in order]
        self._ends = np.array([math.nan if one is None else _logs([one])[0] for one in finals])
        self._doubts = np.zeros(len(order))
        self._designs: dict[int, _Design] = {}
        self._variances: dict[int, float] = {}
        for epoch in sorted(set(lengths[lengths < epochs]) - {0}, reverse=True):
            self._expect_ends(int(epoch))

    def final_error(self, logs: Array) -> FinalError:
        """Return what the final error of a curve will be.

        Args:
            logs: Its log errors so far.
        """
        epoch = len(logs)
        if epoch not in self._designs:
            self._designs[epoch] = self._design(epoch)
        line = self._designs[epoch].by_likeness(_features(logs[None], epoch))
        return FinalError(
            mean=float(logs[-1] + line.means[0]),
            scale=float(line.scales[0]),
            degrees_of_freedom=line.freedom,
        )

    def _design(self, epoch: int) -> _Design:
        rows = self._lengths > epoch
        logs, finished, doubts = self._logs[rows], self._finished[rows], self._doubts[rows]
        learnt = 1 - doubts / self._variance(epoch)
        return _Design.of(
            features=_features(logs, epoch),
            changes=self._ends[rows] - logs[:, epoch - 1],
            doubts=doubts,
            weights=np.where(finished, 1.0, np.clip(learnt, 0.0, 1.0)),
        )

    def _variance(self, epoch: int) -> float:
        """Return the residual variance at an epoch among the finished curves."""
        if epoch not in self._variances:
            logs = self._logs[self._finished]
            changes = self._ends[self._finished] - logs[:, epoch - 1]
            ones = np.ones(len(logs))
            design = _Design.of(_features(logs, epoch), changes, 0 * ones, ones)
            self._variances[epoch] = design.all_alike(design.center[None]).variance
        return self._variances[epoch]

    def _expect_ends(self, epoch: int) -> None:
        """Fill in the ends of the curves stopped at an epoch, from those that go on longer."""
        rows = (self._lengths == epoch) & ~self._finished
        line = self._design(epoch).all_alike(_features(self._logs[rows], epoch))
        self._ends[rows] = self._logs[rows, epoch - 1] + line.means
        # variance of a Student-t; with two degrees of freedom or less it has none
        self._doubts[rows] = line.scales**2 * line.freedom / max(line.freedom - 2, 0.5)


def _features(logs: Array, epoch: int) -> Array:
    """Return what is known of curves after an epoch, ``(n, 5)``.

    Args:
        logs: Log errors after each epoch, ``(n, epochs)``; later epochs are not looked at.
        epoch: From 1 on.
    """
    seen, now = logs[:, :epoch], logs[:, epoch - 1]
    return np.stack(
        [
            now,
            seen[:, -max(1, epoch // 10) :].mean(axis=1),
            seen.min(axis=1),
            seen[:, 0],
            now - logs[:, max(1, epoch // 2) - 1],
        ],
        axis=1,
    )


def _stretched(curve: LearningCurve, epochs: int) -> Array:
    """Return log errors at the shares of a training of so many epochs, as far as they are known."""
    logs = _logs(curve.errors)
    if curve.final is not None and len(logs) < curve.epochs:
        logs = np.pad(logs, (0, curve.epochs - len(logs)), constant_values=_logs([curve.final])[0])
    if curve.epochs == epochs:
        return logs
    known = len(logs) * epochs // curve.epochs
    places = np.arange(1, known + 1) * curve.epochs / epochs
    return np.interp(places, np.arange(1, len(logs) + 1), logs)


def _logs(errors: Sequence[float]) -> Array:
    values = np.asarray(errors, dtype=np.float64)
    return np.log(np.maximum(np.where(np.isfinite(values), values, 1.0), SMALLEST_ERROR))
