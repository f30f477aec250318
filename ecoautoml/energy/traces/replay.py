"""A recorded trace as a meter: by looks, the same every time; or by time, like a machine's."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecoautoml.energy.base import (
    Availability,
    CounterReading,
    EnergyMeter,
    difference,
    paired,
)
from ecoautoml.energy.clock import Clock
from ecoautoml.energy.counters.shares import with_loss
from ecoautoml.energy.traces.trace import Look, Played, Row, Trace, played, read_trace
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import EnergyReading

TICKS_PER_WINDOW = 50
"""Ticks of a trace in its shortest window."""


class ReplayMeter(EnergyMeter):
    """Plays back a cumulative counter, one row per look, or as time goes by.

    By looks, every ``read()`` and every ``clock.now()`` takes the next row, so results depend on
    how often was looked and on nothing else, neither real time nor load. By time, with a ``clock``,
    a read tells what the counter stood at at this moment, so all processes of a machine see the
    same counter. After the last row the trace starts over with its sums continued.

    What a file may say, faults of a raw counter included, is in `ecoautoml.energy.traces.trace`. A
    trace knows nothing of processes, so whoever asks gets all of it; where it stands for a
    machine's counter, a `SharedMeter` around it shares it out.

    Args:
        trace: The file, the rows, or the trace.
        component: The component it stands for; None: what the trace says.
        clock: What time it is, to play it by time; None: it is played by looks, and is a clock.

    Raises:
        ConfigError: The file cannot be read or is no cumulative counter.
    """

    is_recorded = True

    def __init__(
        self,
        trace: Path | str | Sequence[Row] | Trace,
        component: str | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._trace = _trace(trace)
        self._component = component or self._trace.component
        self._played = played(self._trace)
        tape = _Tape(self._played)
        self._tape: _Tape | _Reel = tape if clock is None else _Reel(self._played, clock)
        self._clock = ReplayClock(tape) if clock is None else clock
        self.tick_s = self._trace.tick_s
        self.min_window_s = max(0.1, TICKS_PER_WINDOW * (self.tick_s or 0.0))

    @property
    def name(self) -> str:
        """Return "replay"."""
        return "replay"

    @property
    def idle_w(self) -> Mapping[str, float]:
        """Return the idle watts the trace states."""
        idle_w = self._trace.idle_w
        return {} if idle_w is None else {self._component: idle_w}

    @property
    def clock(self) -> Clock:
        """Return the clock that belongs to this trace; use no other beside it."""
        return self._clock

    def is_available(self) -> Availability:
        """Return yes: a trace that could be read can be played."""
        return Availability(ok=True, detail=self._trace.source)

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return the next row; the same whichever process is asked about."""
        look = self._tape.advance()
        return [
            CounterReading(
                component=self._component,
                energy_j=look.energy_j,
                time_s=look.time_s,
                reason=look.reason,
                generation=look.generation,
            )
        ]

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the recorded joules between two reads."""
        return [self._between(start, end) for start, end in paired(before, after)]

    def close(self) -> None:
        """Do nothing: there is no device to give back."""

    def _between(self, start: CounterReading, end: CounterReading) -> EnergyReading:
        reading = difference(
            start, end, provenance=self._trace.provenance, source=self._trace.source
        )
        return with_loss(reading, start, end, self._played.losses)


class ReplayClock(Clock):
    """The clock of a trace: every look takes its next row."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape

    def now(self) -> float:
        """Return the seconds of the next row."""
        return self._tape.advance().time_s


class _Tape:
    """Looks, played in an endless loop with continued sums."""

    def __init__(self, trace: Played) -> None:
        self._looks = trace.looks
        times = [look.time_s for look in self._looks]
        joules = [look.energy_j for look in self._looks if look.energy_j is not None]
        # One mean step lies between the last row and the first of the next lap.
        stretch = len(times) / (len(times) - 1)
        self._lap_s = (max(times) - times[0]) * stretch
        self._lap_j = (joules[-1] - joules[0]) * stretch
        # Sums that were lost once cannot be continued into the next lap.
        self._lap_losses = len(trace.losses) + 1 if trace.losses else 0
        self._played = 0

    def advance(self) -> Look:
        lap, row = divmod(self._played, len(self._looks))
        self._played += 1
        look = self._looks[row]
        energy_j = look.energy_j
        return look._replace(
            time_s=look.time_s + lap * self._lap_s,
            energy_j=None if energy_j is None else energy_j + lap * self._lap_j,
            generation=look.generation + lap * self._lap_losses,
        )


class _Reel:
    """Looks, played as time goes by in an endless loop with continued sums.

    Every process that plays the same trace by the machine's clock sees the same counter.

    Raises:
        ConfigError: The trace's times do not grow.
    """

    def __init__(self, trace: Played, clock: Clock) -> None:
        self._looks, self._clock = trace.looks, clock
        self._times = [look.time_s for look in trace.looks]
        if any(later <= earlier for earlier, later in itertools.pairwise(self._times)):
            raise ConfigError("a trace whose time_s does not grow cannot be played by time")
        joules = [look.energy_j for look in trace.looks if look.energy_j is not None]
        stretch = len(self._times) / (len(self._times) - 1)
        self._lap_s = (self._times[-1] - self._times[0]) * stretch
        self._lap_j = (joules[-1] - joules[0]) * stretch
        self._lap_losses = len(trace.losses) + 1 if trace.losses else 0

    def advance(self) -> Look:
        now_s = self._clock.now()
        lap, into_s = divmod(now_s, self._lap_s)
        moment_s = self._times[0] + into_s
        index = bisect.bisect_right(self._times, moment_s) - 1
        here = self._looks[index]
        energy_j = self._between(index, moment_s)
        return here._replace(
            time_s=now_s,
            energy_j=None if energy_j is None else energy_j + lap * self._lap_j,
            generation=here.generation + int(lap) * self._lap_losses,
        )

    def _between(self, index: int, moment_s: float) -> float | None:
        """Return the joules between a row and the next one, which may be the next lap's first."""
        here, after = self._looks[index], self._looks[(index + 1) % len(self._looks)]
        if here.energy_j is None or after.energy_j is None:
            return None
        is_last = index + 1 == len(self._looks)
        after_s = self._times[0] + self._lap_s if is_last else after.time_s
        after_j = after.energy_j + (self._lap_j if is_last else 0.0)
        if here.generation != after.generation:
            return here.energy_j
        share = (moment_s - here.time_s) / (after_s - here.time_s)
        return here.energy_j + share * (after_j - here.energy_j)


def _trace(trace: Path | str | Sequence[Row] | Trace) -> Trace:
    if isinstance(trace, Trace):
        return trace
    if isinstance(trace, (str, Path)):
        return read_trace(Path(trace))
    return Trace(rows=tuple(trace))
