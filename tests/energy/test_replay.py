"""A trace as meter and clock."""

import pytest

from ecoautoml.energy.blocks import measure_blocks
from ecoautoml.energy.replay import ReplayMeter
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
    ],
)
def test_a_wrong_trace_is_refused_with_its_name(tmp_path, text, message):
    path = write(tmp_path / "wrong.csv", text)
    with pytest.raises(ConfigError, match=message) as caught:
        ReplayMeter(path)
    assert "wrong.csv" in str(caught.value)


def test_a_missing_trace_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        ReplayMeter(tmp_path / "none.csv")
