"""A trace as meter and clock."""

import pytest
from energy_fakes import HandClock

from ecoautoml.energy.protocol.blocks import measure_blocks
from ecoautoml.energy.traces.replay import ReplayMeter
from ecoautoml.energy.traces.trace import Trace
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import Provenance

ROWS = [(10.0, 100.0), (10.5, 103.0), (11.0, 105.0)]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_every_look_takes_the_next_row_and_sums_go_on_after_the_last():
    meter = ReplayMeter(ROWS)
    seen = [meter.read()[0] for _ in range(4)]
    assert [reading.energy_j for reading in seen[:3]] == [100.0, 103.0, 105.0]
    assert seen[3].time_s == pytest.approx(11.5)
    assert seen[3].energy_j == pytest.approx(107.5)
    assert meter.clock.now() == pytest.approx(12.0)
    assert meter.read()[0].energy_j == pytest.approx(112.5)


def test_a_file_says_what_it_is(tmp_path):
    path = write(
        tmp_path / "board.csv",
        "# provenance: measured\n# component: gpu:0\ntime_s,energy_j\n0,1\n1,\n2,5\n",
    )
    meter = ReplayMeter(path)
    first, lost, last = (meter.read() for _ in range(3))
    (reading,) = meter.readings_between(first, last)
    assert reading.component == "gpu:0"
    assert reading.energy_j == 4.0
    assert reading.provenance is Provenance.MEASURED
    assert reading.source == "replay:board.csv"
    (reading,) = meter.readings_between(first, lost)
    assert reading.energy_j is None


def test_the_same_looks_give_the_same_numbers():
    def measurement():
        meter = ReplayMeter([(0.01 * i, 0.3 * i + 0.01 * (i % 7)) for i in range(50)])
        with EnergyWindow([meter], meter.clock) as window:
            inference = measure_blocks(
                lambda call: None,
                meters=[meter],
                clock=meter.clock,
                images_per_call=4,
                precision=0.01,
                max_seconds=3.0,
                component="cpu",
            )
        return inference, window.line("probe")

    assert measurement() == measurement()


def test_without_a_word_it_is_an_estimate():
    meter = ReplayMeter(ROWS)
    (reading,) = meter.readings_between(meter.read(), meter.read())
    assert reading.provenance is Provenance.ESTIMATED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,energy_j\n0,1\n", "two rows"),
        ("time_s,energy_j\n0,1\n0,2\n", "time_s must grow"),
        ("time_s,energy_j\n0,1\n1,0\n", "must not fall"),
        ("time,energy\n0,1\n1,2\n", "time_s and energy_j"),
        ("time_s,energy_j\n0,1\n1,x\n", "line 3"),
        ("time_s,energy_j\n0,1\n1\n", "line 3"),
        ("# provenance: guessed\ntime_s,energy_j\n0,1\n1,2\n", "measured, attributed, estimated"),
        ("# wrap_j: often\ntime_s,energy_j\n0,1\n1,2\n", "wrap_j 'often'"),
        ("# tick_s: 0\ntime_s,energy_j\n0,1\n1,2\n", "tick_s '0'"),
        ("# idle_w: -3\ntime_s,energy_j\n0,1\n1,2\n", "idle_w '-3'"),
    ],
)
def test_a_wrong_trace_is_refused_with_its_name(tmp_path, text, message):
    path = write(tmp_path / "wrong.csv", text)
    with pytest.raises(ConfigError, match=message) as caught:
        ReplayMeter(path)
    assert "wrong.csv" in str(caught.value)


def test_a_file_states_idle_watts_and_tick(tmp_path):
    meter = ReplayMeter(
        write(
            tmp_path / "board.csv",
            "# component: gpu:0\n# idle_w: 75\n# tick_s: 0.1\ntime_s,energy_j\n0,0\n10,3000\n",
        )
    )
    assert meter.idle_w == {"gpu:0": 75.0}
    assert meter.tick_s == 0.1
    (reading,) = meter.readings_between(meter.read(), meter.read())
    assert reading.idle_share == 1.0
    assert reading.net_j(meter.idle_w) == pytest.approx(3000.0 - 750.0)


def test_a_trace_states_nothing_by_itself():
    meter = ReplayMeter(ROWS)
    assert (meter.idle_w, meter.tick_s, meter.min_window_s) == ({}, None, 0.1)
    assert ReplayMeter(Trace(rows=tuple(ROWS), idle_w=0.0)).idle_w == {"cpu": 0.0}


def test_a_raw_counter_is_unwrapped_and_its_laps_go_on(tmp_path):
    text = "# wrap_j: 100\n# max_w: 50\ntime_s,energy_j\n0,90\n1,98\n2,6\n"
    meter = ReplayMeter(write(tmp_path / "raw.csv", text))
    joules = [meter.read()[0].energy_j for _ in range(6)]
    assert joules == pytest.approx([90.0, 98.0, 106.0, 114.0, 122.0, 130.0])


def test_a_missing_trace_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        ReplayMeter(tmp_path / "none.csv")


# --- by time --------------------------------------------------------------------------------------


def test_played_by_time_it_tells_what_the_counter_stood_at_and_goes_on_after_its_end():
    clock = HandClock()
    clock.time_s = 0.0
    meter = ReplayMeter([(5.0, 100.0), (6.0, 104.0), (7.0, 112.0)], clock=clock)

    def at(time_s):
        clock.time_s = time_s
        return meter.read()[0].energy_j

    # a lap takes 3 s and 18 J: one mean step lies between its last row and the next lap's first
    assert [at(0.0), at(0.5), at(1.0), at(1.75)] == [100.0, 102.0, 104.0, 110.0]
    assert at(2.5) == pytest.approx(115.0)
    assert at(3.0) == pytest.approx(118.0)
    assert at(300.5) == pytest.approx(1800.0 + 102.0)


def test_every_process_sees_the_same_counter_by_time():
    clock = HandClock()
    rows = [(0.0, 0.0), (1.0, 10.0), (2.0, 30.0)]
    one, other = ReplayMeter(rows, clock=clock), ReplayMeter(rows, clock=clock)
    for time_s in (100.0, 100.4, 107.3):
        clock.time_s = time_s
        one.read()
        assert one.read() == other.read()  # however often either was asked


def test_a_gap_in_a_trace_played_by_time_is_unknown_while_it_lasts():
    clock = HandClock()
    meter = ReplayMeter([(0.0, 0.0), (1.0, 1.0), (2.0, None), (3.0, 3.0)], clock=clock)
    known = {}
    for time_s in (0.5, 1.5, 2.5, 3.5):
        clock.time_s = time_s
        known[time_s] = meter.read()[0].energy_j
    assert known == {0.5: 0.5, 1.5: None, 2.5: None, 3.5: pytest.approx(3.5)}


def test_a_trace_whose_clock_goes_back_cannot_be_played_by_time():
    trace = Trace(rows=((0.0, 0.0), (1.0, 1.0), (0.5, 2.0)), is_raw=True)
    with pytest.raises(ConfigError, match="cannot be played by time"):
        ReplayMeter(trace, clock=HandClock())
