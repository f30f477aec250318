"""The bill of whatever runs between two reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from ecoautoml.energy.base import CounterReading, EnergyMeter
from ecoautoml.energy.clock import Clock
from ecoautoml.records.energy_reading import EnergyLine, EnergyReading, bill


class EnergyWindow:
    """Reads meters when entered and when left, also when left by an exception.

    Windows may overlap and nest. Work given to an accelerator must be synchronised by the caller
    before either end. A window is entered once.

    Args:
        meters: What to read.
        clock: Where the duration comes from when there is no meter; the meters' own clock.
        pid: Root of the process tree that is billed; None: the own process.
        idle_w: Idle watts by component, for the part of the joules above idle; None: unknown.
    """

    def __init__(
        self,
        meters: Sequence[EnergyMeter],
        clock: Clock,
        *,
        pid: int | None = None,
        idle_w: Mapping[str, float] | None = None,
    ) -> None:
        self._meters = tuple(meters)
        self._clock = clock
        self._pid = pid
        self._idle_w = dict(idle_w or {})
        self._before: list[list[CounterReading]] = []
        self._after: list[list[CounterReading]] | None = None
        self._started_s: float | None = None
        self._ended_s: float | None = None

    def __enter__(self) -> Self:
        self._started_s = self._clock.now()
        self._before = self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._after = self._read()
        self._ended_s = self._clock.now()

    @property
    def duration_s(self) -> float:
        """Return seconds from entering to leaving, or until now while inside; 0 before."""
        if self._started_s is None:
            return 0.0
        ended_s = self._clock.now() if self._ended_s is None else self._ended_s
        return ended_s - self._started_s

    @property
    def readings(self) -> tuple[EnergyReading, ...]:
        """Return the joules of each component over the whole window; empty until it is left."""
        return () if self._after is None else self._between(self._after)

    def so_far(self) -> list[EnergyReading]:
        """Return the joules of each component from entering until now (or until leaving)."""
        return list(self._between(self._read() if self._after is None else self._after))

    def line(self, name: str) -> EnergyLine:
        """Return the window as one line of the bill; of so far, while still inside."""
        readings = self.readings if self._after is not None else self.so_far()
        line = bill(name, readings, self._idle_w)
        return line if self._meters else replace(line, duration_s=self.duration_s)

    def _read(self) -> list[list[CounterReading]]:
        return [meter.read(self._pid) for meter in self._meters]

    def _between(self, after: list[list[CounterReading]]) -> tuple[EnergyReading, ...]:
        return tuple(
            reading
            for meter, start, end in zip(self._meters, self._before, after, strict=False)
            for reading in meter.readings_between(start, end)
        )
