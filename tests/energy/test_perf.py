"""The second door to the processor's counters, on a fake tree and fake counters."""

import platform

import pytest
from energy_fakes import FakePerf, FakeProc, HandClock

from ecoautoml.energy.base import Scope
from ecoautoml.energy.cpu.perf import PerfMeter, open_event
from ecoautoml.records.energy_reading import Provenance

PID = 4242


class Machine:
    """A fake machine: events, processes, a clock, and a meter over them."""

    def __init__(self, tmp_path, cpumask="0"):
        self.perf = FakePerf(tmp_path / "power", cpumask)
        self.proc = FakeProc(tmp_path / "proc")
        self.proc.process(PID, own_s=10.0)
        self.dev = tmp_path / "dev"
        self.clock = HandClock()

    def meter(self, scope=Scope.TREE):
        return PerfMeter(
            self.perf.root,
            self.proc.root,
            self.clock,
            scope=scope,
            open_counter=self.perf.open_counter,
            dev=self.dev,
        )

    def work(self, seconds, our_s=1.0, busy_s=1.0):
        self.clock.time_s += seconds
        self.proc.process(PID, own_s=10.0 + our_s)
        self.proc.machine(1000.0 + busy_s)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def between(meter, before):
    return {one.component: one for one in meter.readings_between(before, meter.read(PID))}


def test_packages_of_all_sockets_are_summed_and_parts_of_them_never_added(tmp_path):
    """Units of 2**-32 J, one CPU per socket: Linux commit 4788e5b4."""
    machine = Machine(tmp_path, cpumask="0,18")
    for name, code in (("energy-pkg", 2), ("energy-ram", 3), ("energy-cores", 1)):
        machine.perf.event(name, code)
    machine.perf.event("energy-psys", 5)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    for cpu in (0, 18):
        machine.perf.add("energy-pkg", 21.0, cpu)
        machine.perf.add("energy-ram", 2.5, cpu)
        machine.perf.add("energy-cores", 15.0, cpu)
        machine.perf.add("energy-psys", 99.0, cpu)
    readings = between(meter, before)
    assert readings["cpu"].energy_j == pytest.approx(42.0)
    assert readings["cpu"].provenance is Provenance.MEASURED
    assert readings["cpu"].source == "perf:energy-pkg"
    assert readings["dram"].energy_j == pytest.approx(5.0)
    assert meter.is_available().detail == "perf:energy-pkg, perf:energy-ram of 2 sockets"


def test_a_processor_that_does_not_count_its_memory_has_one_component(machine):
    machine.perf.event("energy-pkg", 2)
    assert [one.component for one in machine.meter().read(PID)] == ["cpu"]


def test_it_is_shared_out_as_the_other_door_is(machine):
    """Shares by CPU time: kepler docs/developer/power-attribution-guide.md."""
    machine.perf.event("energy-pkg", 2)
    ours, device = machine.meter(), machine.meter(Scope.DEVICE)
    before, whole_before = ours.read(PID), device.read(PID)
    machine.work(2.0, our_s=1.0, busy_s=4.0)
    machine.perf.add("energy-pkg", 60.0)
    part, whole = between(ours, before)["cpu"], between(device, whole_before)["cpu"]
    assert (part.energy_j, part.provenance) == (pytest.approx(15.0), Provenance.ATTRIBUTED)
    assert part.idle_share == pytest.approx(0.25)
    assert (whole.energy_j, whole.provenance) == (pytest.approx(60.0), Provenance.MEASURED)
    assert whole.idle_share == 1.0


def test_a_virtual_machine_has_no_energy_events_and_is_told_so(tmp_path):
    meter = PerfMeter(tmp_path / "none", tmp_path, HandClock())
    availability = meter.is_available()
    assert not availability.ok
    assert "virtual machines" in availability.reason
    assert "cpu_time" in availability.reason
    assert meter.read()[0].energy_j is None


def test_without_permission_the_energy_is_unknown_and_one_line_helps(machine):
    """System-wide events need perf_event_paranoid <= 0 or CAP_PERFMON: perf_event_open(2)."""
    machine.perf.event("energy-pkg", 2)
    machine.perf.refused = PermissionError(13, "Permission denied")
    machine.proc.paranoid(2)
    availability = machine.meter().is_available()
    assert not availability.ok
    assert "perf_event_paranoid is 2" in availability.reason
    assert "CAP_PERFMON" in availability.reason
    assert "\n" not in availability.reason


@pytest.mark.parametrize(
    ("unit", "refused", "says"),
    [("Watts", None, "counted in Watts"), ("Joules", OSError(19, "No such device"), "No such")],
)
def test_an_event_that_cannot_be_used_says_why(machine, unit, refused, says):
    machine.perf.event("energy-pkg", 2, unit)
    machine.perf.refused = refused
    availability = machine.meter().is_available()
    assert not availability.ok
    assert says in availability.reason


def test_an_event_lost_while_it_runs_is_unknown(machine):
    machine.perf.event("energy-pkg", 2)
    meter = machine.meter()
    before = meter.read(PID)
    machine.perf.lost = OSError(19, "No such device")
    reading = between(meter, before)["cpu"]
    assert reading.energy_j is None
    assert "No such device" in reading.reason


def test_a_counter_that_stands_still_while_the_processor_works_is_unknown_not_zero(machine):
    machine.perf.event("energy-pkg", 2)
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    reading = between(meter, before)["cpu"]
    assert reading.energy_j is None
    assert "stands still" in reading.reason


def test_closing_gives_each_event_back_once(machine):
    machine.perf.event("energy-pkg", 2)
    machine.perf.event("energy-ram", 3)
    meter = machine.meter()
    meter.close()
    meter.close()
    assert [counter.is_closed for counter in machine.perf.opened] == [True, True]
    assert {one.reason for one in meter.read(PID)} == {"the meter was closed"}


def test_filtered_counters_are_flagged_with_their_uncertainty(machine):
    """SGX switches on filtering, off by up to 50 %: green-coding.io/case-studies/rapl-and-sgx."""
    machine.perf.event("energy-pkg", 2)
    machine.proc.sgx()
    meter = machine.meter()
    before = meter.read(PID)
    machine.work(1.0)
    machine.perf.add("energy-pkg", 10.0)
    assert between(meter, before)["cpu"].relative_uncertainty == 0.5
    assert "SGX" in meter.is_available().detail


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of the call is x86's")
def test_the_kernels_own_door_counts():
    software, cpu_clock = 1, 0  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK: on every machine
    try:
        counter = open_event(software, cpu_clock, 0)
    except PermissionError:
        pytest.skip("this user may not count events of the whole machine")
    first = counter.read()
    assert counter.read() > first
    counter.close()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of the call is x86's")
def test_a_refusal_of_the_kernel_is_an_error_in_its_words():
    with pytest.raises(OSError, match=r"\w"):
        open_event(2**31 - 1, 0, 0)  # a type no kernel has
