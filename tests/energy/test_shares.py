"""Sharing out one counter: parts add up over processes and over time."""

import itertools
import os
import random
import subprocess
import sys
import threading
import time

import pytest
from energy_fakes import FakePowercap, FakeProc, HandClock

from ecoautoml.energy.base import CounterReading, Scope
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.counters.share_account import share_of
from ecoautoml.energy.counters.shared_meter import SharedMeter
from ecoautoml.energy.counters.shares import SharedCounters
from ecoautoml.energy.cpu.rapl import RaplMeter
from ecoautoml.energy.traces.replay import ReplayMeter
from ecoautoml.energy.traces.trace import Trace, played
from ecoautoml.records.energy_reading import Provenance

MAIN, FIRST, SECOND, STRANGER, KERNEL = 60, 70, 80, 90, 2
IDLE_W = 20.0


class Machine:
    """Processes that work, and the one counter of the machine they work on."""

    def __init__(self, tmp_path):
        self.proc = FakeProc(tmp_path / "proc")
        self.clock = HandClock()
        self.energy_j, self.busy_s = 500.0, 1000.0
        self.used_s = dict.fromkeys((MAIN, FIRST, SECOND, STRANGER, KERNEL), 0.0)
        self.looks = 0
        self.changing = threading.Lock()
        self.reason = None
        for pid in self.used_s:
            self.show(pid)
        self.run(0.0)

    def shared(self, meter, scope=Scope.TREE):
        """Return another meter's counter, shared out among these processes."""
        return SharedMeter(meter, scope, ProcessTree(self.proc.root), is_guarded=False)

    def show(self, pid):
        self.proc.process(pid, MAIN if pid in (FIRST, SECOND) else 1, self.used_s[pid])

    def run(self, seconds, energy_j=0.0, **by_name):
        """Let processes work: run(1.0, 50.0, first=0.4)."""
        with self.changing:
            self._run(seconds, energy_j, by_name)

    def _run(self, seconds, energy_j, by_name):
        pids = {"main": MAIN, "first": FIRST, "second": SECOND, "stranger": STRANGER}
        for name, cpu_s in by_name.items():
            self.used_s[pids[name]] += cpu_s
            self.busy_s += cpu_s
        for pid in (pids[name] for name in by_name):
            self.show(pid)
        self.proc.machine(self.busy_s)
        self.clock.time_s += seconds
        self.energy_j += energy_j

    def look(self):
        with self.changing:
            self.looks += 1
            return self._look()

    def _look(self):
        return [
            CounterReading(
                component="cpu",
                energy_j=self.energy_j if self.reason is None else None,
                time_s=self.clock.time_s,
                reason=self.reason,
                busy_s=ProcessTree(self.proc.root).machine_busy_s(),
            )
        ]

    def counters(self, scope=Scope.TREE, is_guarded=False):
        tree = ProcessTree(self.proc.root)
        return SharedCounters(self.look, tree, scope, is_guarded=is_guarded)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def between(counters, before, after):
    (reading,) = counters.readings_between(before, after, sources={"cpu": "test"}, losses={})
    return reading


class Books:
    """Everybody's reads of one machine: trials, the main process, others, and the whole."""

    def __init__(self, machine):
        self.askers = {
            "first": (machine.counters(Scope.TREE), FIRST),
            "second": (machine.counters(Scope.TREE), SECOND),
            "main": (machine.counters(Scope.PROCESS), MAIN),
            "others": (machine.counters(Scope.OTHERS), MAIN),
            "device": (machine.counters(Scope.DEVICE), MAIN),
        }
        self.reads = {name: [] for name in self.askers}
        self.read()

    def read(self):
        for name, (counters, pid) in self.askers.items():
            self.reads[name].append(counters.read(pid))

    def window(self, name, start=0, end=-1):
        return between(self.askers[name][0], self.reads[name][start], self.reads[name][end])

    def net_j(self, name, start=0, end=-1):
        return self.window(name, start, end).net_j({"cpu": IDLE_W})


PARTS = ("first", "second", "main", "others")


