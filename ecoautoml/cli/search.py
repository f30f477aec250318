"""``ecoautoml search``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecoautoml.cli.options import JsonOption, print_json, records

if TYPE_CHECKING:
    from ecoautoml.result import SearchResult


def search(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was interrupted or killed.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Search for models and write front, report and models into the run folder."""
    from ecoautoml.api import search as run_search
    from ecoautoml.cli.progress import make_progress

    try:
        with make_progress(is_quiet=json, is_terminal=sys.stdout.isatty()) as progress:
            result = run_search(
                config, overrides=overrides or (), resume=resume, listeners=progress.listeners()
            )
    except KeyboardInterrupt:
        typer.echo("Stopped at once; --resume goes on with what is finished.", err=True)
        raise typer.Exit(130) from None
    if json:
        print_json(_as_json(result))
    else:
        _print(result)
    if result.is_interrupted:
        raise typer.Exit(130)
    if not (result.trials["state"] == "complete").any():
        raise typer.Exit(1)


def _print(result: SearchResult) -> None:
    from ecoautoml.cli.tables import print_front
    from ecoautoml.reports.wording import plural

    print_front(result)
    check = result.pruner_check
    if check is not None:
        typer.echo(
            f"Pruner check: {plural(check.would_have_stopped, 'trial')} would have been stopped; "
            f"run to the end, {check.on_front} of them joined the front."
        )
    typer.echo(f"\nReport: {result.folder / 'report.html'}")
    typer.echo(f"Models: {result.folder / 'models'}")
    if result.is_interrupted:
        typer.echo("Interrupted; the same command with --resume goes on.")


def _as_json(result: SearchResult) -> dict[str, object]:
    knee, check = result.knee, result.pruner_check
    return {
        "folder": str(result.folder),
        "trials": len(result.trials),
        "interrupted": result.is_interrupted,
        "energy_j": result.bill.total_energy_j,
        "provenance": result.bill.provenance,
        "knee": None if knee is None else knee._asdict(),
        "pruner_check": None if check is None else check._asdict(),
        "warning": result.front.attrs.get("warning"),
        "front": records(result.front),
    }
