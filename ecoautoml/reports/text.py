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
    ("chain_training_energy_j", "training energy"),
    ("latency_ms", "latency"),
    ("params", "params"),
    ("macs", "MACs"),
    ("size_bytes", "size"),
)

_STEPS = (("prune", "pruned"), ("distil", "taught"), ("sparsity", "sparse"))


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
    forms = [form_words(row) for _, row in front.iterrows()]
    has_forms = len(set(forms)) > 1 or bool(front["parent"].notna().any())
    rows = tuple(
        (
            str(row["trial"]),
            *([form] if has_forms else []),
            *(_cell(row, name) for name, _ in shown),
        )
        for form, (_, row) in zip(forms, front.iterrows(), strict=True)
    )
    heads = ("trial", *(["form"] if has_forms else []), *(title for _, title in shown))
    return TextTable(columns=heads, rows=rows)


def form_words(row: pd.Series) -> str:
    """Return what was made of a trained network: "pruned int8, openvino"."""
    steps = [word for column, word in _STEPS if known_text(row.get(column)) not in (None, "none")]
    quantize = known_text(row.get("quantize"))
    precision = "fp32" if quantize in (None, "none") else str(quantize)
    runtime = known_text(row.get("runtime"))
    made = " ".join([*steps, precision])
    return made if runtime in (None, "auto") else f"{made}, {runtime}"


def _cell(row: pd.Series, name: str) -> str:
    provenance = known_text(row[ENERGY_PROVENANCE[name]]) if name in ENERGY_PROVENANCE else None
    return format_metric(name, known(row[name]), provenance)
