"""Constraints as a user writes them: "latency_ms <= 5"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ecoautoml.records.columns import METRICS
from ecoautoml.registry import suggest

_PATTERN = re.compile(r"^\s*([A-Za-z_][\w.]*)\s*(<=|>=|<|>|==|=)\s*(.+?)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A limit on one metric.

    Attributes:
        text: As written.
        metric: Column name.
        operator: "<=" or ">=".
        limit: Bound, in the metric's unit.
    """

    text: str
    metric: str
    operator: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read "METRIC <= NUMBER" or "METRIC >= NUMBER".

        Raises:
            ValueError: Not of that form, an unknown metric, or no number.
        """
        match = _PATTERN.match(text)
        if match is None or match.group(2) not in ("<=", ">="):
            raise ValueError(f'{text!r} is not of the form "METRIC <= NUMBER" (or >=)')
        metric, operator, number = match.groups()
        if metric not in METRICS:
            raise ValueError(f"no metric is called {metric!r}{suggest(metric, METRICS)}")
        limit = _number(number)
        if not math.isfinite(limit):
            raise ValueError(
                f"{number!r} in {text!r} is not a number; give it bare, in the unit of the "
                f"metric's name ({metric})"
            )
        return cls(text=text.strip(), metric=metric, operator=operator, limit=limit)

    @property
    def is_known_before_training(self) -> bool:
        """Return whether the probe already tells it."""
        return METRICS[self.metric].is_known_before_training

    def violation(self, metrics: Mapping[str, float]) -> float | None:
        """Return by how much it is violated, relative to the limit; at most 0 when it holds.

        None when the metric is not known.
        """
        if self.metric not in metrics:
            return None
        excess = metrics[self.metric] - self.limit
        if self.operator == ">=":
            excess = -excess
        return excess / max(abs(self.limit), 1e-12)


def _number(text: str) -> float:
    """Return the number, NaN when it is none."""
    try:
        return float(text.replace("_", ""))
    except ValueError:
        return math.nan
