"""The state a board is in: what explains two blocks of one load that differ.

Hotter chips leak more, and a chip that is slowed down works at another voltage. So temperature,
clocks, limits and the reasons for slow clocks are read at both ends of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EVENT_REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clocks",
}
"""Bits of nvmlDeviceGetCurrentClocksEventReasons, named after NVIDIA's nvml.h."""
THROTTLE = frozenset(EVENT_REASONS[bit] for bit in (0x4, 0x8, 0x20, 0x40, 0x80))
"""Those of them that slow down a board with work to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardState:
    """A board at one moment; what it does not tell is None.

    Attributes:
        component: "gpu:UUID".
        time_s: Seconds of the meter's clock.
        temperature_c: Of the chip, in degrees Celsius.
        sm_clock_mhz: Clock of the multiprocessors.
        memory_clock_mhz: Clock of the memory.
        event_reasons: Why the clocks are not higher, sorted.
        power_limit_w: Enforced limit in watts.
        performance_state: 0 (fastest) to 15.
    """

    component: str
    time_s: float
    temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    event_reasons: tuple[str, ...] | None = None
    power_limit_w: float | None = None
    performance_state: int | None = None

    @property
    def throttle_reasons(self) -> frozenset[str] | None:
        """Return the reasons that slow down a board with work to do; None when unknown."""
        return None if self.event_reasons is None else THROTTLE & set(self.event_reasons)


def read_state(nvml: Any, handle: Any, component: str, time_s: float) -> BoardState:
    """Return a board's state.

    Args:
        nvml: The management library.
        handle: The board's handle; None for one that could not be opened.
        component: What the board is called.
        time_s: Now.
    """
    if handle is None:
        return BoardState(component=component, time_s=time_s)

    def ask(function: Callable[..., Any], *arguments: Any) -> Any:
        return _answer(nvml, function, handle, *arguments)

    limit_mw = ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
    return BoardState(
        component=component,
        time_s=time_s,
        temperature_c=_float(ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU)),
        sm_clock_mhz=_float(ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM)),
        memory_clock_mhz=_float(ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM)),
        event_reasons=event_reasons(ask(_event_function(nvml))),
        power_limit_w=None if limit_mw is None else limit_mw * 1e-3,
        performance_state=_performance_state(ask(nvml.nvmlDeviceGetPerformanceState)),
    )


def event_reasons(bits: int | None) -> tuple[str, ...] | None:
    """Return the names of the reasons set in a mask, sorted; None for None."""
    if bits is None:
        return None
    return tuple(sorted(name for bit, name in EVENT_REASONS.items() if bits & bit))


def _event_function(nvml: Any) -> Callable[..., Any]:
    """Return the function for clock event reasons under its new name, or its old one."""

    def ask(handle: Any) -> Any:
        try:
            return nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
        except nvml.NVMLError:  # drivers before 535 know it by the older name only
            return nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)

    return ask


def _answer(nvml: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except nvml.NVMLError:
        return None


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _performance_state(value: Any) -> int | None:
    """Return 0 to 15; 32 is the library's word for unknown (NVML_PSTATE_UNKNOWN)."""
    return int(value) if value is not None and 0 <= value <= 15 else None
