"""How metrics are named and their values written for people."""

from __future__ import annotations

import numpy as np

from ecoautoml.records.columns import METRICS
from ecoautoml.records.energy_reading import Provenance
from ecoautoml.units import format_bytes, format_energy

NOUNS: dict[str, str] = {
    "validation_accuracy": "validation accuracy",
    "validation_balanced_accuracy": "balanced accuracy",
    "validation_macro_f1": "macro F1",
    "validation_auroc": "AUROC",
    "validation_top5_accuracy": "top-5 accuracy",
    "test_accuracy": "test accuracy",
    "inference_energy_j": "inference energy",
    "training_energy_j": "training energy",
    "latency_ms": "latency",
    "params": "parameters",
    "macs": "MACs",
    "size_bytes": "size",
}
"""Short names for sentences and table headings; the long ones are the metrics' titles."""

ENERGY_PROVENANCE: dict[str, str] = {
    "inference_energy_j": "inference_energy_provenance",
    "training_energy_j": "training_energy_provenance",
    "chain_training_energy_j": "chain_training_energy_provenance",
}
"""Column that says where an energy column's joules come from."""

STATE_WORDS: dict[str, str] = {
    "complete": "finished",
    "paused": "set aside",
    "pruned": "stopped early",
    "stopped": "cut short by the budget",
    "infeasible": "broke a constraint",
    "failed": "failed",
    "reused": "reused",
    "interrupted": "interrupted",
}
"""How a trial ended, in words for people."""

PROVENANCE_TEXT: dict[Provenance, str] = {
    Provenance.MEASURED: (
        "read from an energy counter of the hardware, on a device nobody else used meanwhile"
    ),
    Provenance.ATTRIBUTED: (
        "a share of an energy counter, because the device was also used by others; marked with ~"
    ),
    Provenance.ESTIMATED: (
        "computed from processor time and a stated wattage, because no counter could be read; "
        "good for ranking models on this machine, not for absolute claims; marked with ~"
    ),
}


def known(value: object) -> float | None:
    """Return a table cell as a float, None when it is missing."""
    if not isinstance(value, (int, float, np.number)) or np.isnan(value):
        return None
    return float(value)


def known_text(value: object) -> str | None:
    """Return a table cell as text, None when it is missing."""
    return value if isinstance(value, str) else None


def mark(provenance: str | None) -> str:
    """Return "~" for joules that were not measured, "" otherwise."""
    return Provenance(provenance).mark if provenance else ""


def is_score(name: str) -> bool:
    """Return whether a column is a score within [0, 1]."""
    return name == "test_accuracy" or (name in METRICS and METRICS[name].is_score)


def format_metric(name: str, value: float | None, provenance: str | None = None) -> str:
    """Return a value with a unit that reads well: "97.8 %", "~12.3 µJ", "0.52 ms"; "?" unknown.

    Args:
        name: Column name; its unit is the value's.
        value: The value; None when unknown.
        provenance: Where joules come from.
    """
    if value is None:
        return "?"
    if is_score(name):
        return f"{100 * value:.1f} %"
    if name.endswith("_j"):
        return mark(provenance) + format_energy(value)
    if name.endswith("_ms"):
        return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"
    if name.endswith("_bytes"):
        return format_bytes(value)
    return format_count(value)


def format_count(value: float) -> str:
    """Return a count with a short suffix: "950", "12.3 k", "4.5 M"."""
    for limit, factor, suffix in ((1e3, 1.0, ""), (1e6, 1e-3, " k"), (1e9, 1e-6, " M")):
        if round(value) < limit:
            return f"{value * factor:.3g}{suffix}" if suffix else f"{value:.0f}"
    return f"{value * 1e-9:.3g} G"


def format_share(share: float) -> str:
    """Return a share as per cent with about two digits: "23 %", "0.45 %"."""
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.2g} %"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return "1 trial", "2 trials"."""
    return f"{count} {noun if count == 1 else (nouns or noun + 's')}"


def listed(words: list[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
