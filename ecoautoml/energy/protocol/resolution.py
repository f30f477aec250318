"""How small a difference a meter can tell on this machine, tried out on a load against itself."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ecoautoml.energy.base import EnergyMeter
from ecoautoml.energy.clock import Clock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.protocol.compare import Load, measure_in_turn
from ecoautoml.records.measurement import Comparison

SEEN = 0.9
"""Share of cases in which a difference of the stated size is to be told from a tie."""
ROUNDS = 16
"""Enough that one round in which the machine was disturbed does not decide."""
VALUES = 16_384
"""Values of the load: a call takes about 0.1 ms, far below the shortest block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What can be told apart.

    Attributes:
        difference: Relative difference in energy that is told from a tie in nine of ten cases;
            None when unknown.
        seconds: What that takes for two models, warm-up included.
        rounds: Rounds behind it.
        reason: Why it is unknown.
        others_share: Share of the machine that others kept busy meanwhile; None when unknown.
    """

    difference: float | None
    seconds: float
    rounds: int
    reason: str | None = None
    others_share: float | None = None


def try_resolution(
    meters: Sequence[EnergyMeter], clock: Clock, component: str | None, *, max_seconds: float
) -> Resolution:
    """Measure one small load against itself, as two models are, and return what would be told.

    Where the two are equal, the interval of their ratio is all noise. A real model's noise is of
    the same size where the meter's is the larger part of it.

    Hold the device's lease (`ecoautoml.energy.lease`) meanwhile.

    Args:
        meters: What to read; of a processor, since the load runs there.
        clock: The meters' clock.
        component: Which joules count.
        max_seconds: It is not tried when it would take longer.
    """
    block_s = max((meter.min_window_s for meter in meters), default=0.1)
    needed_s = 2 * ROUNDS * block_s
    if needed_s > max_seconds:
        reason = f"two models take {needed_s:.0f} s with this meter; it is not tried here"
        return Resolution(difference=None, seconds=needed_s, rounds=ROUNDS, reason=reason)
    tree = ProcessTree()
    started_s, busy_s, own_s = time.perf_counter(), tree.machine_busy_s(), time.process_time()
    contest = measure_in_turn(
        [_load("A"), _load("B")],
        meters=meters,
        clock=clock,
        precision=1.0,  # met at once, so that it ends after the fewest rounds
        max_seconds=max_seconds,
        component=component,
        min_rounds=ROUNDS,
    )
    (comparison,) = contest.comparisons
    difference = smallest_difference(comparison)
    seconds, own_s = time.perf_counter() - started_s, time.process_time() - own_s
    return Resolution(
        difference=difference,
        seconds=seconds,
        rounds=comparison.n,
        reason="the joules could not be read" if difference is None else None,
        others_share=_others_share(busy_s, tree.machine_busy_s(), own_s, seconds),
    )


def _others_share(
    before_s: float | None, after_s: float | None, own_s: float, seconds: float
) -> float | None:
    if before_s is None or after_s is None:
        return None
    return max(after_s - before_s - own_s, 0.0) / seconds / (os.cpu_count() or 1)


def smallest_difference(comparison: Comparison) -> float | None:
    """Return the relative difference that is told from a tie in nine of ten cases; None unknown.

    A difference as large as the interval's half-width is told in every second case only: the
    quantile of the power is added to that of the confidence, as in any sample-size formula for
    Student's test (NIST/SEMATECH e-Handbook of Statistical Methods, section 7.2.2.2).
    """
    if comparison.ratio_low is None or comparison.ratio_high is None or comparison.n < 2:
        return None
    half = math.log(comparison.ratio_high / comparison.ratio_low) / 2
    freedom = comparison.n - 1
    quantile = float(stdtrit(freedom, 0.5 + comparison.confidence / 2))
    return math.expm1(half * (1 + float(stdtrit(freedom, SEEN)) / quantile))


def _load(name: str) -> Load:
    values = np.linspace(0.0, 1.0, VALUES)
    out = np.empty_like(values)

    def run_once(call: int) -> None:
        np.exp(values, out=out)  # one thread, whatever the machine has

    return Load(name=name, run_once=run_once)
