"""The processor's energy counters through the kernel's performance events: RAPL's second door."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ecoautoml.energy.base import Scope
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.counters.unwrap import Unwrapper
from ecoautoml.energy.cpu.filtering import is_filtered
from ecoautoml.energy.cpu.package_meter import PackageMeter
from ecoautoml.energy.cpu.rapl_zones import LARGEST_W, STILL_S

EVENTS = {"cpu": "energy-pkg", "dram": "energy-ram"}
"""The event of each component. energy-cores and energy-gpu are parts of a package, energy-psys
contains it: adding them would count joules twice."""
SYSCALLS = {"x86_64": 298, "i386": 336, "i686": 336}
"""Number of perf_event_open(2); the processors with these counters."""
CLOSE_ON_EXEC = 8
"""PERF_FLAG_FD_CLOEXEC in linux/perf_event.h."""
ATTRIBUTES_BYTES = 64
"""PERF_ATTR_SIZE_VER0: the fields up to bp_addr, which every kernel takes."""


class Source(Protocol):
    """One open event on one processor."""

    def read(self) -> int:
        """Return its raw count; OSError when it cannot be read (any more)."""

    def close(self) -> None:
        """Give it back."""


OpenCounter = Callable[[int, int, int], Source]
"""Opens an event system-wide: type of the PMU, its configuration, number of the CPU."""


class PerfMeter(PackageMeter):
    """Reads the events energy-pkg (as "cpu") and energy-ram (as "dram"), summed over sockets.

    They are the counters `rapl` reads, at another door, which may be open where powercap's is
    shut: events of a whole system need kernel.perf_event_paranoid of 0 or less, or CAP_PERFMON.
    The kernel counts in 64 bits and so never wraps; a unit is 2**-32 J, and one CPU of each socket
    counts for it (commit 4788e5b4 of Linux).

    Args:
        root: Where the kernel describes the event source.
        proc: Where the kernel's process files are.
        clock: Where time comes from; None: the machine's monotonic clock.
        scope: Whose part is read.
        open_counter: Opens an event; None: perf_event_open(2).
        dev: Where device files are.
    """

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
        self._events, why_none = _open_all(root, proc, open_counter or open_event)
        super().__init__(
            self._events,
            sources={component: f"perf:{name}" for component, name in EVENTS.items()},
            why_none=why_none,
            is_filtered=bool(self._events) and is_filtered(proc, dev),
            tree=ProcessTree(proc),
            clock=clock or MonotonicClock(),
            scope=scope,
        )

    @property
    def name(self) -> str:
        """Return "perf"."""
        return "perf"

    def close(self) -> None:
        """Give the events back; later reads are unknown."""
        super().close()
        events, self._events = self._events, {}
        if events:
            self._forget("the meter was closed")
        for event in (event for members in events.values() for event in members):
            event.source.close()

    def _detail(self) -> str:
        n_sockets = len(self._events["cpu"])
        return f"{super()._detail()} of {n_sockets} socket{'s' if n_sockets > 1 else ''}"


@dataclass(slots=True, kw_only=True)
class _Event:
    """One event on one socket: where it is read, joules per count, and their sum."""

    label: str
    source: Source
    unit_j: float
    counter: Unwrapper

    def advance(self, now_s: float, busy_s: float | None) -> None:
        self.counter.advance(self.source.read() * self.unit_j, now_s, busy_s)


def _open_all(
    root: Path, proc: Path, open_counter: OpenCounter
) -> tuple[dict[str, list[_Event]], str]:
    """Return the events of each component, and why the packages' are missing if they are."""
    if not (root / "type").exists():
        return {}, (
            f"the kernel has no energy events ({root}); virtual machines usually have none, "
            "so set measure.meter to cpu_time, an estimate"
        )
    try:
        events = {"cpu": _open_component(root, EVENTS["cpu"], open_counter)}
    except PermissionError:
        return {}, (
            "the kernel does not let this user count events of the whole machine "
            f"(kernel.perf_event_paranoid is {_paranoid(proc)}); have an administrator set it "
            "to 0 or grant CAP_PERFMON, or set measure.meter to cpu_time, an estimate"
        )
    except (OSError, ValueError) as error:
        return {}, f"the event energy-pkg cannot be opened: {error}"
    with contextlib.suppress(OSError, ValueError):  # few processors count their memory
        events["dram"] = _open_component(root, EVENTS["dram"], open_counter)
    return events, ""


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
            source = open_counter(pmu, config, cpu)
            counter = Unwrapper(wrap_j=None, max_w=LARGEST_W, still_s=STILL_S)
            opened.append(_Event(label=name, source=source, unit_j=unit_j, counter=counter))
    except OSError:
        for event in opened:
            event.source.close()
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


def open_event(pmu: int, config: int, cpu: int) -> Source:
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
