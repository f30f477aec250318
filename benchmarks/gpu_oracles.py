"""Other packages' readings of the same board, where they are installed."""

from __future__ import annotations

import importlib
from typing import Any


class Oracle:
    """Another package that bills a window; ``reason`` says why it is absent."""

    name = ""

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason

    def begin(self, window: str) -> None:
        """Open a window."""

    def end(self, window: str) -> float | None:
        """Close it and return the board's joules; None when the package is absent."""
        return None


class Zeus(Oracle):
    """ZeusMonitor's window over one board, by its number on this machine."""

    name = "zeus"

    def __init__(self, index: int | None) -> None:
        super().__init__("it needs a real board" if index is None else None)
        self._monitor: Any = None
        if index is None:
            return
        try:
            monitor = importlib.import_module("zeus.monitor")
            self._monitor = monitor.ZeusMonitor(gpu_indices=[index])
        except Exception as error:  # noqa: BLE001  (another package: it may raise anything)
            self.reason = f"not installed, or it does not start here ({error})"

    def begin(self, window: str) -> None:
        """Open a window, with its own synchronisation."""
        if self._monitor is not None:
            self._monitor.begin_window(window)

    def end(self, window: str) -> float | None:
        """Return its joules of the board."""
        if self._monitor is None:
            return None
        found = self._monitor.end_window(window)
        # 0.16 renamed energy to gpu_energy; both map a board's number to joules.
        joules = getattr(found, "gpu_energy", None) or getattr(found, "energy", None) or {}
        return float(sum(joules.values())) or None


class CodeCarbon(Oracle):
    """An offline tracker of one board by its UUID, writing nothing and asking nobody."""

    name = "codecarbon"

    def __init__(self, uuid: str | None) -> None:
        super().__init__("it needs a real board" if uuid is None else None)
        self._uuid, self._tracker, self._package = uuid, None, None
        if uuid is None:
            return
        try:
            self._package = importlib.import_module("codecarbon")
        except ImportError:
            self.reason = "not installed"

    def begin(self, window: str) -> None:
        """Start a tracker."""
        if self._package is None:
            return
        try:
            self._tracker = self._package.OfflineEmissionsTracker(
                country_iso_code="USA",
                gpu_ids=[self._uuid],
                measure_power_secs=1,
                save_to_file=False,
                allow_multiple_runs=True,
                log_level="error",
            )
            self._tracker.start()
        except Exception as error:  # noqa: BLE001  (another package: it may raise anything)
            self._tracker, self.reason = None, f"it does not start here ({error})"

    def end(self, window: str) -> float | None:
        """Return its joules of the board (it counts kWh)."""
        if self._tracker is None:
            return None
        self._tracker.stop()
        return float(self._tracker.final_emissions_data.gpu_energy) * 3.6e6 or None
