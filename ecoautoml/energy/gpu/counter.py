"""The cumulative joules of one board, from its counter or from its integrated power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecoautoml.energy.clock import Clock
from ecoautoml.energy.gpu.boards import Field, OpenBoard, field_value, power_fields
from ecoautoml.energy.gpu.power import PowerIntegrator, PowerSample
from ecoautoml.energy.gpu.ticks import Look, Tick, find_tick

WINDOW_TICKS = 50
"""Ticks in the shortest window: one tick is then 2 % of it, and reads at ticks far less."""
UNKNOWN_WINDOW_S = 5.0
"""Shortest window where the tick is not known, and for integrated power: 50 ticks of 0.1 s."""
SHORTEST_WINDOW_S = 1.0
"""Whatever the tick: the chip's clocks and temperature need that long to be those of the load."""
LIKELY_TICK_S = 0.1
"""Tick that is assumed, for a stated uncertainty only, as long as nobody asked for the real one."""
SAME_COUNTER_MJ = 2_000_000
"""Two reads a moment apart of one counter since the driver was loaded differ by less than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Cumulative joules of a board at one moment; ``energy_j`` None: unknown, for ``reason``."""

    energy_j: float | None
    time_s: float
    generation: int
    reason: str | None = None


class BoardCounter:
    """Reads one board's joules; never raises.

    Args:
        nvml: The management library, initialised.
        board: The board.
        clock: Where time comes from.
    """

    def __init__(self, nvml: Any, board: OpenBoard, clock: Clock) -> None:
        self._nvml = nvml
        self._board = board
        self._clock = clock
        self._reason = board.reason
        self._last_mj = 0
        self._generation = 0
        self._tick: Tick | None = None
        self._reads_field: bool | None = None
        self._power = None if board.has_counter else PowerIntegrator(self._sample_power)

    def look(self) -> Count:
        """Return the joules until now."""
        if self._reason is not None:
            return self._unknown(self._reason)
        if self._power is not None:
            self._power.start()
            total = self._power.total()
            return Count(
                energy_j=total.energy_j,
                time_s=self._clock.now(),
                generation=total.generation,
                reason=total.reason,
            )
        return self._look_at_counter()

    @property
    def tick(self) -> Tick:
        """Return how often the counter moves; found, in up to 2 s, when first asked for."""
        if self._reason is not None:
            return Tick(tick_s=None, reason=self._reason)
        if self._power is not None:
            return Tick(tick_s=None, reason="there is no counter; its power is integrated")
        if self._tick is None:
            self._tick = find_tick(self._look_at_stamped, wait=self._clock.wait)
        return self._tick

    @property
    def likely_tick_s(self) -> float:
        """Return the tick if it was found by now, else what most drivers make it."""
        found_s = None if self._tick is None else self._tick.tick_s
        return LIKELY_TICK_S if found_s is None else found_s

    @property
    def min_window_s(self) -> float | None:
        """Return the shortest window worth reading, in seconds; None for a board without joules."""
        if self._reason is not None:
            return None
        tick_s = self.tick.tick_s
        return UNKNOWN_WINDOW_S if tick_s is None else max(WINDOW_TICKS * tick_s, SHORTEST_WINDOW_S)

    def close(self) -> None:
        """End the power's thread; later looks are unknown."""
        self._reason = self._reason or "the meter was closed"
        if self._power is not None:
            self._power.close()

    def _look_at_counter(self) -> Count:
        try:
            energy_mj, _ = self._raw()
        except self._nvml.NVMLError as error:
            return self._unknown(f"the energy counter cannot be read: {error}")
        if energy_mj == 0:
            # A board has used something since its driver was loaded: no counter stands behind 0.
            return self._unknown("the energy counter stands still at 0")
        if energy_mj < self._last_mj:
            self._generation += 1  # the driver was loaded anew
        self._last_mj = energy_mj
        return Count(
            energy_j=energy_mj * 1e-3, time_s=self._clock.now(), generation=self._generation
        )

    def _unknown(self, reason: str) -> Count:
        return Count(
            energy_j=None, time_s=self._clock.now(), generation=self._generation, reason=reason
        )

    def _raw(self) -> Field:
        """Return millijoules, and their time stamp in seconds where there is one."""
        if self._reads_field is None:
            self._reads_field = self._is_field_the_counter()
        if self._reads_field:
            found = field_value(self._nvml, self._board.handle, self._nvml.NVML_FI_DEV_ENERGY)
            if found is not None:
                return found
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._board.handle)), None

    def _is_field_the_counter(self) -> bool:
        """Return whether the energy field is there and is the counter: it carries time stamps."""
        found = field_value(self._nvml, self._board.handle, self._nvml.NVML_FI_DEV_ENERGY)
        total_mj = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._board.handle))
        return found is not None and abs(found[0] - total_mj) < SAME_COUNTER_MJ

    def _look_at_stamped(self) -> Look:
        try:
            energy_mj, stamp_s = self._raw()
        except self._nvml.NVMLError:
            return Look(value=None, time_s=self._clock.now())
        return Look(value=energy_mj or None, time_s=self._clock.now(), stamp_s=stamp_s)

    def _sample_power(self) -> PowerSample:
        nvml, handle = self._nvml, self._board.handle
        field = power_fields(nvml).get(self._board.power_name)
        if field is not None:
            found = field_value(nvml, handle, field)
            now_s = self._clock.now()
            if found is None:
                reason = f"the {self._board.power_name} power cannot be read any more"
                return PowerSample(power_w=None, stamp_s=now_s, reason=reason)
            stamp_s = now_s if found[1] is None else found[1]
            return PowerSample(power_w=found[0] * 1e-3, stamp_s=stamp_s)
        try:
            power_w = nvml.nvmlDeviceGetPowerUsage(handle) * 1e-3
        except nvml.NVMLError as error:
            reason = f"the power cannot be read any more: {error}"
            return PowerSample(power_w=None, stamp_s=self._clock.now(), reason=reason)
        return PowerSample(power_w=power_w, stamp_s=self._clock.now())
