"""The bill of a block."""

import pytest
from energy_fakes import Board, FakeNvml, HandClock

from ecoautoml.energy.cpu.cpu_time import CpuTimeMeter
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.traces.replay import ReplayMeter
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.records.energy_reading import Provenance


def trace(**kwargs):
    return ReplayMeter([(float(i), 5.0 * i) for i in range(100)], **kwargs)


def test_a_window_is_the_difference_of_two_reads():
    meter = trace()
    with EnergyWindow([meter], meter.clock) as window:
        assert window.readings == ()
    (reading,) = window.readings
    assert reading.energy_j == 5.0
    assert reading.duration_s == 1.0
    line = window.line("training")
    assert (line.line, line.energy_j, line.provenance) == ("training", 5.0, Provenance.ESTIMATED)


def test_so_far_grows_inside_and_stands_still_after():
    meter = trace()
    with EnergyWindow([meter], meter.clock) as window:
        first, second = window.so_far(), window.so_far()
    assert 0 < first[0].energy_j < second[0].energy_j
    assert window.so_far() == window.so_far() == list(window.readings)


def test_an_exception_inside_still_closes_the_bill():
    meter = trace()
    window = EnergyWindow([meter], meter.clock)
    with pytest.raises(RuntimeError, match="out of memory"), window:
        raise RuntimeError("out of memory")
    assert window.line("training").energy_j == 5.0


def test_windows_nest():
    meter = trace()
    with EnergyWindow([meter], meter.clock) as outer:
        with EnergyWindow([meter], meter.clock) as first:
            pass
        with EnergyWindow([meter], meter.clock) as second:
            pass
    inner_j = first.readings[0].energy_j + second.readings[0].energy_j
    assert outer.readings[0].energy_j > inner_j


def test_a_sum_of_measured_and_estimated_joules_is_an_estimate():
    clock = HandClock()
    board = Board("GPU-a")
    gpu = NvmlMeter(["GPU-a"], FakeNvml(board), clock)
    with EnergyWindow([gpu, CpuTimeMeter(2.0, clock)], clock) as window:
        board.energy_mj += 7000
        clock.time_s += 2.0
    line = window.line("training")
    assert line.energy_j >= 7.0
    assert line.provenance is Provenance.ESTIMATED
    assert line.source == "nvml:NVIDIA H200 + cpu_time:2 W/thread"
    assert line.duration_s == 2.0


def test_without_meters_the_energy_is_unknown_and_the_time_is_not():
    clock = HandClock()
    with EnergyWindow([], clock) as window:
        clock.time_s += 2.0
    line = window.line("training")
    assert line.energy_j is None
    assert line.duration_s == 2.0
    assert window.duration_s == 2.0
