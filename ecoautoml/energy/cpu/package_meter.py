"""The packages' and the memory's own counters, whichever door they are read at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ecoautoml.energy.base import Availability, CounterReading, EnergyMeter, Scope
from ecoautoml.energy.clock import Clock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.counters.shares import SharedCounters
from ecoautoml.energy.counters.unwrap import Unwrapper
from ecoautoml.energy.cpu.filtering import FILTERED, WARNING
from ecoautoml.records.energy_reading import EnergyReading

GUARD_READS = 4
"""Reads in the time within which a counter cannot wrap twice."""


class Part(Protocol):
    """One physical counter; those of all sockets together make a component."""

    @property
    def label(self) -> str:
        """Return what messages call it."""

    @property
    def counter(self) -> Unwrapper:
        """Return what adds up its reads."""

    def advance(self, now_s: float, busy_s: float | None) -> None:
        """Read it and add what was used since the last read.

        Raises:
            OSError: It cannot be read (any more).
            ValueError: What was read is not a number.
        """


class PackageMeter(EnergyMeter):
    """Adds up a machine's packages (as "cpu") and its memory (as "dram"), shared out by CPU time.

    See `ecoautoml.energy.counters.shares`. A process that used at least 95 % of the machine's busy
    time in a window gets `measured` joules, any other `attributed` ones. Busy seconds come in ticks
    of 10 ms, so windows under half a second have a coarse share.

    Args:
        parts: The counters of each component; "cpu" is always read, if only to say why not.
        sources: What each component's joules come from.
        why_none: Why there are no counters, where there are none.
        is_filtered: Whether the counters are made inexact on purpose.
        tree: Where CPU seconds come from.
        clock: Where time comes from.
        scope: Whose part is read.
    """

    min_window_s = 0.5
    permission_hint: str | None = None
    """What to do when permission to read is taken away; None: the system's own words."""

    def __init__(
        self,
        parts: Mapping[str, Sequence[Part]],
        *,
        sources: Mapping[str, str],
        why_none: str,
        is_filtered: bool,
        tree: ProcessTree,
        clock: Clock,
        scope: Scope,
    ) -> None:
        self._parts: dict[str, Sequence[Part]] = {"cpu": (), **parts}
        self._sources = sources
        self._why_none = why_none
        self._is_filtered = is_filtered
        self._tree = tree
        self._clock = clock
        gap_s = self.longest_gap_s
        self._counters = SharedCounters(
            self._look,
            tree,
            scope,
            longest_gap_s=None if gap_s is None else gap_s / GUARD_READS,
            is_guarded=bool(parts),
        )

    @property
    def longest_gap_s(self) -> float | None:
        """Return the seconds between reads that keep wraps certain; None when nothing wraps."""
        gaps_s = [part.counter.longest_gap_s for parts in self._parts.values() for part in parts]
        return min((gap_s for gap_s in gaps_s if gap_s is not None), default=None)

    def is_available(self) -> Availability:
        """Return whether the packages can be read."""
        cpu = self._counters.look()[0]
        if cpu.energy_j is None:
            return Availability(ok=False, reason=cpu.reason or "the counters cannot be read")
        detail = self._detail()
        return Availability(ok=True, detail=f"{detail}; {WARNING}" if self._is_filtered else detail)

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return a process's part of the packages and of the memory."""
        return self._counters.read(pid)

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return a process's part of the joules between two reads."""
        return self._counters.readings_between(
            before,
            after,
            sources=self._sources,
            losses={
                component: [loss for part in parts for loss in part.counter.losses]
                for component, parts in self._parts.items()
            },
            relative_uncertainty=FILTERED if self._is_filtered else None,
        )

    def close(self) -> None:
        """End the thread that reads in between; later reads still work."""
        self._counters.close()

    def _detail(self) -> str:
        return ", ".join(self._sources[component] for component in self._parts)

    def _forget(self, why: str) -> None:
        """Give the counters up: from here on every component is unknown."""
        self._why_none = why
        self._parts = dict.fromkeys(self._parts, ())

    def _look(self) -> list[CounterReading]:
        """Return the whole counters of this machine, and how busy it was."""
        busy_s, time_s = self._tree.machine_busy_s(), self._clock.now()
        return [
            self._look_at(component, parts, time_s, busy_s)
            for component, parts in self._parts.items()
        ]

    def _look_at(
        self, component: str, parts: Sequence[Part], time_s: float, busy_s: float | None
    ) -> CounterReading:
        reason = None if parts else self._why_none
        # Every counter is read even when one fails: each read is also what keeps track of wraps.
        for part in parts:
            try:
                part.advance(time_s, busy_s)
            except (OSError, ValueError) as error:
                reason = self._why_unread(part, error)
            if part.counter.is_still:
                reason = f"{part.label} stands still while the processor works"
        total_j = sum(part.counter.total_j for part in parts)
        return CounterReading(
            component=component,
            energy_j=total_j if reason is None else None,
            time_s=time_s,
            reason=reason,
            generation=sum(len(part.counter.losses) for part in parts),
            busy_s=busy_s,
        )

    def _why_unread(self, part: Part, error: OSError | ValueError) -> str:
        if self.permission_hint is not None and isinstance(error, PermissionError):
            return f"{part.label}: {self.permission_hint}"
        return f"{part.label} cannot be read: {error}"
