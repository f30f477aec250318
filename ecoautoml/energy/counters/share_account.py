"""One process's part of a machine's counters, summed in steps (see `shares`, beside)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ecoautoml.energy.base import CounterReading
from ecoautoml.energy.counters.processes import TICK_S

STEP_S = 0.2
"""Seconds below which a step stays open: the machine's busy time comes in ticks of 10 ms."""
SLACK_S = 2 * TICK_S
"""Seconds by which the machine's busy time can be off against a process's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedReading(CounterReading):
    """A part of a machine-wide counter at one moment.

    Attributes:
        share_s: Cumulative share × seconds: the part of the idle power contained in ``energy_j``.
    """

    share_s: float = 0.0


class Moment(NamedTuple):
    """Seconds of the clock, of the process in question, and of all busy CPUs."""

    time_s: float
    cpu_s: float
    busy_s: float


@dataclass(slots=True, kw_only=True)
class _Part:
    """One component's joules of one process.

    ``begun``: time, closed share × seconds and device joules at the last closed step in which the
    device could be read. ``shown``: device joules and own joules as last given out.
    """

    generation: int
    begun: tuple[float, float, float]
    gross_j: float
    shown: tuple[float, float]

    def target_j(self, now_s: float, share_s: float, device_j: float, share: float) -> float:
        """Return the joules up to now: since the last closed step at the mean share since then."""
        begun_s, begun_share_s, begun_j = self.begun
        gap_s = now_s - begun_s
        mean = (share_s - begun_share_s) / gap_s if gap_s > 0 else share
        return self.gross_j + (device_j - begun_j) * min(max(mean, 0.0), 1.0)


class Account:
    """One process's part of the counters, summed in steps.

    A step of at least `STEP_S` is closed with the share its seconds give. The rest of it, the open
    step, is given out with what is known: own CPU seconds exactly, and others as busy as in the
    last closed step; the next closed step puts right what that got wrong. What was given out is
    never taken back, nor is more given out than the device used since: so sums never fall, no part
    is more than the whole, and an error is at most what one open step can hold, once.
    """

    def __init__(self, now: Moment) -> None:
        self._begun = now
        self._share_s = 0.0
        self._others_s = 0.0
        self._owed_s = 0.0
        self._others_rate: float | None = None
        self._parts: dict[str, _Part] = {}
        self._shown_share = (now.time_s, 0.0)
        self._shown_busy_s = now.cpu_s

    def fits(self, now: Moment) -> bool:
        """Return whether time and CPU seconds have not fallen."""
        return now.time_s >= self._shown_share[0] and now.cpu_s >= self._begun.cpu_s

    def advance(self, now: Moment, device: Sequence[CounterReading]) -> None:
        """Close the open step if it is long enough."""
        seconds = now.time_s - self._begun.time_s
        if seconds < STEP_S:
            return
        cpu_s = now.cpu_s - self._begun.cpu_s
        others_s, self._owed_s = self._others(now)
        self._share_s += share_of(cpu_s, others_s, seconds) * seconds
        self._others_s += others_s
        self._others_rate = others_s / seconds
        self._begun = now
        for reading in device:
            self._close_part(reading, now.time_s)

    def show(
        self, now: Moment, device: Sequence[CounterReading], restarts: int
    ) -> list[CounterReading]:
        """Return the part of each component up to now."""
        seconds = now.time_s - self._begun.time_s
        cpu_s = now.cpu_s - self._begun.cpu_s
        others_s = self._others(now)[0]
        if self._others_rate is not None:
            others_s = self._others_rate * seconds
        share = share_of(cpu_s, others_s, seconds)
        share_s = self._share_s + share * seconds
        self._shown_share = (
            now.time_s,
            _followed(self._shown_share[1], share_s, now.time_s - self._shown_share[0]),
        )
        self._shown_busy_s = max(self._shown_busy_s, now.cpu_s + self._others_s + others_s)
        return [self._show_part(reading, now, share_s, share, restarts) for reading in device]

    def _others(self, now: Moment) -> tuple[float, float]:
        """Return everybody else's busy seconds in the open step, and those left for later ones.

        The machine's busy time comes in ticks, so alone we may seem not to be: a difference
        within the ticks is left for the next step, where it either cancels or adds up to
        somebody. Nothing is forgotten but what our own seconds exceed the machine's by.
        """
        cpu_s = now.cpu_s - self._begun.cpu_s
        others_s = now.busy_s - self._begun.busy_s + self._owed_s - cpu_s
        if others_s <= min(SLACK_S, cpu_s / 10):
            return 0.0, max(others_s, -SLACK_S)
        return others_s, 0.0

    def _close_part(self, reading: CounterReading, now_s: float) -> None:
        part = self._parts.get(reading.component)
        if part is None or reading.energy_j is None or reading.generation != part.generation:
            return  # begun, or begun anew, when it is shown
        part.gross_j = part.target_j(now_s, self._share_s, reading.energy_j, 0.0)
        part.begun = (now_s, self._share_s, reading.energy_j)

    def _show_part(
        self, reading: CounterReading, now: Moment, share_s: float, share: float, restarts: int
    ) -> CounterReading:
        if reading.energy_j is None:
            return unknown(reading, reading.reason)
        part = self._parts.get(reading.component)
        if part is None or part.generation != reading.generation:
            shown_j = part.shown[1] if part else 0.0
            part = _Part(
                generation=reading.generation,
                begun=(now.time_s, share_s, reading.energy_j),
                gross_j=shown_j,
                shown=(reading.energy_j, shown_j),
            )
            self._parts[reading.component] = part
        target_j = part.target_j(now.time_s, share_s, reading.energy_j, share)
        device_j, shown_j = part.shown
        shown_j = _followed(shown_j, target_j, reading.energy_j - device_j)
        part.shown = (reading.energy_j, shown_j)
        return part_of(
            replace(
                reading,
                energy_j=shown_j,
                generation=reading.generation + restarts,
                cpu_s=now.cpu_s,
                busy_s=self._shown_busy_s,
            ),
            share_s=self._shown_share[1],
        )


def share_of(cpu_s: float, others_s: float, seconds: float) -> float:
    """Return a process's share of a step, in [0, 1]; 0 when it did nothing.

    Busy seconds below a tick are below what the machine can tell from idle: the rest of that tick
    is nobody's, so that a process that wakes for a microsecond does not get a second's idle power.

    Args:
        cpu_s: Its CPU seconds.
        others_s: Busy seconds of everybody else.
        seconds: Length of the step.
    """
    least_s = min(TICK_S, TICK_S * seconds / STEP_S)
    busy_s = max(cpu_s + others_s, least_s)
    return cpu_s / busy_s if busy_s > 0 else 0.0


def _followed(shown: float, target: float, room: float) -> float:
    """Return what may be given out: towards the target, never back, and by no more than room."""
    return shown + min(max(target - shown, 0.0), max(room, 0.0))


def part_of(reading: CounterReading, *, share_s: float) -> SharedReading:
    """Return a reading as a part, with its cumulative share × seconds."""
    return SharedReading(
        component=reading.component,
        energy_j=reading.energy_j,
        time_s=reading.time_s,
        reason=reading.reason,
        generation=reading.generation,
        cpu_s=reading.cpu_s,
        busy_s=reading.busy_s,
        share_s=share_s,
    )


def unknown(reading: CounterReading, reason: str | None) -> SharedReading:
    """Return a reading without joules, for its own reason or else the given one."""
    lost = replace(reading, energy_j=None, reason=reading.reason or reason, cpu_s=None)
    return part_of(lost, share_s=0.0)
