"""``ecoautoml config``: the schema for editors, and a look at a resolved configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecoautoml.cli.options import JsonOption, print_json

app = typer.Typer(help="Print the configuration's schema, or check a file.", no_args_is_help=True)


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of the configuration, for editors."""
    from ecoautoml.config.models import SearchConfig

    print_json(SearchConfig.model_json_schema())


@app.command("show")
def show(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value; may be repeated."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check a configuration and print it with all defaults filled in."""
    import yaml

    from ecoautoml.config.load import load_config

    tree = load_config(config, overrides or ()).model_dump(mode="json")
    if json:
        print_json(tree)
        return
    typer.echo(yaml.safe_dump(tree, sort_keys=False).rstrip())
