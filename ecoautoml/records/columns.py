"""The one place where metric and column names stand.

A `Metric` can be an objective or appear in a constraint; its name is its column in ``front.csv``
and ``trials.parquet``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

INFERENCE_ENERGY = "inference_energy_j"
"""The objective whose values cannot always be told apart: two models may tie in it."""

SYNFLOW = "synflow"
"""A score of the untrained network; no objective, and no limit can be set to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number a trial yields.

    Attributes:
        name: Column name, with its unit.
        direction: Whether more or less of it is better.
        title: Name for people, with the unit.
        is_known_before_training: Whether the probe already tells it.
        is_score: Whether it is a score on the validation images, within [0, 1].
    """

    name: str
    direction: Literal["maximize", "minimize"]
    title: str
    is_known_before_training: bool
    is_score: bool

    def loss(self, value: float) -> float:
        """Return the value as a loss: smaller is better."""
        return -value if self.direction == "maximize" else value


def _score(name: str, title: str) -> Metric:
    return Metric(
        name=f"validation_{name}",
        direction="maximize",
        title=title,
        is_known_before_training=False,
        is_score=True,
    )


def _cost(name: str, title: str, *, known: bool = True) -> Metric:
    return Metric(
        name=name,
        direction="minimize",
        title=title,
        is_known_before_training=known,
        is_score=False,
    )


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _score("accuracy", "Validation accuracy"),
        _score("balanced_accuracy", "Validation balanced accuracy"),
        _score("macro_f1", "Validation macro F1"),
        _score("auroc", "Validation AUROC (one against rest, macro)"),
        _score("top5_accuracy", "Validation top-5 accuracy"),
        _cost(INFERENCE_ENERGY, "Inference energy (J per image)"),
        _cost("training_energy_j", "Training energy (J)", known=False),
        _cost("latency_ms", "Latency (ms per call)"),
        _cost("params", "Parameters"),
        _cost("macs", "MACs per image"),
        _cost("size_bytes", "Model size (bytes)"),
    )
}

SCORES: tuple[str, ...] = tuple(name for name, metric in METRICS.items() if metric.is_score)

RESULT_COLUMNS: tuple[str, ...] = (
    "trial",
    "state",
    "validation_accuracy",
    "test_accuracy",
    INFERENCE_ENERGY,
    "inference_energy_provenance",
    "training_energy_j",
    "training_energy_provenance",
    "latency_ms",
    "params",
    "macs",
    "size_bytes",
)
"""Columns every table starts with, in this order; the parameters follow."""


def batch_columns(batch_size: int) -> dict[str, str]:
    """Return the columns of a measurement at another batch size, by attribute of it."""
    energy, latency = f"inference_energy_b{batch_size}", f"latency_b{batch_size}"
    return {
        "energy_j": f"{energy}_j",
        "energy_low_j": f"{energy}_j_low",
        "energy_high_j": f"{energy}_j_high",
        "provenance": f"{energy}_provenance",
        "latency_ms": f"{latency}_ms",
        "latency_p95_ms": f"{latency}_p95_ms",
    }


DETAIL_COLUMNS: tuple[str, ...] = (
    "validation_balanced_accuracy",
    "validation_macro_f1",
    "validation_auroc",
    "validation_top5_accuracy",
    "inference_energy_stage",
    "inference_energy_note",
    "ties_with",
    SYNFLOW,
    "inference_energy_j_low",
    "inference_energy_j_high",
    "latency_p95_ms",
    "training_energy_net_j",
    "training_energy_codecarbon_j",
    "trial_energy_j",
    "probe_energy_j",
    "interrupted_energy_j",
    "duration_s",
    "epochs_trained",
    "reused_from",
    "parent",
    "chain_training_energy_j",
    "chain_training_energy_provenance",
    "would_have_stopped",
    "reason",
    "is_on_front",
)
"""Columns that stand after the parameters."""

_BATCH_COLUMN = re.compile(r"(inference_energy|latency)_b\d+_.+")


def is_parameter(column: str) -> bool:
    """Return whether a table's column holds a candidates' parameter, rather than a result."""
    own = {*RESULT_COLUMNS, *DETAIL_COLUMNS}
    return column not in own and not _BATCH_COLUMN.fullmatch(column)


def column_with_ties(objectives: Sequence[str]) -> int | None:
    """Return which of the objectives may tie; None when none may."""
    names = list(objectives)
    return names.index(INFERENCE_ENERGY) if INFERENCE_ENERGY in names else None
