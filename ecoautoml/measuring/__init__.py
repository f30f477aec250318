"""Measuring by hand: a block of code, a command, one model, or two against each other.

Entry points: `measure` (a context manager), `measure_command`, `measure_model`, `compare_models`.

Errors: `ecoautoml.errors.ConfigError` for a target or a meter that cannot be used,
`ecoautoml.errors.RunError` for what is no model or no command.
"""

from ecoautoml.measuring.block import measure
from ecoautoml.measuring.choosing import meter_config
from ecoautoml.measuring.command import CommandBill, measure_command
from ecoautoml.measuring.models import compare_models, measure_model

__all__ = [
    "CommandBill",
    "compare_models",
    "measure",
    "measure_command",
    "measure_model",
    "meter_config",
]
