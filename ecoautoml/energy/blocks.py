"""Energy and latency of calls, measured in blocks until the mean is known well enough."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ecoautoml.energy.base import EnergyMeter
from ecoautoml.energy.clock import Clock
from ecoautoml.records.energy_reading import EnergyReading, Provenance, weakest
from ecoautoml.records.measurement import InferenceMeasurement

MIN_BLOCKS = 5
MAX_BLOCKS = 20
MIN_WARM_UP_CALLS = 10
MIN_WARM_UP_S = 0.05
MAX_WARM_UP_CALLS = 20_000
MAX_CALLS_PER_BLOCK = 100_000
STEADY = 0.1
"""Relative change of the median call time below which warming up is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A run of calls between two reads of the meters.

    Attributes:
        energy_j: Joules per image of the target's components; None when one is unknown.
        provenance: The weakest among the components; None when ``energy_j`` is.
        source: The meters' sources, joined by " + ".
        call_s: Seconds of each call.
    """

    energy_j: float | None
    provenance: Provenance | None
    source: str
    call_s: tuple[float, ...]


def measure_blocks(
    run_once: Callable[[int], None],
    *,
    meters: Sequence[EnergyMeter],
    clock: Clock,
    images_per_call: int,
    precision: float,
    max_seconds: float,
    component: str | None,
    synchronize: Callable[[], None] = lambda: None,
) -> InferenceMeasurement:
    """Return energy per image and latency per call of ``run_once``.

    Calls run one after the other (a closed loop): warm-up until the call time is steady, then
    blocks of equally many calls, at least 0.1 s or the slowest meter's shortest window long. It
    ends when the 95 % interval of the mean over at least 5 blocks is narrow enough, after
    20 blocks, or once ``max_seconds`` are over; one block is always finished.

    Hold the device's lease (`ecoautoml.energy.lease`) meanwhile.

    Args:
        run_once: Makes call number i, counted over warm-up and blocks; cycle real inputs by it.
        meters: What to read around each block.
        clock: Where all times come from; a replayed trace's own clock makes this deterministic.
        images_per_call: Images in one call.
        precision: Relative half-width of the interval at which to stop (0.05 = 5 %).
        max_seconds: Seconds after which no further block begins, warm-up included.
        component: Which joules count: "cpu", "gpu:UUID", "gpu" for all boards; None: all.
        synchronize: Waits until the device has done what it was given; part of each call's time.
    """
    calls = Calls(run_once, clock, synchronize)
    began_s = clock.now()
    deadline_s = began_s + max_seconds
    n_calls = calls_per_block(calls.warm_up(began_s + max_seconds / 4), meters)
    blocks: list[Block] = []
    while not blocks or (not _is_enough(blocks, precision) and clock.now() < deadline_s):
        blocks.append(measure_block(calls, n_calls, meters, component, images_per_call))
    return summarize(blocks, images_per_call=images_per_call, precision=precision)


def calls_per_block(call_s: float, meters: Sequence[EnergyMeter]) -> int:
    """Return how many calls of that many seconds fill the slowest meter's shortest window."""
    block_s = max((meter.min_window_s for meter in meters), default=0.1)
    return min(max(math.ceil(block_s / call_s), 1), MAX_CALLS_PER_BLOCK)


def summarize(
    blocks: Sequence[Block], *, images_per_call: int, precision: float
) -> InferenceMeasurement:
    """Return the mean energy over blocks with its 95 % interval, and the calls' latency.

    Args:
        blocks: At least one block.
        images_per_call: Images in one call.
        precision: Relative half-width asked for.
    """
    known = [block for block in blocks if block.energy_j is not None]
    energies_j = [block.energy_j for block in known if block.energy_j is not None]
    mean_j = statistics.fmean(energies_j) if energies_j else None
    half_j = half_width(energies_j)
    call_ms = np.concatenate([block.call_s for block in blocks]) * 1e3
    return InferenceMeasurement(
        batch_size=images_per_call,
        energy_j=mean_j,
        energy_low_j=None if mean_j is None or half_j is None else max(mean_j - half_j, 0.0),
        energy_high_j=None if mean_j is None or half_j is None else mean_j + half_j,
        provenance=weakest(block.provenance for block in known),
        source=(known or blocks)[0].source,
        latency_ms=float(np.median(call_ms)),
        latency_p95_ms=float(np.percentile(call_ms, 95)),
        n_blocks=len(known),
        is_precise=_is_precise(energies_j, precision),
    )


