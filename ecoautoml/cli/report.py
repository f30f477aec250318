"""``ecoautoml report``."""

from __future__ import annotations

import typer

from ecoautoml.cli.options import JsonOption, RunArgument, print_json


def report(run: RunArgument, json: JsonOption = False) -> None:
    """Write front.csv, trials.parquet and report.html of a run anew from its ledger."""
    from ecoautoml.result import SearchResult

    result = SearchResult.read(run)
    result.write()
    files = [run / name for name in ("report.html", "front.csv", "trials.parquet")]
    if json:
        print_json({file.name: str(file) for file in files})
        return
    for file in files:
        typer.echo(str(file))
