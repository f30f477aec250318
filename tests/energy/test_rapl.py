"""Traps of the processor's counters, on a fake sysfs tree."""

import os
import threading
import time
from contextlib import contextmanager

import pytest
from energy_fakes import FakePowercap, FakeProc, HandClock

from ecoautoml.energy.base import Scope
from ecoautoml.energy.cpu.rapl import RaplMeter
from ecoautoml.records.energy_reading import Provenance

PID = 4242


class Machine:
    """A fake machine: zones, processes, a clock, and a meter over them."""

    def __init__(self, tmp_path):
        self.zones = FakePowercap(tmp_path / "powercap")
        self.proc = FakeProc(tmp_path / "proc")
        self.our_s, self.busy_s = 10.0, 1000.0
        self.proc.process(PID, own_s=self.our_s)
        self.dev = tmp_path / "dev"
        self.clock = HandClock()

    def meter(self, sleep=lambda seconds: None, scope=Scope.TREE):
        return RaplMeter(
            self.zones.root, self.proc.root, self.clock, sleep=sleep, scope=scope, dev=self.dev
        )

    def work(self, seconds, our_s=None, busy_s=None):
        """Let our process be busy for all of a time, or for part of it and beside others."""
        our_s = seconds if our_s is None else our_s
        self.clock.time_s += seconds
        self.our_s += our_s
        self.busy_s += our_s if busy_s is None else busy_s
        self.proc.process(PID, own_s=self.our_s)
        self.proc.machine(self.busy_s)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def between(meter, before):
    return {
        reading.component: reading for reading in meter.readings_between(before, meter.read(PID))
    }


def test_packages_are_summed_and_memory_is_its_own_component(machine):
    for socket, start in ((0, 5_000_000), (1, 900_000_000)):
        machine.zones.zone(f"intel-rapl:{socket}", f"package-{socket}", start)
        machine.zones.zone(f"intel-rapl:{socket}:0", "dram", start + 7)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    machine.zones.add("intel-rapl:0", 30_000_000)
    machine.zones.add("intel-rapl:1", 12_000_000)
    machine.zones.add("intel-rapl:0:0", 2_000_000)
    machine.zones.add("intel-rapl:1:0", 3_000_000)
    readings = between(meter, before)
    assert readings["cpu"].energy_j == pytest.approx(42.0)
    assert readings["cpu"].source == "rapl:package-0+package-1"
    assert readings["dram"].energy_j == pytest.approx(5.0)
    assert readings["cpu"].duration_s == pytest.approx(1.0)


def test_parts_of_a_package_and_the_platform_are_never_added(machine):
    """psys as a second processor: zeus 0.16.0; the hierarchy: powercap/powercap#3."""
    machine.zones.zone("intel-rapl:0", "package-0", 1_000_000)
    machine.zones.zone("intel-rapl:0:0", "core", 2_000_000)
    machine.zones.zone("intel-rapl:0:1", "uncore", 3_000_000)
    machine.zones.zone("intel-rapl:1", "psys", 4_000_000)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    for zone in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:1"):
        machine.zones.add(zone, 8_000_000)
    readings = between(meter, before)
    assert list(readings) == ["cpu"]
    assert readings["cpu"].energy_j == pytest.approx(8.0)


def test_the_same_package_behind_two_interfaces_counts_once(machine):
    """MSR and MMIO show the same package: mlco2/codecarbon#950."""
    machine.zones.zone("intel-rapl:0", "package-0", 1_000_000)
    machine.zones.zone("intel-rapl-mmio:0", "package-0", 77_000_000)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    machine.zones.add("intel-rapl:0", 4_000_000)
    machine.zones.add("intel-rapl-mmio:0", 3_900_000)
    assert between(meter, before)["cpu"].energy_j == pytest.approx(3.9)


def test_an_unreadable_duplicate_gives_way_to_the_readable_one(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 1_000_000)
    machine.zones.zone("intel-rapl-mmio:0", "package-0", 77_000_000)
    machine.zones.refuse("intel-rapl-mmio:0")
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    machine.zones.add("intel-rapl:0", 4_000_000)
    assert between(meter, before)["cpu"].energy_j == pytest.approx(4.0)


def test_mirrored_dies_count_once(machine):
    """Zen 1/2: 68 + 68 W for one counter of 68 W, mlco2/codecarbon#1274 and #1379."""
    machine.zones.zone("intel-rapl:0", "package-0-die-0", 68_000_000)
    machine.zones.zone("intel-rapl:1", "package-0-die-1", 68_000_000)

    def go_on(seconds):
        for zone in ("intel-rapl:0", "intel-rapl:1"):
            machine.zones.add(zone, 1_360_000)

    meter = machine.meter(go_on)
    before = meter.read(PID)
    machine.work(1.0)
    for zone in ("intel-rapl:0", "intel-rapl:1"):
        machine.zones.add(zone, 68_000_000)
    assert between(meter, before)["cpu"].energy_j == pytest.approx(68.0)


