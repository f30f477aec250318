"""``ecoautoml spaces``."""

from __future__ import annotations

from typing import Annotated

import typer

from ecoautoml.cli.options import JsonOption, print_json


def spaces(
    name: Annotated[
        str | None, typer.Argument(metavar="[SPACE]", help="Show the dimensions of this one.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the shipped search spaces, or show what one of them (or a YAML file) holds."""
    if name is None:
        _list(json)
    else:
        _show(name, json)


def _list(json: bool) -> None:
    from ecoautoml.spaces.locate import list_spaces

    found = list_spaces()
    if json:
        print_json(found)
        return
    width = max(map(len, found), default=0)
    for name, description in found.items():
        typer.echo(f"{name:<{width}}  {description}")


def _show(name: str, json: bool) -> None:
    from ecoautoml.spaces.load import load_space

    space = load_space(name)
    if json:
        print_json(
            {
                "name": space.name,
                "description": space.description,
                "builder": space.builder,
                "size_log10": space.size,
                "fixed": space.fixed,
                "dimensions": {dimension.name: dimension.allowed for dimension in space.dimensions},
            }
        )
        return
    size = "" if space.size is None else f", about 10^{space.size:.0f} points"
    typer.echo(f"{space.name}: {space.description}")
    typer.echo(f"{len(space.dimensions)} dimensions{size}")
    width = max((len(dimension.name) for dimension in space.dimensions), default=0)
    for dimension in space.dimensions:
        typer.echo(f"  {dimension.name:<{width}}  {dimension.allowed}")
    for key, value in space.fixed.items():
        typer.echo(f"  {key:<{width}}  always {value}")
