"""``ecoautoml doctor``: what can be measured here, and how well."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from processes import command, environment, run

from ecoautoml.runtimes import RUNTIMES


@pytest.fixture(scope="module")
def answer():
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_meter_can_be_read_or_says_why_not(answer):
    by_name = {meter["name"]: meter for meter in answer["meters"]}
    assert {"nvml", "rapl", "cpu_time", "replay"} <= set(by_name)
    for meter in by_name.values():
        assert meter["detail"] if meter["ok"] else meter["reason"], meter


def test_every_meter_that_is_read_tells_its_blocks_and_idle_watts(answer):
    for meter in answer["meters"]:
        if not meter["ok"] or meter["name"] == "replay":
            continue
        assert meter["min_window_s"] > 0
        assert meter["tick_s"] is None or meter["tick_s"] > 0
        for power in meter["idle"]:
            assert power["idle_w"] is None or power["idle_w"] >= 0
            assert power["idle_w"] is not None or power["reason"]


def test_the_resolution_is_a_share_or_unknown_with_a_reason(answer):
    resolution = answer["resolution"]
    if resolution["difference"] is None:
        assert resolution["reason"]
    else:
        assert 0 < resolution["difference"] < 1
        assert resolution["seconds"] > 0


def test_every_runtime_has_its_precisions_and_says_why_not(answer):
    assert set(answer["runtimes"]) == set(RUNTIMES.names())
    for name, runtime in answer["runtimes"].items():
        known = {*runtime["precisions"], *runtime["lacking"]}
        assert known == set(RUNTIMES.get(name).precisions)
        assert runtime["ok"] is (runtime["reason"] is None)
        assert runtime["ok"] or len(runtime["reason"]) > 20
        assert all(len(why) > 20 for why in runtime["lacking"].values())
    assert "int8" in answer["runtimes"]["onnxruntime"]["precisions"]


def test_the_text_says_the_same_in_words():
    done = run("doctor")
    assert done.returncode == 0, done.stderr
    for words in ("Energy meters", "used: ", "can be told apart", "Runtimes", "precisions: fp32"):
        assert words in done.stdout
    assert "None" not in done.stdout


PLUGIN = """
from hand_made_meters import SteadyMeter

from ecoautoml.energy import MonotonicClock


class QuickPlug(SteadyMeter):
    def __init__(self):
        super().__init__(MonotonicClock(), watts=36.0, component="wall", tick_s=0.05)


class SlowPlug(SteadyMeter):
    def __init__(self):
        super().__init__(MonotonicClock(), watts=36.0, component="wall", tick_s=60.0)


class BrokenPlug(SteadyMeter):
    def __init__(self):
        raise OSError("no such port")
"""


def test_meters_of_other_packages_are_looked_at_while_nothing_is_done(tmp_path):
    info = tmp_path / "plugs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: plugs\nVersion: 1.0\n")
    points = "quick = plugs:QuickPlug\nslow = plugs:SlowPlug\nbroken = plugs:BrokenPlug\n"
    (info / "entry_points.txt").write_text(f"[ecoautoml.meters]\n{points}")
    (tmp_path / "plugs.py").write_text(PLUGIN)
    path = [environment()["PYTHONPATH"], str(tmp_path), str(Path(__file__).parents[1] / "energy")]
    done = subprocess.run(
        command("doctor", "--json"),
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment(), "PYTHONPATH": os.pathsep.join(path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    meters = {meter["name"]: meter for meter in json.loads(done.stdout)["meters"]}
    (idle,) = meters["quick"]["idle"]
    assert idle["idle_w"] == pytest.approx(36.0, rel=0.01)
    assert idle["provenance"] == "measured"
    assert idle["duration_s"] >= 1.0
    assert meters["quick"]["tick_s"] == 0.05
    assert meters["slow"]["idle"] == []  # ten minutes are not waited for
    assert not meters["broken"]["ok"]
    assert "no such port" in meters["broken"]["reason"]
