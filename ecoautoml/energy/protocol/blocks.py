"""Energy and latency of calls, measured in blocks until the mean is known well enough."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from ecoautoml.energy.base import EnergyMeter
from ecoautoml.energy.clock import Clock
from ecoautoml.energy.protocol.block import Block, BlockMaker
from ecoautoml.energy.protocol.calls import Calls
from ecoautoml.records.energy_reading import weakest
from ecoautoml.records.measurement import InferenceMeasurement

MIN_BLOCKS = 5
MAX_BLOCKS = 20
THROTTLED = "clocks slowed down otherwise than in the other blocks"


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

    Calls run one after the other (a closed loop): warm-up until they are steady, then blocks. A
    block is as many as fill 0.1 s or the slowest meter's shortest window. When a
    meter's counter ticks, a block is eight runs that begin and end when the counter moves (see
    `ecoautoml.energy.protocol.aligned`), 50 ticks together, and warming up takes at least 5 s.

    It ends when the 95 % interval of the mean over at least 5 blocks is narrow enough, after
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
    maker = BlockMaker(calls, meters, component, images_per_call)
    began_s = clock.now()
    deadline_s = began_s + max_seconds
    maker.warm_up(began_s + max_seconds / 4)
    blocks: list[Block] = []
    while not blocks or (not _is_enough(blocks, precision) and clock.now() < deadline_s):
        blocks.append(maker.block())
    return summarize(flag_odd(blocks), images_per_call=images_per_call, precision=precision)


def flag_odd(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks of one load, those flagged that were throttled otherwise than most.

    A load that runs into the power limit all the time is as it is; one that does so in a few blocks
    was measured under two conditions.
    """
    usual = Counter(
        block.throttle_reasons for block in blocks if block.throttle_reasons is not None
    ).most_common(1)
    return [
        replace(block, flags=(*block.flags, THROTTLED))
        if usual and block.throttle_reasons not in (None, usual[0][0])
        else block
        for block in blocks
    ]


def summarize(
    blocks: Sequence[Block], *, images_per_call: int, precision: float
) -> InferenceMeasurement:
    """Return the mean energy over blocks with its 95 % interval, latency and throughput.

    Blocks flagged as throttled otherwise are left out, as long as enough others are there.

    Args:
        blocks: At least one block.
        images_per_call: Images in one call.
        precision: Relative half-width asked for.
    """
    usual = [block for block in blocks if THROTTLED not in block.flags]
    blocks = usual if len(usual) >= MIN_BLOCKS else blocks
    known = [block for block in blocks if block.energy_j is not None]
    energies_j = [block.energy_j for block in known if block.energy_j is not None]
    mean_j = statistics.fmean(energies_j) if energies_j else None
    half_j = half_width(energies_j)
    call_s = np.concatenate([block.call_s for block in blocks])
    total_s = float(call_s.sum())
    return InferenceMeasurement(
        batch_size=images_per_call,
        energy_j=mean_j,
        energy_low_j=None if mean_j is None or half_j is None else max(mean_j - half_j, 0.0),
        energy_high_j=None if mean_j is None or half_j is None else mean_j + half_j,
        provenance=weakest(block.provenance for block in known),
        source=(known or blocks)[0].source,
        latency_ms=float(np.median(call_s)) * 1e3,
        latency_p95_ms=float(np.percentile(call_s, 95)) * 1e3,
        n_blocks=len(known),
        is_precise=_is_precise(energies_j, precision),
        throughput_per_s=images_per_call * len(call_s) / total_s if total_s > 0 else None,
        flags=tuple(dict.fromkeys(flag for block in blocks for flag in block.flags)),
    )


def half_width(values: Sequence[float], confidence: float = 0.95) -> float | None:
    """Return the half-width of the interval of the mean (Student); None below two values."""
    n = len(values)
    if n < 2:
        return None
    quantile = float(stdtrit(n - 1, 0.5 + confidence / 2))
    return quantile * statistics.stdev(values) / math.sqrt(n)


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
