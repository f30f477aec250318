"""Measuring calls in blocks."""

import random

import pytest
from energy_fakes import Board, FakeNvml, HandClock
from hand_made_meters import SteadyMeter

from ecoautoml.energy.cpu.cpu_time import CpuTimeMeter
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.protocol.block import Block, BlockMaker
from ecoautoml.energy.protocol.blocks import (
    THROTTLED,
    flag_odd,
    half_width,
    measure_blocks,
    summarize,
)
from ecoautoml.energy.protocol.calls import Calls
from ecoautoml.energy.traces.replay import ReplayMeter
from ecoautoml.records.energy_reading import Provenance


class Device:
    """A board whose calls take time and energy on a clock moved by hand."""

    def __init__(self, call_s=0.01, call_j=2.0, noise=0.0):
        self.clock = HandClock()
        self.board = Board("GPU-a")
        self.meter = NvmlMeter(["GPU-a"], FakeNvml(self.board), self.clock)
        self.call_s, self.call_j, self.noise = call_s, call_j, noise
        self.numbers = []
        self._random = random.Random(0)

    def run_once(self, call):
        self.numbers.append(call)
        self.clock.time_s += self.call_s * (3 if call < 5 else 1)  # the first calls are slow
        self.board.energy_mj += 1000 * self.call_j * (1 + self.noise * self._random.gauss(0, 1))

    def measure(self, **kwargs):
        options = {
            "precision": 0.05,
            "max_seconds": 600.0,
            "component": "gpu",
            "images_per_call": 4,
        }
        return measure_blocks(
            self.run_once, meters=[self.meter], clock=self.clock, **(options | kwargs)
        )


def test_a_load_that_gets_faster_fills_the_window_all_the_same():
    clock, call_s = HandClock(), 0.01
    meter = SteadyMeter(clock, 36.0)
    meter.min_window_s = 1.0

    def run_once(_call):
        clock.time_s += call_s

    maker = BlockMaker(Calls(run_once, clock, lambda: None), [meter], "cpu", 1)
    maker.warm_up(clock.now() + 60.0)
    for call_s in (0.01, 0.002):
        block = maker.block()
        assert sum(block.call_s) == pytest.approx(1.0, abs=0.011)
        assert block.energy_j == pytest.approx(36.0 * call_s)


def test_energy_is_per_image_and_latency_per_call():
    measurement = Device().measure()
    assert measurement.energy_j == pytest.approx(0.5, rel=1e-4)
    assert measurement.latency_ms == pytest.approx(10.0)
    assert measurement.latency_p95_ms == pytest.approx(10.0)
    assert measurement.batch_size == 4
    assert measurement.provenance is Provenance.MEASURED
    assert measurement.is_precise
    assert measurement.n_blocks == 5


def test_throughput_is_images_per_second_of_calls():
    assert Device().measure().throughput_per_s == pytest.approx(4 / 0.01)


def test_calls_are_numbered_from_zero_without_gaps():
    device = Device()
    device.measure()
    assert device.numbers == list(range(len(device.numbers)))


def test_blocks_are_as_long_as_the_meter_needs():
    """A counter whose tick could not be found gets 5 s: its window may be 50 ticks of 0.1 s."""
    device = Device()
    device.measure()
    warm_up = 10
    assert len(device.numbers) >= warm_up + 5 * 500


def test_the_interval_covers_the_truth_and_noise_takes_more_blocks():
    measurement = Device(noise=1.0).measure(precision=0.02)
    assert measurement.energy_low_j < 0.5 < measurement.energy_high_j
    assert measurement.is_precise
    assert measurement.n_blocks > 5


def test_it_gives_up_after_twenty_blocks_and_says_so():
    measurement = Device(noise=1.0).measure(precision=0.001)
    assert measurement.n_blocks == 20
    assert not measurement.is_precise


def test_time_ends_it_with_what_is_there():
    device = Device()
    started_s = device.clock.now()
    measurement = device.measure(max_seconds=15.0)
    assert device.clock.now() - started_s <= 15.0 + 5.1
    assert 1 <= measurement.n_blocks < 5
    assert not measurement.is_precise


