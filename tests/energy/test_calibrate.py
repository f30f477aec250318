"""Watts of a thread, fitted against a meter whose watts are known."""

import contextlib
import os

import pytest
import yaml
from energy_fakes import HandClock
from hand_made_meters import ChildrenMeter, SteadyMeter
from processes import is_running

from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.cpu.busy import BusyThreads
from ecoautoml.energy.cpu.calibrate import (
    Level,
    calibrated_watts,
    calibration_path,
    fit,
    loads,
    measure_levels,
    visit_s,
    write_calibration,
)
from ecoautoml.errors import ConfigError, MeterError

THREADS = 2


def line(points, **changes):
    levels = [Level(busy_threads=x, power_w=y) for x, y in points]
    return fit(levels, **{"cpu_model": "Some CPU", "threads": 4, "meter": "wall", **changes})


# --- fitting --------------------------------------------------------------------------------------


def test_points_on_a_line_give_its_slope_and_its_idle_watts_per_thread():
    found = line([(0, 10), (2, 20), (4, 30)])
    assert found.active_w == pytest.approx(5.0)
    assert found.idle_w == pytest.approx(2.5)  # 10 W over 4 threads
    assert found.active_w_error == pytest.approx(0.0, abs=1e-9)
    assert found.r_squared == pytest.approx(1.0)
    assert found.n == 3


def test_standard_errors_are_those_of_the_textbook():
    """Worked by hand: slope 21 / 10, squares of the residuals 1.9, of the watts 46."""
    found = line([(0, 1), (1, 3), (2, 4), (3, 8), (4, 9)], threads=1)
    assert found.active_w == pytest.approx(2.1)
    assert found.idle_w == pytest.approx(0.8)
    assert found.active_w_error == pytest.approx((1.9 / 3 / 10) ** 0.5)
    assert found.idle_w_error == pytest.approx((1.9 / 3 * (1 / 5 + 4 / 10)) ** 0.5)
    assert found.r_squared == pytest.approx(1 - 1.9 / 46)


def test_two_figures_read_by_hand_have_no_error_to_state():
    found = line([(0, 40), (4, 70)], meter="figures read by hand")
    assert found.active_w == pytest.approx(7.5)
    assert found.active_w_error is None
    assert found.r_squared is None
    assert found.relative_uncertainty == pytest.approx(0.1)  # that of a straight line


@pytest.mark.parametrize(
    "points",
    [
        [(0, 40), (4, 40)],
        [(0, 40), (4, 30)],
        [(0, 40), (2, 90), (4, 41)],  # drowned in noise
    ],
)
def test_a_meter_that_does_not_show_the_load_is_not_believed(points):
    with pytest.raises(MeterError, match="wall does not show the load"):
        line(points)


def test_one_load_makes_no_line():
    with pytest.raises(MeterError, match="two different loads"):
        line([(2, 40), (2, 41)])


# --- measuring ------------------------------------------------------------------------------------


@pytest.mark.alone
def test_the_watts_of_a_known_machine_are_found_again():
    meter = ChildrenMeter(active_w=5.0, idle_w=10.0)
    levels = measure_levels(
        meter, meter.clock, threads=THREADS, seconds=0.4, busy_s=ProcessTree().cpu_s
    )
    found = fit(levels, cpu_model="Some CPU", threads=THREADS, meter=meter.name)
    assert found.active_w == pytest.approx(5.0, rel=0.05)
    assert found.idle_w * THREADS == pytest.approx(10.0, rel=0.05)
    assert found.r_squared > 0.99
    assert found.n == 9


@contextlib.contextmanager
def nothing(count):
    yield


def test_loads_are_visited_up_and_down_so_that_drift_cancels():
    seen = []

    @contextlib.contextmanager
    def keep_busy(count):
        seen.append(count)
        yield

    clock = HandClock()

    def sleep(seconds):
        clock.time_s += seconds

    meter = SteadyMeter(clock, 30.0)
    levels = measure_levels(
        meter,
        clock,
        threads=4,
        seconds=1.0,
        busy_s=lambda: clock.time_s,
        keep_busy=keep_busy,
        sleep=sleep,
    )
    assert seen == [0, 2, 4, 4, 2, 0, 0, 2, 4]
    assert [level.power_w for level in levels] == pytest.approx([30.0] * 9)


