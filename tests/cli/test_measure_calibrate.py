"""``ecoautoml measure calibrate``: once with any meter, or two figures read by hand."""

import json
import os
import subprocess

import pytest
import yaml
from processes import command, environment

from ecoautoml.energy.select import survey

HAS_COUNTER = any(line.ok for line in survey() if line.name in ("rapl", "perf"))

PLUGIN = '''
from hand_made_meters import SteadyMeter

from ecoautoml.energy import CounterReading, MonotonicClock
from ecoautoml.energy.counters.processes import ProcessTree


class LabMeter(SteadyMeter):
    """A meter at the wall of a machine whose every busy thread draws so much."""

    def __init__(self, active_w=5.0):
        super().__init__(MonotonicClock(), watts=10.0)
        self.active_w, self.tree = active_w, ProcessTree()

    @property
    def name(self):
        return "lab"

    def read(self, pid=None):
        (reading,) = super().read(pid)
        energy_j = reading.energy_j + self.active_w * self.tree.machine_busy_s()
        return [CounterReading(component="wall", energy_j=energy_j, time_s=reading.time_s)]
'''


@pytest.fixture
def settings(tmp_path):
    """A user's settings folder, and a package that adds a meter called "lab"."""
    info = tmp_path / "site" / "lab_meter-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: lab-meter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ecoautoml.meters]\nlab = lab_meter:LabMeter\n")
    (tmp_path / "site" / "lab_meter.py").write_text(PLUGIN)
    return tmp_path


def calibrate(settings, *arguments):
    tests = os.path.dirname(os.path.dirname(__file__))
    path = [environment()["PYTHONPATH"], str(settings / "site"), os.path.join(tests, "energy")]
    return subprocess.run(
        command("measure", "calibrate", *arguments),
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **environment(),
            "PYTHONPATH": os.pathsep.join(path),
            "XDG_CONFIG_HOME": str(settings / "config"),
        },
        check=False,
    )


def stored(settings):
    path = settings / "config" / "ecoautoml" / "cpu_watts.yaml"
    (one,) = yaml.safe_load(path.read_text())["calibrations"]
    return one


def test_two_figures_read_by_hand_are_enough(settings):
    done = calibrate(settings, "--watts-idle", "40", "--watts-busy", "70", "--json")
    assert done.returncode == 0, done.stderr
    tree = json.loads(done.stdout)
    assert tree["active_w"] == pytest.approx(30 / os.cpu_count())
    assert tree["idle_w"] == pytest.approx(40 / os.cpu_count())
    assert tree["file"].startswith(str(settings))
    assert stored(settings)["meter"] == "figures read by hand"


def test_a_meter_of_another_package_finds_the_watts(settings):
    done = calibrate(settings, "--meter", "lab", "--option", "active_w=7", "--seconds", "0.5")
    assert done.returncode == 0, done.stderr
    assert "leave the machine alone" in done.stderr
    assert "each busy thread" in done.stdout
    found = stored(settings)
    assert found["meter"] == "lab"
    assert found["n"] == 3 * len({0, os.cpu_count() // 2, os.cpu_count()})
    assert found["active_w"] == pytest.approx(7.0, rel=0.05)
    assert found["idle_w"] * os.cpu_count() == pytest.approx(10.0, rel=0.1)


@pytest.mark.skipif(HAS_COUNTER, reason="this machine has a counter to calibrate with")
def test_without_any_counter_one_sentence_says_what_would_help(settings):
    done = calibrate(settings)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: no counter of the processor can be read (rapl: ")
    for words in ("--meter NAME", "--watts-idle", "--hold 60"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (settings / "config").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watts-idle", "40"], "are given together"),
        (["--watts-idle", "40", "--watts-busy", "30"], "does not show the load"),
        (["--meter", "cpu_time"], "cannot calibrate"),
        (["--meter", "nvml"], "cannot calibrate"),
        (["--meter", "labb"], "did you mean 'lab'?"),
        (["--meter", "lab", "--option", "colour=red"], "does not take them"),
        (["--meter", "lab", "--option", "colour"], "expected KEY=VALUE"),
        (["--option", "a=b"], "name it with --meter"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_stored(settings, arguments, message):
    done = calibrate(settings, *arguments)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (settings / "config").exists()


def test_all_threads_can_be_held_busy_while_a_meter_is_read_by_hand(settings):
    done = calibrate(settings, "--hold", "1")
    assert done.returncode == 0, done.stderr
    assert f"all {os.cpu_count()} threads are busy for 1 s" in done.stderr
