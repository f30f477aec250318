"""Joules of a board that has no energy counter: its power, integrated.

Boards before Volta and some virtual ones tell watts only. Trapezoids over the driver's own time
stamps miss what lies between two samples: an A100 or H100 averages its power over 25 ms of every
100 ms (arXiv 2312.02741), so three quarters of the time are unseen, and loads that repeat at
about that pace are read wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

SAMPLE_S = 0.02
"""Seconds between two samples; the sensor itself is renewed every 10 to 100 ms."""
MAX_GAP_S = 2.0
"""Seconds without a sample after which count is lost: what was used meanwhile is not known."""
POWER_UNCERTAINTY = 0.1
"""Of integrated power: the gain of ±5 % and what falls between the samples (arXiv 2312.02741 got
4.9 % with repeated, shifted runs of 5 s, and 39 % on average without them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSample:
    """Watts at one moment.

    Attributes:
        power_w: Watts; None when they cannot be read.
        stamp_s: Seconds at which they held: the device's stamp, or the clock's where it has none.
        reason: Why ``power_w`` is None.
    """

    power_w: float | None
    stamp_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSum:
    """Joules since the first sample.

    Attributes:
        energy_j: Joules; None when the latest sample could not be had.
        generation: Grows when samples were missing for too long.
        reason: Why ``energy_j`` is None.
    """

    energy_j: float | None
    generation: int
    reason: str | None = None


class PowerIntegrator:
    """Adds up samples of power, taken by a thread from `start` to `close` and at every `total`.

    Args:
        sample: Reads the power; called from one thread at a time.
        period_s: Seconds between two samples of the thread.
    """

    def __init__(self, sample: Callable[[], PowerSample], *, period_s: float = SAMPLE_S) -> None:
        self._sample = sample
        self._period_s = period_s
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last: PowerSample | None = None
        self._energy_j = 0.0
        self._generation = 0

    @property
    def is_running(self) -> bool:
        """Return whether the thread takes samples."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to take samples, once."""
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._run, name="nvml-power", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread, and wait for it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def total(self) -> PowerSum:
        """Take a sample now and return the joules up to it."""
        with self._lock:
            sample = self._sample()
            if sample.power_w is None:
                return PowerSum(energy_j=None, generation=self._generation, reason=sample.reason)
            self._add(sample, sample.power_w)
            return PowerSum(energy_j=self._energy_j, generation=self._generation)

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            self.total()

    def _add(self, sample: PowerSample, power_w: float) -> None:
        last = self._last
        if last is None or last.power_w is None:
            self._last = sample
            return
        passed_s = sample.stamp_s - last.stamp_s
        if passed_s <= 0:  # the sensor has not been renewed
            return
        if passed_s > MAX_GAP_S:
            self._generation += 1
        else:
            self._energy_j += 0.5 * (power_w + last.power_w) * passed_s
        self._last = sample
