"""CodeCarbon's joules beside ours, for those who expect its number.

CodeCarbon is an optional extra and is imported on first use only. Its figures are shown beside
ours, never added to them.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ecoautoml.errors import MissingExtraError
from ecoautoml.units import joules_from_wh

T = TypeVar("T")

_QUIET: dict[str, Any] = {
    "country_iso_code": "USA",
    "force_carbon_intensity_g_co2e_kwh": 1.0,
    "electricitymaps_api_token": None,
    "emissions_endpoint": False,
    "output_methods": [],
    "pue": 1.0,
    "measure_power_secs": 1,
    "allow_multiple_runs": True,
    "log_level": "critical",
}
"""Joules alone are wanted. It takes a country and an intensity for its grams, which are not looked
at; with an intensity given it asks no server for one. It folds a power usage effectiveness into its
joules (codecarbon/emissions_tracker.py), so that is held at 1."""

WHY_DIFFERENT = (
    "CodeCarbon counts the whole machine by default. Without a counter it takes the processor's "
    "rated power times its load, and a constant power for memory, both times the time that passed."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCarbonReading:
    """What CodeCarbon says a piece of work took.

    Attributes:
        energy_j: Joules over all it tracks.
        cpu_j: Joules of the processor.
        gpu_j: Joules of GPUs.
        ram_j: Joules of memory.
        duration_s: Seconds by its clock.
        version: Of the package.
        tracking_mode: "machine" or "process".
    """

    energy_j: float
    cpu_j: float
    gpu_j: float
    ram_j: float
    duration_s: float
    version: str
    tracking_mode: str


def codecarbon_check(
    work: Callable[[], T], *, tracking_mode: str = "machine", library: Any = None
) -> tuple[T, CodeCarbonReading]:
    """Do some work under CodeCarbon's offline tracker; return its result and CodeCarbon's joules.

    The offline tracker asks no server where it is. Whatever a configuration file of the user's
    says, nothing is written, sent or served.

    Args:
        work: What to do; meter it inside in our own way.
        tracking_mode: "machine" (its default) or "process".
        library: The package; None: the one installed.

    Raises:
        MissingExtraError: CodeCarbon is not installed.
    """
    library = library or require_codecarbon()
    with _silent():
        tracker = library.OfflineEmissionsTracker(tracking_mode=tracking_mode, **_QUIET)
        tracker.start()
        try:
            result = work()
        finally:
            tracker.stop()
    return result, _reading(tracker.final_emissions_data, library.__version__, tracking_mode)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep its log, which begins before its level can be set, from standing between ours."""
    log = logging.getLogger("codecarbon")
    was_disabled, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was_disabled


def require_codecarbon() -> Any:
    """Return the package.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module("codecarbon")
    except ImportError as error:
        raise MissingExtraError(
            "CodeCarbon is not installed; run pip install 'ecoautoml[tracking]'"
        ) from error


def _reading(data: Any, version: str, tracking_mode: str) -> CodeCarbonReading:
    def joules(kwh: float) -> float:
        return joules_from_wh(1000 * float(kwh))

    return CodeCarbonReading(
        energy_j=joules(data.energy_consumed),
        cpu_j=joules(data.cpu_energy),
        gpu_j=joules(data.gpu_energy),
        ram_j=joules(data.ram_energy),
        duration_s=float(data.duration),
        version=version,
        tracking_mode=tracking_mode,
    )
