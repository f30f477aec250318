"""The state a board is in."""

import pynvml
import pytest
from energy_fakes import Board, FakeNvml, HandClock

from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.gpu.state import EVENT_REASONS, BoardState, event_reasons


def state_of(**values):
    board = Board("GPU-a")
    for name, value in values.items():
        setattr(board, name, value)
    (state,) = NvmlMeter(["GPU-a"], FakeNvml(board), HandClock()).board_states()
    return state


def test_everything_that_explains_two_different_blocks_is_told():
    """arXiv 2208.11035 and the ml-energy blog: temperature, clocks and limits move the joules."""
    assert state_of(event_reasons=0x4 | 0x20) == BoardState(
        component="gpu:GPU-a",
        time_s=100.0,
        temperature_c=40.0,
        sm_clock_mhz=1980.0,
        memory_clock_mhz=3201.0,
        event_reasons=("power cap", "software thermal slowdown"),
        power_limit_w=700.0,
        performance_state=0,
    )


def test_idling_and_set_clocks_are_no_throttling():
    state = state_of(event_reasons=0x1 | 0x2 | 0x4)
    assert state.throttle_reasons == {"power cap"}
    assert state_of(event_reasons=0x1).throttle_reasons == frozenset()


def test_older_drivers_are_asked_by_the_older_name():
    assert state_of(event_reasons=0x8, knows_event_reasons=False).throttle_reasons == {
        "hardware slowdown"
    }


def test_what_is_not_told_is_unknown():
    state = state_of(temperature_c=None, limit_mw=None, performance_state=32)
    assert state.temperature_c is None
    assert state.power_limit_w is None
    assert state.performance_state is None
    assert event_reasons(None) is None
    lost = BoardState(component="gpu:x", time_s=0.0)
    assert lost.throttle_reasons is None


def test_a_board_that_cannot_be_read_has_a_state_without_values():
    assert state_of(mig=1) == BoardState(component="gpu:GPU-a", time_s=100.0)


@pytest.mark.parametrize(
    ("bit", "constant"),
    [
        (0x1, "GpuIdle"),
        (0x4, "SwPowerCap"),
        (0x8, "HwSlowdown"),
        (0x20, "SwThermalSlowdown"),
        (0x40, "HwThermalSlowdown"),
        (0x80, "HwPowerBrakeSlowdown"),
    ],
)
def test_the_bits_are_those_of_the_library(bit, constant):
    assert bit in EVENT_REASONS
    assert getattr(pynvml, f"nvmlClocksEventReason{constant}") == bit
