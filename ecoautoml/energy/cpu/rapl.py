"""The processor's energy counters (Linux powercap, Intel and AMD)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ecoautoml.energy.base import Availability, CounterReading, EnergyMeter, Scope
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.counters.shares import SharedCounters
from ecoautoml.energy.cpu.filtering import FILTERED, WARNING, is_filtered
from ecoautoml.energy.cpu.rapl_zones import Zone, find_zones, is_package, shortest_gap_s
from ecoautoml.records.energy_reading import EnergyReading

GUARD_READS = 4
"""Reads in the time within which a counter cannot wrap twice."""
PERMISSION_HINT = (
    "only an administrator may read the counters (CVE-2020-8694); have one give you read "
    "permission on energy_uj, or set measure.meter to cpu_time, an estimate"
)


class RaplMeter(EnergyMeter):
    """Reads the packages (as "cpu", summed) and the memory (as "dram") of this machine.

    The counters are the machine's; they are shared out by CPU time, see
    `ecoautoml.energy.counters.shares`. A process that used at least 95 % of the machine's busy time
    in a window gets `measured` joules, any other `attributed` ones. Busy seconds come in ticks of
    10 ms, so windows under half a second have a coarse share.

    A counter wraps every few minutes to hours (`longest_gap_s`; 65 kJ at 500 W: 2 min, 262 kJ at
    500 W: 9 min). Reads unwrap it; a thread reads four times as often as that, so windows may be
    of any length. Should it be kept from running (a machine put to sleep), a second wrap cannot be
    excluded, and the window is unknown.

    Args:
        root: Where the zones are.
        proc: Where the kernel's process files are.
        clock: Where time comes from; None: the machine's monotonic clock.
        sleep: Waits between the two looks that find mirrored zones.
        scope: Whose part is read.
        dev: Where device files are.
    """

    min_window_s = 0.5

    def __init__(
        self,
        root: Path = Path("/sys/class/powercap"),
        proc: Path = Path("/proc"),
        clock: Clock | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        scope: Scope = Scope.TREE,
        dev: Path = Path("/dev"),
    ) -> None:
        self._root = root
        self._clock = clock or MonotonicClock()
        self._tree = ProcessTree(proc)
        self._zones = by_component(find_zones(root, sleep=sleep))
        self._sources = {
            component: "rapl:" + "+".join(dict.fromkeys(zone.name for zone in members))
            for component, members in self._zones.items()
        }
        self._is_filtered = bool(self._zones) and is_filtered(proc, dev)
        gap_s = self.longest_gap_s
        self._counters = SharedCounters(
            self._look,
            self._tree,
            scope,
            longest_gap_s=None if gap_s is None else gap_s / GUARD_READS,
            is_guarded=bool(self._zones),
        )

    @property
    def name(self) -> str:
        """Return "rapl"."""
        return "rapl"

    @property
    def longest_gap_s(self) -> float | None:
        """Return the seconds between reads that keep wraps certain; None when not stated."""
        return shortest_gap_s(zone for members in self._zones.values() for zone in members)

    def is_available(self) -> Availability:
        """Return whether the packages can be read."""
        cpu = self._counters.look()[0]
        if cpu.energy_j is None:
            return Availability(ok=False, reason=cpu.reason or "the counters cannot be read")
        detail = ", ".join(self._sources.values())
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
            losses=self._losses,
            relative_uncertainty=FILTERED if self._is_filtered else None,
        )

    def close(self) -> None:
        """End the thread that reads in between; later reads still work."""
        self._counters.close()

    @property
    def _losses(self) -> Mapping[str, Sequence[str]]:
        return {
            component: [loss for zone in members for loss in zone.counter.losses]
            for component, members in self._zones.items()
        }

    def _look(self) -> list[CounterReading]:
        """Return the whole counters of this machine, and how busy it was."""
        busy_s, time_s = self._tree.machine_busy_s(), self._clock.now()
        return [
            self._look_at(component, self._zones.get(component, []), time_s, busy_s)
            for component in ("cpu", *(name for name in self._zones if name != "cpu"))
        ]

    def _look_at(
        self, component: str, zones: Sequence[Zone], time_s: float, busy_s: float | None
    ) -> CounterReading:
        reason = None if zones else self._why_nothing()
        # Every zone is read even when one fails: each read is also what keeps track of wraps.
        for zone in zones:
            try:
                zone.advance(time_s, busy_s)
            except PermissionError:
                reason = f"{zone.path.name}: {PERMISSION_HINT}"
            except (OSError, ValueError) as error:
                reason = f"{zone.path.name} cannot be read: {error}"
            if zone.counter.is_still:
                reason = f"{zone.path.name} stands still while the processor works"
        total_j = sum(zone.counter.total_j for zone in zones)
        return CounterReading(
            component=component,
            energy_j=total_j if reason is None else None,
            time_s=time_s,
            reason=reason,
            generation=sum(len(zone.counter.losses) for zone in zones),
            busy_s=busy_s,
        )

    def _why_nothing(self) -> str:
        return (
            f"there are no energy counters below {self._root}; virtual machines and "
            "containers usually have none, so set measure.meter to cpu_time, an estimate"
        )


def by_component(zones: Sequence[Zone]) -> dict[str, list[Zone]]:
    """Return the zones that make up each component."""
    found: dict[str, list[Zone]] = {}
    for zone in zones:
        found.setdefault("cpu" if is_package(zone.name) else "dram", []).append(zone)
    return found