def test_a_visit_is_as_long_as_the_meter_needs():
    assert visit_s(SteadyMeter(HandClock(), 1.0, tick_s=2.0), 5.0) == 20.0  # ten ticks
    assert visit_s(SteadyMeter(HandClock(), 1.0), 0.1) == 0.5  # its shortest window
    assert visit_s(SteadyMeter(HandClock(), 1.0), 5.0) == 5.0


@pytest.mark.parametrize(("threads", "levels"), [(1, (0, 1)), (2, (0, 1, 2)), (96, (0, 48, 96))])
def test_the_loads_are_none_half_and_all(threads, levels):
    assert loads(threads) == levels


def test_a_meter_lost_meanwhile_ends_it_with_its_reason():
    clock = HandClock()
    meter = SteadyMeter(clock, 30.0)
    meter.is_lost = True

    def sleep(seconds):
        clock.time_s += seconds

    with pytest.raises(MeterError, match="steady could not be read: the device is lost"):
        measure_levels(
            meter,
            clock,
            threads=2,
            seconds=1.0,
            busy_s=lambda: clock.time_s,
            keep_busy=nothing,
            sleep=sleep,
        )


def test_busy_threads_work_while_held_and_are_gone_afterwards():
    tree = ProcessTree()
    with BusyThreads(2) as load:
        pids = load.pids
        before_s = tree.cpu_s()
        while tree.cpu_s() - before_s < 0.2:
            pass
        assert all(is_running(pid) for pid in pids)
        assert os.getpid() not in pids
    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)


# --- storing --------------------------------------------------------------------------------------


def test_what_was_stored_is_found_for_the_same_processor_only(tmp_path):
    path = tmp_path / "new" / "cpu_watts.yaml"
    found = line([(0, 10), (2, 20), (4, 30)])
    assert calibrated_watts("Some CPU", path) is None
    assert write_calibration(found, path) == path
    assert calibrated_watts("Some CPU", path) == found
    assert calibrated_watts("Other CPU", path) is None
    assert calibrated_watts(None, path) is None


def test_a_new_calibration_takes_the_place_of_its_own_processors_only(tmp_path):
    path = tmp_path / "cpu_watts.yaml"
    first, other = line([(0, 10), (4, 30)]), line([(0, 1), (4, 2)], cpu_model="Other CPU")
    again = line([(0, 10), (4, 50)])
    for one in (first, other, again):
        write_calibration(one, path)
    assert calibrated_watts("Some CPU", path) == again
    assert calibrated_watts("Other CPU", path) == other
    assert len(yaml.safe_load(path.read_text())["calibrations"]) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["cpu_watts.yaml"]  # nothing half written


def test_the_file_lies_where_the_users_settings_lie(tmp_path):
    """XDG Base Directory Specification 0.8: a relative folder is to be ignored."""
    assert calibration_path({"XDG_CONFIG_HOME": str(tmp_path)}) == (
        tmp_path / "ecoautoml" / "cpu_watts.yaml"
    )
    assert calibration_path({"XDG_CONFIG_HOME": "relative"}).is_absolute()
    assert calibration_path({}).parts[-3:] == (".config", "ecoautoml", "cpu_watts.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "calibrations: [{cpu_model: Some CPU}]",
        "[]",
        "calibrations: {",
        "watts: 3",
        "",
    ],
)
def test_a_file_that_was_changed_by_hand_is_named_and_not_guessed_at(text, tmp_path):
    path = tmp_path / "cpu_watts.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"cpu_watts\.yaml .*; correct or delete it$"):
        calibrated_watts("Some CPU", path)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be"):
        write_calibration(line([(0, 1), (4, 2)]), tmp_path / "file" / "cpu_watts.yaml")
