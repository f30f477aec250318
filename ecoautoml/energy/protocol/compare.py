"""Which of several loads needs less energy: measured in turn, judged on ratios.

Joules of one block drift with temperature, clock frequency and neighbours, by more than good models
differ. Measured in rounds, every load once a round in random order, two loads meet the same drift;
the ratio of their joules within a round is free of it (Bulej et al., "Duet benchmarking", 2020,
arXiv 2001.05811, for time on shared hosts).
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ecoautoml.energy.base import EnergyMeter
from ecoautoml.energy.clock import Clock
from ecoautoml.energy.protocol.block import Block, BlockMaker
from ecoautoml.energy.protocol.blocks import THROTTLED, flag_odd, half_width, summarize
from ecoautoml.energy.protocol.calls import Calls
from ecoautoml.energy.protocol.signed_ranks import middle
from ecoautoml.records.measurement import Comparison, InferenceMeasurement

MIN_ROUNDS = 8
MAX_ROUNDS = 300
CONFIDENCE = 0.99
"""Of the interval that decides a verdict: equal loads are called different once in 100 times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Something to be measured.

    Attributes:
        name: What it is called in the result.
        run_once: Makes call number i; cycle real inputs by it.
        images_per_call: Images in one call.
        synchronize: Waits until the device has done what it was given.
    """

    name: str
    run_once: Callable[[int], None]
    images_per_call: int = 1
    synchronize: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What came out of measuring loads in turn.

    Attributes:
        measurements: Energy and latency by name; intervals of 95 % as everywhere.
        comparisons: One for each pair, in the order of the loads.
        rounds: Rounds made.
    """

    measurements: Mapping[str, InferenceMeasurement]
    comparisons: tuple[Comparison, ...]
    rounds: int


def measure_in_turn(
    loads: Sequence[Load],
    *,
    meters: Sequence[EnergyMeter],
    clock: Clock,
    precision: float,
    max_seconds: float,
    component: str | None,
    seed: int = 0,
    min_rounds: int = MIN_ROUNDS,
) -> Contest:
    """Measure loads in rounds of random order, until every ratio is known well enough.

    It ends when, after at least ``min_rounds``, the half-width of the 99 % interval of every pair's
    ratio is at most ``precision``, after 300 rounds, or when ``max_seconds`` are over; a round
    begun is finished. It never ends because a difference has shown itself: that would find
    differences between equal loads.

    Hold the device's lease (`ecoautoml.energy.lease`) meanwhile.

    Args:
        loads: At least one; their names differ.
        meters: What to read around each block.
        clock: Where all times come from.
        precision: Relative half-width of the ratios' intervals at which to stop (0.02 = 2 %).
        max_seconds: Seconds after which no further round begins.
        component: Which joules count, as in `ecoautoml.energy.protocol.blocks.measure_blocks`.
        seed: Seed of the order within rounds.
        min_rounds: Rounds at least, 8 or more; from 16 on a single round far off no longer widens
            the intervals.
    """
    makers = {
        load.name: BlockMaker(
            Calls(load.run_once, clock, load.synchronize),
            meters,
            component,
            load.images_per_call,
        )
        for load in loads
    }
    if len(makers) != len(loads):
        raise ValueError("two loads have the same name")
    began_s = clock.now()
    share_s = max_seconds / 4 / len(loads)
    for maker in makers.values():
        maker.warm_up(clock.now() + share_s)
    order = random.Random(seed)
    blocks: dict[str, list[Block]] = {load.name: [] for load in loads}
    pairs = list(itertools.combinations(blocks, 2))
    n_rounds = 0
    while n_rounds == 0 or (
        not _is_enough(blocks, pairs, n_rounds, precision, min_rounds)
        and clock.now() - began_s < max_seconds
    ):
        for load in order.sample(list(loads), len(loads)):
            blocks[load.name].append(makers[load.name].block())
        n_rounds += 1
    blocks = {name: flag_odd(each) for name, each in blocks.items()}
    return Contest(
        measurements={
            load.name: summarize(
                blocks[load.name], images_per_call=load.images_per_call, precision=precision
            )
            for load in loads
        },
        comparisons=tuple(compare(a, blocks[a], b, blocks[b]) for a, b in pairs),
        rounds=n_rounds,
    )


def compare(a: str, blocks_a: Sequence[Block], b: str, blocks_b: Sequence[Block]) -> Comparison:
    """Return the ratio of two loads' joules, from blocks of the same rounds.

    Estimate and interval are those of `ecoautoml.energy.protocol.signed_ranks`, on the logarithms
    of the ratios within rounds: on a machine with neighbours some blocks cost half as much again,
    and a mean would need many rounds to forget them. As loads take turns in random order, such
    blocks are as likely on either side.

    Args:
        a: Name of one load.
        blocks_a: Its blocks, one per round.
        b: Name of the other.
        blocks_b: Its blocks.
    """
    logs = _log_ratios(blocks_a, blocks_b)
    found = middle(logs, CONFIDENCE)
    if found is None:
        return Comparison(
            a=a,
            b=b,
            ratio=None,
            ratio_low=None,
            ratio_high=None,
            verdict=None,
            n=len(logs),
            confidence=CONFIDENCE,
        )
    verdict: Literal["A", "B", "tie"] = "tie"
    if not found.low <= 0 <= found.high:
        verdict = "A" if found.estimate < 0 else "B"
    return Comparison(
        a=a,
        b=b,
        ratio=math.exp(found.estimate),
        ratio_low=math.exp(found.low),
        ratio_high=math.exp(found.high),
        verdict=verdict,
        n=len(logs),
        confidence=CONFIDENCE,
    )


def _log_ratios(blocks_a: Sequence[Block], blocks_b: Sequence[Block]) -> list[float]:
    """Return log(A / B) of every round in which both are known.

    Rounds in which one was throttled otherwise than usually are left out, as long as enough others
    are there.
    """
    rounds = list(zip(blocks_a, blocks_b, strict=True))
    usual = [each for each in rounds if not any(THROTTLED in block.flags for block in each)]
    return [
        math.log(one.energy_j / other.energy_j)
        for one, other in (usual if len(usual) >= MIN_ROUNDS else rounds)
        if one.energy_j and other.energy_j  # neither unknown nor 0, which has no ratio
    ]


def _is_enough(
    blocks: Mapping[str, Sequence[Block]],
    pairs: Sequence[tuple[str, str]],
    n_rounds: int,
    precision: float,
    min_rounds: int,
) -> bool:
    if n_rounds < min_rounds:
        return False
    if n_rounds >= MAX_ROUNDS:
        return True
    if not pairs:
        return all(_is_precise(each, precision) for each in blocks.values())
    found = [middle(_log_ratios(blocks[a], blocks[b]), CONFIDENCE) for a, b in pairs]
    # a pair without joules learns nothing more from another round
    return all(one is None or (one.high - one.low) / 2 <= precision for one in found)


def _is_precise(blocks: Sequence[Block], precision: float) -> bool:
    known = [block.energy_j for block in blocks if block.energy_j is not None]
    half = half_width(known)
    return half is None or half <= precision * statistics.fmean(known)
