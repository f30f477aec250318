"""The processor's energy counters (Linux powercap, Intel and AMD)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ecoautoml.energy.base import (
    Availability,
    CounterReading,
    EnergyMeter,
    difference,
    paired,
)
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.processes import ProcessTree
from ecoautoml.energy.rapl_zones import Zone, find_zones, is_package, shortest_gap_s
from ecoautoml.records.energy_reading import EnergyReading, Provenance

GUARD_READS = 4
"""Reads in the time within which a counter cannot wrap twice."""
ALONE = 0.95
"""Share of the machine's busy time from which on its joules are called ours."""
PERMISSION_HINT = (
    "only an administrator may read the counters (CVE-2020-8694); have one give you read "
    "permission on energy_uj, or set measure.meter to cpu_time, an estimate"
)


class RaplMeter(EnergyMeter):
    """Reads the packages (as "cpu", summed) and the memory (as "dram") of this machine.

    The counters are the machine's. Between two reads the process tree's share is its CPU seconds
    over all busy CPU seconds: from 95 % on the joules are `measured`, gross (the idle power
    belongs to who keeps the machine), below they are `attributed` by that share. Busy seconds
    come in ticks of 10 ms, so windows under half a second have a coarse share.

    A counter wraps every few minutes to hours (`longest_gap_s`; 65 kJ at 500 W: 2 min, 262 kJ at
    500 W: 9 min). Reads unwrap it; a thread reads four times as often as that, so windows may be
    of any length. Should it be kept from running (a machine put to sleep), a second wrap cannot be
    excluded, and the window is unknown.

    Args:
        root: Where the zones are.
        proc: Where the kernel's process files are.
        clock: Where time comes from; None: the machine's monotonic clock.
        sleep: Waits between the two looks that find mirrored zones.
    """

    min_window_s = 0.5

    def __init__(
        self,
        root: Path = Path("/sys/class/powercap"),
        proc: Path = Path("/proc"),
        clock: Clock | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._root = root
        self._clock = clock or MonotonicClock()
        self._tree = ProcessTree(proc)
        zones = find_zones(root, sleep=sleep)
        self._zones: dict[str, list[Zone]] = {}
        for zone in zones:
            component = "cpu" if is_package(zone.name) else "dram"
            self._zones.setdefault(component, []).append(zone)
        self._sources = {
            component: "rapl:" + "+".join(dict.fromkeys(zone.name for zone in members))
            for component, members in self._zones.items()
        }
        self._reading = threading.Lock()  # a counter is read by one thread at a time
        self._closed = threading.Event()
        if self.longest_gap_s is not None:
            interval_s = self.longest_gap_s / GUARD_READS
            threading.Thread(target=self._guard, args=(interval_s,), daemon=True).start()

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
        if "cpu" not in self._zones:
            return Availability(
                ok=False,
                reason=f"there are no energy counters below {self._root}; virtual machines and "
                "containers usually have none, so set measure.meter to cpu_time, an estimate",
            )
        cpu = next(reading for reading in self.read() if reading.component == "cpu")
        if cpu.energy_j is None:
            return Availability(ok=False, reason=cpu.reason or "the counters cannot be read")
        return Availability(ok=True, detail=", ".join(self._sources.values()))

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return the sums of the packages and of the memory, with the seconds to share them by."""
        cpu_s, busy_s, reason = self._shares(pid)
        return [
            self._read_component(component, cpu_s, busy_s, reason)
            for component in self._zones or {"cpu": []}
        ]

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the process tree's part of the joules between two reads."""
        readings = []
        for start, end in paired(before, after):
            share = share_of_busy(start, end)
            is_alone = share >= ALONE
            readings.append(
                difference(
                    start,
                    end,
                    provenance=Provenance.MEASURED if is_alone else Provenance.ATTRIBUTED,
                    source=self._sources.get(start.component, "rapl"),
                    share=1.0 if is_alone else share,
                )
            )
        return readings

    def close(self) -> None:
        """End the thread that guards against wraps; later reads still work."""
        self._closed.set()

    def _guard(self, interval_s: float) -> None:
        """Read all counters so often that no wrap is missed."""
        while not self._closed.wait(interval_s):
            for zone in [zone for members in self._zones.values() for zone in members]:
                with contextlib.suppress(OSError, ValueError):  # the next read says why
                    self._advance(zone)

    def _advance(self, zone: Zone) -> None:
        with self._reading:
            zone.advance(self._clock.now())

    def _shares(self, pid: int | None) -> tuple[float | None, float | None, str | None]:
        busy_s = self._tree.machine_busy_s()
        if busy_s is None:
            return None, None, "how busy the machine is cannot be read, so no share is known"
        try:
            return self._tree.cpu_s(pid), busy_s, None
        except ProcessLookupError as error:
            return None, busy_s, str(error)

    def _read_component(
        self, component: str, cpu_s: float | None, busy_s: float | None, reason: str | None
    ) -> CounterReading:
        zones = self._zones.get(component, [])
        time_s = self._clock.now()
        if not zones:
            reason = f"there are no energy counters below {self._root}"
        # Every zone is read even when one fails, or when the share is unknown: each read is
        # also what keeps track of wraps.
        for zone in zones:
            try:
                self._advance(zone)
            except PermissionError:
                reason = f"{zone.path.name}: {PERMISSION_HINT}"
            except (OSError, ValueError) as error:
                reason = f"{zone.path.name} cannot be read: {error}"
        total_j = sum(zone.total_uj for zone in zones) * 1e-6
        return CounterReading(
            component=component,
            energy_j=total_j if reason is None else None,
            time_s=time_s,
            reason=reason,
            generation=sum(zone.generation for zone in zones),
            cpu_s=cpu_s,
            busy_s=busy_s,
        )


def share_of_busy(before: CounterReading, after: CounterReading) -> float:
    """Return the process tree's share of the machine's busy seconds, in [0, 1].

    1 when nothing was busy, or when the share is unknown (the readings then hold no joules).
    """
    if before.cpu_s is None or after.cpu_s is None:
        return 1.0
    if before.busy_s is None or after.busy_s is None:
        return 1.0
    busy_s = after.busy_s - before.busy_s
    return min((after.cpu_s - before.cpu_s) / busy_s, 1.0) if busy_s > 0 else 1.0
