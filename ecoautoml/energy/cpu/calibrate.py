"""Watts of a busy thread and of an idle machine, fitted against any other meter.

The estimate from CPU seconds (`ecoautoml.energy.cpu.cpu_time`) takes its watts from a table that is
uncertain by a factor of two. One comparison with a counter or a meter at the wall replaces them:
`measure_levels` reads the watts at several known loads, `fit` puts a straight line through them,
`write_calibration` stores it for this user, and `calibrated_watts` finds it again.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ecoautoml.energy.base import EnergyMeter
from ecoautoml.energy.clock import Clock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.cpu.busy import BusyThreads
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.errors import ConfigError, MeterError
from ecoautoml.records.calibration import Calibration

FILE = "cpu_watts.yaml"
ROUNDS = 3
"""How often each load is visited, so that drift is not taken for the load's doing."""
TICKS = 10
"""Moves of the meter's counter within each visit, at least."""
CLEAR = 3.0
"""Standard errors by which the watts of a thread must differ from 0 to be believed."""
SETTLE_S = 0.5
"""Seconds after the load has changed in which nothing is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Watts at one load.

    Attributes:
        busy_threads: Busy threads of the machine, mean over the window.
        power_w: Watts, mean over the window.
    """

    busy_threads: float
    power_w: float


# --- measuring ------------------------------------------------------------------------------------