def test_two_counters_that_meet_by_chance_are_both_kept(machine):
    """Dropping on equal starts alone would lose a real package: mlco2/codecarbon#1276."""
    machine.zones.zone("intel-rapl:0", "package-0", 68_000_000)
    machine.zones.zone("intel-rapl:1", "package-1", 68_000_000)

    def go_on(seconds):
        machine.zones.add("intel-rapl:0", 1_000_000)
        machine.zones.add("intel-rapl:1", 500_000)

    meter = machine.meter(go_on)
    before = meter.read(PID)
    machine.work(1.0)
    machine.zones.add("intel-rapl:0", 10_000_000)
    machine.zones.add("intel-rapl:1", 5_000_000)
    assert between(meter, before)["cpu"].energy_j == pytest.approx(15.0)


def test_a_wrap_within_a_window_is_added_once(machine):
    """A wrap gave -51 J in zeus 0.16.0; the range is in max_energy_range_uj."""
    machine.zones.zone("intel-rapl:0", "package-0", 65_520_000_000, range_uj=65_532_610_987)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    machine.zones.set("intel-rapl:0", 37_389_013)
    energy_j = between(meter, before)["cpu"].energy_j
    assert energy_j == pytest.approx(12.610987 + 37.389013)


def test_several_wraps_are_followed_by_reads_in_between(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 0, range_uj=1_000_000_000)
    meter = machine.meter()
    before = meter.read(PID)
    for step in range(1, 31):
        machine.work(1.0)
        machine.zones.set("intel-rapl:0", step * 100_000_000 % 1_000_000_000)
        meter.read(PID)
    assert between(meter, before)["cpu"].energy_j == pytest.approx(3000.0)


def test_a_window_that_may_hold_two_wraps_is_unknown_and_the_next_one_is_known(machine):
    """A socket's 32-bit counter wraps in minutes: README of amd/amd_energy."""
    machine.zones.zone("intel-rapl:0", "package-0", 0, range_uj=65_532_610_987)
    meter = machine.meter()
    assert meter.longest_gap_s == pytest.approx(131.065, abs=0.01)
    before = meter.read(PID)
    machine.work(3600.0)
    machine.zones.set("intel-rapl:0", 5_000_000)
    reading = between(meter, before)["cpu"]
    assert reading.energy_j is None
    assert "too seldom" in reading.reason
    before = meter.read(PID)
    machine.work(1.0)
    machine.zones.add("intel-rapl:0", 5_000_000)
    assert between(meter, before)["cpu"].energy_j == pytest.approx(5.0)


def test_a_window_longer_than_several_wraps_is_known_because_a_guard_reads_meanwhile(machine):
    """An epoch may outlast a counter (AMD's 32 bits: 9 min at 240 W, github.com/amd/amd_energy)."""
    machine.zones.zone("intel-rapl:0", "package-0", 0, range_uj=1_000_000, limit_w=1)
    meter = RaplMeter(machine.zones.root, machine.proc.root, scope=Scope.DEVICE)  # real clock
    assert meter.longest_gap_s == pytest.approx(0.8)
    before = meter.read(PID)
    for total_uj in range(250_000, 3_000_001, 250_000):  # 3 J in 3 s: three times around
        time.sleep(0.25)
        machine.zones.set("intel-rapl:0", total_uj % 1_000_000)
    assert between(meter, before)["cpu"].energy_j == pytest.approx(3.0)
    meter.close()


def test_closing_ends_the_guard(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 0, range_uj=1_000_000, limit_w=100)
    others = set(threading.enumerate())
    meters = [RaplMeter(machine.zones.root, machine.proc.root) for _ in range(3)]
    guards = set(threading.enumerate()) - others
    assert len(guards) == 3
    for meter in meters:
        meter.close()
    for guard in guards:
        guard.join(timeout=5)
        assert not guard.is_alive()


def test_a_stated_power_limit_allows_longer_gaps(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 0, range_uj=65_532_610_987, limit_w=40)
    assert machine.meter().longest_gap_s == pytest.approx(65_532.610987 / 50)


def test_a_counter_set_back_is_unknown_rather_than_a_huge_wrap(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 100_000_000_000)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    machine.zones.set("intel-rapl:0", 3_000_000)
    assert between(meter, before)["cpu"].energy_j is None


