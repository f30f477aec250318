"""``ecoautoml doctor``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import typer

from ecoautoml.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from ecoautoml.energy.protocol.resolution import Resolution
    from ecoautoml.energy.select import MeterSet, SurveyLine
    from ecoautoml.records.idle_power import IdlePower
    from ecoautoml.registry import Entry

IDLE_S = 1.0
"""Seconds that are waited for each counter's idle watts."""
LONGEST_WAIT_S = 2.0
"""A counter that would have to be waited for longer than this is left out."""
BUSY = 0.05
"""Share of the machine from which on others are worth a word."""
RESOLUTION_S = 20.0
"""Seconds that trying out the resolution may take, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What is known of one meter."""

    name: str
    ok: bool
    reason: str
    detail: str
    tick_s: float | None = None
    min_window_s: float | None = None
    idle: tuple[IdlePower, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runtime:
    """What is known of one runtime: its precisions that run here, and why the others do not."""

    name: str
    description: str
    ok: bool
    reason: str | None = None
    precisions: tuple[str, ...] = ()
    lacking: dict[str, str] = field(default_factory=dict)


def doctor(json: JsonOption = False) -> None:
    """Say what can be measured and run on this machine, how well, and why not the rest."""
    from ecoautoml.config.models import AutoMeter
    from ecoautoml.energy.select import open_meters, survey
    from ecoautoml.energy.target import resolve_target
    from ecoautoml.runtimes import RUNTIMES
    from ecoautoml.study.environment import hardware

    target = resolve_target("auto")
    # before the runtimes, whose import keeps the machine busy
    sources = [_source(line) for line in survey()]
    chosen = open_meters(AutoMeter(), target)
    try:
        resolution = _resolution(chosen)
    finally:
        chosen.close()
    runtimes = [_runtime(entry, target) for entry in RUNTIMES.entries()]
    if json:
        print_json(
            {
                "hardware": hardware(target),
                "meters": [asdict(source) for source in sources],
                "used": list(chosen.explain),
                "resolution": asdict(resolution),
                "runtimes": {each.pop("name"): each for each in map(asdict, runtimes)},
            }
        )
        return
    for title, value in hardware(target).items():
        typer.echo(f"{title}: {value}")
    typer.echo("\nEnergy meters")
    for source in sources:
        _print_source(source)
    typer.echo(f"  used: {', then '.join(meter.name for meter in chosen.meters)}")
    typer.echo(f"  {_resolution_words(resolution)}")
    typer.echo("\nRuntimes")
    for each in runtimes:
        _print_runtime(each)


# --- meters ---------------------------------------------------------------------------------------


def _source(line: SurveyLine) -> _Source:
    """Return what is known of a meter; one that can be read is opened and looked at."""
    from ecoautoml.errors import EcoAutoMLError

    plain = _Source(name=line.name, ok=line.ok, reason=line.reason, detail=line.detail)
    if not line.ok or line.name == "replay":
        return plain
    try:
        chosen = _opened(line.name)
    except EcoAutoMLError as error:  # a plug-in's, or a counter that has just gone
        return replace(plain, ok=False, reason=str(error))
    try:
        meter = chosen.meters[0]
        return replace(
            plain, tick_s=meter.tick_s, min_window_s=meter.min_window_s, idle=_idle(chosen)
        )
    finally:
        chosen.close()


def _opened(name: str) -> MeterSet:
    from ecoautoml.energy.base import Scope
    from ecoautoml.energy.select import open_meters
    from ecoautoml.energy.target import resolve_target
    from ecoautoml.measuring import meter_config

    target = resolve_target("auto") if name == "nvml" else "cpu"
    return open_meters(meter_config(name), target, scope=Scope.DEVICE)


def _idle(chosen: MeterSet) -> tuple[IdlePower, ...]:
    from ecoautoml.energy.idle import idle_power, shortest_wait_s

    meter = chosen.meters[0]
    if not meter.idle_w and shortest_wait_s(meter) > LONGEST_WAIT_S:
        return ()
    return idle_power([meter], chosen.clock, seconds=IDLE_S)


def _resolution(chosen: MeterSet) -> Resolution:
    from ecoautoml.energy.lease import DeviceLease, lease_path
    from ecoautoml.energy.protocol.compare import MIN_ROUNDS
    from ecoautoml.energy.protocol.resolution import Resolution, try_resolution
    from ecoautoml.errors import MeterError

    if chosen.target_component == "gpu":
        seconds = 2 * MIN_ROUNDS * max(meter.min_window_s for meter in chosen.meters)
        return Resolution(
            difference=None,
            seconds=seconds,
            rounds=MIN_ROUNDS,
            reason=f"two models on the GPU take about {seconds:.0f} s; it is not tried here",
        )
    try:
        with DeviceLease(lease_path("cpu"), timeout_s=2.0):
            return try_resolution(
                chosen.meters, chosen.clock, chosen.target_component, max_seconds=RESOLUTION_S
            )
    except MeterError as error:
        return Resolution(difference=None, seconds=0.0, rounds=0, reason=str(error))


# --- runtimes -------------------------------------------------------------------------------------


def _runtime(entry: Entry, target: str) -> _Runtime:
    from ecoautoml.runtimes import RUNTIMES

    plain = _Runtime(name=entry.name, description=entry.description, ok=False)
    try:
        member = RUNTIMES.get(entry.name)
        reason = member.why_unavailable(target)
        if reason is not None:
            return replace(plain, reason=reason, precisions=member.precisions)
        whys = {name: member.why_precision_unavailable(name) for name in member.precisions}
    except Exception as error:  # noqa: BLE001  (a broken installation is what doctor is for)
        return replace(plain, reason=f"its library cannot be imported: {error}")
    lacking = {name: why for name, why in whys.items() if why is not None}
    here = tuple(name for name in whys if name not in lacking)
    return replace(plain, ok=True, precisions=here, lacking=lacking)


# --- words ----------------------------------------------------------------------------------------


def _print_source(source: _Source) -> None:
    what = source.detail if source.ok else source.reason
    typer.echo(f"  {_mark(source.ok)} {source.name}: {what}")
    if source.min_window_s is None:
        return
    idle = [_idle_words(power) for power in source.idle]
    for sentence in (
        _tick_words(source),
        *(idle or ["idle: its counter moves too seldom to wait"]),
    ):
        typer.echo(f"        {sentence}")


def _tick_words(source: _Source) -> str:
    moves = "counts all the time" if source.tick_s is None else f"moves every {source.tick_s:.3g} s"
    return f"{moves}; blocks of {source.min_window_s:.3g} s or more"


def _idle_words(power: IdlePower) -> str:
    from ecoautoml.reports.wording import mark

    if power.idle_w is None:
        return f"idle {power.component}: unknown ({power.reason})"
    how = "stated" if power.duration_s == 0 else f"over {power.duration_s:.1f} s"
    bound = f"; at most: {power.reason}" if power.reason else ""
    return f"idle {power.component}: {mark(power.provenance)}{power.idle_w:.3g} W ({how}{bound})"


def _resolution_words(resolution: Resolution) -> str:
    if resolution.difference is None:
        return f"what can be told apart is unknown: {resolution.reason}"
    others = resolution.others_share
    busy = (
        "" if others is None or others < BUSY else f"; others kept {100 * others:.0f} % of it busy"
    )
    return (
        f"differences of about {100 * resolution.difference:.2g} % can be told apart in "
        f"{resolution.seconds:.1f} s on this machine now (a small load against itself, "
        f"{resolution.rounds} rounds{busy})"
    )


def _print_runtime(runtime: _Runtime) -> None:
    what = runtime.description if runtime.reason is None else runtime.reason
    typer.echo(f"  {_mark(runtime.ok)} {runtime.name}: {what}")
    if runtime.precisions:
        lacking = "".join(f"; not here: {why}" for why in runtime.lacking.values())
        typer.echo(f"        precisions: {', '.join(runtime.precisions)}{lacking}")


def _mark(is_ok: bool) -> str:
    return "yes" if is_ok else "no "
