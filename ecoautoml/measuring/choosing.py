"""Meters and devices by the names that people give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from ecoautoml.config.models import AutoMeter, MeasureConfig, MeterConfig
from ecoautoml.energy.select import MeterSet, open_meters
from ecoautoml.energy.target import resolve_target
from ecoautoml.errors import ConfigError


def meter_config(name: str | None, options: Mapping[str, Any] | None = None) -> MeterConfig:
    """Return the configuration of a meter by its name.

    Args:
        name: As ``ecoautoml doctor`` lists it, or None for the best there is.
        options: What it is made with, by name.

    Raises:
        ConfigError: It does not take these options.
    """
    given = dict(options or {})
    if name is None:
        return AutoMeter()
    kinds = {
        get_args(one.model_fields["kind"].annotation)[0]
        for one in get_args(get_args(MeterConfig)[0])
    }
    tree = {"kind": "plugin", "name": name, "options": given}
    if name in kinds:
        tree = {"kind": name, **given}
    try:
        found: MeterConfig = TypeAdapter(MeterConfig).validate_python(tree)
    except ValidationError as error:
        raise ConfigError(f"the meter {name}: {_first(error)}") from None
    return found


def measure_config(**values: Any) -> MeasureConfig:
    """Return how to measure; raises `ConfigError` for a value that is not possible."""
    try:
        return MeasureConfig(**values)
    except ValidationError as error:
        raise ConfigError(f"this cannot be measured: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = str(first["loc"][-1]) if first["loc"] else "it"
    return f"{where}={first['input']!r}: {first['msg']}"


def resolved(target: str) -> str:
    """Return "cpu" or "cuda:N"; raises `ConfigError` for what is no target."""
    try:
        return resolve_target(MeasureConfig(target=target).target)
    except ValidationError:
        raise ConfigError(f"there is no target {target!r}; say auto, cpu, cuda or cuda:N") from None


def device_of(model: str | Path, target: str) -> str:
    """Return the device a model is measured on; raises `ConfigError` where it cannot run there."""
    device = resolved(target)
    if not str(model).endswith(".onnx"):
        return device
    if target not in ("auto", "cpu"):
        raise ConfigError(f"{model} runs on the CPU here, not on {target}; say --target cpu")
    return "cpu"


@contextmanager
def opened(device: str, config: MeterConfig | None) -> Iterator[MeterSet]:
    """Open the meters of a device for the length of a block."""
    meters = open_meters(config or AutoMeter(), device)
    try:
        yield meters
    finally:
        meters.close()