def test_without_permission_the_energy_is_unknown_and_the_reason_helps(machine):
    """Counters are root's since CVE-2020-8694; see mlco2/codecarbon#244."""
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000)
    meter = machine.meter()
    before = meter.read()
    (machine.zones.root / "intel-rapl:0" / "energy_uj").chmod(0)
    with nobody():
        after = meter.read()
        availability = meter.is_available()
    (reading,) = meter.readings_between(before, after)
    assert reading.energy_j is None
    assert "CVE-2020-8694" in reading.reason
    assert "cpu_time" in reading.reason
    assert (availability.ok, availability.reason) == (False, reading.reason)


@contextmanager
def nobody():
    """Give up an administrator's rights, which permissions do not stop."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(own)


def test_a_machine_without_counters_says_so(tmp_path):
    meter = RaplMeter(tmp_path / "nowhere")
    assert meter.read()[0].energy_j is None
    availability = meter.is_available()
    assert not availability.ok
    assert "virtual machines" in availability.reason
    assert "cpu_time" in availability.reason


@pytest.mark.parametrize(
    ("busy_s", "energy_j", "provenance"),
    [
        (2.0, 50.0, Provenance.MEASURED),
        (2.05, 50.0 * 2.0 / 2.05, Provenance.MEASURED),
        (8.0, 12.5, Provenance.ATTRIBUTED),
    ],
)
def test_a_shared_machine_is_attributed_by_busy_time(machine, busy_s, energy_j, provenance):
    """Shares by CPU time: kepler docs/developer/power-attribution-guide.md."""
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(2.0, our_s=2.0, busy_s=busy_s)
    machine.zones.add("intel-rapl:0", 50_000_000)
    reading = between(meter, before)["cpu"]
    assert reading.energy_j == pytest.approx(energy_j)
    assert reading.provenance is provenance


def test_the_share_of_a_process_that_is_gone_is_unknown(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000)
    meter = machine.meter()
    before = meter.read(PID)
    machine.proc.end(PID)
    reading = between(meter, before)["cpu"]
    assert reading.energy_j is None
    assert "has ended" in reading.reason


def test_the_whole_device_is_what_the_counters_say_whoever_is_busy(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000)
    meter = machine.meter(scope=Scope.DEVICE)
    before = meter.read(PID)
    machine.work(2.0, our_s=0.0, busy_s=3.0)
    machine.zones.add("intel-rapl:0", 50_000_000)
    reading = between(meter, before)["cpu"]
    assert reading.energy_j == pytest.approx(50.0)
    assert reading.idle_share == 1.0
    assert reading.provenance is Provenance.MEASURED


def test_a_counter_that_stands_still_while_the_processor_works_is_unknown_not_zero(machine):
    """Registers are updated about every millisecond: README of github.com/amd/amd_energy."""
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(0.5)
    stuck = between(meter, before)["cpu"]
    assert stuck.energy_j is None
    assert "stands still" in stuck.reason
    machine.zones.add("intel-rapl:0", 5_000_000)
    machine.work(1.0)
    assert "stood still" in between(meter, before)["cpu"].reason
    again = meter.read(PID)
    machine.work(2.0)
    machine.zones.add("intel-rapl:0", 7_000_000)
    assert between(meter, again)["cpu"].energy_j == pytest.approx(7.0)


def test_an_idle_counter_that_stands_still_is_believed(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(30.0, our_s=0.0)
    assert between(meter, before)["cpu"].energy_j == 0.0


def test_joules_no_processor_can_draw_are_unknown(machine):
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000, limit_w=100)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    machine.zones.add("intel-rapl:0", 400_000_000)
    reading = between(meter, before)["cpu"]
    assert reading.energy_j is None
    assert "jumped by 400 J" in reading.reason


def test_memory_that_has_never_counted_is_no_component(machine):
    """Some processors show a dram zone without a counter behind it: it stays at 0."""
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000)
    machine.zones.zone("intel-rapl:0:0", "dram", 0)
    assert [reading.component for reading in machine.meter().read(PID)] == ["cpu"]


@pytest.mark.parametrize("sign", ["cpuinfo", "device"])
def test_filtered_counters_are_flagged_with_their_uncertainty(machine, sign):
    """SGX switches on filtering, off by up to 50 %: green-coding.io/case-studies/rapl-and-sgx."""
    machine.zones.zone("intel-rapl:0", "package-0", 5_000_000)
    plain = machine.meter()
    if sign == "cpuinfo":
        machine.proc.sgx()
    else:
        machine.dev.mkdir()
        (machine.dev / "sgx_enclave").touch()
    filtered = machine.meter()
    before = {meter: meter.read(PID) for meter in (plain, filtered)}
    machine.work(1.0)
    machine.zones.add("intel-rapl:0", 5_000_000)
    assert between(plain, before[plain])["cpu"].relative_uncertainty is None
    assert between(filtered, before[filtered])["cpu"].relative_uncertainty == 0.5
    assert "SGX" in filtered.is_available().detail
    assert "SGX" not in plain.is_available().detail
