"""A meter of the whole machine that does not share itself out, shared out by CPU time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ecoautoml.energy.base import Availability, CounterReading, EnergyMeter, Scope
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.counters.shares import GUARD_S, SharedCounters
from ecoautoml.records.energy_reading import EnergyReading, weakest

LOOKS_PER_WINDOW = 10
"""Looks in the shortest window that means something, to share it out by."""


class SharedMeter(EnergyMeter):
    """Gives everybody's part of another meter's counters, see `ecoautoml.energy.counters.shares`.

    Args:
        meter: What reads the machine, a meter at the wall for one.
        scope: Whose part is read.
        tree: Where CPU seconds come from; None: this machine's processes.
        is_guarded: Whether a thread looks in between; a trace played by looks needs none.
    """

    is_machine_wide = True

    def __init__(
        self,
        meter: EnergyMeter,
        scope: Scope,
        tree: ProcessTree | None = None,
        *,
        is_guarded: bool = True,
    ) -> None:
        self._meter = meter
        self._tree = tree or ProcessTree()
        # a slow counter, asked over a network maybe, is looked at less often
        guard_s = max(GUARD_S, meter.min_window_s / LOOKS_PER_WINDOW)
        self._counters = SharedCounters(
            self._look, self._tree, scope, is_guarded=is_guarded, guard_s=guard_s
        )
        self.min_window_s = meter.min_window_s
        self.tick_s = meter.tick_s
        self.is_recorded = meter.is_recorded

    @property
    def name(self) -> str:
        """Return the other meter's name."""
        return self._meter.name

    @property
    def idle_w(self) -> Mapping[str, float]:
        """Return the idle watts the other meter states."""
        return self._meter.idle_w

    def is_available(self) -> Availability:
        """Return whether the other meter can be read."""
        return self._meter.is_available()

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return a process's part of each component."""
        return self._counters.read(pid)

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return a process's part of the joules between two reads."""
        about = {one.component: one for one in self._meter.readings_between(before, after)}
        parts = self._counters.readings_between(
            before,
            after,
            sources={component: one.source for component, one in about.items()},
            losses={},
        )
        return [_as_good_as(part, about[part.component]) for part in parts]

    def close(self) -> None:
        """Close the other meter."""
        self._counters.close()
        self._meter.close()

    def _look(self) -> list[CounterReading]:
        busy_s = self._tree.machine_busy_s()
        return [replace(reading, busy_s=busy_s) for reading in self._meter.read()]


def _as_good_as(part: EnergyReading, whole: EnergyReading) -> EnergyReading:
    """Return a part that is known no better than the whole, and unknown for the whole's reason."""
    recorded = weakest((part.provenance, whole.provenance))
    reason = part.reason if whole.reason is None else whole.reason
    return replace(part, provenance=recorded or part.provenance, reason=reason)
