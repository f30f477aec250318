"""What a meter is: something with a cumulative counter that can be read at any time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ecoautoml.records.energy_reading import EnergyReading, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether a meter can be used here.

    Attributes:
        ok: Whether it can.
        reason: Why not, and what would help; empty when it can.
        detail: What it reads or computes, for people.
    """

    ok: bool
    reason: str = ""
    detail: str = ""


class Scope(StrEnum):
    """Whose part of a device's joules a meter reports."""

    TREE = "tree"
    """A process and everything it started."""
    PROCESS = "process"
    """A process without what it started."""
    OTHERS = "others"
    """Everybody on the machine but a process and what it started."""
    DEVICE = "device"
    """All of it, whoever used it, idle power included: what a whole bill must add up to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterReading:
    """One component's cumulative counter at one moment.

    Attributes:
        component: "cpu", "dram" or "gpu:UUID".
        energy_j: Joules since some fixed moment, never falling; None when it cannot be read.
        time_s: Seconds of the meter's clock at the reading.
        reason: Why ``energy_j`` is None.
        generation: Grows when the counter lost count (reset, too many wraps, device gone and
            back): readings of different generations cannot be subtracted.
        cpu_s: Cumulative CPU seconds of the process tree in question, for meters that share out.
        busy_s: Cumulative busy seconds of all the machine's CPUs, for meters that share out.
        sharers: Processes using the device, the one in question included; None when unknown.
    """

    component: str
    energy_j: float | None
    time_s: float
    reason: str | None = None
    generation: int = 0
    cpu_s: float | None = None
    busy_s: float | None = None
    sharers: int | None = None


class EnergyMeter(ABC):
    """A source of joules with one or more components, each with a cumulative counter.

    The contract:

    - A window is the difference of two reads; a meter knows nothing of windows, so windows may
      overlap and nest. Readings of one meter object are only compared with its own.
    - ``read`` is cheap (under 1 ms beside the counter itself), is called from one thread at a
      time, and returns the same components in the same order each time.
    - A read can be about another process: ``pid`` names the root of the process tree whose energy
      is asked for, None the own one. So the main process can take marks of a worker that hangs.
      Of a process that has ended and was waited for nothing is left to read: mark it before.
    - Once opened, a meter never raises. What cannot be read (device lost, permission taken away,
      process gone) has ``energy_j=None`` and a reason; it is never 0 and never an old value.
    - ``energy_j`` never falls from one read to the next within a generation.
    - Work given to an accelerator must have ended before a read that should contain it:
      synchronising is the caller's duty.
    - ``close`` may be called more than once.
    """

    is_machine_wide: bool = False
    """Whether a plug-in's counters are those of the whole machine whichever process is asked about:
    then they are shared out by CPU time (`ecoautoml.energy.counters.shares`)."""

    is_recorded: bool = False
    """Whether the joules are of another time: waiting then tells nothing of idle power."""

    min_window_s: float = 0.1
    """Shortest window, in seconds, over which a difference of this meter means something."""

    tick_s: float | None = None
    """Seconds between two moves of the counter, as found on this device; None when it moves so
    often that blocks need not be aligned to it."""

    @property
    def idle_w(self) -> Mapping[str, float]:
        """Return idle watts by component, where the meter states them itself (a model, a trace).

        A meter that reads a device states none: they are measured.
        """
        return {}

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the meter's name in the registry."""

    @abstractmethod
    def is_available(self) -> Availability:
        """Return whether the meter can be read here and now, and if not, why and what to do."""

    @abstractmethod
    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return one reading per component.

        Args:
            pid: Root of the process tree that is asked about; None: the own process.
        """

    @abstractmethod
    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the joules between two reads about the same process, one per component."""

    @abstractmethod
    def close(self) -> None:
        """Give the device back; later reads yield None or still work, but do not raise."""


def paired(
    before: Sequence[CounterReading], after: Sequence[CounterReading]
) -> Iterator[tuple[CounterReading, CounterReading]]:
    """Yield the readings of two reads by component; a missing end is filled in as unknown."""
    ends = {reading.component: reading for reading in after}
    starts = {reading.component: reading for reading in before}
    for component in starts | ends:
        start, end = starts.get(component), ends.get(component)
        known = start or end
        assert known is not None
        missing = CounterReading(
            component=component,
            energy_j=None,
            time_s=known.time_s,
            reason=f"{component} was read at one end of the window only",
        )
        yield start or missing, end or missing


def difference(
    before: CounterReading,
    after: CounterReading,
    *,
    provenance: Provenance,
    source: str,
    share: float = 1.0,
    idle_share: float | None = None,
    relative_uncertainty: float | None = None,
) -> EnergyReading:
    """Return the joules between two readings of one component.

    Args:
        before: The earlier reading.
        after: The later reading.
        provenance: How the joules came about.
        source: Meter and model.
        share: Part of the counter's joules that belongs to the process in question, in [0, 1].
        idle_share: Part of the component's idle power contained in them; None: ``share``.
        relative_uncertainty: Stated relative uncertainty, None when unknown.
    """
    energy_j, reason = _joules_between(before, after)
    return EnergyReading(
        component=before.component,
        energy_j=None if energy_j is None else energy_j * share,
        duration_s=max(after.time_s - before.time_s, 0.0),
        provenance=provenance,
        source=source,
        relative_uncertainty=relative_uncertainty,
        reason=reason,
        idle_share=share if idle_share is None else idle_share,
    )


def _joules_between(
    before: CounterReading, after: CounterReading
) -> tuple[float | None, str | None]:
    if before.energy_j is None or after.energy_j is None:
        return None, after.reason or before.reason or "the counter could not be read"
    if before.generation != after.generation or after.energy_j < before.energy_j:
        return None, "the counter lost count within the window (reset, or read too seldom)"
    return after.energy_j - before.energy_j, None
