"""Meters whose watts a test knows, because it has made them."""

import os

from processes import children

from ecoautoml.energy.base import Availability, CounterReading, EnergyMeter, difference, paired
from ecoautoml.energy.clock import MonotonicClock
from ecoautoml.records.energy_reading import Provenance


class SteadyMeter(EnergyMeter):
    """A counter that draws so many watts all the time."""

    min_window_s = 0.5

    def __init__(self, clock, watts, component="cpu", tick_s=None, sharers=None):
        self.clock, self.watts, self.component = clock, watts, component
        self.tick_s, self.sharers, self.is_lost = tick_s, sharers, False

    @property
    def name(self):
        return "steady"

    def is_available(self):
        return Availability(ok=True, detail="made for a test")

    def read(self, pid=None):
        time_s = self.clock.now()
        return [
            CounterReading(
                component=self.component,
                energy_j=None if self.is_lost else self.watts * time_s,
                time_s=time_s,
                reason="the device is lost" if self.is_lost else None,
                sharers=self.sharers,
            )
        ]

    def readings_between(self, before, after):
        return [
            difference(start, end, provenance=Provenance.MEASURED, source=self.name)
            for start, end in paired(before, after)
        ]

    def close(self):
        pass


class ChildrenMeter(SteadyMeter):
    """A machine that draws ``idle_w``, and ``active_w`` more for each of our children at work.

    It looks at nothing but the kernel's times of these processes.
    """

    min_window_s = 0.2

    def __init__(self, active_w, idle_w):
        super().__init__(MonotonicClock(), idle_w)
        self.active_w = active_w

    def read(self, pid=None):
        (reading,) = super().read(pid)
        energy_j = reading.energy_j + self.active_w * self.cpu_s()
        return [CounterReading(component="cpu", energy_j=energy_j, time_s=reading.time_s)]

    def cpu_s(self):
        """Return the seconds that all children have worked so far, the ended ones included."""
        times = os.times()
        ended_s = times.children_user + times.children_system
        return ended_s + sum(_cpu_s(pid) for pid in children(os.getpid()))


def _cpu_s(pid):
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9
    except (OSError, IndexError):  # it has ended
        return 0.0
