"""Time: the one thing every reading has in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod


class Clock(ABC):
    """A monotonic clock; its zero has no meaning, only differences do."""

    @abstractmethod
    def now(self) -> float:
        """Return seconds; never less than what was returned before."""


class MonotonicClock(Clock):
    """The machine's monotonic clock with the finest resolution."""

    def now(self) -> float:
        """Return seconds of `time.perf_counter`."""
        return time.perf_counter()
