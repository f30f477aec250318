"""A sitting's joules by phase, and what all lines must add up to, on counters moved by hand."""

from dataclasses import replace

import pytest
from energy_fakes import HandClock
from hand_made_meters import SteadyMeter

from ecoautoml.energy.base import CounterReading, Scope
from ecoautoml.energy.select import MeterSet
from ecoautoml.study.metering import IDLE_S, Metering


class Machine:
    """A machine with an idle power, this process and other programs, each with its own joules."""

    idle_w = 10.0

    def __init__(self):
        self.clock = HandClock()
        self.clock.wait = self.run
        self.own_j = self.others_j = 0.0

    def run(self, seconds, own_w=0.0, others_w=0.0):
        self.clock.time_s += seconds
        self.own_j += own_w * seconds
        self.others_j += others_w * seconds

    def opened(self, scope):
        meter = ScopedMeter(self, scope)
        return MeterSet(
            meters=(meter,), clock=self.clock, target_component="cpu", explain=("by hand",)
        )


class ScopedMeter(SteadyMeter):
    """Reads the machine's counter, or somebody's part of it above idle."""

    def __init__(self, machine, scope):
        super().__init__(machine.clock, machine.idle_w)
        self.machine, self.scope = machine, scope

    def read(self, pid=None):
        machine = self.machine
        idle_j = machine.idle_w * machine.clock.now()
        joules = {
            Scope.DEVICE: idle_j + machine.own_j + machine.others_j,
            Scope.OTHERS: machine.others_j,
            Scope.PROCESS: machine.own_j,
        }
        time_s = machine.clock.now()
        return [CounterReading(component="cpu", energy_j=joules[self.scope], time_s=time_s)]

    def readings_between(self, before, after):
        idle_share = 1.0 if self.scope is Scope.DEVICE else 0.0
        readings = super().readings_between(before, after)
        return [replace(reading, idle_share=idle_share) for reading in readings]


@pytest.fixture
def machine():
    return Machine()


def started(machine):
    metering = Metering(machine.opened)
    assert [power.idle_w for power in metering.idle_before] == [pytest.approx(10.0)]
    assert machine.clock.time_s >= 100.0 + IDLE_S
    return metering


def joules(lines):
    return {line.line: pytest.approx(line.energy_j) for line in lines}


def test_each_phase_has_a_window_of_its_own_and_together_they_are_all_there_is(machine):
    metering = started(machine)
    machine.run(5, own_w=1)
    with metering.phase("preparing data"):
        machine.run(10, own_w=2)
    machine.run(3, own_w=4)
    with metering.phase("preparing data"):
        machine.run(1, own_w=7)
    assert joules(metering.lines()) == {"choosing and recording": 17.0, "preparing data": 27.0}
    assert sum(line.energy_j for line in metering.lines()) == pytest.approx(machine.own_j)


def test_a_phase_that_fails_is_billed_and_over(machine):
    metering = started(machine)

    def fail():
        with metering.phase("preparing data"):
            machine.run(2, own_w=3)
            raise KeyError("no images")

    with pytest.raises(KeyError, match="no images"):
        fail()
    machine.run(1, own_w=5)
    assert joules(metering.lines()) == {"preparing data": 6.0, "choosing and recording": 5.0}


def test_the_lines_idle_power_and_others_add_up_to_the_device(machine):
    metering = started(machine)
    machine.run(8, own_w=2, others_w=3)
    with metering.phase("preparing data"):
        machine.run(2, own_w=5, others_w=1)
    parts = [*metering.lines(), metering.idle(), metering.others()]
    assert metering.idle().energy_j == pytest.approx(10.0 * 10)
    assert metering.others().energy_j == pytest.approx(26.0)
    assert sum(part.billed_j for part in parts) == pytest.approx(metering.metered().energy_j)


def test_idle_power_that_a_model_states_beside_its_counter_is_metered_too():
    class Model(ScopedMeter):
        @property
        def idle_w(self):
            return {"cpu": 4.0}

        def read(self, pid=None):
            (reading,) = super().read(pid)
            own_j = None if self.scope is Scope.OTHERS else self.machine.own_j
            return [replace(reading, energy_j=own_j)]

        def readings_between(self, before, after):
            return [replace(one, idle_share=0.0) for one in super().readings_between(before, after)]

    machine = Machine()

    def opened(scope):
        meters = () if scope is Scope.OTHERS else (Model(machine, scope),)
        return replace(machine.opened(scope), meters=meters)

    metering = Metering(opened)
    machine.run(5, own_w=2)
    assert metering.others() is None
    assert metering.idle().energy_j == pytest.approx(20.0)
    assert metering.metered().energy_j == pytest.approx(10.0 + 20.0)
    assert metering.metered().duration_s == pytest.approx(5.0)


def test_the_idle_watts_are_measured_again_at_the_end_and_no_line_grows_by_it(machine):
    metering = started(machine)
    machine.run(5, own_w=2)
    before = metering.metered().energy_j
    (power,) = metering.end()
    assert power.idle_w == pytest.approx(10.0)
    assert power.duration_s >= IDLE_S
    assert before == pytest.approx(60.0)


def test_without_a_meter_nothing_is_known_and_nothing_is_zero(machine):
    metering = Metering(lambda scope: replace(machine.opened(scope), meters=()))
    machine.run(5, own_w=2)
    assert metering.metered() is None
    assert metering.idle() is None
    assert metering.others() is None
    assert [line.energy_j for line in metering.lines()] == [None]


def test_why_joules_are_unknown_is_told(machine):
    metering = started(machine)
    assert metering.why_unknown() is None
    without = Metering(lambda scope: replace(machine.opened(scope), meters=()))
    assert without.why_unknown() == "there is no meter"
