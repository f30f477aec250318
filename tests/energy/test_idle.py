"""Idle watts: stated, waited for, and not believed when the machine was busy."""

import os

import pytest
from energy_fakes import FakeProc, HandClock
from hand_made_meters import SteadyMeter

from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.idle import idle_power, idle_watts, shortest_wait_s
from ecoautoml.energy.traces.replay import ReplayMeter
from ecoautoml.records.energy_reading import Provenance

CORES = os.cpu_count()


class Bench:
    """The kernel's busy time, and a clock on which waiting moves it."""

    def __init__(self, folder):
        self.clock, self.proc = HandClock(), FakeProc(folder)
        self.clock.wait = self.sleep
        self.busy_threads, self.slept = 0.0, []
        self.tree = ProcessTree(self.proc.root)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.clock.time_s += seconds
        self.proc.machine(busy_s=1000.0 + self.busy_threads * seconds)

    def idle(self, *meters, seconds=2.0):
        return idle_power(meters, self.clock, seconds=seconds, tree=self.tree)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "proc")


def test_a_counters_watts_are_joules_over_seconds(bench):
    (power,) = bench.idle(SteadyMeter(bench.clock, 36.0))
    assert power.idle_w == pytest.approx(36.0)
    assert power.provenance is Provenance.MEASURED
    assert power.duration_s == pytest.approx(2.0)
    assert power.source == "steady"
    assert power.reason is None


def test_a_busy_machine_gives_an_upper_bound_and_says_so(bench):
    """The lowest power seen is no idle power where a machine was busy all the time.

    Source: docs/developer/power-attribution-guide.md in
    github.com/sustainable-computing-io/kepler, on its own minimum.
    """
    bench.busy_threads = 0.5 * CORES
    (power,) = bench.idle(SteadyMeter(bench.clock, 36.0))
    assert power.idle_w == pytest.approx(36.0)
    assert power.reason == "the machine was 50 % busy meanwhile"


def test_busy_processors_say_nothing_of_a_board_but_other_processes_on_it_do(bench):
    bench.busy_threads = CORES
    alone = SteadyMeter(bench.clock, 70.0, component="gpu:GPU-a", sharers=1)
    shared = SteadyMeter(bench.clock, 70.0, component="gpu:GPU-b", sharers=3)
    quiet, busy = bench.idle(alone, shared)
    assert quiet.reason is None
    assert busy.reason == "3 processes had the board open meanwhile"
    assert bench.slept == [2.0]  # both in one wait


def test_a_slow_counter_is_waited_for_longer(bench):
    slow = SteadyMeter(bench.clock, 36.0, tick_s=0.5)
    assert shortest_wait_s(slow) == pytest.approx(5.0)
    (power,) = bench.idle(slow, seconds=1.0)
    assert power.duration_s == pytest.approx(5.0)


def test_a_lost_device_is_unknown_and_never_0(bench):
    meter = SteadyMeter(bench.clock, 36.0)
    meter.is_lost = True
    (power,) = bench.idle(meter)
    assert power.idle_w is None
    assert power.provenance is None
    assert power.reason == "the device is lost"
    assert idle_watts([power]) == {}


class StatedMeter(SteadyMeter):
    @property
    def idle_w(self):
        return {self.component: 1.5}


def test_what_a_meter_states_is_believed_without_waiting(bench):
    stated = StatedMeter(bench.clock, 36.0, component="cpu")
    (power,) = bench.idle(stated)
    assert (power.idle_w, power.duration_s, power.reason) == (1.5, 0.0, None)
    assert bench.slept == []


def test_powers_come_in_the_order_of_the_meters(bench):
    stated = StatedMeter(bench.clock, 36.0, component="cpu")
    counter = SteadyMeter(bench.clock, 70.0, component="gpu:GPU-a")
    assert idle_watts(bench.idle(counter, stated)) == {
        "gpu:GPU-a": pytest.approx(70.0),
        "cpu": 1.5,
    }


def test_a_trace_that_states_no_idle_watts_has_none(bench):
    trace = ReplayMeter([(float(i), 10.0 * i) for i in range(20)])
    (power,) = bench.idle(trace)
    assert power.idle_w is None
    assert power.reason == "the trace states no idle watts"
    assert bench.slept == []  # waiting beside a trace means nothing
