"""``ecoautoml measure calibrate``."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ecoautoml.cli.meter_options import MeterOption, MeterOptionOption, chosen_meter
from ecoautoml.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from ecoautoml.config.models import MeterConfig
    from ecoautoml.records.calibration import Calibration

_COUNTERS = ("rapl", "perf")


def calibrate(
    meter: MeterOption = None,
    option: MeterOptionOption = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.5, help="Length of each of the nine windows.")
    ] = 5.0,
    watts_idle: Annotated[
        float | None,
        typer.Option("--watts-idle", min=0.0, help="Read by hand from a wall meter: nothing runs."),
    ] = None,
    watts_busy: Annotated[
        float | None,
        typer.Option("--watts-busy", min=0.0, help="The same with all threads busy (see --hold)."),
    ] = None,
    hold: Annotated[
        float | None,
        typer.Option("--hold", min=1.0, help="Only keep all threads busy for so many seconds."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find the watts of this processor's threads with any meter, for estimates from CPU time.

    Idle, half and full load are metered in turn, about a minute in all, and a line is fitted. The
    watts are stored for this user and this processor model, and used by the meter cpu_time from
    then on.
    """
    from ecoautoml.errors import ConfigError

    if hold is not None:
        _hold(hold)
        return
    if (watts_idle is None) != (watts_busy is None):
        raise ConfigError("--watts-idle and --watts-busy are given together")
    if watts_idle is not None and watts_busy is not None:
        found = _by_hand(watts_idle, watts_busy)
    else:
        name = meter if meter or option else _counter()
        found = _metered(chosen_meter(name, option), seconds)
    path = _store(found)
    if json:
        print_json({**asdict(found), "file": str(path)})
    else:
        typer.echo(_text(found, path))


def _by_hand(watts_idle: float, watts_busy: float) -> Calibration:
    from ecoautoml.energy.cpu.calibrate import Level, fit

    threads = _threads()
    levels = [
        Level(busy_threads=0.0, power_w=watts_idle),
        Level(busy_threads=float(threads), power_w=watts_busy),
    ]
    return fit(levels, cpu_model=_cpu_model(), threads=threads, meter="figures read by hand")


def _metered(config: MeterConfig, seconds: float) -> Calibration:
    from ecoautoml.energy.base import Scope
    from ecoautoml.energy.cpu.calibrate import ROUNDS, fit, loads, measure_levels, visit_s
    from ecoautoml.energy.lease import DeviceLease, lease_path
    from ecoautoml.energy.select import open_meters
    from ecoautoml.errors import ConfigError

    if config.kind in ("cpu_time", "nvml", "replay"):
        raise ConfigError(
            f"the meter {config.kind} cannot calibrate the processor's watts: it does not read "
            "them; name rapl, perf or a wall meter of another package"
        )
    cpu_model, threads = _cpu_model(), _threads()
    chosen = open_meters(config, "cpu", scope=Scope.DEVICE)
    try:
        meter = chosen.meters[0]
        windows = ROUNDS * len(loads(threads))
        typer.echo(
            f"{windows} windows of {visit_s(meter, seconds):g} s with {meter.name}, at idle, half "
            "and full load; leave the machine alone meanwhile",
            err=True,
        )
        with DeviceLease(lease_path("cpu")):
            levels = measure_levels(
                meter,
                chosen.clock,
                threads=threads,
                seconds=seconds,
                component=chosen.target_component,
            )
    finally:
        chosen.close()
    return fit(levels, cpu_model=cpu_model, threads=threads, meter=meter.name)


def _counter() -> str:
    """Return the first counter of the processor that can be read here."""
    from ecoautoml.energy.select import survey
    from ecoautoml.errors import ConfigError

    lines = {line.name: line for line in survey() if line.name in _COUNTERS}
    for name in _COUNTERS:
        if name in lines and lines[name].ok:
            return name
    # the part behind the semicolon says what to do without a counter, which is not the point here
    why = "; ".join(f"{name}: {line.reason.split('; ')[0]}" for name, line in lines.items())
    raise ConfigError(
        f"no counter of the processor can be read ({why}); name a wall meter of another package "
        "(--meter NAME --option KEY=VALUE), or read one by hand, idle and during `ecoautoml "
        "measure calibrate --hold 60`, and give both as --watts-idle W --watts-busy W"
    )


def _store(found: Calibration) -> Path:
    from ecoautoml.energy.cpu.calibrate import write_calibration

    return write_calibration(found)


def _hold(seconds: float) -> None:
    from ecoautoml.energy.cpu.busy import BusyThreads

    with BusyThreads(_threads()):
        typer.echo(f"all {_threads()} threads are busy for {seconds:g} s", err=True)
        time.sleep(seconds)


def _cpu_model() -> str:
    from ecoautoml.energy.cpu.cpu_watts import cpu_model_name
    from ecoautoml.errors import ConfigError

    name = cpu_model_name()
    if name is None:
        raise ConfigError(
            "/proc/cpuinfo does not name this processor, so its watts could not be found again; "
            "give them in the configuration: measure.meter: {kind: cpu_time, active_w: W}"
        )
    return name


def _threads() -> int:
    return os.cpu_count() or 1


def _text(found: Calibration, path: Path) -> str:
    active, idle = (
        f"{watts:.3g} W" + ("" if error is None else f" ± {error:.2g}")
        for watts, error in (
            (found.active_w, found.active_w_error),
            (found.idle_w * found.threads, _times(found.idle_w_error, found.threads)),
        )
    )
    explained = (
        "." if found.r_squared is None else f", R² {found.r_squared:.3f}; ± is the standard error."
    )
    return (
        f"{found.cpu_model}, from {found.meter}\n"
        f"  each busy thread   {active} above idle\n"
        f"  the idle machine   {idle} ({found.threads} threads)\n"
        f"A line through {found.n} points{explained} Stored in {path}."
    )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
