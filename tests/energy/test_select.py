"""Choosing meters on this machine, whatever it has."""

import pytest

from ecoautoml.config.models import (
    AutoMeter,
    CpuTimeMeterConfig,
    NvmlMeterConfig,
    PerfMeterConfig,
    PluginMeterConfig,
    RaplMeterConfig,
    ReplayMeterConfig,
)
from ecoautoml.energy import METERS
from ecoautoml.energy.base import Scope
from ecoautoml.energy.clock import MonotonicClock
from ecoautoml.energy.cpu.calibrate import write_calibration
from ecoautoml.energy.cpu.cpu_watts import cpu_model_name
from ecoautoml.energy.cpu.perf import PerfMeter
from ecoautoml.energy.cpu.rapl import RaplMeter
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.select import only_visible, open_meters, survey
from ecoautoml.errors import ConfigError
from ecoautoml.records.calibration import Calibration

HAS_RAPL = RaplMeter().is_available().ok
HAS_PERF = PerfMeter().is_available().ok
BEST = "rapl" if HAS_RAPL else "perf" if HAS_PERF else "cpu_time"
HAS_GPU = NvmlMeter().is_available().ok


def test_a_cpu_target_gets_the_counter_or_the_estimate_and_says_why():
    chosen = open_meters(AutoMeter(), "cpu")
    (meter,) = chosen.meters
    assert meter.name == BEST
    assert chosen.target_component == "cpu"
    assert len(chosen.explain) == 1
    if BEST == "cpu_time":
        assert "since rapl cannot be read" in chosen.explain[0]
        assert "perf cannot be read" in chosen.explain[0]
    assert chosen.clock.now() <= chosen.clock.now()
    chosen.close()


def test_a_gpu_target_reads_the_board_and_its_host():
    chosen = open_meters(AutoMeter(), "cuda:0")
    assert chosen.meters[0].name == "nvml"
    assert len(chosen.meters) == len(chosen.explain) == 2
    assert chosen.target_component == "gpu"
    chosen.close()


@pytest.mark.skipif(HAS_GPU, reason="this machine has a GPU counter")
def test_without_a_gpu_counter_the_gpu_stays_in_the_bill_as_unknown():
    chosen = open_meters(AutoMeter(), "cuda")
    (reading,) = chosen.meters[0].read()
    assert reading.energy_j is None
    assert "unknown" in chosen.explain[0]
    assert open_meters(AutoMeter(), "auto").target_component == "cpu"


@pytest.mark.skipif(HAS_GPU, reason="this machine has a GPU counter")
def test_an_nvml_meter_that_is_not_there_is_an_error_with_a_way_out():
    with pytest.raises(ConfigError, match=r"nvml cannot be used here.*set measure\.meter to auto"):
        open_meters(NvmlMeterConfig(kind="nvml"), "cuda")


@pytest.mark.skipif(HAS_RAPL, reason="this machine has readable counters")
def test_a_rapl_meter_that_is_not_there_is_an_error_with_a_way_out():
    with pytest.raises(ConfigError, match=r"rapl cannot be used here.*cpu_time"):
        open_meters(RaplMeterConfig(kind="rapl"), "cpu")


@pytest.mark.skipif(HAS_PERF, reason="this machine has readable events")
def test_a_perf_meter_that_is_not_there_is_an_error_with_a_way_out():
    with pytest.raises(ConfigError, match=r"perf cannot be used here.*cpu_time"):
        open_meters(PerfMeterConfig(kind="perf"), "cpu")


@pytest.mark.parametrize(
    "config",
    [
        RaplMeterConfig(kind="rapl"),
        PerfMeterConfig(kind="perf"),
        CpuTimeMeterConfig(kind="cpu_time"),
    ],
)
def test_a_processor_meter_is_refused_for_a_gpu(config):
    with pytest.raises(ConfigError, match=r"reads the processor, but measure\.target is cuda:1"):
        open_meters(config, "cuda:1")


def test_stated_watts_are_used():
    chosen = open_meters(CpuTimeMeterConfig(kind="cpu_time", active_w=7.5), "cpu")
    before = chosen.meters[0].read()
    (reading,) = chosen.meters[0].readings_between(before, chosen.meters[0].read())
    assert reading.source == "cpu_time:7.5 W/thread"


