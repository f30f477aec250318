"""What a meter can tell apart, tried out on a load against itself."""

import math

import pytest
from energy_fakes import HandClock
from hand_made_meters import SteadyMeter

from ecoautoml.energy.clock import MonotonicClock
from ecoautoml.energy.cpu.cpu_time import CpuTimeMeter
from ecoautoml.energy.protocol.resolution import smallest_difference, try_resolution
from ecoautoml.records.measurement import Comparison

pytestmark = pytest.mark.alone


def comparison(half, n=8):
    return Comparison(
        a="A",
        b="B",
        ratio=1.0,
        ratio_low=math.exp(-half),
        ratio_high=math.exp(half),
        verdict="tie",
        n=n,
        confidence=0.99,
    )


def test_what_is_seen_nine_times_in_ten_is_more_than_the_intervals_half_width():
    """Quantiles of Student's distribution, 7 degrees of freedom: 3.499 at 99.5 %, 1.415 at 90 %."""
    assert smallest_difference(comparison(0.02)) == pytest.approx(
        math.expm1(0.02 * (1 + 1.415 / 3.499)), rel=1e-3
    )


def test_without_an_interval_nothing_is_promised():
    unknown = Comparison(
        a="A",
        b="B",
        ratio=None,
        ratio_low=None,
        ratio_high=None,
        verdict=None,
        n=0,
        confidence=0.99,
    )
    assert smallest_difference(unknown) is None


def test_the_best_source_of_any_machine_tells_some_difference():
    found = try_resolution([CpuTimeMeter()], MonotonicClock(), "cpu", max_seconds=20.0)
    assert found.reason is None
    assert 0 < found.difference < 1
    assert found.rounds == 16
    assert 0 <= found.others_share <= 1
    assert found.seconds > 32 * CpuTimeMeter().min_window_s  # a block fills the meter's window


def test_a_meter_that_needs_long_windows_is_not_waited_for():
    slow = SteadyMeter(HandClock(), 36.0)
    slow.min_window_s = 60.0
    found = try_resolution([slow], HandClock(), "cpu", max_seconds=10.0)
    assert found.difference is None
    assert found.seconds == 1920.0
    assert "take 1920 s with this meter" in found.reason


def test_a_lost_meter_promises_nothing():
    lost = SteadyMeter(MonotonicClock(), 36.0)
    lost.min_window_s, lost.is_lost = 0.001, True
    found = try_resolution([lost], lost.clock, "cpu", max_seconds=5.0)
    assert found.difference is None
    assert found.reason == "the joules could not be read"
