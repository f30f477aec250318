"""Time: the one thing every reading has in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod


class Clock(ABC):
    """A monotonic clock; its zero has no meaning, only differences do."""

    @abstractmethod
    def now(self) -> float:
        """Return seconds; never less than what was returned before."""

    def wait(self, seconds: float) -> None:  # noqa: B027  (a trace's clock has nothing to wait for)
        """Do nothing for so many seconds; a clock that does not run by itself stays where it is."""


class MonotonicClock(Clock):
    """The machine's monotonic clock with the finest resolution."""

    def now(self) -> float:
        """Return seconds of `time.perf_counter`."""
        return time.perf_counter()

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)