@pytest.mark.parametrize(("target", "component"), [("cpu", "cpu"), ("cuda:0", "gpu:replay")])
def test_a_trace_stands_for_the_target_and_brings_its_clock(tmp_path, target, component):
    path = tmp_path / "trace.csv"
    path.write_text("time_s,energy_j\n0,0\n5,10\n")
    chosen = open_meters(ReplayMeterConfig(kind="replay", path=path), target)
    assert chosen.clock.now() == 0.0
    (reading,) = chosen.meters[0].read()
    assert (reading.component, reading.time_s) == (component, 5.0)
    assert component.startswith(chosen.target_component)


# --- whose joules -------------------------------------------------------------------------------

STATED = CpuTimeMeterConfig(kind="cpu_time", active_w=7.5)


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("# idle_w: 2\ntime_s,energy_j\n0,0\n5,10\n")
    return ReplayMeterConfig(kind="replay", path=path)


def test_the_estimate_models_this_search_alone_so_it_has_nothing_to_say_of_others():
    assert open_meters(STATED, "cpu", scope=Scope.OTHERS).meters == ()
    for scope in (Scope.TREE, Scope.PROCESS, Scope.DEVICE):
        (meter,) = open_meters(STATED, "cpu", scope=scope).meters
        assert meter.read()[0].energy_j is not None


def test_the_automatic_choice_follows_the_scope():
    for scope in Scope:
        chosen = open_meters(AutoMeter(), "cpu", scope=scope)
        names = [meter.name for meter in chosen.meters]
        assert names == ([] if (BEST, scope) == ("cpu_time", Scope.OTHERS) else [BEST])
        assert len(chosen.explain) == 1
        chosen.close()


@pytest.mark.parametrize("scope", [Scope.PROCESS, Scope.OTHERS, Scope.DEVICE])
def test_a_trace_played_by_looks_is_one_trials_and_takes_its_clock_with_it(trace, scope):
    assert len(open_meters(trace, "cpu").meters) == 1
    chosen = open_meters(trace, "cpu", scope=scope)
    assert chosen.meters == ()
    assert isinstance(chosen.clock, MonotonicClock)


@pytest.mark.parametrize("scope", Scope)
def test_a_trace_played_by_time_stands_for_the_machine_and_is_shared_out(trace, scope):
    chosen = open_meters(trace.model_copy(update={"by": "time"}), "cpu", scope=scope)
    (meter,) = chosen.meters
    assert isinstance(chosen.clock, MonotonicClock)
    before = meter.read()
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.energy_j >= 0.0
    assert reading.source == "replay:trace.csv"
    chosen.close()


def test_idle_watts_are_those_measured_else_those_the_meters_state(trace):
    assert open_meters(trace, "cpu").idle_w == {"cpu": 2.0}
    assert open_meters(trace, "cpu", idle_w={"cpu": 3.0}).idle_w == {"cpu": 3.0}
    assert set(open_meters(STATED, "cpu").idle_w) == {"cpu"}


def test_a_calibration_of_this_processor_is_used_unless_watts_are_given(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    model = cpu_model_name()
    if model is None:
        pytest.skip("the system does not name its processor")
    found = Calibration(
        cpu_model=model,
        threads=2,
        active_w=4.25,
        active_w_error=None,
        idle_w=1.0,
        idle_w_error=None,
        r_squared=None,
        n=9,
        meter="wall:plug",
        date="2026-11-21",
    )
    write_calibration(found)
    for active_w, source in ((None, "cpu_time:4.25 W/thread"), (7.5, "cpu_time:7.5 W/thread")):
        config = CpuTimeMeterConfig(kind="cpu_time", active_w=active_w)
        (meter,) = open_meters(config, "cpu").meters
        (reading,) = meter.readings_between(meter.read(), meter.read())
        assert reading.source == source
    (line,) = (line for line in survey() if line.name == "cpu_time")
    assert "calibrated against wall:plug" in line.detail


def test_a_meter_of_another_package_is_not_asked_for_one_process_alone():
    config = PluginMeterConfig(kind="plugin", name="cpu_time")  # stands for any member
    assert len(open_meters(config, "cpu").meters) == 1
    assert open_meters(config, "cpu", scope=Scope.PROCESS).meters == ()


def test_the_survey_names_every_meter_and_why_one_cannot_be_used():
    lines = survey()
    assert tuple(line.name for line in lines) == METERS.names()
    for name, ok, reason, detail in lines:
        assert detail if ok else reason, name


@pytest.mark.parametrize(
    ("visible", "number", "expected"),
    [(None, 1, "1"), ("3,GPU-x", 1, "GPU-x"), ("3,GPU-x", 0, "3"), ("3", 1, ""), ("", 0, "")],
)
def test_the_frameworks_number_counts_visible_devices(visible, number, expected):
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert only_visible(environ, number)["CUDA_VISIBLE_DEVICES"] == expected
