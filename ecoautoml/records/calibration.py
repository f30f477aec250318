"""Watts of a processor's threads, fitted once against a meter."""

from __future__ import annotations

from dataclasses import dataclass

LINEAR_ERROR = 0.1
"""Relative uncertainty of watts that are taken to grow evenly with the busy threads.

They do not: clocks fall when more threads are busy, and two threads of one core share its units.
The figure is this project's choice.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A straight line through watts at several loads.

    Attributes:
        cpu_model: Model name of the processor, as /proc/cpuinfo has it.
        threads: Threads of the machine it was made on.
        active_w: Watts of one busy thread above idle.
        active_w_error: Standard error of it; None when unknown.
        idle_w: Watts of the idle machine, per thread of it.
        idle_w_error: Standard error of it; None when unknown.
        r_squared: Share of the watts' variance that the line explains; None when unknown.
        n: Points behind the line.
        meter: What the watts were read from.
        date: Day it was made ("2026-11-21").
    """

    cpu_model: str
    threads: int
    active_w: float
    active_w_error: float | None
    idle_w: float
    idle_w_error: float | None
    r_squared: float | None
    n: int
    meter: str
    date: str

    @property
    def relative_uncertainty(self) -> float:
        """Return the relative uncertainty of ``active_w``, that of a straight line at least."""
        if self.active_w_error is None:
            return LINEAR_ERROR
        return max(self.active_w_error / self.active_w, LINEAR_ERROR)
