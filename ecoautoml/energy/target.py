"""Which device models are measured on."""

from __future__ import annotations

from ecoautoml.energy.gpu.nvml import NvmlMeter


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
