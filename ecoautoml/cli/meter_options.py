"""Options of the commands that let one choose a meter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ecoautoml.config.models import MeterConfig

MeterOption = Annotated[
    str | None,
    typer.Option(
        "--meter", metavar="NAME", help="A meter that `ecoautoml doctor` lists; else the best one."
    ),
]
MeterOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="An option of that meter; may be given several times."
    ),
]


def chosen_meter(name: str | None, options: list[str] | None) -> MeterConfig:
    """Return the meter asked for on the command line, as the configuration has it.

    Raises:
        ConfigError: The options cannot be understood.
    """
    from ecoautoml.errors import ConfigError
    from ecoautoml.measuring import meter_config

    if options and name is None:
        raise ConfigError("--option belongs to a meter; name it with --meter")
    return meter_config(name, dict(_pair(option) for option in options or []))


def _pair(option: str) -> tuple[str, Any]:
    import yaml

    from ecoautoml.errors import ConfigError

    key, sign, text = option.partition("=")
    if not sign or not key:
        raise ConfigError(f"--option {option}: expected KEY=VALUE")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--option {option}: the value is no YAML") from error
