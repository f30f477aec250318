"""Which device models are measured on, and the joules of the search's own process."""

from __future__ import annotations

from ecoautoml.config.models import CpuTimeMeterConfig, MeterConfig
from ecoautoml.energy.clock import MonotonicClock
from ecoautoml.energy.cpu_time import CpuTimeMeter
from ecoautoml.energy.nvml import NvmlMeter
from ecoautoml.energy.processes import ProcessTree
from ecoautoml.energy.select import MeterSet


def resolve_target(target: str) -> str:
    """Return "cpu" or "cuda:N" for a target as a user writes it; "auto" is a GPU when one is there.

    Asks the GPU's driver, not the training framework, whose import takes seconds.
    """
    if target == "cuda":
        return "cuda:0"
    if target != "auto":
        return target
    meter = NvmlMeter()
    has_board = meter.is_available().ok
    meter.close()
    return "cuda:0" if has_board else "cpu"


def open_driver_meter(config: MeterConfig) -> MeterSet:
    """Return a meter for this process alone, without the workers it has started.

    A counter of the whole processor cannot tell the two apart, so this is always CPU seconds ×
    watts, and labelled an estimate.
    """
    active_w = config.active_w if isinstance(config, CpuTimeMeterConfig) else None
    meter = CpuTimeMeter(active_w, tree=ProcessTree(with_children=False))
    return MeterSet(
        meters=(meter,), clock=MonotonicClock(), target_component="cpu", explain=("cpu_time",)
    )
