"""What every registered meter promises, whatever it reads."""

import itertools
import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "energy"))

from energy_fakes import Board, FakeNvml, FakePerf, FakePowercap, FakeProc

from ecoautoml.energy import METERS, EnergyMeter
from ecoautoml.energy.base import Scope
from ecoautoml.energy.cpu.cpu_time import CpuTimeMeter
from ecoautoml.energy.cpu.perf import PerfMeter
from ecoautoml.energy.cpu.rapl import RaplMeter
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.traces.replay import ReplayMeter
from ecoautoml.records.energy_reading import Provenance

IDLE_W = 3.0


class Bench:
    """Meters of one device, a way to make it count, and a way to make it lose its counter."""

    def __init__(self, open_meter, work, lose):
        self.open_meter, self.work, self.lose = open_meter, work, lose
        self.opened = []
        self.meter = self.open(Scope.TREE)
        self.lost_pid = None

    def open(self, scope):
        self.opened.append(self.open_meter(scope))
        return self.opened[-1]


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def nvml_bench(tmp_path):
    board = Board("GPU-a")

    def work():
        board.energy_mj += 1234
        time.sleep(0.001)

    return Bench(
        lambda scope: NvmlMeter(["GPU-a"], FakeNvml(board), scope=scope),
        work,
        lambda: setattr(board, "lost", "GPU is lost"),
    )


def rapl_bench(tmp_path):
    zones, proc = FakePowercap(tmp_path / "powercap"), FakeProc(tmp_path / "proc")
    zones.zone("intel-rapl:0", "package-0", 7_000_000)
    zones.zone("intel-rapl:0:0", "dram", 9_000_000)

    def work():
        zones.add("intel-rapl:0", 50_000)
        zones.add("intel-rapl:0:0", 5_000)
        busy(0.001)

    def lose():
        zones.refuse("intel-rapl:0")
        zones.refuse("intel-rapl:0:0")

    return Bench(lambda scope: RaplMeter(zones.root, proc.root, scope=scope), work, lose)


def perf_bench(tmp_path):
    perf, proc = FakePerf(tmp_path / "power"), FakeProc(tmp_path / "proc")
    perf.event("energy-pkg", 2)
    perf.event("energy-ram", 3)

    def work():
        perf.add("energy-pkg", 0.05)
        perf.add("energy-ram", 0.005)
        busy(0.001)

    def open_meter(scope):
        return PerfMeter(perf.root, proc.root, scope=scope, open_counter=perf.open_counter)

    return Bench(open_meter, work, lambda: setattr(perf, "lost", OSError(19, "No such device")))


def cpu_time_bench(tmp_path):
    bench = Bench(lambda scope: CpuTimeMeter(scope=scope), lambda: busy(0.002), lambda: None)
    bench.lost_pid = 2**22 + 1  # above every process number there can be
    return bench


def replay_bench(tmp_path):
    rows = [(0.1 * i, 2.0 * i) for i in range(30)] + [(0.1 * i, None) for i in range(30, 60)]
    bench = Bench(lambda scope: ReplayMeter(rows), lambda: None, lambda: None)

    def lose():
        while bench.meter.read()[0].energy_j is not None:
            pass

    bench.lose = lose
    return bench


BENCHES = {
    "nvml": nvml_bench,
    "rapl": rapl_bench,
    "perf": perf_bench,
    "cpu_time": cpu_time_bench,
    "replay": replay_bench,
}


@pytest.fixture(params=METERS.names())
def bench(request, tmp_path):
    assert request.param in BENCHES, f"write a bench for the meter {request.param}"
    bench = BENCHES[request.param](tmp_path)
    yield bench
    for meter in bench.opened:
        meter.close()


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


def test_windows_add_up_to_the_window_over_all_gross_and_net(bench):
    reads = []
    for looks in range(6):
        reads.append(bench.meter.read())
        for _ in range(looks):  # of different lengths
            bench.work()
    windows = [
        bench.meter.readings_between(before, after) for before, after in itertools.pairwise(reads)
    ]
    for index, whole in enumerate(bench.meter.readings_between(reads[0], reads[-1])):
        parts = [window[index] for window in windows]
        idle_w = {whole.component: IDLE_W}
        assert sum(part.energy_j for part in parts) == pytest.approx(whole.energy_j)
        net_j = sum(part.net_j(idle_w) for part in parts)
        assert net_j == pytest.approx(whole.net_j(idle_w), abs=1e-9)


def test_a_window_in_which_nothing_happens_is_never_negative(bench):
    before = bench.meter.read()
    for _ in range(3):
        for reading in bench.meter.readings_between(before, before):
            assert reading.energy_j == 0
        after = bench.meter.read()
        for reading in bench.meter.readings_between(before, after):
            assert reading.energy_j >= 0
        before = after


def test_the_idle_power_in_a_reading_is_a_part_of_the_devices(bench):
    for scope in Scope:
        meter = bench.open(scope)
        before = meter.read()
        bench.work()
        for reading in meter.readings_between(before, meter.read()):
            assert 0.0 <= reading.idle_share <= 1.0


def test_a_process_and_its_tree_have_no_more_than_the_device(bench):
    device, tree, process = (
        bench.open(scope) for scope in (Scope.DEVICE, Scope.TREE, Scope.PROCESS)
    )
    before = [meter.read() for meter in (device, tree, process)]
    for _ in range(5):
        bench.work()
    after = [meter.read() for meter in (process, tree, device)][::-1]
    whole, ours, own = (
        meter.readings_between(start, end)
        for meter, start, end in zip((device, tree, process), before, after, strict=True)
    )
    for one, two, three in zip(whole, ours, own, strict=True):
        assert one.energy_j >= two.energy_j - 1e-9
        assert two.energy_j >= three.energy_j - 1e-9


def test_idle_watts_that_a_meter_states_are_those_of_its_components(bench):
    components = {reading.component for reading in bench.meter.read()}
    assert set(bench.meter.idle_w) <= components
    assert all(watts >= 0 for watts in bench.meter.idle_w.values())


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
