"""The front as plain cells, for a terminal or a page."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ecoautoml.reports.wording import ENERGY_PROVENANCE, format_metric, known, known_text

_COLUMNS: tuple[tuple[str, str], ...] = (
    ("validation_accuracy", "accuracy"),
    ("validation_balanced_accuracy", "balanced acc."),
    ("validation_macro_f1", "macro F1"),
    ("validation_auroc", "AUROC"),
    ("validation_top5_accuracy", "top-5 acc."),
    ("test_accuracy", "test acc."),
    ("inference_energy_j", "energy / image"),
    ("training_energy_j", "training energy"),
    ("latency_ms", "latency"),
    ("params", "params"),
    ("macs", "MACs"),
    ("size_bytes", "size"),
)


class TextTable(NamedTuple):
    """Headings and rows of cells, all text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def front_table_text(front: pd.DataFrame) -> TextTable:
    """Return the front with units for people ("12.3 µJ", "0.52 ms", "~" before estimates).

    Columns nobody has a value in are left out. A warning, when there is one, stands in
    ``front.attrs["warning"]``; show it beside the table.
    """
    shown = [(name, title) for name, title in _COLUMNS if front[name].notna().any()]
    rows = tuple(
        (str(row["trial"]), *(_cell(row, name) for name, _ in shown)) for _, row in front.iterrows()
    )
    return TextTable(columns=("trial", *(title for _, title in shown)), rows=rows)


def _cell(row: pd.Series, name: str) -> str:
    provenance = known_text(row[ENERGY_PROVENANCE[name]]) if name in ENERGY_PROVENANCE else None
    return format_metric(name, known(row[name]), provenance)
