"""Objectives of any sign and size, made positive for planners and pruners that take logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection

Array = NDArray[np.float64]
MOST = 1e4
"""Losses so many spreads above the least one, and beyond, are all the same."""
LEAST = 1e-9
"""Costs so many times below the middle one, and beyond, are all the same."""
LARGE = 1.25
"""The error is 1 from this many times the ninth decile of the losses on."""


def signs_of(directions: Sequence[StudyDirection]) -> Array:
    """Return by objective what its values are multiplied with to be losses."""
    return np.array([-1.0 if one is StudyDirection.MAXIMIZE else 1.0 for one in directions])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Makes losses positive, and keeps their order.

    The least loss becomes 1, the lower quartile 2, and others grow in proportion. So differences
    stay what they are, and the logarithm tells good ones apart and draws bad ones together. The
    result does not change when all losses are multiplied or shifted.

    Attributes:
        unit: What losses are divided by first.
        low: Least loss, then.
        high: Largest loss, then.
        spread: From the least loss to the lower quartile, then; above 0.
    """

    unit: float
    low: float
    high: float
    spread: float

    @classmethod
    def of(cls, losses: Array) -> Scale:
        """Return the scale of some losses, ``(n,)``; those that are not finite do not count."""
        known = losses[np.isfinite(losses)]
        if not len(known):
            return cls(unit=1.0, low=0.0, high=0.0, spread=1.0)
        unit = float(np.abs(known).max()) or 1.0
        known = known / unit
        low, high = float(known.min()), float(known.max())
        widths = np.quantile(known, [0.25, 0.5, 0.75, 1.0]) - low
        return cls(
            unit=unit, low=low, high=high, spread=float(min(widths[widths > 0], default=1.0))
        )

    def positive(self, losses: Array) -> Array:
        """Return positive numbers for losses; what is infinite is a little beyond all others."""
        kept = np.clip(losses / self.unit, self.low - self.spread / 2.0, self.high + self.spread)
        return np.asarray(np.minimum((kept - self.low) / self.spread + 1.0, MOST))


@dataclass(frozen=True, slots=True, kw_only=True)
class CostScale:
    """Makes known costs positive, and keeps their order.

    Costs above 0 are divided by their spread: their logarithm counts, as for joules and sizes.
    Others become exp(asinh(z)), z being the cost less its middle, over its spread.

    Attributes:
        middle: None: costs are only divided.
        spread: Above 0.
    """

    middle: float | None = None
    spread: float = 1.0

    @classmethod
    def of(cls, costs: Array, *, is_positive: bool) -> CostScale:
        """Return the scale of some costs, ``(n,)``, which may be all positive."""
        known = costs[np.isfinite(costs)]
        if not len(known):
            return cls(middle=None if is_positive else 0.0)
        if is_positive and (known > 0).all():
            return cls(spread=float(np.median(known)))
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
        spread = high - low or float(np.abs(known - middle).max()) or 1.0
        return cls(middle=float(middle), spread=float(spread))

    def positive(self, costs: Array) -> Array:
        """Return positive numbers for costs."""
        if self.middle is None:
            return np.asarray(np.maximum(costs / self.spread, LEAST))
        return np.asarray(np.exp(np.arcsinh((costs - self.middle) / self.spread)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorScale:
    """Makes an objective an error within [0, 1] that may be compared by ratio; keeps the order.

    What lies within [0, 1] is an error, or with the other direction a score, as it stands. Losses
    above 0 that differ by a factor of 2 or more are divided by a large one, so that their ratios
    stay. Others are first made positive by `Scale`.

    Attributes:
        sign: -1 where the objective is maximised, else 1.
        within: Whether values lie within [0, 1].
        scale: None where losses are only divided.
        high: Loss, made positive, from which on the error is 1.
    """

    sign: float
    within: bool
    scale: Scale | None
    high: float

    @classmethod
    def of(cls, values: Array, sign: float) -> ErrorScale:
        """Return the scale of some values of an objective, ``(n,)``."""
        known = values[np.isfinite(values)]
        if not len(known) or (known.min() >= 0.0 and known.max() <= 1.0):
            return cls(sign=sign, within=True, scale=None, high=1.0)
        losses = sign * known
        is_divided = losses.min() > 0 and np.quantile(losses, 0.9) >= 2.0 * losses.min()
        scale = None if is_divided else Scale.of(losses)
        positive = losses if scale is None else scale.positive(losses)
        high = LARGE * float(np.quantile(positive, 0.9))
        return cls(sign=sign, within=False, scale=scale, high=high)

    def errors(self, values: Array) -> Array:
        """Return values as errors; NaN counts as 1."""
        losses = self.sign * values
        if self.within:
            found = losses if self.sign > 0 else 1.0 + losses
        else:
            found = (losses if self.scale is None else self.scale.positive(losses)) / self.high
        return np.asarray(np.clip(np.nan_to_num(found, nan=1.0), 0.0, 1.0))
