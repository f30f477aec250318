"""Choosing meters on this machine, whatever it has."""

import pytest

from ecoautoml.config.models import (
    AutoMeter,
    CpuTimeMeterConfig,
    NvmlMeterConfig,
    RaplMeterConfig,
    ReplayMeterConfig,
)
from ecoautoml.energy import METERS
from ecoautoml.energy.nvml import NvmlMeter
from ecoautoml.energy.rapl import RaplMeter
from ecoautoml.energy.select import only_visible, open_meters, survey
from ecoautoml.errors import ConfigError

HAS_RAPL = RaplMeter().is_available().ok
HAS_GPU = NvmlMeter().is_available().ok


def test_a_cpu_target_gets_the_counter_or_the_estimate_and_says_why():
    chosen = open_meters(AutoMeter(), "cpu")
    (meter,) = chosen.meters
    assert meter.name == ("rapl" if HAS_RAPL else "cpu_time")
    assert chosen.target_component == "cpu"
    assert len(chosen.explain) == 1
    assert HAS_RAPL or "since rapl cannot be read" in chosen.explain[0]
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


@pytest.mark.parametrize(
    "config", [RaplMeterConfig(kind="rapl"), CpuTimeMeterConfig(kind="cpu_time")]
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
