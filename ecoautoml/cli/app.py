"""``ecoautoml``: the commands, and what every error becomes."""

from __future__ import annotations

import sys

import typer

from ecoautoml.cli import config as config_command
from ecoautoml.cli import (
    doctor,
    export,
    front,
    measure,
    predict,
    report,
    search,
    spaces,
    why,
)
from ecoautoml.errors import EcoAutoMLError

app = typer.Typer(
    name="ecoautoml",
    help="Find image models that are accurate and cheap to run, and waste little energy on it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("search")(search.search)
app.command("front")(front.front)
app.command("report")(report.report)
app.command("why")(why.why)
app.command("export")(export.export)
app.command("predict")(predict.predict)
app.command("spaces")(spaces.spaces)
app.command("doctor")(doctor.doctor)
app.add_typer(measure.app, name="measure")
app.add_typer(config_command.app, name="config")


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Find image models that are accurate and cheap to run, and waste little energy on it."""
    if version:
        from ecoautoml import __version__

        typer.echo(f"ecoautoml {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a mistake of the user's is one message and exit code 2."""
    try:
        app()
    except EcoAutoMLError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
