"""CPU seconds × watts: the estimate for machines without any counter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from ecoautoml.energy.cpu.cpu_watts import SOURCE, cpu_model_name, usable_threads, watts_for
from ecoautoml.records.calibration import Calibration
from ecoautoml.records.energy_reading import EnergyReading, Provenance

FACTOR_TWO = 1.0
"""The watts are known to a factor of two: a relative uncertainty of 100 %."""


class CpuTimeMeter(EnergyMeter):
    """Estimates joules as CPU seconds of the process tree times a stated wattage.

    Good for ranking models on one machine, since the wattage cancels; not for absolute claims.
    CPU seconds follow the work, not what neighbours do, and are known to a microsecond for the
    own process; for living children and for another process to 10 ms.

    The watts are those above idle, so no idle power is in the joules (`idle_share` is 0); what the
    idle machine takes is stated apart, to the same factor of two.

    Args:
        active_w: Watts of one busy thread above idle; None: the built-in figure.
        clock: Where time comes from; None: the machine's monotonic clock.
        tree: Where CPU seconds come from; None: this machine's processes.
        idle_w: Watts of the idle processor as a whole; None: the built-in figure of a thread
            times the threads this process may use.
        scope: Whose CPU seconds are read; DEVICE: the tree's, since no others are modelled.
        calibration: What was found for this processor, in place of the built-in figures.
    """

    def __init__(
        self,
        active_w: float | None = None,
        clock: Clock | None = None,
        tree: ProcessTree | None = None,
        *,
        idle_w: float | None = None,
        scope: Scope = Scope.TREE,
        calibration: Calibration | None = None,
    ) -> None:
        figures = _figures(active_w, calibration)
        self._active_w, self._origin, self._uncertainty = figures
        thread_w = (calibration or watts_for(cpu_model_name())).idle_w
        self._idle_w = thread_w * usable_threads() if idle_w is None else idle_w
        self._scope = scope
        self._clock = clock or MonotonicClock()
        self._tree = tree or ProcessTree()
        self._source = f"cpu_time:{self._active_w:.3g} W/thread"

    @property
    def name(self) -> str:
        """Return "cpu_time"."""
        return "cpu_time"

    @property
    def idle_w(self) -> Mapping[str, float]:
        """Return the stated watts of the idle processor."""
        return {"cpu": self._idle_w}

    def is_available(self) -> Availability:
        """Return yes: CPU seconds are known everywhere."""
        return Availability(
            ok=True, detail=f"{self._active_w:.3g} W per busy thread ({self._origin})"
        )

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return the CPU seconds in question, and the joules they stand for, as component "cpu"."""
        time_s = self._clock.now()
        try:
            cpu_s = self._tree.cpu_s(pid, self._scope)
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
                relative_uncertainty=self._uncertainty,
                idle_share=0.0,  # the watts are those above idle
            )
            for start, end in paired(before, after)
        ]

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


def _figures(active_w: float | None, calibration: Calibration | None) -> tuple[float, str, float]:
    """Return watts of a busy thread, where they come from, and their relative uncertainty."""
    if active_w is not None:
        return active_w, "given in the config", FACTOR_TWO
    if calibration is not None:
        origin = f"calibrated against {calibration.meter}, {calibration.date}"
        return calibration.active_w, origin, calibration.relative_uncertainty
    entry = watts_for(cpu_model_name())
    return entry.active_w, f"{entry.kind}, {SOURCE}", FACTOR_TWO
