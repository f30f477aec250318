"""What every registered meter promises, whatever it reads."""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "energy"))

from energy_fakes import Board, FakeNvml, FakePowercap, FakeProc

from ecoautoml.energy import METERS, EnergyMeter
from ecoautoml.energy.cpu_time import CpuTimeMeter
from ecoautoml.energy.nvml import NvmlMeter
from ecoautoml.energy.rapl import RaplMeter
from ecoautoml.energy.replay import ReplayMeter
from ecoautoml.records.energy_reading import Provenance


class Bench:
    """A meter, a way to make it count, and a way to make it lose its counter."""

    def __init__(self, meter, work, lose):
        self.meter, self.work, self.lose = meter, work, lose
        self.lost_pid = None


def nvml_bench(tmp_path):
    board = Board("GPU-a")

    def work():
        board.energy_mj += 1234
        time.sleep(0.001)

    meter = NvmlMeter(["GPU-a"], FakeNvml(board))
    return Bench(meter, work, lambda: setattr(board, "lost", "GPU is lost"))


def rapl_bench(tmp_path):
    zones, proc = FakePowercap(tmp_path / "powercap"), FakeProc(tmp_path / "proc")
    zones.zone("intel-rapl:0", "package-0", 7_000_000)
    zones.zone("intel-rapl:0:0", "dram", 9_000_000)

    def work():
        zones.add("intel-rapl:0", 50_000)
        zones.add("intel-rapl:0:0", 5_000)
        time.sleep(0.001)

    def lose():
        zones.refuse("intel-rapl:0")
        zones.refuse("intel-rapl:0:0")

    return Bench(RaplMeter(zones.root, proc.root), work, lose)


def cpu_time_bench(tmp_path):
    def work():
        end = time.process_time() + 0.002
        while time.process_time() < end:
            pass

    bench = Bench(CpuTimeMeter(), work, lambda: None)
    bench.lost_pid = 2**22 + 1  # above every process number there can be
    return bench


def replay_bench(tmp_path):
    rows = [(0.1 * i, 2.0 * i) for i in range(30)] + [(0.1 * i, None) for i in range(30, 60)]
    meter = ReplayMeter(rows)

    def lose():
        while meter.read()[0].energy_j is not None:
            pass

    return Bench(meter, lambda: None, lose)


BENCHES = {
    "nvml": nvml_bench,
    "rapl": rapl_bench,
    "cpu_time": cpu_time_bench,
    "replay": replay_bench,
}


@pytest.fixture(params=METERS.names())
def bench(request, tmp_path):
    assert request.param in BENCHES, f"write a bench for the meter {request.param}"
    bench = BENCHES[request.param](tmp_path)
    yield bench
    bench.meter.close()


def test_it_is_what_the_registry_says(bench):
    assert isinstance(bench.meter, EnergyMeter)
    assert type(bench.meter) is METERS.get(bench.meter.name)


def test_it_is_available_here_and_says_what_it_reads(bench):
    availability = bench.meter.is_available()
    assert availability.ok
    assert availability.detail


def test_counters_and_times_never_fall(bench):
    reads = []
    for _ in range(6):
        reads.append(bench.meter.read())
        bench.work()
    for component in range(len(reads[0])):
        joules = [read[component].energy_j for read in reads]
        times = [read[component].time_s for read in reads]
        assert joules == sorted(joules)
        assert times == sorted(times)
        assert joules[-1] > joules[0]


def test_components_are_the_same_each_time(bench):
    first, second = bench.meter.read(), bench.meter.read()
    assert [reading.component for reading in first] == [reading.component for reading in second]


def test_the_difference_of_two_reads_is_at_least_zero_and_says_where_it_comes_from(bench):
    before = bench.meter.read()
    bench.work()
    after = bench.meter.read()
    for start, end, reading in zip(
        before, after, bench.meter.readings_between(before, after), strict=True
    ):
        assert reading.component == start.component
        assert reading.energy_j >= 0
        assert reading.duration_s == pytest.approx(end.time_s - start.time_s)
        assert reading.duration_s > 0
        assert isinstance(reading.provenance, Provenance)
        assert reading.source.startswith(f"{bench.meter.name}:")
        assert reading.reason is None


def test_two_windows_add_up_to_the_window_over_both(bench):
    reads = []
    for _ in range(3):
        reads.append(bench.meter.read())
        bench.work()
    first, middle, last = reads
    for parts in zip(
        bench.meter.readings_between(first, middle),
        bench.meter.readings_between(middle, last),
        bench.meter.readings_between(first, last),
        strict=True,
    ):
        assert parts[0].energy_j + parts[1].energy_j == pytest.approx(parts[2].energy_j)


def test_a_lost_counter_is_unknown_with_a_reason_and_never_zero(bench):
    before = bench.meter.read(bench.lost_pid)
    bench.lose()
    after = bench.meter.read(bench.lost_pid)
    for reading in after:
        assert reading.energy_j is None
        assert reading.reason
    for reading in bench.meter.readings_between(before, after):
        assert reading.energy_j is None
        assert reading.reason
        assert reading.duration_s >= 0


def test_another_process_can_be_asked_about(bench):
    readings = bench.meter.read(os.getppid())
    assert [reading.component for reading in readings]


def test_closing_twice_is_fine_and_a_read_after_it_does_not_raise(bench):
    bench.meter.close()
    bench.meter.close()
    assert bench.meter.read()
