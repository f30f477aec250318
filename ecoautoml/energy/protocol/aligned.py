"""Blocks of calls that begin and end when a counter moves.

A counter that moves every 0.1 s tells nothing about what happens between two moves. Read at any
other moment, a window is off by up to a tick's joules at each end; read at two moves, it is exact
to the time between two looks. And a sensor that sees a quarter of every tick sees always the same
part of a load that repeats as often as the counter moves: errors up to 50 % that no longer window
heals. Eight runs, each shifted by an eighth of a tick, see all parts of it (arXiv 2312.02741).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecoautoml.energy.base import CounterReading, EnergyMeter
from ecoautoml.energy.protocol.calls import Calls
from ecoautoml.records.energy_reading import EnergyReading

SUB_BLOCKS = 8
LOOKS_PER_TICK = 20
"""Looks while a move is awaited: each takes milliseconds, in which the device does nothing."""
EARLY = 0.25
"""Ticks before an expected move from which on the counter is looked at."""
SETTLE = 0.5
"""Ticks of calls after a pause before a run may begin: a counter lags behind, and power rises."""
NEAR = 0.5
"""Ticks between two looks above which a move they saw is not located: the calls are too long."""
LATE = 3.0
"""Ticks after which a move is no longer awaited."""
MAX_CALLS = 100_000

Reads = list[list[CounterReading]]
"""One read of each meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Calls between two reads of the meters.

    Attributes:
        readings: Joules of all meters' components.
        call_s: Seconds of each call.
        is_aligned: Whether it began and ended when the counter moved.
    """

    readings: tuple[EnergyReading, ...]
    call_s: tuple[float, ...]
    is_aligned: bool


def counts(component: str, target: str | None) -> bool:
    """Return whether a component is the target or one of its boards; every one is for None."""
    return target is None or component == target or component.startswith(f"{target}:")


def moved(
    before: Sequence[CounterReading], after: Sequence[CounterReading], target: str | None
) -> bool | None:
    """Return whether a counter moved between two reads; None when it cannot be read.

    Of several boards the first one that counts decides; the others move at other moments.
    """
    starts = {reading.component: reading.energy_j for reading in before}
    for reading in after:
        if counts(reading.component, target):
            start_j = starts.get(reading.component)
            if start_j is None or reading.energy_j is None:
                return None
            return reading.energy_j != start_j
    return None


class AlignedRuns:
    """Makes runs of calls from one move of a counter to a later one.

    Args:
        calls: What is measured.
        meters: What to read around each run.
        ticked: The one among them whose moves begin and end a run.
        tick_s: Seconds between its moves.
        target: Which of its components counts.
    """

    def __init__(
        self,
        calls: Calls,
        meters: Sequence[EnergyMeter],
        ticked: EnergyMeter,
        tick_s: float,
        target: str | None,
    ) -> None:
        self._calls = calls
        self._meters = tuple(meters)
        self._ticked = ticked
        self._tick_s = tick_s
        self._target = target
        self._n_runs = 0
        self._idle_s = 0.0
        self._idle_before_start_s = 0.0
        self._moved_s: float | None = None

    def run(self, ticks: int) -> Run:
        """Shift the calls by an eighth of a tick and make a run of so many ticks.

        That the device idles for the shift is not counted: it works again for at least half a tick
        before the run begins.
        """
        self._shift()
        idle_s = self._idle_s
        start, _, did_start = self._call_until_moved(self._first_look_s())
        self._idle_before_start_s = self._idle_s - idle_s
        before = self._read_all(start)
        began_s = self._calls.clock.now()
        end, call_s, did_end = self._call_until_moved(began_s + (ticks - EARLY) * self._tick_s)
        after = self._read_all(end)
        has_stood = moved(start, end, self._target) is False
        readings = tuple(
            _stood_still(reading) if has_stood and meter is self._ticked else reading
            for meter, first, last in zip(self._meters, before, after, strict=True)
            for reading in meter.readings_between(first, last)
        )
        return Run(readings=readings, call_s=tuple(call_s), is_aligned=did_start and did_end)

    def _shift(self) -> None:
        """Pause until calls begin an eighth of a tick later against the counter than last time.

        Calls follow one another, so their phase moves by the time between them only: pauses and
        looks. A look takes milliseconds, which is as much as a step, so looks are part of it: those
        made, and those to come before the run begins, as many as last time.
        """
        self._n_runs += 1
        wanted_s = self._n_runs * self._tick_s / SUB_BLOCKS
        pause_s = (wanted_s - self._idle_s - self._idle_before_start_s) % self._tick_s
        before_s = self._calls.clock.now()
        self._calls.clock.wait(pause_s)
        self._idle_s += self._calls.clock.now() - before_s

    def _first_look_s(self) -> float:
        """Return when to look for the move that begins a run: shortly before one is due."""
        ready_s = self._calls.clock.now() + SETTLE * self._tick_s
        if self._moved_s is None:
            return ready_s
        ticks = math.ceil((ready_s - self._moved_s) / self._tick_s)
        return self._moved_s + (ticks - EARLY) * self._tick_s

    def _call_until_moved(
        self, look_from_s: float
    ) -> tuple[list[CounterReading], list[float], bool]:
        """Make at least one call, until the counter has moved after ``look_from_s``.

        Returns:
            The read that saw the move, the seconds of each call, and whether there was a move.
        """
        clock = self._calls.clock
        call_s: list[float] = []
        while clock.now() < look_from_s and len(call_s) < MAX_CALLS:
            call_s.append(self._calls.once())
        base = last = self._look()
        looked_s = began_s = clock.now()
        while len(call_s) < MAX_CALLS and clock.now() - began_s < LATE * self._tick_s:
            call_s.append(self._calls.once())
            if clock.now() - looked_s < self._tick_s / LOOKS_PER_TICK:
                continue
            last = self._look()
            gap_s, looked_s = clock.now() - looked_s, clock.now()
            has_moved = moved(base, last, self._target)
            if has_moved is not False:
                is_located = has_moved is True and gap_s <= NEAR * self._tick_s
                self._moved_s = looked_s if is_located else None
                return last, call_s, is_located
        self._moved_s = None
        return last, call_s, False

    def _look(self) -> list[CounterReading]:
        before_s = self._calls.clock.now()
        readings = self._ticked.read()
        self._idle_s += self._calls.clock.now() - before_s
        return readings

    def _read_all(self, ticked: list[CounterReading]) -> Reads:
        return [ticked if meter is self._ticked else meter.read() for meter in self._meters]


def _stood_still(reading: EnergyReading) -> EnergyReading:
    """Return a reading of 0 J as what it is: unknown."""
    if reading.energy_j != 0:
        return reading
    reason = f"the counter stood still for {reading.duration_s:.2f} s, longer than a tick"
    return replace(reading, energy_j=None, reason=reason)
