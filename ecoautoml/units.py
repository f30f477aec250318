"""Conversions at the edges: inside the house it is joule, watt, second, gram CO2e, byte."""

JOULES_PER_WH = 3600.0
JOULES_PER_KWH = 3_600_000.0
SECONDS_PER_HOUR = 3600.0
BYTES_PER_GB = 1_000_000_000


def wh_from_joules(energy_j: float) -> float:
    """Return watt-hours for joules."""
    return energy_j / JOULES_PER_WH


def joules_from_wh(energy_wh: float) -> float:
    """Return joules for watt-hours."""
    return energy_wh * JOULES_PER_WH


def format_energy(energy_j: float | None) -> str:
    """Return joules for a human reader, with a fitting SI prefix ("12.3 kJ"); "?" when unknown."""
    if energy_j is None:
        return "?"
    return _si(energy_j, "J")


def format_bytes(size_bytes: float) -> str:
    """Return bytes for a human reader ("1.2 MB")."""
    return _si(size_bytes, "B")


def format_duration(duration_s: float) -> str:
    """Return seconds for a human reader ("45 s", "3 min 20 s", "2 h 05 min")."""
    whole_s = round(duration_s)
    if whole_s < 60:
        return f"{whole_s} s"
    if whole_s < 3600:
        return f"{whole_s // 60} min {whole_s % 60:02d} s"
    return f"{whole_s // 3600} h {whole_s % 3600 // 60:02d} min"


def _si(value: float, unit: str) -> str:
    if value == 0:
        return f"0 {unit}"
    for factor, prefix in ((1e9, "n"), (1e6, "µ"), (1e3, "m"), (1.0, ""), (1e-3, "k"), (1e-6, "M")):
        scaled = float(f"{value * factor:.3g}")  # rounded first, so that 999.9 becomes 1 k
        if abs(scaled) < 1000:
            return f"{scaled:.3g} {prefix}{unit}"
    return f"{value * 1e-9:.3g} G{unit}"
