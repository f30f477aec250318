"""``ecoautoml front``."""

from __future__ import annotations

import typer

from ecoautoml.cli.options import JsonOption, RunArgument, print_json, records


def front(run: RunArgument, json: JsonOption = False) -> None:
    """Print the Pareto front of a run, finished or still running."""
    from ecoautoml.result import SearchResult

    result = SearchResult.read(run)
    if json:
        if "warning" in result.front.attrs:
            typer.echo(f"Note: {result.front.attrs['warning']}", err=True)
        print_json(records(result.front))
        return
    from ecoautoml.cli.tables import print_front

    print_front(result)
