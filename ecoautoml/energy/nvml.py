"""The energy counters of NVIDIA GPUs: the only door to their management library."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecoautoml.energy.base import (
    Availability,
    CounterReading,
    EnergyMeter,
    difference,
    paired,
)
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.processes import ProcessTree
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import EnergyReading, Provenance

try:
    import pynvml
except ImportError:  # the dependency was left out; the meter then says it is not there
    pynvml = None

BOARD_GAIN = 0.05
"""Gain error between identical boards, about ±5 % (arXiv 2312.02741)."""


@dataclass(slots=True, kw_only=True)
class _Board:
    """One GPU, or why it cannot be read."""

    component: str
    handle: Any = None
    model: str = "unknown"
    reason: str | None = None
    last_mj: int = 0
    generation: int = 0


class NvmlMeter(EnergyMeter):
    """Reads the total-energy counter of GPU boards (Volta and newer), one component per board.

    The counter moves about every 0.1 s, so windows under a second read low, and it is the whole
    board's: when other processes compute on it at either end of a window, the joules are
    `attributed`, divided by the number of processes. A MIG instance or a virtual GPU has no
    counter of its own: its joules are unknown, not 0.

    Args:
        devices: UUIDs ("GPU-…") of the boards; None: those CUDA_VISIBLE_DEVICES leaves visible.
        nvml: The management library's functions, as the module ``pynvml`` has them; None: it.
        clock: Where time comes from; None: the machine's monotonic clock.
        synchronize: Waits for the work given to the device; called before each read about the own
            process. The default does nothing: then synchronising is the caller's duty.
        environ: Environment variables; None: this process's.
        tree: Which processes belong together; None: this machine's processes.
    """

    min_window_s = 1.0

    def __init__(
        self,
        devices: Sequence[str] | None = None,
        nvml: Any = None,
        clock: Clock | None = None,
        *,
        synchronize: Callable[[], None] | None = None,
        environ: Mapping[str, str] | None = None,
        tree: ProcessTree | None = None,
    ) -> None:
        self._nvml = nvml or pynvml
        self._clock = clock or MonotonicClock()
        self._synchronize = synchronize
        self._tree = tree or ProcessTree()
        self._boards: list[_Board] = []
        self._reason = self._start()
        if self._reason is None:
            self._find_boards(devices, os.environ if environ is None else environ)

    @property
    def name(self) -> str:
        """Return "nvml"."""
        return "nvml"

    def is_available(self) -> Availability:
        """Return whether every board asked for has a counter that can be read."""
        readings = self.read()
        for reading in readings:
            if reading.energy_j is None:
                return Availability(ok=False, reason=f"{reading.component}: {reading.reason}")
        models = ", ".join(f"{board.component} ({board.model})" for board in self._boards)
        return Availability(ok=True, detail=models)

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return each board's counter, and how many processes compute on it."""
        if self._synchronize is not None and pid is None:
            self._synchronize()
        if not self._boards:
            reason = self._reason or "no GPU is visible"
            time_s = self._clock.now()
            return [CounterReading(component="gpu", energy_j=None, time_s=time_s, reason=reason)]
        return [self._read_board(board, pid) for board in self._boards]

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the joules of each board between two reads, shared out when it was shared."""
        models = {board.component: board.model for board in self._boards}
        readings = []
        for start, end in paired(before, after):
            sharers = _most_sharers(start, end)
            is_alone = sharers == 1
            readings.append(
                difference(
                    start,
                    end,
                    provenance=Provenance.MEASURED if is_alone else Provenance.ATTRIBUTED,
                    source=f"nvml:{models.get(start.component, 'unknown')}",
                    share=1.0 / (sharers or 1),
                    relative_uncertainty=BOARD_GAIN if is_alone else None,
                )
            )
        return readings

    def close(self) -> None:
        """Give the library back; later reads are unknown."""
        if self._reason is None:
            self._reason = "the meter was closed"
            for board in self._boards:
                board.reason = self._reason
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError:
                return

    def _start(self) -> str | None:
        if self._nvml is None:
            return "the package nvidia-ml-py is not installed (pip install nvidia-ml-py)"
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            return f"the NVIDIA driver does not answer: {error}"
        return None

    def _find_boards(self, devices: Sequence[str] | None, environ: Mapping[str, str]) -> None:
        try:
            names = visible_devices(self._nvml, environ) if devices is None else devices
        except ConfigError as error:
            self._boards = [_Board(component="gpu", reason=str(error))]
        except self._nvml.NVMLError as error:
            self._boards = [_Board(component="gpu", reason=f"no GPU can be listed: {error}")]
        else:
            self._boards = [self._open(name) for name in names]

    def _open(self, device: str) -> _Board:
        board = _Board(component=f"gpu:{device}")
        if device.startswith("MIG-"):
            board.reason = "a MIG instance has no energy counter, only its whole board has"
            return board
        try:
            board.handle = self._nvml.nvmlDeviceGetHandleByUUID(device)
            board.model = _text(self._nvml.nvmlDeviceGetName(board.handle))
            board.reason = self._why_not(board.handle)
        except self._nvml.NVMLError as error:
            board.reason = f"the board cannot be opened: {error}"
        return board

    def _why_not(self, handle: Any) -> str | None:
        """Return why a board's counter would not be this process's, None when it would."""
        nvml = self._nvml
        if self._value(nvml.nvmlDeviceGetVirtualizationMode, handle) == (
            nvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU
        ):
            return "a virtual GPU has no energy counter; ask the host's administrator for its own"
        mig_mode = self._value(nvml.nvmlDeviceGetMigMode, handle)
        if mig_mode is not None and mig_mode[0] == 1:
            return "the board is split by MIG, and its counter is that of all instances together"
        return None

    def _value(self, function: Callable[[Any], Any], handle: Any) -> Any:
        try:
            return function(handle)
        except self._nvml.NVMLError:
            return None

    def _read_board(self, board: _Board, pid: int | None) -> CounterReading:
        energy_mj, reason = self._counter_mj(board)
        time_s = self._clock.now()
        if energy_mj is not None:
            if energy_mj < board.last_mj:
                board.generation += 1  # the driver was loaded anew
            board.last_mj = energy_mj
        return CounterReading(
            component=board.component,
            energy_j=None if energy_mj is None else energy_mj * 1e-3,
            time_s=time_s,
            reason=reason,
            generation=board.generation,
            sharers=None if energy_mj is None else self._sharers(board, pid),
        )

    def _counter_mj(self, board: _Board) -> tuple[int | None, str | None]:
        if board.reason is not None:
            return None, board.reason
        try:
            energy_mj = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(board.handle))
        except self._nvml.NVMLError as error:
            return None, f"the energy counter cannot be read: {error}"
        if energy_mj == 0:
            # A board has used something since its driver was loaded: no counter stands behind 0.
            return None, "the energy counter stands still at 0"
        return energy_mj, None

    def _sharers(self, board: _Board, pid: int | None) -> int | None:
        """Return how many processes compute on the board, the one in question included.

        Numbers the system here does not know are those of a host outside a container: the own
        process is among them under a number it does not know itself, so one of them is taken for
        it.
        """
        try:
            users = self._nvml.nvmlDeviceGetComputeRunningProcesses(board.handle)
        except self._nvml.NVMLError:
            return None
        pids = {int(user.pid) for user in users}
        strangers = pids - self._tree.pids(pid) if pids else set()
        unseen = {stranger for stranger in strangers if not self._tree.exists(stranger)}
        has_own = len(strangers) < len(pids)
        is_own_among_unseen = bool(unseen) and not has_own
        return len(strangers) + (0 if is_own_among_unseen else 1)


def visible_devices(nvml: Any, environ: Mapping[str, str]) -> list[str]:
    """Return the UUIDs CUDA would number 0, 1, …, as CUDA_VISIBLE_DEVICES says.

    An entry can be a number, a board's UUID or the beginning of one, or a MIG instance (returned
    as it stands). As in CUDA, the first entry that names nothing ends the list.

    Args:
        nvml: The management library, initialised.
        environ: Environment variables.

    Raises:
        ConfigError: The numbers of boards cannot be known.
    """
    uuids, models = _boards_in_bus_order(nvml)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    entries = [str(i) for i in range(len(uuids))] if visible is None else visible.split(",")
    by_speed = environ.get("CUDA_DEVICE_ORDER", "FASTEST_FIRST") != "PCI_BUS_ID"
    if by_speed and len(set(models)) > 1 and any(entry.strip().isdigit() for entry in entries):
        raise ConfigError(
            "the GPUs of this machine differ, and CUDA numbers them by speed: set "
            "CUDA_DEVICE_ORDER=PCI_BUS_ID, or name them by UUID in CUDA_VISIBLE_DEVICES"
        )
    found: list[str] = []
    for entry in entries:
        device = _device(entry.strip(), uuids)
        if device is None:
            break
        found.append(device)
    return found


def _boards_in_bus_order(nvml: Any) -> tuple[list[str], list[str]]:
    boards = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        bus = _text(nvml.nvmlDeviceGetPciInfo(handle).busId)
        boards.append(
            (bus, _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle)))
        )
    boards.sort()
    return [uuid for _, uuid, _ in boards], [model for _, _, model in boards]


def _device(entry: str, uuids: list[str]) -> str | None:
    if entry.startswith("MIG-"):
        return entry
    if entry.isdigit():
        return uuids[int(entry)] if int(entry) < len(uuids) else None
    matches = [uuid for uuid in uuids if entry.startswith("GPU-") and uuid.startswith(entry)]
    return matches[0] if len(matches) == 1 else None


def _most_sharers(before: CounterReading, after: CounterReading) -> int | None:
    if before.sharers is None or after.sharers is None:
        return None
    return max(before.sharers, after.sharers)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