def loads(threads: int) -> tuple[int, ...]:
    """Return the numbers of threads to keep busy: none, half of them, all."""
    return tuple(sorted({0, threads // 2, threads}))


def visit_s(meter: EnergyMeter, seconds: float) -> float:
    """Return the length of one visit in seconds: as asked for, but no less than the meter needs."""
    return max(seconds, meter.min_window_s, TICKS * (meter.tick_s or 0.0))


def measure_levels(
    meter: EnergyMeter,
    clock: Clock,
    *,
    threads: int,
    seconds: float,
    component: str | None = None,
    busy_s: Callable[[], float | None] | None = None,
    keep_busy: Callable[[int], AbstractContextManager[Any]] = BusyThreads,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Level]:
    """Return the watts of idle, half and full load, each visited three times in turn.

    The load is matrix products in processes of their own, one thread each. What the machine does
    besides is not in the way: a level's busy threads are what the system counted, not what was
    started.

    Args:
        meter: What to calibrate against; of a device, opened with `Scope.DEVICE`.
        clock: The meter's clock.
        threads: Threads of this machine.
        seconds: Length of one visit; longer where the meter needs it (`visit_s`).
        component: Which of the meter's joules count; None: all.
        busy_s: Cumulative busy seconds of all threads; None: those of the machine.
        keep_busy: Keeps a number of threads busy for as long as its block lasts.
        sleep: Waits for a number of seconds.

    Raises:
        MeterError: The meter or the busy time could not be read.
    """
    busy_s = busy_s or ProcessTree().machine_busy_s
    length_s = visit_s(meter, seconds)
    found = []
    for visit in range(ROUNDS):
        # up and down in turn: a slow drift of the watts then cancels
        for count in loads(threads) if visit % 2 == 0 else reversed(loads(threads)):
            with keep_busy(count):
                sleep(SETTLE_S)
                found.append(_level(meter, clock, component, busy_s, lambda: sleep(length_s)))
    return found


def _level(
    meter: EnergyMeter,
    clock: Clock,
    component: str | None,
    busy_s: Callable[[], float | None],
    wait: Callable[[], None],
) -> Level:
    started_s, before_s = clock.now(), busy_s()
    with EnergyWindow([meter], clock) as window:
        wait()
    after_s, elapsed_s = busy_s(), clock.now() - started_s
    readings = [one for one in window.readings if component in (None, one.component)]
    joules = [one.energy_j for one in readings if one.energy_j is not None]
    if not readings or len(joules) < len(readings):
        reasons = [one.reason for one in readings if one.reason]
        raise MeterError(f"{meter.name} could not be read: {'; '.join(reasons) or 'no component'}")
    if before_s is None or after_s is None:
        raise MeterError("the system does not tell how busy its processors are (/proc/stat)")
    return Level(
        busy_threads=(after_s - before_s) / elapsed_s,
        power_w=sum(joules) / max(one.duration_s for one in readings),
    )


# --- fitting --------------------------------------------------------------------------------------


def fit(levels: Sequence[Level], *, cpu_model: str, threads: int, meter: str) -> Calibration:
    """Return the least-squares line of watts over busy threads.

    Standard errors are the usual ones of a straight line (NIST/SEMATECH e-Handbook of Statistical
    Methods, section 4.1.4.1); they are unknown for two points.

    Args:
        levels: At least two, of different loads.
        cpu_model: Model name of the processor.
        threads: Threads of this machine.
        meter: What the watts were read from.

    Raises:
        MeterError: The watts do not grow with the load, or are clearly below 0 without any.
    """
    x = [level.busy_threads for level in levels]
    y = [level.power_w for level in levels]
    n, mean_x = len(levels), statistics.fmean(x)
    spread = sum((one - mean_x) ** 2 for one in x)
    if n < 2 or spread == 0:
        raise MeterError("a line needs watts at two different loads")
    slope, intercept = statistics.linear_regression(x, y)
    rest = sum((b - intercept - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    variance = rest / (n - 2) if n > 2 else None
    slope_error = None if variance is None else math.sqrt(variance / spread)
    idle_error = None if variance is None else math.sqrt(variance * (1 / n + mean_x**2 / spread))
    if slope <= CLEAR * (slope_error or 0.0) or intercept < -CLEAR * (idle_error or 0.0):
        raise MeterError(
            f"{meter} does not show the load: {slope:.3g} W per busy thread and {intercept:.3g} W "
            "without any; measure longer (--seconds), on a machine that does nothing else"
        )
    return Calibration(
        cpu_model=cpu_model,
        threads=threads,
        active_w=slope,
        active_w_error=slope_error,
        idle_w=max(intercept, 0.0) / threads,
        idle_w_error=None if idle_error is None else idle_error / threads,
        r_squared=None if variance is None else 1 - rest / (statistics.pvariance(y) * n),
        n=n,
        meter=meter,
        date=datetime.now(UTC).date().isoformat(),
    )


# --- storing --------------------------------------------------------------------------------------


def calibration_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the user's file of calibrations (XDG Base Directory Specification 0.8)."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    base = Path(folder) if os.path.isabs(folder) else Path.home() / ".config"
    return base / "ecoautoml" / FILE


def calibrated_watts(cpu_model: str | None, path: Path | None = None) -> Calibration | None:
    """Return what was stored for a processor; None when nothing was.

    Args:
        cpu_model: Its model name; None: unknown, which matches nothing.
        path: The file; None: the user's.

    Raises:
        ConfigError: The file is there and cannot be understood.
    """
    path = path or calibration_path()
    return next((one for one in _stored(path) if one.cpu_model == cpu_model), None)


def write_calibration(calibration: Calibration, path: Path | None = None) -> Path:
    """Store a calibration in place of an earlier one of the same processor; return the file.

    Raises:
        ConfigError: The file cannot be written, or holds something else.
    """
    path = path or calibration_path()
    others = [one for one in _stored(path) if one.cpu_model != calibration.cpu_model]
    tree = {"calibrations": [asdict(one) for one in (*others, calibration)]}
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(
            "# Watts for CPU-time estimates, by `ecoautoml measure calibrate`. Delete the file to\n"
            "# go back to the built-in table.\n" + yaml.safe_dump(tree, sort_keys=False),
            encoding="utf-8",
        )
        unfinished.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from error
    return path


def _stored(path: Path) -> list[Calibration]:
    try:
        tree: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())  # YAML's own words take several lines
        raise ConfigError(f"{path} cannot be read: {why}; correct or delete it") from error
    try:
        found = [Calibration(**one) for one in tree["calibrations"]]
        if not all(one.active_w > 0 and one.idle_w >= 0 for one in found):
            raise ValueError("watts must not be negative")
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} holds no calibrations: {error}; correct or delete it") from error
    return found
