"""Which meters this machine has, and which of them a search uses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ecoautoml.config.models import (
    CpuTimeMeterConfig,
    MeterConfig,
    NvmlMeterConfig,
    PerfMeterConfig,
    PluginMeterConfig,
    RaplMeterConfig,
    ReplayMeterConfig,
)
from ecoautoml.energy import METERS
from ecoautoml.energy.base import EnergyMeter, Scope
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.counters.shared_meter import SharedMeter
from ecoautoml.energy.cpu.calibrate import calibrated_watts
from ecoautoml.energy.cpu.cpu_time import CpuTimeMeter
from ecoautoml.energy.cpu.cpu_watts import cpu_model_name
from ecoautoml.energy.cpu.perf import PerfMeter
from ecoautoml.energy.cpu.rapl import RaplMeter
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.traces.replay import ReplayMeter
from ecoautoml.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSet:
    """Open meters and the clock that belongs to them.

    Attributes:
        meters: What to read, the target's meter first; none where nothing can be told of the scope.
        clock: Where all times come from.
        target_component: Component of the target device: "cpu", or "gpu" for any "gpu:…"; None:
            all there are.
        explain: Why these meters, one sentence each.
        idle_w: Idle watts by component, as measured by whoever opened the meters, else as the
            meters state them themselves.
    """

    meters: tuple[EnergyMeter, ...]
    clock: Clock
    target_component: str | None
    explain: tuple[str, ...]
    idle_w: Mapping[str, float] = field(default_factory=dict)

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


def open_meters(
    config: MeterConfig,
    target: str,
    *,
    board_uuid: str | None = None,
    scope: Scope = Scope.TREE,
    idle_w: Mapping[str, float] | None = None,
) -> MeterSet:
    """Return the meters for a target device.

    A trace played by looks knows nothing of a device and of processes, so it has something to say
    of the scope TREE only. Another package's meter that does not read the whole machine
    (`EnergyMeter.is_machine_wide`) has nothing to say of one process alone or of others; nor has
    the estimate of others, since it models the search alone.

    Args:
        config: Which meter the user asked for.
        target: "cpu", "cuda", "cuda:N", or "auto" (a GPU when its counter can be read).
        board_uuid: UUID of the target's board as the framework tells it, with or without "GPU-";
            None: found by its number and CUDA_VISIBLE_DEVICES.
        scope: Whose part of the devices' joules is read.
        idle_w: Measured idle watts by component; None: what the meters state themselves.

    Raises:
        ConfigError: A meter that was asked for cannot be read, or does not read the target.
    """
    chosen = _chosen(config, target, board_uuid, scope)
    stated = {name: watts for meter in chosen.meters for name, watts in meter.idle_w.items()}
    return replace(chosen, idle_w=stated if idle_w is None else dict(idle_w))


def _chosen(config: MeterConfig, target: str, board_uuid: str | None, scope: Scope) -> MeterSet:
    is_gpu = target.startswith("cuda")
    match config:
        case ReplayMeterConfig():
            return _replay(config, is_gpu, scope)
        case NvmlMeterConfig():
            return _asked_for(_nvml(target, board_uuid, scope), True)
        case RaplMeterConfig():
            _refuse_gpu("rapl", target)
            return _asked_for(RaplMeter(scope=scope), False)
        case PerfMeterConfig():
            _refuse_gpu("perf", target)
            return _asked_for(PerfMeter(scope=scope), False)
        case CpuTimeMeterConfig():
            _refuse_gpu("cpu_time", target)
            chosen = _asked_for(_cpu_time(config.active_w, scope), False)
            return _without(chosen) if scope is Scope.OTHERS else chosen
        case PluginMeterConfig():
            return _plugin(config, scope)
        case _:
            return _automatic(target, board_uuid, scope)


def survey() -> list[SurveyLine]:
    """Return every registered meter and whether it can be read on this machine."""
    return [_survey_line(name) for name in METERS.names()]


def _survey_line(name: str) -> SurveyLine:
    if name == "replay":
        return SurveyLine(name, True, "", "a recorded trace, when the config names one")
    try:
        meter = _cpu_time(None, Scope.TREE) if name == "cpu_time" else METERS.get(name)()
    except TypeError as error:
        return SurveyLine(name, False, f"it needs measure.meter.options ({error})", "")
    except Exception as error:  # noqa: BLE001  (a plug-in may raise anything)
        return SurveyLine(name, False, str(error), "")
    availability = meter.is_available()
    meter.close()
    return SurveyLine(name, availability.ok, availability.reason, availability.detail)


def _automatic(target: str, board_uuid: str | None, scope: Scope) -> MeterSet:
    cpu, why_cpu = _cpu_meters(scope)
    if target == "cpu":
        return _set(cpu, MonotonicClock(), False, why_cpu)
    nvml = _nvml(target, board_uuid, scope)
    availability = nvml.is_available()
    if not availability.ok and target == "auto":
        nvml.close()
        return _set(cpu, MonotonicClock(), False, why_cpu)
    why_gpu = f"nvml reads {availability.detail}"
    if not availability.ok:
        # The meter stays in the set: its readings say None and why, rather than nothing.
        why_gpu = f"the GPU's energy is unknown: {availability.reason}"
    return _set((nvml, *cpu), MonotonicClock(), True, why_gpu, f"its host: {why_cpu}")


def _cpu_meters(scope: Scope) -> tuple[tuple[EnergyMeter, ...], str]:
    """Return the best meter of the processor: its counter at either door, else the estimate."""
    reasons = []
    for member in (RaplMeter, PerfMeter):
        meter: EnergyMeter = member(scope=scope)
        availability = meter.is_available()
        if availability.ok:
            return (meter,), f"{meter.name} reads {availability.detail}"
        meter.close()
        reasons.append(f"{meter.name} cannot be read: {availability.reason}")
    estimate = _cpu_time(None, scope)
    why = f"cpu_time estimates, {estimate.is_available().detail}, since {'; '.join(reasons)}"
    return () if scope is Scope.OTHERS else (estimate,), why


def _cpu_time(active_w: float | None, scope: Scope) -> CpuTimeMeter:
    calibration = calibrated_watts(cpu_model_name())
    return CpuTimeMeter(active_w, scope=scope, calibration=calibration)


def _nvml(target: str, board_uuid: str | None, scope: Scope) -> NvmlMeter:
    if board_uuid is not None:
        is_named = board_uuid.startswith(("GPU-", "MIG-"))
        return NvmlMeter([board_uuid if is_named else f"GPU-{board_uuid}"], scope=scope)
    _, _, number = target.partition(":")
    return NvmlMeter(environ=only_visible(os.environ, int(number or 0)), scope=scope)


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


def _replay(config: ReplayMeterConfig, is_gpu: bool, scope: Scope) -> MeterSet:
    component = "gpu:replay" if is_gpu else None
    why = f"the trace {config.path}, as asked for"
    if config.by == "look":
        replay = ReplayMeter(config.path, component)
        chosen = _set((replay,), replay.clock, is_gpu, why)
        return chosen if scope is Scope.TREE else _without(chosen)
    clock = MonotonicClock()
    shared = SharedMeter(ReplayMeter(config.path, component, clock=clock), scope)
    return _set((shared,), clock, is_gpu, f"{why}, played by time")


def _plugin(config: PluginMeterConfig, scope: Scope) -> MeterSet:
    member: Any = METERS.get(config.name)
    try:
        meter: EnergyMeter = member(**config.options)
    except TypeError as error:
        raise ConfigError(
            f"measure.meter.options: the meter {config.name} does not take them: {error}"
        ) from error
    if meter.is_machine_wide:
        meter = SharedMeter(meter, scope)
    chosen = replace(_asked_for(meter, False), target_component=None)  # all it reads is asked for
    is_for_scope = meter.is_machine_wide or scope in (Scope.TREE, Scope.DEVICE)
    return chosen if is_for_scope else _without(chosen)


def _without(chosen: MeterSet) -> MeterSet:
    chosen.close()
    return replace(chosen, meters=(), clock=MonotonicClock())


def _refuse_gpu(name: str, target: str) -> None:
    if target.startswith("cuda"):
        raise ConfigError(
            f"measure.meter {name} reads the processor, but measure.target is {target}; set "
            "measure.meter to auto or nvml, or measure.target to cpu"
        )


def _set(meters: tuple[EnergyMeter, ...], clock: Clock, is_gpu: bool, *explain: str) -> MeterSet:
    component = "gpu" if is_gpu else "cpu"
    return MeterSet(meters=meters, clock=clock, target_component=component, explain=explain)
