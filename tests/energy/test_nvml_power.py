"""Boards without an energy counter: their power, integrated."""

import threading

import pytest
from nvml_fakes import Board, FakeNvml, VirtualClock

from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.gpu.power import MAX_GAP_S, PowerIntegrator, PowerSample
from ecoautoml.records.energy_reading import Provenance


def integrate(*samples):
    rest = iter(samples)
    integrator = PowerIntegrator(lambda: next(rest))
    return [integrator.total() for _ in samples][-1]


def at(stamp_s, power_w):
    return PowerSample(power_w=power_w, stamp_s=stamp_s, reason=None if power_w else "lost")


def pascal(**power):
    """Return a board before Volta, and a meter on it that samples only when it is read."""
    clock = VirtualClock()
    board = Board("GPU-a", model="Tesla P100")
    board.has_counter = False
    for name, value in power.items():
        setattr(board, name, value)
    return clock, board, NvmlMeter(["GPU-a"], FakeNvml(board, clock=clock), clock)


def test_power_is_integrated_in_trapezoids_over_the_drivers_stamps():
    total = integrate(at(10.0, 100.0), at(10.5, 200.0), at(11.0, 100.0))
    assert total.energy_j == pytest.approx(0.5 * 150.0 + 0.5 * 150.0)


def test_a_sensor_that_was_not_renewed_adds_nothing_and_a_stamp_going_back_neither():
    total = integrate(at(10.0, 100.0), at(10.0, 900.0), at(9.0, 900.0), at(11.0, 100.0))
    assert total.energy_j == pytest.approx(100.0)


def test_samples_missing_for_too_long_lose_count():
    total = integrate(at(10.0, 100.0), at(10.0 + 2 * MAX_GAP_S, 100.0))
    assert total.generation == 1
    assert total.energy_j == 0.0


def test_a_sample_that_fails_makes_the_total_unknown_and_the_next_one_goes_on():
    assert integrate(at(10.0, 100.0), at(10.5, None)).energy_j is None
    total = integrate(at(10.0, 100.0), at(10.5, None), at(11.0, 100.0))
    assert total.energy_j == pytest.approx(100.0)


def test_a_thread_takes_samples_until_it_is_closed():
    taken = threading.Semaphore(0)
    times = iter(range(10**9))

    def sample():
        taken.release()
        return PowerSample(power_w=50.0, stamp_s=0.1 * next(times))

    integrator = PowerIntegrator(sample, period_s=0.001)
    integrator.start()
    integrator.start()  # once is enough
    for _ in range(5):
        assert taken.acquire(timeout=30)
    assert integrator.is_running
    integrator.close()
    assert not integrator.is_running
    assert integrator.total().energy_j > 0
    integrator.close()


@pytest.mark.parametrize(
    ("power", "name"),
    [
        ({"instant_mw": 200_000, "average_mw": 900_000}, "instant"),
        ({"average_mw": 200_000, "usage_mw": 900_000}, "average"),
        ({"usage_mw": 200_000}, "usage"),
    ],
)
def test_a_board_without_a_counter_has_the_best_power_it_tells_integrated(power, name):
    """nvmlDeviceGetPowerUsage is a 1 s average on an H100, instantaneous on an A100 (NVML API)."""
    clock, board, meter = pascal(**power)
    before = meter.read()
    for _ in range(10):
        clock.pass_by(1.0)
        board.stamp_us = round(clock.now() * 1e6)
        after = meter.read()
    (reading,) = meter.readings_between(before, after)
    meter.close()
    assert reading.energy_j == pytest.approx(2000.0)
    assert reading.source == f"nvml-power:Tesla P100 ({name})"
    assert reading.provenance is Provenance.MEASURED
    assert reading.relative_uncertainty == pytest.approx(0.1 + 0.8 * 0.1 / 10.0)
    assert meter.tick_s is None


def test_a_window_over_integrated_power_is_at_least_five_seconds():
    _, _, meter = pascal(instant_mw=200_000)
    assert meter.min_window_s == 5.0
    assert "integrated instant power" in meter.is_available().detail
    meter.close()


def test_a_board_that_tells_neither_energy_nor_power_is_unknown_with_a_reason():
    _, _, meter = pascal()
    (reading,) = meter.read()
    assert reading.energy_j is None
    assert "neither its energy" in reading.reason
    meter.close()


def test_power_that_cannot_be_read_any_more_is_unknown():
    clock, board, meter = pascal(instant_mw=200_000)
    before = meter.read()
    board.lost = "GPU is lost"
    clock.pass_by(1.0)
    (reading,) = meter.readings_between(before, meter.read())
    meter.close()
    assert reading.energy_j is None
    assert "cannot be read any more" in reading.reason


def test_closing_ends_the_thread_and_later_reads_are_unknown():
    _, _, meter = pascal(instant_mw=200_000)
    meter.read()
    assert "nvml-power" in {thread.name for thread in threading.enumerate()}
    meter.close()
    assert "nvml-power" not in {thread.name for thread in threading.enumerate()}
    assert meter.read()[0].energy_j is None
