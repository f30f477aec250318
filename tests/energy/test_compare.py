"""Loads measured in turn and judged on ratios."""

import random

import pytest
from energy_fakes import HandClock

from ecoautoml.energy.base import Availability, CounterReading, EnergyMeter, difference, paired
from ecoautoml.energy.clock import MonotonicClock
from ecoautoml.energy.cpu.cpu_time import CpuTimeMeter
from ecoautoml.energy.protocol.block import Block
from ecoautoml.energy.protocol.blocks import THROTTLED
from ecoautoml.energy.protocol.compare import MAX_ROUNDS, MIN_ROUNDS, Load, compare, measure_in_turn
from ecoautoml.records.energy_reading import Provenance


class Counter(EnergyMeter):
    """A counter moved by hand."""

    def __init__(self, clock):
        self.clock, self.joules, self.is_lost = clock, 0.0, False

    @property
    def name(self):
        return "counter"

    def is_available(self):
        return Availability(ok=True)

    def read(self, pid=None):
        energy_j = None if self.is_lost else self.joules
        return [CounterReading(component="cpu", energy_j=energy_j, time_s=self.clock.now())]

    def readings_between(self, before, after):
        return [
            difference(a, b, provenance=Provenance.MEASURED, source="counter")
            for a, b in paired(before, after)
        ]

    def close(self):
        pass


class Bench:
    """Loads of so many joules per call, on a device whose power drifts and jitters."""

    def __init__(self, joules, *, noise=0.01, drift=0.0, seed=0):
        self.clock = HandClock()
        self.meter = Counter(self.clock)
        self.order = []
        self._random, self._noise, self._drift = random.Random(seed), noise, drift
        self.loads = [
            Load(name=name, run_once=self._calls(name, each), images_per_call=1)
            for name, each in joules.items()
        ]

    def _calls(self, name, energy_j):
        def run_once(call):
            self.clock.time_s += 0.02
            if not self.order or self.order[-1] != name:
                self.order.append(name)
                self.jitter = 1 + self._noise * self._random.gauss(0, 1)
            drift = 1 + self._drift * self.clock.time_s
            self.meter.joules += energy_j * self.jitter * drift

        return run_once

    def measure(self, **options):
        options = {"precision": 0.02, "max_seconds": 1e9, "component": "cpu", **options}
        return measure_in_turn(self.loads, meters=[self.meter], clock=self.clock, **options)


def verdicts(difference, *, repeats=60, **options):
    found = []
    for seed in range(repeats):
        bench = Bench({"a": 1.0, "b": 1.0 + difference}, seed=seed, **options)
        (comparison,) = bench.measure(seed=seed).comparisons
        found.append(comparison.verdict)
    return found


def test_a_load_against_its_like_is_a_tie():
    assert verdicts(0.0).count("tie") >= 57


def test_three_per_cent_are_told_apart_and_never_the_wrong_way_round():
    found = verdicts(0.03)
    assert found.count("A") >= 54
    assert "B" not in found


def test_drift_that_hits_both_does_not_decide():
    """Power rises by half within a session: ratios within rounds do not see it."""
    assert verdicts(0.0, repeats=20, drift=0.05).count("tie") >= 19
    assert verdicts(0.03, repeats=20, drift=0.05).count("A") >= 18


def test_the_ratio_and_its_interval_hold_the_truth():
    (comparison,) = Bench({"a": 1.0, "b": 1.25}).measure().comparisons
    assert (comparison.a, comparison.b) == ("a", "b")
    assert comparison.ratio_low < 0.8 < comparison.ratio_high
    assert comparison.ratio == pytest.approx(0.8, rel=0.02)
    assert comparison.confidence == 0.99


def test_every_round_holds_every_load_once_in_changing_order():
    bench = Bench({"a": 1.0, "b": 2.0, "c": 3.0}, noise=0.0)
    contest = bench.measure()
    assert contest.rounds == MIN_ROUNDS
    assert {one.n_blocks for one in contest.measurements.values()} == {MIN_ROUNDS}
    assert len({tuple(bench.order[i : i + 3]) for i in range(3, len(bench.order) - 3, 3)}) > 1
    assert [(one.a, one.b) for one in contest.comparisons] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_noise_takes_more_rounds_and_there_is_an_end_to_it():
    calm, noisy = Bench({"a": 1, "b": 1}), Bench({"a": 1, "b": 1}, noise=0.04)
    assert calm.measure().rounds < noisy.measure().rounds
    assert Bench({"a": 1, "b": 1}, noise=0.5).measure().rounds == MAX_ROUNDS


def test_time_ends_it_after_a_whole_round():
    contest = Bench({"a": 1.0, "b": 1.0}).measure(max_seconds=1e-6)
    assert contest.rounds == 1
    assert contest.comparisons[0].verdict is None  # one round tells nothing
    assert contest.comparisons[0].n == 1
    assert contest.measurements["a"].energy_j > 0


def test_one_load_alone_is_measured_too():
    contest = Bench({"a": 2.0}).measure()
    assert contest.comparisons == ()
    assert contest.measurements["a"].energy_j == pytest.approx(2.0, rel=0.02)


def test_unknown_joules_give_no_verdict():
    bench = Bench({"a": 1.0, "b": 1.0})
    bench.meter.is_lost = True
    contest = bench.measure()
    assert contest.comparisons[0].verdict is None
    assert contest.measurements["a"].energy_j is None
    assert contest.measurements["a"].latency_ms == pytest.approx(20.0)


def rounds(n, energy_j, *flags):
    return [
        Block(
            energy_j=energy_j * (1 + 0.001 * (i % 3)),
            provenance=Provenance.MEASURED,
            source="counter",
            call_s=(0.01,),
            flags=flags,
        )
        for i in range(n)
    ]


def test_rounds_in_which_a_board_was_slowed_down_do_not_decide():
    """Blocks whose throttle reasons differ are no pair: the protocol of the ml-energy blog."""
    hot = rounds(2, 30.0, THROTTLED)
    enough = compare("a", rounds(8, 9.0) + hot, "b", rounds(10, 10.0))
    assert enough.n == 8
    assert enough.ratio == pytest.approx(0.9, rel=0.001)
    assert enough.verdict == "A"
    few = compare("a", rounds(7, 9.0) + hot, "b", rounds(9, 10.0))
    assert few.n == 9


def test_two_loads_of_one_name_are_refused():
    load = Load(name="a", run_once=lambda call: None)
    with pytest.raises(ValueError, match="same name"):
        measure_in_turn(
            [load, load],
            meters=[],
            clock=HandClock(),
            precision=0.1,
            max_seconds=1.0,
            component=None,
        )


def test_real_work_on_this_processor_is_told_apart():
    def spin(n):
        return lambda call: sum(range(n))

    loads = [Load(name="less", run_once=spin(20_000)), Load(name="more", run_once=spin(24_000))]
    contest = measure_in_turn(
        loads,
        meters=[CpuTimeMeter()],
        clock=MonotonicClock(),
        precision=0.02,
        max_seconds=10.0,
        component="cpu",
    )
    assert contest.comparisons[0].verdict == "A"
