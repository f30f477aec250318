"""What a device draws when nothing runs on it."""

from __future__ import annotations

from dataclasses import dataclass

from ecoautoml.records.energy_reading import Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePower:
    """Watts of one component of an idle machine.

    Attributes:
        component: "cpu", "dram", "gpu:UUID", or what a meter calls it.
        idle_w: Watts; None when unknown. With a ``reason`` beside it, it is an upper bound.
        provenance: How the watts came about; None when unknown.
        source: Meter and model.
        duration_s: Seconds that were waited for it; 0 when the meter states the watts itself.
        reason: Why the watts are unknown, or why they are only an upper bound; None: they are fine.
    """

    component: str
    idle_w: float | None
    provenance: Provenance | None
    source: str
    duration_s: float
    reason: str | None = None