@pytest.mark.parametrize("seed", range(5))
def test_parts_of_all_processes_and_the_idle_power_add_up_to_the_device(machine, seed):
    rng = random.Random(seed)
    books = Books(machine)
    for _ in range(40):
        seconds = rng.choice([0.25, 0.5, 1.0, 1.5])
        work = {
            name: round(rng.uniform(0.2, 1.0) * seconds, 2)
            for name in ("first", "second", "main", "stranger")
        }
        machine.run(seconds, IDLE_W * seconds + rng.uniform(5, 15) * sum(work.values()), **work)
        books.read()
    device = books.window("device")
    assert sum(books.window(name).idle_share for name in PARTS) == pytest.approx(1.0)
    assert sum(books.window(name).energy_j for name in PARTS) == pytest.approx(device.energy_j)
    parts_j = sum(books.net_j(name) for name in PARTS)
    assert parts_j + IDLE_W * device.duration_s == pytest.approx(device.energy_j)


def test_somebody_within_the_ticks_of_the_clock_is_not_lost(machine):
    """The machine's busy time comes in ticks of 10 ms, see proc_stat(5)."""
    books = Books(machine)
    for _ in range(200):
        machine.run(1.0, IDLE_W + 10.0 * 1.01, first=1.0, stranger=0.01)
        books.read()
    assert books.net_j("first") == pytest.approx(2000.0, rel=0.001)
    assert books.net_j("others") == pytest.approx(20.0, rel=0.02)


def test_joules_of_a_step_in_which_nobody_was_busy_are_nobodys(machine):
    books = Books(machine)
    machine.run(10.0, IDLE_W * 10.0)
    books.read()
    for name in PARTS:
        assert (books.window(name).energy_j, books.window(name).idle_share) == (0.0, 0.0)
    device = books.window("device")
    assert (device.energy_j, device.idle_share) == (200.0, 1.0)


def test_a_process_that_hardly_wakes_does_not_get_the_idle_power():
    assert share_of(0.0001, 0.0, 1.0) == pytest.approx(0.01)
    assert share_of(0.5, 0.0, 1.0) == 1.0
    assert share_of(0.0, 0.0, 1.0) == 0.0
    assert share_of(0.001, 0.0, 0.001) == 1.0  # busy for all of a short step


def test_idle_power_is_not_handed_to_whoever_runs_while_others_run_too(machine):
    books = Books(machine)
    machine.run(2.0, 2.0 * IDLE_W + 40.0, first=1.0, second=3.0)
    books.read()
    assert books.window("first").energy_j == pytest.approx(20.0)
    assert books.window("first").idle_share == pytest.approx(0.25)
    assert books.net_j("first") == pytest.approx(10.0)
    assert books.net_j("second") == pytest.approx(30.0)
    assert books.window("first").provenance is Provenance.ATTRIBUTED


def test_windows_of_different_lengths_add_up_gross_and_net(machine):
    rng = random.Random(1)
    books = Books(machine)
    for _ in range(200):
        seconds = rng.choice([0.01, 0.03, 0.1, 0.4, 2.0])
        machine.run(
            seconds,
            rng.uniform(20, 60) * seconds,
            first=round(rng.random() * seconds, 2),
            stranger=round(rng.random() * seconds, 2),
        )
        books.read()
    cuts = [0, 1, 2, 5, 40, 41, 120, 200]
    pieces = list(itertools.pairwise(cuts))
    for name in (*PARTS, "device"):
        gross_j = sum(books.window(name, *piece).energy_j for piece in pieces)
        assert gross_j == pytest.approx(books.window(name).energy_j)
        net_j = sum(books.net_j(name, *piece) for piece in pieces)
        assert net_j == pytest.approx(books.net_j(name))


def test_no_sum_falls_and_no_part_is_more_than_the_whole_however_often_it_is_read(machine):
    rng = random.Random(2)
    books = Books(machine)
    for step in range(240):
        seconds = rng.choice([0.001, 0.005, 0.02, 0.07])
        is_ours = step // 40 % 2 == 0
        machine.run(
            seconds,
            rng.uniform(20, 60) * seconds,
            **{"first" if is_ours else "stranger": round(seconds, 2)},
        )
        books.read()
    for start in range(240):
        whole = books.window("device", start, start + 1)
        for name in PARTS:
            part = books.window(name, start, start + 1)
            assert 0.0 <= part.energy_j <= whole.energy_j + 1e-9
            assert 0.0 <= part.idle_share <= 1.0
    total_j = sum(books.window(name).energy_j for name in PARTS)
    assert total_j == pytest.approx(books.window("device").energy_j, rel=0.1)


