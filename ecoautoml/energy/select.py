"""Which meters this machine has, and which of them a search uses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ecoautoml.config.models import (
    CpuTimeMeterConfig,
    MeterConfig,
    NvmlMeterConfig,
    PluginMeterConfig,
    RaplMeterConfig,
    ReplayMeterConfig,
)
from ecoautoml.energy import METERS
from ecoautoml.energy.base import EnergyMeter
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.cpu_time import CpuTimeMeter
from ecoautoml.energy.nvml import NvmlMeter
from ecoautoml.energy.rapl import RaplMeter
from ecoautoml.energy.replay import ReplayMeter
from ecoautoml.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSet:
    """Open meters and the clock that belongs to them.

    Attributes:
        meters: What to read, the target's meter first.
        clock: Where all times come from.
        target_component: Component of the target device: "cpu", or "gpu" for any "gpu:…"; None:
            all there are.
        explain: Why these meters, one sentence each.
    """

    meters: tuple[EnergyMeter, ...]
    clock: Clock
    target_component: str | None
    explain: tuple[str, ...]

    def close(self) -> None:
        """Close all meters."""
        for meter in self.meters:
            meter.close()


class SurveyLine(NamedTuple):
    """One meter on this machine: its name, whether it can be read, why not, what it reads."""

    name: str
    ok: bool
    reason: str
    detail: str


def open_meters(config: MeterConfig, target: str, *, board_uuid: str | None = None) -> MeterSet:
    """Return the meters for a target device.

    Args:
        config: Which meter the user asked for.
        target: "cpu", "cuda", "cuda:N", or "auto" (a GPU when its counter can be read).
        board_uuid: UUID of the target's board as the framework tells it, with or without "GPU-";
            None: found by its number and CUDA_VISIBLE_DEVICES.

    Raises:
        ConfigError: A meter that was asked for cannot be read, or does not read the target.
    """
    is_gpu = target.startswith("cuda")
    match config:
        case ReplayMeterConfig():
            replay = ReplayMeter(config.path, component="gpu:replay" if is_gpu else None)
            return _set((replay,), replay.clock, is_gpu, f"the trace {config.path}, as asked for")
        case NvmlMeterConfig():
            return _asked_for(_nvml(target, board_uuid), True)
        case RaplMeterConfig():
            _refuse_gpu("rapl", target)
            return _asked_for(RaplMeter(), False)
        case CpuTimeMeterConfig():
            _refuse_gpu("cpu_time", target)
            return _asked_for(CpuTimeMeter(config.active_w), False)
        case PluginMeterConfig():
            return _plugin(config)
        case _:
            return _automatic(target, board_uuid)


def survey() -> list[SurveyLine]:
    """Return every registered meter and whether it can be read on this machine."""
    return [_survey_line(name) for name in METERS.names()]


def _survey_line(name: str) -> SurveyLine:
    if name == "replay":
        return SurveyLine(name, True, "", "a recorded trace, when the config names one")
    try:
        member: Any = METERS.get(name)
        meter: EnergyMeter = member()
    except TypeError as error:
        return SurveyLine(name, False, f"it needs measure.meter.options ({error})", "")
    except Exception as error:  # noqa: BLE001  (a plug-in may raise anything)
        return SurveyLine(name, False, str(error), "")
    availability = meter.is_available()
    meter.close()
    return SurveyLine(name, availability.ok, availability.reason, availability.detail)


def _automatic(target: str, board_uuid: str | None) -> MeterSet:
    cpu, why_cpu = _cpu_meter()
    if target == "cpu":
        return _set((cpu,), MonotonicClock(), False, why_cpu)
    nvml = _nvml(target, board_uuid)
    availability = nvml.is_available()
    if not availability.ok and target == "auto":
        nvml.close()
        return _set((cpu,), MonotonicClock(), False, why_cpu)
    why_gpu = f"nvml reads {availability.detail}"
    if not availability.ok:
        # The meter stays in the set: its readings say None and why, rather than nothing.
        why_gpu = f"the GPU's energy is unknown: {availability.reason}"
    return _set((nvml, cpu), MonotonicClock(), True, why_gpu, f"its host: {why_cpu}")


def _cpu_meter() -> tuple[EnergyMeter, str]:
    rapl = RaplMeter()
    availability = rapl.is_available()
    if availability.ok:
        return rapl, f"rapl reads {availability.detail}"
    estimate = CpuTimeMeter()
    return estimate, (
        f"cpu_time estimates, {estimate.is_available().detail}, since rapl cannot be read: "
        f"{availability.reason}"
    )


def _nvml(target: str, board_uuid: str | None) -> NvmlMeter:
    if board_uuid is not None:
        is_named = board_uuid.startswith(("GPU-", "MIG-"))
        return NvmlMeter([board_uuid if is_named else f"GPU-{board_uuid}"])
    _, _, number = target.partition(":")
    return NvmlMeter(environ=only_visible(os.environ, int(number or 0)))


def only_visible(environ: Mapping[str, str], number: int) -> dict[str, str]:
    """Return the environment with only the visible GPU number ``number`` left visible.

    Numbers count what CUDA_VISIBLE_DEVICES leaves, as in the framework's "cuda:N".
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return {**environ, "CUDA_VISIBLE_DEVICES": str(number)}
    entries = visible.split(",")
    return {
        **environ,
        "CUDA_VISIBLE_DEVICES": entries[number] if number < len(entries) else "",
    }


def _asked_for(meter: EnergyMeter, is_gpu: bool) -> MeterSet:
    availability = meter.is_available()
    if not availability.ok:
        meter.close()
        raise ConfigError(
            f"measure.meter {meter.name} cannot be used here: {availability.reason}; "
            f"set measure.meter to auto to use what this machine has"
        )
    why = f"{meter.name} reads {availability.detail}, as asked for"
    return _set((meter,), MonotonicClock(), is_gpu, why)


def _plugin(config: PluginMeterConfig) -> MeterSet:
    member: Any = METERS.get(config.name)
    try:
        meter: EnergyMeter = member(**config.options)
    except TypeError as error:
        raise ConfigError(
            f"measure.meter.options: the meter {config.name} does not take them: {error}"
        ) from error
    chosen = _asked_for(meter, False)
    return replace(chosen, target_component=None)  # whatever it reads is what was asked for


def _refuse_gpu(name: str, target: str) -> None:
    if target.startswith("cuda"):
        raise ConfigError(
            f"measure.meter {name} reads the processor, but measure.target is {target}; set "
            "measure.meter to auto or nvml, or measure.target to cpu"
        )


def _set(meters: tuple[EnergyMeter, ...], clock: Clock, is_gpu: bool, *explain: str) -> MeterSet:
    component = "gpu" if is_gpu else "cpu"
    return MeterSet(meters=meters, clock=clock, target_component=component, explain=explain)
