"""Idle watts: what is subtracted from gross joules to get net ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from ecoautoml.energy.base import CounterReading, EnergyMeter
from ecoautoml.energy.clock import Clock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.records.energy_reading import EnergyReading
from ecoautoml.records.idle_power import IdlePower

TICKS = 10
"""Moves of a counter within the shortest wait: the watts are then known to a tenth."""
BUSY = 0.02
"""Share of the processors' time above which a machine was not idle."""


def idle_power(
    meters: Sequence[EnergyMeter],
    clock: Clock,
    *,
    seconds: float,
    tree: ProcessTree | None = None,
) -> tuple[IdlePower, ...]:
    """Return the idle watts of every component that the meters read.

    A meter that states idle watts itself (a model, a trace) is believed, and nothing is waited for
    on its account. For the others nothing is done for a while, and the watts are joules over
    seconds. When the machine was busy meanwhile, the watts come with a reason and are only an upper
    bound: the lowest power ever seen is not the idle power where a machine was never idle, as
    Kepler's documentation says of its own
    (docs/developer/power-attribution-guide.md in github.com/sustainable-computing-io/kepler).

    Args:
        meters: What to read; open counters of devices with `Scope.DEVICE`, so that idle joules
            are contained.
        clock: The meters' clock; it is what waits.
        seconds: How long to wait at least; longer where a counter moves seldom.
        tree: Where the machine's busy time comes from; None: this machine.
    """
    counters = [meter for meter in meters if not meter.idle_w and not meter.is_recorded]
    waited = _waited(counters, clock, seconds, tree or ProcessTree())
    return tuple(
        power
        for meter in meters
        for power in (waited[id(meter)] if id(meter) in waited else _stated(meter))
    )


def _waited(
    counters: Sequence[EnergyMeter],
    clock: Clock,
    seconds: float,
    tree: ProcessTree,
) -> dict[int, list[IdlePower]]:
    """Return the watts of counters while nothing is done, by the meters' identity."""
    if not counters:
        return {}
    before, busy_s = [meter.read() for meter in counters], tree.machine_busy_s()
    started_s = clock.now()
    clock.wait(max(seconds, *(shortest_wait_s(meter) for meter in counters)))
    elapsed_s = clock.now() - started_s
    after = [meter.read() for meter in counters]
    why_busy = _why_busy(busy_s, tree.machine_busy_s(), elapsed_s)
    return {
        id(meter): list(_watts(meter, start, end, why_busy))
        for meter, start, end in zip(counters, before, after, strict=True)
    }


def shortest_wait_s(meter: EnergyMeter) -> float:
    """Return the seconds over which a meter's idle watts mean something."""
    return meter.min_window_s if meter.tick_s is None else TICKS * meter.tick_s


def idle_watts(powers: Iterable[IdlePower]) -> dict[str, float]:
    """Return the known watts by component, upper bounds included."""
    return {power.component: power.idle_w for power in powers if power.idle_w is not None}


def _stated(meter: EnergyMeter) -> list[IdlePower]:
    """Return what a meter states; its joules of no time at all tell provenance and source."""
    reading = meter.read()
    about = {one.component: one for one in meter.readings_between(reading, reading)}
    if not meter.idle_w:
        return [_unknown(one, "the trace states no idle watts") for one in about.values()]
    return [
        IdlePower(
            component=component,
            idle_w=watts,
            provenance=about[component].provenance if component in about else None,
            source=about[component].source if component in about else meter.name,
            duration_s=0.0,
        )
        for component, watts in meter.idle_w.items()
    ]


def _watts(
    meter: EnergyMeter,
    before: Sequence[CounterReading],
    after: Sequence[CounterReading],
    why_busy: str | None,
) -> Iterator[IdlePower]:
    for reading in meter.readings_between(before, after):
        if reading.energy_j is None or reading.duration_s <= 0:
            yield _unknown(reading, reading.reason or "no time passed")
            continue
        yield IdlePower(
            component=reading.component,
            idle_w=reading.energy_j / reading.duration_s,
            provenance=reading.provenance,
            source=reading.source,
            duration_s=reading.duration_s,
            reason=_why_upper_bound(reading, after, why_busy),
        )


def _unknown(reading: EnergyReading, reason: str) -> IdlePower:
    return IdlePower(
        component=reading.component,
        idle_w=None,
        provenance=None,
        source=reading.source,
        duration_s=reading.duration_s,
        reason=reason,
    )


def _why_upper_bound(
    reading: EnergyReading, after: Sequence[CounterReading], why_busy: str | None
) -> str | None:
    if not reading.component.startswith("gpu"):
        return why_busy
    # busy processors say nothing of a board; other processes on it do
    end = next((one for one in after if one.component == reading.component), None)
    if end is not None and end.sharers is not None and end.sharers > 1:
        return f"{end.sharers} processes had the board open meanwhile"
    return None


def _why_busy(before_s: float | None, after_s: float | None, elapsed_s: float) -> str | None:
    if before_s is None or after_s is None or elapsed_s <= 0:
        return None
    share = (after_s - before_s) / elapsed_s / (os.cpu_count() or 1)
    return f"the machine was {100 * share:.0f} % busy meanwhile" if share > BUSY else None