def test_alone_it_is_the_device_exactly_although_busy_time_comes_in_ticks(machine):
    rng = random.Random(3)
    books = Books(machine)
    true_busy_s = machine.busy_s
    for _ in range(100):
        seconds = rng.choice([0.05, 0.2, 0.7])
        true_busy_s += round(seconds, 2)
        machine.run(seconds, 40.0 * seconds, first=round(seconds, 2))
        machine.proc.machine(true_busy_s - rng.choice([0.0, 0.01]))
        books.read()
    part, whole = books.window("first"), books.window("device")
    assert part.energy_j == pytest.approx(whole.energy_j, rel=1e-9)
    assert part.provenance is Provenance.MEASURED
    assert part.idle_share == pytest.approx(1.0)


def test_from_95_percent_of_the_busy_time_on_joules_are_called_measured(machine):
    books = Books(machine)
    machine.run(10.0, 300.0, first=9.6, stranger=0.4)
    books.read()
    machine.run(10.0, 300.0, first=9.4, stranger=0.6)
    books.read()
    measured, attributed = books.window("first", 0, 1), books.window("first", 1, 2)
    assert (measured.energy_j, measured.provenance) == (
        pytest.approx(288.0),
        Provenance.MEASURED,
    )
    assert (attributed.energy_j, attributed.provenance) == (
        pytest.approx(282.0),
        Provenance.ATTRIBUTED,
    )


def test_a_long_window_follows_what_others_did_meanwhile(machine):
    """One ratio over the whole window would give (10 + 10) of 60 busy s, a third of 1100 J."""
    counters = machine.counters(is_guarded=True)
    before = counters.read(FIRST)
    machine.run(10.0, 1000.0, first=10.0)
    wait_for_looks(machine, 2)
    machine.run(10.0, 100.0, first=10.0, stranger=40.0)
    reading = between(counters, before, counters.read(FIRST))
    counters.close()
    assert reading.energy_j == pytest.approx(1000.0 + 20.0)


def wait_for_looks(machine, count):
    """Wait until the thread has begun and ended a look since now."""
    wanted, patience_s = machine.looks + count, time.monotonic() + 30
    while machine.looks < wanted:
        assert time.monotonic() < patience_s, "nobody looks at the counter"
        time.sleep(0.02)


def test_a_counter_lost_for_a_while_went_on_at_the_shares_of_that_time(machine):
    counters = machine.counters()
    before = counters.read(FIRST)
    machine.run(1.0, 30.0, first=1.0)
    machine.reason = "the driver is busy"
    lost = counters.read(FIRST)
    assert between(counters, before, lost).reason == "the driver is busy"
    machine.run(1.0, 30.0, first=1.0, stranger=1.0)
    machine.reason = None
    reading = between(counters, before, counters.read(FIRST))
    assert reading.energy_j == pytest.approx(60.0 * 0.75)


def test_a_process_that_ended_is_unknown_and_its_number_is_another_process_later(machine):
    counters = machine.counters()
    machine.run(1.0, 30.0, first=1.0)
    before = counters.read(FIRST)
    machine.proc.end(FIRST)
    gone = counters.read(FIRST)
    assert "has ended" in between(counters, before, gone).reason
    machine.proc.process(FIRST, 1, 5.0, started=77)
    again = counters.read(FIRST)
    assert again[0].energy_j is not None
    assert between(counters, before, again).energy_j is None


def test_without_the_machines_busy_time_no_share_is_known_but_the_device_is(machine):
    ours, device = machine.counters(), machine.counters(Scope.DEVICE)
    (machine.proc.root / "stat").unlink()
    (reading,) = ours.read(FIRST)
    assert reading.energy_j is None
    assert "no share is known" in reading.reason
    assert device.read(FIRST)[0].energy_j == machine.energy_j


