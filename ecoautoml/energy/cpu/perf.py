"""The processor's energy counters through the kernel's performance events: RAPL's second door."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ecoautoml.energy.base import Availability, CounterReading, EnergyMeter, Scope
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.counters.shares import SharedCounters
from ecoautoml.energy.counters.unwrap import Unwrapper
from ecoautoml.energy.cpu.filtering import FILTERED, WARNING, is_filtered
from ecoautoml.energy.cpu.rapl_zones import LARGEST_W, STILL_S
from ecoautoml.records.energy_reading import EnergyReading

EVENTS = {"cpu": "energy-pkg", "dram": "energy-ram"}
"""The event of each component. energy-cores and energy-gpu are parts of a package, energy-psys
contains it: adding them would count joules twice."""
SYSCALLS = {"x86_64": 298, "i386": 336, "i686": 336}
"""Number of perf_event_open(2); the processors with these counters."""
CLOSE_ON_EXEC = 8
"""PERF_FLAG_FD_CLOEXEC in linux/perf_event.h."""
ATTRIBUTES_BYTES = 64
"""PERF_ATTR_SIZE_VER0: the fields up to bp_addr, which every kernel takes."""


class Counter(Protocol):
    """One open event on one processor."""

    def read(self) -> int:
        """Return its raw count; OSError when it cannot be read (any more)."""

    def close(self) -> None:
        """Give it back."""


OpenCounter = Callable[[int, int, int], Counter]
"""Opens an event system-wide: type of the PMU, its configuration, number of the CPU."""


class PerfMeter(EnergyMeter):
    """Reads the events energy-pkg (as "cpu") and energy-ram (as "dram"), summed over sockets.

    They are the counters `rapl` reads, at another door, which may be open where powercap's is
    shut: events of a whole system need kernel.perf_event_paranoid of 0 or less, or CAP_PERFMON.
    The kernel counts in 64 bits and so never wraps; a unit is 2**-32 J, and one CPU of each socket
    counts for it (commit 4788e5b4 of Linux). They are shared out by CPU time, see
    `ecoautoml.energy.counters.shares`.

    Args:
        root: Where the kernel describes the event source.
        proc: Where the kernel's process files are.
        clock: Where time comes from; None: the machine's monotonic clock.
        scope: Whose part is read.
        open_counter: Opens an event; None: perf_event_open(2).
        dev: Where device files are.
    """

    min_window_s = 0.5

    def __init__(
        self,
        root: Path = Path("/sys/bus/event_source/devices/power"),
        proc: Path = Path("/proc"),
        clock: Clock | None = None,
        *,
        scope: Scope = Scope.TREE,
        open_counter: OpenCounter | None = None,
        dev: Path = Path("/dev"),
    ) -> None:
        self._clock = clock or MonotonicClock()
        self._tree = ProcessTree(proc)
        self._events: dict[str, list[_Event]] = {}
        self._reason = self._open(root, proc, open_counter or open_event)
        self._is_filtered = bool(self._events) and is_filtered(proc, dev)
        self._sources = {component: f"perf:{EVENTS[component]}" for component in EVENTS}
        self._counters = SharedCounters(
            self._look, self._tree, scope, is_guarded=bool(self._events)
        )

    @property
    def name(self) -> str:
        """Return "perf"."""
        return "perf"

    def is_available(self) -> Availability:
        """Return whether the packages can be read."""
        cpu = self._counters.look()[0]
        if cpu.energy_j is None:
            return Availability(ok=False, reason=cpu.reason or "the events cannot be read")
        n_sockets = len(self._events["cpu"])
        names = ", ".join(self._sources[component] for component in self._events)
        detail = f"{names} of {n_sockets} socket{'s' if n_sockets > 1 else ''}"
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
        """Give the events back; later reads are unknown."""
        self._counters.close()
        if self._reason is None:
            self._reason = "the meter was closed"
            for event in self._all_events():
                event.counter.close()

    @property
    def _losses(self) -> Mapping[str, Sequence[str]]:
        return {
            component: [loss for event in events for loss in event.sum.losses]
            for component, events in self._events.items()
        }

    def _all_events(self) -> list[_Event]:
        return [event for events in self._events.values() for event in events]

    def _open(self, root: Path, proc: Path, open_counter: OpenCounter) -> str | None:
        """Open what there is; return why the packages cannot be read, None when they can."""
        if not (root / "type").exists():
            return (
                f"the kernel has no energy events ({root}); virtual machines usually have none, "
                "so set measure.meter to cpu_time, an estimate"
            )
        try:
            self._events["cpu"] = _open_component(root, EVENTS["cpu"], open_counter)
        except PermissionError:
            return (
                "the kernel does not let this user count events of the whole machine "
                f"(kernel.perf_event_paranoid is {_paranoid(proc)}); have an administrator set it "
                "to 0 or grant CAP_PERFMON, or set measure.meter to cpu_time, an estimate"
            )
        except (OSError, ValueError) as error:
            return f"the event energy-pkg cannot be opened: {error}"
        with contextlib.suppress(OSError, ValueError):  # few processors count their memory
            self._events["dram"] = _open_component(root, EVENTS["dram"], open_counter)
        return None

    def _look(self) -> list[CounterReading]:
        """Return the whole counters of this machine, and how busy it was."""
        busy_s, time_s = self._tree.machine_busy_s(), self._clock.now()
        return [
            self._look_at(component, self._events.get(component, []), time_s, busy_s)
            for component in self._events or ("cpu",)
        ]

    def _look_at(
        self, component: str, events: Sequence[_Event], time_s: float, busy_s: float | None
    ) -> CounterReading:
        reason = self._reason
        for event in events if reason is None else ():
            try:
                event.advance(time_s, busy_s)
            except OSError as error:
                reason = f"{EVENTS[component]} cannot be read: {error}"
            if event.sum.is_still:
                reason = f"{EVENTS[component]} stands still while the processor works"
        total_j = sum(event.sum.total_j for event in events)
        return CounterReading(
            component=component,
            energy_j=total_j if reason is None else None,
            time_s=time_s,
            reason=reason,
            generation=sum(len(event.sum.losses) for event in events),
            busy_s=busy_s,
        )


@dataclass(slots=True, kw_only=True)
class _Event:
    """One event on one socket: its counter, joules per count, and sum."""

    counter: Counter
    unit_j: float
    sum: Unwrapper

    def advance(self, now_s: float, busy_s: float | None) -> None:
        self.sum.advance(self.counter.read() * self.unit_j, now_s, busy_s)


def _open_component(root: Path, name: str, open_counter: OpenCounter) -> list[_Event]:
    """Return the event on one CPU of each socket.

    Raises:
        OSError: There is no such event, or it cannot be opened.
        ValueError: The kernel describes it in a way that is not understood.
    """
    pmu = int(_text(root / "type"))
    events = root / "events"
    config = _config(_text(events / name))
    unit = _text(events / f"{name}.unit")
    if unit != "Joules":
        raise ValueError(f"{name} is counted in {unit}, not in joules")
    unit_j = float(_text(events / f"{name}.scale"))
    opened: list[_Event] = []
    try:
        for cpu in _cpus(_text(root / "cpumask")):
            counter = open_counter(pmu, config, cpu)
            total = Unwrapper(wrap_j=None, max_w=LARGEST_W, still_s=STILL_S)
            opened.append(_Event(counter=counter, unit_j=unit_j, sum=total))
    except OSError:
        for event in opened:
            event.counter.close()
        raise
    if not opened:
        raise ValueError(f"no CPU counts {name}")
    return opened


def _config(description: str) -> int:
    match = re.fullmatch(r"event=(0x[0-9a-fA-F]+|\d+)", description)
    if match is None:
        raise ValueError(f"{description!r} is no single event")
    return int(match[1], 0)


def _cpus(mask: str) -> list[int]:
    """Return the CPUs of a list like "0,18-19"."""
    cpus: list[int] = []
    for part in mask.split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _paranoid(proc: Path) -> str:
    try:
        return _text(proc / "sys/kernel/perf_event_paranoid")
    except OSError:
        return "unknown"


class _OpenEvent:
    """An event opened by the kernel."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> int:
        (count,) = struct.unpack("<Q", os.read(self._descriptor, 8))
        return int(count)

    def close(self) -> None:
        os.close(self._descriptor)


def open_event(pmu: int, config: int, cpu: int) -> Counter:
    """Open an event for all processes on one CPU, with perf_event_open(2).

    Args:
        pmu: Type of the event source.
        config: Which of its events.
        cpu: Number of the CPU.

    Raises:
        OSError: The kernel refuses; PermissionError when an administrator could.
    """
    number = SYSCALLS.get(platform.machine())
    if number is None:
        raise OSError(f"energy events are not known on {platform.machine()}")
    # type, size, config, sample_period, sample_type, read_format, flags, wakeup_events, bp_type,
    # bp_addr: all 0 but the first three, which is a plain counter that starts at once.
    attributes = struct.pack("=IIQQQQQIIQ", pmu, ATTRIBUTES_BYTES, config, 0, 0, 0, 0, 0, 0, 0)
    buffer = ctypes.create_string_buffer(attributes, ATTRIBUTES_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(
        ctypes.c_long(number),
        buffer,
        ctypes.c_int(-1),
        ctypes.c_int(cpu),
        ctypes.c_int(-1),
        ctypes.c_ulong(CLOSE_ON_EXEC),
    )
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return _OpenEvent(descriptor)
