"""Finding out how often a counter moves."""

import pytest
from nvml_fakes import FakeNvml, TickingBoard, VirtualClock

from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.gpu.ticks import Look, find_tick, tick_of


def ticking(latency_s=0.0024, **options):
    clock = VirtualClock()
    board = TickingBoard(clock, **options)
    nvml = FakeNvml(board, clock=clock, latency_s=latency_s)
    return clock, board, nvml, NvmlMeter(["GPU-a"], nvml, clock)


@pytest.mark.parametrize("tick_s", [0.01, 0.02, 0.1, 0.5])
def test_the_tick_is_found_whatever_the_driver_made_it(tick_s):
    """100 ms: ml-energy/blog, thermally-stable-profiling.md; about 10 ms: pynvml PR#18."""
    _, _, _, meter = ticking(tick_s=tick_s, latency_s=tick_s / 40)
    assert meter.tick_s == pytest.approx(tick_s, rel=0.06)
    assert meter.min_window_s == pytest.approx(max(50 * meter.tick_s, 1.0))


def test_jitter_and_the_cost_of_a_look_do_not_shift_it():
    """A read of the counter takes 2.4 ms, up to 6.6 ms on some boards."""
    for latency_s in (0.0005, 0.0024, 0.0066):
        _, _, _, meter = ticking(latency_s=latency_s, jitter_s=0.004)
        assert meter.tick_s == pytest.approx(0.1, rel=0.03)


def test_it_takes_two_seconds_at_most_and_only_the_first_time():
    """zeus 0.16.0 finds a period of 0.0 and polls without a pause; this must end and be real."""
    clock, _, nvml, meter = ticking(tick_s=0.1)
    assert clock.now() == pytest.approx(1000.0, abs=0.01)  # opening a meter finds nothing yet
    assert meter.tick_s is not None
    assert clock.now() - 1000.0 < 2.0
    looks = nvml.counter_reads
    assert meter.tick_s is not None
    assert meter.min_window_s > 0
    assert nvml.counter_reads == looks


def test_a_slow_counter_is_given_up_after_two_seconds_with_a_reason():
    clock, _, _, meter = ticking(tick_s=1.0)
    assert meter.tick_s is None
    assert clock.now() - 1000.0 < 2.1
    assert "moved" in meter.ticks()[0].reason
    assert meter.min_window_s == 5.0


def test_the_drivers_time_stamps_are_used_where_they_are_those_of_the_value():
    """NVML_FI_DEV_ENERGY comes with the microsecond it was taken at (nvml.h)."""
    _, board, _, meter = ticking(latency_s=0.03)  # looks so seldom that its own clock is coarse
    board.has_field = True
    meter_tick = meter.ticks()[0]
    assert meter_tick.has_stamps
    assert meter_tick.tick_s == pytest.approx(0.1, rel=1e-4)


def test_stamps_of_the_question_instead_of_the_value_are_not_used():
    looks = [
        Look(value=i // 10, time_s=0.01 * i, stamp_s=55.0 + 0.02 * i)  # a stamp that always grows
        for i in range(80)
    ]
    tick = tick_of(looks)
    assert not tick.has_stamps
    assert tick.tick_s == pytest.approx(0.1)


def test_a_missed_move_does_not_make_the_tick_longer():
    times_s = [0.1 * i for i in range(14) if i not in (4, 9)]
    looks = [Look(value=0, time_s=-0.001)]
    for number, time_s in enumerate(times_s):
        looks += [Look(value=number, time_s=time_s - 0.001), Look(value=number + 1, time_s=time_s)]
    assert tick_of(looks).tick_s == pytest.approx(0.1)


def test_a_counter_that_moves_at_every_look_has_no_tick_to_wait_for():
    tick = tick_of([Look(value=i, time_s=0.003 * i) for i in range(30)])
    assert tick.tick_s is None
    assert "every look" in tick.reason


@pytest.mark.parametrize("values", [[5] * 9, [5, 5, None]])
def test_a_counter_that_stands_or_is_lost_has_no_tick_but_a_reason(values):
    rest = iter(values)
    times = iter(range(100))

    def look():
        return Look(value=next(rest, values[-1]), time_s=0.3 * next(times))

    tick = find_tick(look, wait=lambda seconds: None)
    assert tick.tick_s is None
    assert tick.reason


def test_a_clock_that_stands_still_cannot_keep_it_looking():
    tick = find_tick(lambda: Look(value=1, time_s=1.0), wait=lambda seconds: None)
    assert tick.tick_s is None


def test_of_several_boards_the_slowest_decides():
    clock = VirtualClock()
    boards = [
        TickingBoard(clock, f"GPU-{i}", tick_s=tick_s) for i, tick_s in enumerate((0.02, 0.1))
    ]
    meter = NvmlMeter(["GPU-0", "GPU-1"], FakeNvml(*boards, clock=clock), clock)
    assert [tick.tick_s for tick in meter.ticks()] == pytest.approx([0.02, 0.1], rel=0.1)
    assert meter.tick_s == pytest.approx(0.1, rel=0.05)


def test_a_board_without_joules_has_no_tick_and_costs_no_time():
    clock, board, _, _ = ticking()
    board.mig = 1
    meter = NvmlMeter(["GPU-a"], FakeNvml(board), clock)
    before_s = clock.now()
    assert meter.tick_s is None
    assert meter.min_window_s == 0.1
    assert clock.now() == before_s