def test_only_a_meter_that_shares_keeps_a_thread_and_closing_ends_it(machine):
    others = set(threading.enumerate())
    ours, device = (
        machine.counters(scope, is_guarded=True) for scope in (Scope.TREE, Scope.DEVICE)
    )
    (thread,) = set(threading.enumerate()) - others
    ours.close()
    device.close()
    thread.join(timeout=5)
    assert not thread.is_alive()


@pytest.mark.parametrize("door", ["rapl", "replay"])
def test_every_door_to_a_machines_counter_shares_it_out_alike(machine, tmp_path, door):
    if door == "rapl":
        zones = FakePowercap(tmp_path / "powercap")
        zones.zone("intel-rapl:0", "package-0", 5_000_000)
        meter = RaplMeter(zones.root, machine.proc.root, machine.clock)
    else:
        recorded = Trace(rows=((100.0, 5.0), (102.0, 65.0)), provenance=Provenance.MEASURED)
        meter = machine.shared(ReplayMeter(recorded))
    before = meter.read(FIRST)
    machine.run(2.0, first=0.5, stranger=1.5)
    if door == "rapl":
        zones.add("intel-rapl:0", 60_000_000)
    (reading,) = meter.readings_between(before, meter.read(FIRST))
    assert reading.energy_j == pytest.approx(15.0)
    assert reading.idle_share == pytest.approx(0.25)
    assert reading.provenance is Provenance.ATTRIBUTED
    meter.close()


def test_a_share_of_a_recorded_estimate_is_an_estimate(machine):
    meter = machine.shared(ReplayMeter([(100.0, 5.0), (102.0, 65.0)]))
    (reading,) = meter.readings_between(meter.read(FIRST), meter.read(FIRST))
    assert reading.provenance is Provenance.ESTIMATED


def test_a_share_of_a_counter_that_lost_count_says_why_it_did(machine):
    was_reset = Trace(rows=((100.0, 900.0), (101.0, 960.0), (102.0, 2.0)), is_raw=True)
    meter = machine.shared(ReplayMeter(was_reset))
    before = meter.read(FIRST)
    machine.run(1.0, first=1.0)
    meter.read(FIRST)
    (reading,) = meter.readings_between(before, meter.read(FIRST))
    assert reading.energy_j is None
    assert reading.reason == played(was_reset).losses[0]


BURN = """
import time
end = time.process_time() + {seconds}
while time.process_time() < end: pass
print("done", flush=True)
input()
"""


def test_real_processes_share_a_real_machine_without_rest():
    """One joule per busy second of this machine, whatever else runs on it meanwhile."""
    tree = ProcessTree()

    def look():
        busy_s, time_s = tree.machine_busy_s(), time.perf_counter()
        return [CounterReading(component="cpu", energy_j=busy_s, time_s=time_s, busy_s=busy_s)]

    burning = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", BURN.format(seconds=seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for seconds in (0.4, 0.8)
    ]
    asked = [(Scope.TREE, process.pid) for process in burning]
    asked += [(Scope.PROCESS, None), (Scope.OTHERS, None), (Scope.DEVICE, None)]
    counters = [SharedCounters(look, ProcessTree(), scope) for scope, _ in asked]
    pids = [pid for _, pid in asked]
    before = [one.read(pid) for one, pid in zip(counters, pids, strict=True)]
    for process in burning:
        process.stdout.readline()
    time.sleep(0.25)  # so that the last step is long enough to be closed
    after = [one.read(pid) for one, pid in zip(counters, pids, strict=True)]
    for process in burning:
        process.communicate(b"\n")
    first_j, second_j, own_j, others_j, device_j = (
        between(*args).energy_j for args in zip(counters, before, after, strict=True)
    )
    for one in counters:
        one.close()
    assert first_j + second_j + own_j + others_j == pytest.approx(device_j, rel=0.1)
    assert second_j > first_j > 0.0


def test_the_own_process_is_known_to_the_microsecond(machine):
    counters = machine.counters(Scope.PROCESS)
    before = counters.read(os.getpid())
    used_s = time.process_time() + 0.03
    while time.process_time() < used_s:
        pass
    machine.run(0.05, 10.0)
    (reading,) = counters.read()
    assert reading.cpu_s - before[0].cpu_s >= 0.03
    assert reading.energy_j == pytest.approx(10.0)  # the clock of ticks has seen nobody else
