"""The joules of NVIDIA GPUs: the only door to their management library."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ecoautoml.energy.base import (
    Availability,
    CounterReading,
    EnergyMeter,
    Scope,
    difference,
    paired,
)
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.gpu.board import BoardMeter
from ecoautoml.energy.gpu.boards import open_board, visible_devices
from ecoautoml.energy.gpu.state import BoardState
from ecoautoml.energy.gpu.ticks import Tick
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import EnergyReading, Provenance

try:
    import pynvml
except ImportError:  # the dependency was left out; the meter then says it is not there
    pynvml = None

PACKAGE_HINT = "pip uninstall pynvml && pip install --force-reinstall nvidia-ml-py"


class NvmlMeter(EnergyMeter):
    """Reads the joules of GPU boards, one component per board, none of them added to another.

    The joules are those of the energy counter (Volta and newer), else of the integrated power. They
    are the whole board's: while other processes compute on it, they are shared out (see
    `ecoautoml.energy.gpu.board_shares`) and `attributed`. A MIG instance or a virtual GPU has no
    counter of its own: its joules are unknown, not 0.

    Args:
        devices: UUIDs ("GPU-…") of the boards; None: those CUDA_VISIBLE_DEVICES leaves visible.
        nvml: The management library's functions, as the module ``pynvml`` has them; None: it.
        clock: Where time comes from; None: the machine's monotonic clock.
        synchronize: Waits for the work given to the device; called before each read about the own
            process. The default does nothing: then synchronising is the caller's duty.
        environ: Environment variables; None: this process's.
        tree: Which processes belong together; None: this machine's processes.
        scope: Whose part of the boards' joules is asked for.
    """

    def __init__(
        self,
        devices: Sequence[str] | None = None,
        nvml: Any = None,
        clock: Clock | None = None,
        *,
        synchronize: Callable[[], None] | None = None,
        environ: Mapping[str, str] | None = None,
        tree: ProcessTree | None = None,
        scope: Scope = Scope.TREE,
    ) -> None:
        self._nvml = nvml or pynvml
        self._clock = clock or MonotonicClock()
        self._synchronize = synchronize
        self._tree = tree or ProcessTree()
        self._scope = scope
        self._boards: list[BoardMeter] = []
        self._reason = self._start()
        self._is_initialised = self._reason is None
        if self._is_initialised:
            self._find_boards(devices, os.environ if environ is None else environ)

    @property
    def name(self) -> str:
        """Return "nvml"."""
        return "nvml"

    @property
    def tick_s(self) -> float | None:  # type: ignore[override]  # found when first asked for
        """Return the longest tick of the boards in seconds; None: not found, or no counter.

        The first question takes up to 2 s per board: the counter is looked at until it has moved a
        dozen times.
        """
        return max((tick.tick_s for tick in self.ticks() if tick.tick_s is not None), default=None)

    @property
    def min_window_s(self) -> float:  # type: ignore[override]  # follows the tick
        """Return the shortest window in seconds: 50 ticks of the slowest board."""
        windows = [board.counter.min_window_s for board in self._boards]
        return max((window for window in windows if window is not None), default=0.1)

    def ticks(self) -> list[Tick]:
        """Return each board's tick, or why it has none."""
        return [board.counter.tick for board in self._boards]

    def is_available(self) -> Availability:
        """Return whether every board asked for has joules that can be read."""
        readings = self.read()
        for reading in readings:
            if reading.energy_j is None:
                return Availability(ok=False, reason=f"{reading.component}: {reading.reason}")
        details = ", ".join(board.board.detail for board in self._boards)
        return Availability(ok=True, detail=details)

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return each board's joules, and what of them belongs to the process asked about."""
        if self._synchronize is not None and pid is None:
            self._synchronize()
        if self._boards:
            return [board.read(pid) for board in self._boards]
        reason = self._reason or "no GPU is visible"
        time_s = self._clock.now()
        return [CounterReading(component="gpu", energy_j=None, time_s=time_s, reason=reason)]

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the joules of each board between two reads, shared out when it was shared."""
        boards = {board.board.component: board for board in self._boards}
        return [
            boards[start.component].between(start, end)
            if start.component in boards
            else difference(start, end, provenance=Provenance.MEASURED, source="nvml:unknown")
            for start, end in paired(before, after)
        ]

    def board_states(self) -> list[BoardState]:
        """Return temperature, clocks, limits and throttle reasons of each board now."""
        return [board.state() for board in self._boards]

    def driver_version(self) -> str | None:
        """Return the driver's version; None when it does not tell."""
        if self._reason is not None:
            return None
        try:
            return str(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError:
            return None

    def close(self) -> None:
        """Give the library back; later reads are unknown."""
        for board in self._boards:
            board.counter.close()
        self._reason = self._reason or "the meter was closed"
        if self._is_initialised:
            self._is_initialised = False
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _start(self) -> str | None:
        if self._nvml is None:
            return "the package nvidia-ml-py is not installed (pip install nvidia-ml-py)"
        if not hasattr(self._nvml, "_nvmlGetFunctionPointer"):
            # The package pynvml installs a module of the same name with other contents.
            return f"another package provides the module pynvml ({PACKAGE_HINT})"
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            return f"the NVIDIA driver does not answer: {error}"
        return None

    def _find_boards(self, devices: Sequence[str] | None, environ: Mapping[str, str]) -> None:
        try:
            names = visible_devices(self._nvml, environ) if devices is None else devices
        except ConfigError as error:
            self._reason = str(error)
        except self._nvml.NVMLError as error:
            self._reason = f"no GPU can be listed: {error}"
        else:
            # A board named twice is still one board: its joules are read once.
            self._boards = [self._open(name) for name in dict.fromkeys(names)]

    def _open(self, device: str) -> BoardMeter:
        board = open_board(self._nvml, device)
        return BoardMeter(self._nvml, board, self._clock, self._tree, self._scope)
