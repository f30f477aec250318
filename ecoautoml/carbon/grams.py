"""Grams of CO2e."""

from __future__ import annotations

from ecoautoml.units import JOULES_PER_KWH


def carbon_gco2e(
    energy_j: float | None, intensity_gco2e_per_kwh: float | None, pue: float | None
) -> float | None:
    """Return grams of CO2e for joules, None when joules or intensity are unknown.

    Args:
        energy_j: Joules at the device.
        intensity_gco2e_per_kwh: Carbon intensity of the grid, location-based average.
        pue: Power usage effectiveness of the building, at least 1; None: not applied.
    """
    if energy_j is None or intensity_gco2e_per_kwh is None:
        return None
    return energy_j / JOULES_PER_KWH * intensity_gco2e_per_kwh * (pue or 1.0)
