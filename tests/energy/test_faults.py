"""Faults of counters, on traces of them: what a reading says of each.

The traces lie in tests/energy/traces. What sums up raw counters is one part, used by the trace and
by the processor's own counters; `test_rapl.py` shows the same faults there.
"""

from pathlib import Path

import pytest

from ecoautoml.energy.counters.unwrap import Unwrapper
from ecoautoml.energy.traces.replay import ReplayMeter

TRACES = Path(__file__).parent / "traces"


def window(name, start, end):
    """Return the joules between two rows of a trace, counted from 0."""
    meter = ReplayMeter(TRACES / f"{name}.csv")
    reads = [meter.read() for _ in range(end + 1)]
    (reading,) = meter.readings_between(reads[start], reads[end])
    return reading


@pytest.mark.parametrize(
    ("name", "start", "end", "energy_j"),
    [
        ("wrap", 0, 3, 25.0),
        ("wrap", 1, 2, 10.0),
        ("two_wraps", 2, 3, 10.0),  # after the gap
        ("reset", 0, 1, 100.0),
        ("reset", 2, 3, 100.0),
        ("reset_below_a_wrap", 2, 3, 20.0),
        ("stuck", 0, 2, 20.0),
        ("stuck", 7, 8, 10.0),
        ("stuck", 2, 3, 0.0),  # half a second is not long enough to tell
        ("negative", 2, 3, 40.1),
        ("jump", 2, 3, 40.0),
        ("lost_device", 0, 5, 200.0),  # it counted on
        ("lost_and_reset", 3, 4, 40.0),
        ("permission_lost", 0, 2, 80.0),
        ("clock_back", 0, 2, 80.0),
        ("clock_back", 3, 5, 80.0),
        ("jitter", 0, 10, 50.0),
    ],
)
def test_joules_beside_a_fault_are_known(name, start, end, energy_j):
    """A wrap gave -51 J in zeus 0.16.0; elsewhere a fault costs its own windows and no others."""
    assert window(name, start, end).energy_j == pytest.approx(energy_j)


@pytest.mark.parametrize(
    ("name", "start", "end", "says"),
    [
        ("two_wraps", 1, 2, "read too seldom"),
        ("two_wraps", 0, 3, "read too seldom"),
        ("reset", 0, 3, "set back"),
        ("reset", 1, 2, "set back"),
        ("reset_below_a_wrap", 0, 3, "set back"),
        ("stuck", 0, 4, "stands still"),  # ends while it stands
        ("stuck", 4, 6, "stands still"),
        ("stuck", 4, 8, "stands still"),  # begins while it stands
        ("stuck", 0, 8, "stood still"),  # all around it
        ("negative", 0, 3, "set back"),
        ("jump", 0, 3, "jumped by"),
        ("lost_device", 0, 2, "no value here"),
        ("lost_device", 3, 5, "no value here"),
        ("lost_and_reset", 0, 2, "fallen off the bus"),
        ("lost_and_reset", 0, 4, "set back"),
        ("permission_lost", 0, 4, "permission was taken away"),
        ("clock_back", 0, 5, "clock went back by 0.5 s"),
        ("clock_back", 2, 3, "clock went back by 0.5 s"),
    ],
)
def test_joules_across_a_fault_are_unknown_with_its_reason_and_never_0(name, start, end, says):
    """Zeus 0.16.0 says 0 J where it has no counter; energy as `None` cannot be mistaken for it."""
    reading = window(name, start, end)
    assert reading.energy_j is None
    assert says in reading.reason
    assert "\n" not in reading.reason
    assert reading.duration_s >= 0


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.csv")), ids=lambda path: path.stem)
def test_every_trace_can_be_played_for_several_laps_without_a_negative_reading(path):
    meter = ReplayMeter(path)
    reads = [meter.read() for _ in range(40)]
    for start in range(40):
        for end in range(start, 40):
            (reading,) = meter.readings_between(reads[start], reads[end])
            assert reading.energy_j is None or reading.energy_j >= 0
            assert (reading.energy_j is None) == (reading.reason is not None)


def test_jitter_of_the_ticks_stays_in_windows_shorter_than_a_tick_and_none_is_lost():
    """Ticks are 20 to 100 ms and no clockwork: petsc.org PetscLogGpuEnergyMeter."""
    meter = ReplayMeter(TRACES / "jitter.csv")
    assert meter.tick_s == 0.1
    assert meter.min_window_s == pytest.approx(5.0)
    reads = [meter.read() for _ in range(11)]
    parts = [meter.readings_between(reads[row], reads[row + 1])[0].energy_j for row in range(10)]
    assert min(parts) == 0.0
    assert sum(parts) == pytest.approx(50.0)
    (reading,) = meter.readings_between(reads[0], reads[-1])
    assert reading.net_j(meter.idle_w) == pytest.approx(50.0 - 0.5 * 40.0)


def test_a_trace_without_a_tick_is_believed_when_it_does_not_move():
    meter = ReplayMeter([(0.0, 5.0), (60.0, 5.0), (61.0, 6.0)])
    (reading,) = meter.readings_between(meter.read(), meter.read())
    assert reading.energy_j == 0.0


def test_standing_still_is_judged_by_work_and_not_by_time():
    counter = Unwrapper(wrap_j=None, max_w=100.0, still_s=1.0)
    for now_s, active_s in ((0.0, 50.0), (60.0, 50.9), (61.0, 51.5)):
        counter.advance(7.0, now_s, active_s)
        assert counter.is_still == (active_s >= 51.0)
    counter.advance(8.0, 62.0, 52.0)
    assert not counter.is_still
    assert counter.losses == ["the counter stood still for a while"]


def test_many_processors_at_work_for_a_moment_are_no_standstill():
    """Registers are updated about every millisecond: README of github.com/amd/amd_energy."""
    counter = Unwrapper(wrap_j=None, max_w=100.0, still_s=0.2)
    counter.advance(7.0, 0.0, 0.0)
    counter.advance(7.0, 0.002, 0.256)  # 128 busy processors for 2 ms
    assert not counter.is_still


def test_an_unknown_largest_power_believes_every_rise_and_every_wrap():
    counter = Unwrapper(wrap_j=1000.0, max_w=None)
    for now_s, value_j in ((0.0, 900.0), (1.0, 100.0), (1e6, 90.0)):
        counter.advance(value_j, now_s)
    assert counter.total_j == pytest.approx(900.0 + 200.0 + 990.0)
    assert counter.losses == []
    assert counter.longest_gap_s is None
