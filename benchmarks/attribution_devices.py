"""Made-up devices for benchmarks/attribution.py, which follow what runs on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ecoautoml.energy.base import Availability, CounterReading, EnergyMeter, Scope
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.counters.shares import SharedCounters
from ecoautoml.records.energy_reading import EnergyReading
from ecoautoml.study.environment import usable_cores

IDLE_W, ACTIVE_W = 30.0, 8.0
"""Of the machine; idle, and per busy thread above it."""
BOARD_IDLE_W, BOARD_ACTIVE_W = 15.0, 100.0
"""Of the board, whose work stands for that of a GPU."""
WRAP_J = 500.0
"""Range of the powercap counter: small, so that it wraps while the trials run."""
SAMPLE_S = 0.2
"""Seconds between two samples of the board's utilisation."""


class StatMeter(EnergyMeter):
    """This machine as if it drew 30 W, and 8 W more per busy thread."""

    def __init__(self, scope: Scope) -> None:
        self._tree = ProcessTree()
        self._counters = SharedCounters(self._look, self._tree, scope)

    @property
    def name(self) -> str:
        """Return "stat"."""
        return "stat"

    def is_available(self) -> Availability:
        """Return yes: /proc/stat is there."""
        return Availability(ok=True, detail="/proc/stat")

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return a process's part of the counter."""
        return self._counters.read(pid)

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return a process's part of the joules between two reads."""
        sources = {"cpu": "stat:/proc/stat"}
        return self._counters.readings_between(before, after, sources=sources, losses={})

    def close(self) -> None:
        """End the thread that reads in between."""
        self._counters.close()

    def _look(self) -> list[CounterReading]:
        busy_s, time_s = self._tree.machine_busy_s(), time.perf_counter()
        assert busy_s is not None
        energy_j = IDLE_W * time_s + ACTIVE_W * busy_s
        return [CounterReading(component="cpu", energy_j=energy_j, time_s=time_s, busy_s=busy_s)]


class Powercap:
    """A tree like /sys/class/powercap, whose counter follows this machine's busy time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zone = root / "intel-rapl:0"
        self._zone.mkdir(parents=True)
        (self._zone / "name").write_text("package-0\n")
        (self._zone / "max_energy_range_uj").write_text(f"{round(WRAP_J * 1e6)}\n")
        limit_uw = round((IDLE_W + ACTIVE_W * usable_cores()) * 1e6)
        (self._zone / "constraint_0_power_limit_uw").write_text(f"{limit_uw}\n")
        self._tree = ProcessTree()
        self.write()

    def write(self) -> None:
        """Move the counter; a reader sees the old value or the new one."""
        busy_s = self._tree.machine_busy_s()
        assert busy_s is not None
        energy_j = IDLE_W * time.perf_counter() + ACTIVE_W * busy_s
        unfinished = self.root / "unfinished"
        unfinished.write_text(f"{round(energy_j % WRAP_J * 1e6)}\n")
        unfinished.replace(self._zone / "energy_uj")


class NVMLError(Exception):
    """What the vendor's library raises."""


class Board:
    """The vendor's library with one board, whose work is the CPU time of some processes."""

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_GPU_VIRTUALIZATION_MODE_VGPU = 2
    NVML_FI_DEV_ENERGY = NVML_FI_DEV_POWER_INSTANT = NVML_FI_DEV_POWER_AVERAGE = 0
    NVML_POWER_SCOPE_GPU = 0
    UUID = "GPU-replayed"

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._began_s = self._sampled_s = time.perf_counter()
        self._began, self._sampled = self._cpu_s(), self._cpu_s()
        self._samples: list[SimpleNamespace] = []
        self._energy_mj = 1_000_000

    def move(self) -> None:
        """Move the counter, and the samples of utilisation when it is time."""
        now_s, cpu_s = time.perf_counter(), self._cpu_s()
        used_s = sum(cpu_s.values()) - sum(self._began.values())
        energy_j = BOARD_IDLE_W * (now_s - self._began_s) + BOARD_ACTIVE_W * used_s
        self._energy_mj = 1_000_000 + round(1000 * energy_j)
        if now_s - self._sampled_s >= SAMPLE_S:
            self._sample(now_s, cpu_s)

    def _sample(self, now_s: float, cpu_s: dict[int, float]) -> None:
        all_s = (now_s - self._sampled_s) * usable_cores()
        self._samples = [one for one in self._samples if one.timeStamp > 1e6 * (now_s - 10)]
        for pid in self._pids:
            percent = round(100 * (cpu_s[pid] - self._sampled[pid]) / all_s)
            if percent > 0:
                sample = SimpleNamespace(pid=pid, smUtil=percent, timeStamp=round(1e6 * now_s))
                self._samples.append(sample)
        self._sampled_s, self._sampled = now_s, cpu_s

    def _cpu_s(self) -> dict[int, float]:
        # nanoseconds on a CPU: the first number of /proc/PID/schedstat (proc(5))
        return {pid: 1e-9 * int(_text(f"/proc/{pid}/schedstat").split()[0]) for pid in self._pids}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
            "nvmlDeviceGetName": lambda handle: "replayed board",
            "nvmlDeviceGetVirtualizationMode": lambda handle: 0,
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: self._energy_mj,
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [
                SimpleNamespace(pid=pid) for pid in self._pids
            ],
            "nvmlDeviceGetProcessUtilization": self._utilisation,
        }
        return answers.get(name, _refuse)

    def _utilisation(self, handle: Any, since_us: int) -> list[SimpleNamespace]:
        return [sample for sample in self._samples if sample.timeStamp > since_us]


def _refuse(*arguments: Any) -> Any:
    raise NVMLError("Not Supported")


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
