"""``ecoautoml doctor``."""

from __future__ import annotations

import typer

from ecoautoml.cli.options import JsonOption, print_json


def doctor(json: JsonOption = False) -> None:
    """Say what can be measured and run on this machine, and why not the rest."""
    from ecoautoml.config.models import AutoMeter
    from ecoautoml.energy.select import open_meters, survey
    from ecoautoml.energy.target import resolve_target
    from ecoautoml.runtimes import RUNTIMES
    from ecoautoml.study.environment import hardware

    target = resolve_target("auto")
    meters = survey()
    chosen = open_meters(AutoMeter(), target)
    chosen.close()
    runtimes = {
        entry.name: (entry.description, _why_not(entry.name, target))
        for entry in RUNTIMES.entries()
    }
    if json:
        print_json(
            {
                "hardware": hardware(target),
                "meters": [line._asdict() for line in meters],
                "used": list(chosen.explain),
                "runtimes": {
                    name: {"description": text, "ok": why is None, "reason": why}
                    for name, (text, why) in runtimes.items()
                },
            }
        )
        return
    for title, value in hardware(target).items():
        typer.echo(f"{title}: {value}")
    typer.echo("\nEnergy meters")
    for line in meters:
        typer.echo(f"  {_mark(line.ok)} {line.name}: {line.detail if line.ok else line.reason}")
    for sentence in chosen.explain:
        typer.echo(f"  used: {sentence}")
    typer.echo("\nRuntimes")
    for name, (text, why) in runtimes.items():
        typer.echo(f"  {_mark(why is None)} {name}: {text if why is None else why}")


def _why_not(name: str, target: str) -> str | None:
    from ecoautoml.runtimes import RUNTIMES

    try:
        return RUNTIMES.get(name).why_unavailable(target)
    except Exception as error:  # noqa: BLE001  (a broken installation is what doctor is for)
        return f"its library cannot be imported: {error}"


def _mark(is_ok: bool) -> str:
    return "yes" if is_ok else "no "