def half_width(values: Sequence[float], confidence: float = 0.95) -> float | None:
    """Return the half-width of the interval of the mean (Student); None below two values."""
    n = len(values)
    if n < 2:
        return None
    quantile = float(stdtrit(n - 1, 0.5 + confidence / 2))
    return quantile * statistics.stdev(values) / math.sqrt(n)


class Calls:
    """Makes calls, numbers and times them."""

    def __init__(
        self, run_once: Callable[[int], None], clock: Clock, synchronize: Callable[[], None]
    ) -> None:
        self._run_once = run_once
        self._synchronize = synchronize
        self._made = 0
        self.clock = clock

    def once(self) -> float:
        """Make the next call and return its seconds."""
        start_s = self.clock.now()
        self._run_once(self._made)
        self._synchronize()
        self._made += 1
        return self.clock.now() - start_s

    def warm_up(self, deadline_s: float) -> float:
        """Call until the time of a call is steady, and return it in seconds (above 0)."""
        began_s = self.clock.now()
        call_s = [self.once()]
        while self._made < MAX_WARM_UP_CALLS:
            now_s = self.clock.now()
            is_long_enough = now_s - began_s >= MIN_WARM_UP_S and self._made >= MIN_WARM_UP_CALLS
            if now_s >= deadline_s or (is_long_enough and _is_steady(call_s)):
                break
            call_s.append(self.once())
        return max(statistics.median(call_s[-MIN_WARM_UP_CALLS:]), 1e-9)


def _is_steady(call_s: Sequence[float]) -> bool:
    half = MIN_WARM_UP_CALLS // 2
    earlier_s = statistics.median(call_s[-2 * half : -half])
    return abs(statistics.median(call_s[-half:]) - earlier_s) <= STEADY * earlier_s


def measure_block(
    calls: Calls,
    n_calls: int,
    meters: Sequence[EnergyMeter],
    component: str | None,
    images_per_call: int,
) -> Block:
    """Make ``n_calls`` calls between two reads of the meters."""
    before = [meter.read() for meter in meters]
    call_s = tuple(calls.once() for _ in range(n_calls))
    after = [meter.read() for meter in meters]
    readings = [
        reading
        for meter, start, end in zip(meters, before, after, strict=True)
        for reading in meter.readings_between(start, end)
        if _counts(reading, component)
    ]
    joules = [reading.energy_j for reading in readings if reading.energy_j is not None]
    is_known = bool(readings) and len(joules) == len(readings)
    return Block(
        energy_j=sum(joules) / (n_calls * images_per_call) if is_known else None,
        provenance=weakest(reading.provenance for reading in readings) if is_known else None,
        source=" + ".join(dict.fromkeys(reading.source for reading in readings)),
        call_s=call_s,
    )


def _counts(reading: EnergyReading, component: str | None) -> bool:
    if component is None:
        return True
    return reading.component == component or reading.component.startswith(f"{component}:")


def _is_enough(blocks: Sequence[Block], precision: float) -> bool:
    energies_j = [block.energy_j for block in blocks if block.energy_j is not None]
    if len(blocks) >= MAX_BLOCKS or _is_precise(energies_j, precision):
        return True
    # Without a meter only the latency is left to learn.
    return not energies_j and len(blocks) >= MIN_BLOCKS


def _is_precise(energies_j: Sequence[float], precision: float) -> bool:
    half_j = half_width(energies_j)
    if half_j is None or len(energies_j) < MIN_BLOCKS:
        return False
    mean_j = statistics.fmean(energies_j)
    return mean_j > 0 and half_j <= precision * mean_j