def test_a_call_longer_than_the_time_is_made_twice_and_has_no_interval():
    device = Device(call_s=10.0)
    measurement = device.measure(max_seconds=3.0)
    assert len(device.numbers) == 2
    assert measurement.energy_j == pytest.approx(0.5)
    assert measurement.energy_low_j is None
    assert not measurement.is_precise


def test_a_lost_meter_leaves_latency_known_and_energy_unknown():
    device = Device()
    device.board.lost = "GPU is lost"
    measurement = device.measure()
    assert measurement.energy_j is None
    assert measurement.energy_low_j is None
    assert measurement.provenance is None
    assert measurement.latency_ms == pytest.approx(10.0)
    assert measurement.n_blocks == 0
    assert not measurement.is_precise


def test_only_the_target_counts():
    device = Device()
    host = CpuTimeMeter(50.0, device.clock)
    measurement = measure_blocks(
        device.run_once,
        meters=[device.meter, host],
        clock=device.clock,
        images_per_call=1,
        precision=0.05,
        max_seconds=60.0,
        component="gpu",
    )
    assert measurement.energy_j == pytest.approx(2.0, rel=1e-4)
    assert measurement.source == "nvml:NVIDIA H200"


def test_every_call_is_synchronised_within_its_time():
    device = Device()
    measurement = device.measure(
        synchronize=lambda: setattr(device.clock, "time_s", device.clock.time_s + 0.005)
    )
    assert measurement.latency_ms == pytest.approx(15.0)


def test_a_clock_that_hardly_moves_cannot_keep_it_running():
    meter = ReplayMeter([(1e-7 * i, 1.0 * i) for i in range(10)])
    calls = []
    measure_blocks(
        calls.append,
        meters=[meter],
        clock=meter.clock,
        images_per_call=1,
        precision=0.5,
        max_seconds=1e9,
        component=None,
    )
    assert len(calls) < 2_000_000


def test_an_error_of_the_call_comes_through():
    with pytest.raises(ZeroDivisionError):
        measure_blocks(
            lambda call: 1 // 0,
            meters=[],
            clock=HandClock(),
            images_per_call=1,
            precision=0.05,
            max_seconds=1.0,
            component=None,
        )


def block(energy_j, *reasons, flags=()):
    return Block(
        energy_j=energy_j,
        provenance=Provenance.MEASURED,
        source="nvml",
        call_s=(0.01,),
        flags=flags,
        throttle_reasons=None if "unknown" in reasons else frozenset(reasons),
    )


def test_blocks_throttled_otherwise_than_most_are_flagged():
    blocks = [block(1.0, "power cap") for _ in range(3)]
    odd = flag_odd([*blocks, block(1.0), block(1.0, "unknown")])
    assert [THROTTLED in one.flags for one in odd] == [False, False, False, True, False]
    assert not any(one.flags for one in flag_odd(blocks))  # always in the cap: that is the load


def test_flagged_blocks_are_left_out_when_enough_others_are_there():
    usual, hot = [block(1.0) for _ in range(5)], block(9.0, "hardware thermal slowdown")
    many = summarize(flag_odd([*usual, hot]), images_per_call=1, precision=0.05)
    assert (many.energy_j, many.n_blocks) == (1.0, 5)
    few = summarize(flag_odd([*usual[:4], hot]), images_per_call=1, precision=0.05)
    assert (few.energy_j, few.n_blocks) == (pytest.approx(2.6), 5)


def test_a_board_that_is_throttled_in_one_block_only_does_not_move_the_mean():
    device = Device(noise=0.3)

    def run_once(call):
        is_hot = 2000 <= call < 2200
        device.board.event_reasons = 0x20 if is_hot else 0
        device.run_once(call)
        device.board.energy_mj += 4000 if is_hot else 0

    measurement = measure_blocks(
        run_once,
        meters=[device.meter],
        clock=device.clock,
        images_per_call=1,
        precision=0.01,
        max_seconds=600.0,
        component="gpu",
    )
    assert measurement.energy_j == pytest.approx(2.0, rel=0.02)


def test_half_width_agrees_with_the_table():
    """Student's t for 4 degrees of freedom is 2.776 at 95 %."""
    assert half_width([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.776 * 0.5**0.5, rel=1e-3)
    assert half_width([1.0]) is None
