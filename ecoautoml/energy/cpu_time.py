"""CPU seconds × watts: the estimate for machines without any counter."""

from __future__ import annotations

from collections.abc import Sequence

from ecoautoml.energy.base import (
    Availability,
    CounterReading,
    EnergyMeter,
    difference,
    paired,
)
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.cpu_watts import SOURCE, cpu_model_name, watts_for
from ecoautoml.energy.processes import ProcessTree
from ecoautoml.records.energy_reading import EnergyReading, Provenance

FACTOR_TWO = 1.0
"""The watts are known to a factor of two: a relative uncertainty of 100 %."""


class CpuTimeMeter(EnergyMeter):
    """Estimates joules as CPU seconds of the process tree times a stated wattage.

    Good for ranking models on one machine, since the wattage cancels; not for absolute claims.
    CPU seconds follow the work, not what neighbours do, and are known to a microsecond for the
    own process; for living children and for another process to 10 ms.

    Args:
        active_w: Watts of one busy thread above idle; None: the built-in figure.
        clock: Where time comes from; None: the machine's monotonic clock.
        tree: Where CPU seconds come from; None: this machine's processes.
    """

    def __init__(
        self,
        active_w: float | None = None,
        clock: Clock | None = None,
        tree: ProcessTree | None = None,
    ) -> None:
        entry = watts_for(cpu_model_name())
        self._active_w = entry.active_w if active_w is None else active_w
        self._origin = f"{entry.kind}, {SOURCE}" if active_w is None else "given in the config"
        self._clock = clock or MonotonicClock()
        self._tree = tree or ProcessTree()
        self._source = f"cpu_time:{self._active_w:g} W/thread"

    @property
    def name(self) -> str:
        """Return "cpu_time"."""
        return "cpu_time"

    def is_available(self) -> Availability:
        """Return yes: CPU seconds are known everywhere."""
        return Availability(
            ok=True, detail=f"{self._active_w:g} W per busy thread ({self._origin})"
        )

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return the tree's CPU seconds, and the joules they stand for, as component "cpu"."""
        time_s = self._clock.now()
        try:
            cpu_s = self._tree.cpu_s(pid)
        except ProcessLookupError as error:
            lost = CounterReading(component="cpu", energy_j=None, time_s=time_s, reason=str(error))
            return [lost]
        energy_j = self._active_w * cpu_s
        return [CounterReading(component="cpu", energy_j=energy_j, time_s=time_s, cpu_s=cpu_s)]

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the estimated joules between two reads."""
        return [
            difference(
                start,
                end,
                provenance=Provenance.ESTIMATED,
                source=self._source,
                relative_uncertainty=FACTOR_TWO,
                idle_share=0.0,  # the watts are those above idle
            )
            for start, end in paired(before, after)
        ]

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""
