"""Where joules come from: meters, windows over them, and measuring a model in blocks.

Entry points: `ecoautoml.energy.select.open_meters` picks the meters of this machine,
`ecoautoml.energy.window.EnergyWindow` bills whatever runs inside it, and
`ecoautoml.energy.protocol.blocks.measure_blocks` measures energy and latency of a model's calls.
A new meter implements `ecoautoml.energy.base.EnergyMeter` and is named in `METERS`, or in another
package's entry-point group ``ecoautoml.meters``.

Errors: `ecoautoml.errors.ConfigError` when a meter that was asked for is not there or a trace
cannot be read, `ecoautoml.errors.MeterError` when a device's lease is not to be had in time. A
meter that fails later never raises: its readings say None and why.
"""

from ecoautoml.energy.base import Availability, CounterReading, EnergyMeter
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.registry import Entry, Registry

METERS: Registry[EnergyMeter] = Registry(
    "meter",
    [
        Entry(
            name="nvml",
            target="ecoautoml.energy.gpu.nvml:NvmlMeter",
            description="the energy counter of an NVIDIA GPU",
        ),
        Entry(
            name="rapl",
            target="ecoautoml.energy.cpu.rapl:RaplMeter",
            description="the energy counters of the processor (Linux powercap)",
        ),
        Entry(
            name="perf",
            target="ecoautoml.energy.cpu.perf:PerfMeter",
            description="the same counters through the kernel's performance events",
        ),
        Entry(
            name="cpu_time",
            target="ecoautoml.energy.cpu.cpu_time:CpuTimeMeter",
            description="CPU seconds of the process tree × a stated wattage: an estimate",
        ),
        Entry(
            name="replay",
            target="ecoautoml.energy.traces.replay:ReplayMeter",
            description="a recorded trace, for tests and demonstrations",
        ),
    ],
    group="ecoautoml.meters",
)

__all__ = ["METERS", "Availability", "Clock", "CounterReading", "EnergyMeter", "MonotonicClock"]
