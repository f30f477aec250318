"""The results as tables: every trial, and the front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecoautoml.config.preferences import NOTHING, Prefer
from ecoautoml.pareto.front import front_mask
from ecoautoml.pareto.scale import as_losses
from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.records.columns import (
    DETAIL_COLUMNS,
    INFERENCE_ENERGY,
    METRICS,
    RESULT_COLUMNS,
    SYNFLOW,
    batch_columns,
    column_with_ties,
)
from ecoautoml.records.energy_reading import EnergyLine, joined, weakest
from ecoautoml.records.measurement import InferenceMeasurement
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.reports.summary import RunSummary
from ecoautoml.reports.wording import ENERGY_PROVENANCE, NOUNS, format_metric, listed, plural

_INTEGERS = {
    "trial",
    "params",
    "macs",
    "size_bytes",
    "epochs_trained",
    "reused_from",
    "parent",
    "would_have_stopped",
}
_TEXTS = {"state", "reason", "inference_energy_stage", "inference_energy_note", "ties_with"}


FINAL = "final"
"""Stage of a model measured in turn with the others of the front."""


class Frames(NamedTuple):
    """The tables of a run: all trials, and the front among them."""

    trials: pd.DataFrame
    front: pd.DataFrame


def make_frames(results: Iterable[TrialResult], summary: RunSummary) -> Frames:
    """Return all trials and the front on the run's objectives."""
    trials = trials_frame(results, summary)
    return Frames(trials=trials, front=front_frame(trials, summary.objectives, summary.prefer))


def trials_frame(results: Iterable[TrialResult], summary: RunSummary) -> pd.DataFrame:
    """Return one row per trial, in order of trial number.

    Columns are `RESULT_COLUMNS`, the candidates' parameters, `batch_columns` of other batch sizes
    that were measured, then `DETAIL_COLUMNS`. All have pandas
    types that know missing values (Int64, Float64, string, boolean), so the table can be written to
    CSV and parquet; a parameter with values of several types becomes text. Unknown is ``pd.NA``.
    """
    ordered = sorted(results, key=lambda result: result.number)
    rows = [_row(result, summary) for result in ordered]
    _add_chains(rows)
    columns = {name: _result_column(name, rows) for name in RESULT_COLUMNS}
    taken = {*RESULT_COLUMNS, *DETAIL_COLUMNS}
    for name in _parameter_names(result.candidate for result in ordered):
        values = [result.candidate.parameters().get(name) for result in ordered]
        columns[f"param.{name}" if name in taken else name] = _parameter_column(values)
    more = dict.fromkeys(name for result in ordered for name in _batch_cells(result))
    columns |= {name: _result_column(name, rows) for name in (*more, *DETAIL_COLUMNS[:-1])}
    frame = pd.DataFrame(columns)
    on_front = set(front_order(frame, summary.objectives, summary.prefer))
    frame["is_on_front"] = _column([row["trial"] in on_front for row in rows], "boolean")
    return frame


def front_frame(
    frame: pd.DataFrame, objectives: Sequence[str], prefer: Prefer = NOTHING
) -> pd.DataFrame:
    """Return the rows nobody beats on the objectives, cheapest first.

    Only complete (hence feasible) trials whose objectives are all known take part; a reused trial
    does not, as the original stands for both. Once models were measured in turn, only those do,
    and of those whose joules tie, what is worse in the rest does not stay
    (`ecoautoml.pareto.front.front_mask`). What is beyond the reference takes part only where
    nothing is within it. ``attrs["warning"]`` holds a sentence when the rows cannot be compared
    fairly (joules of several provenances), when complete trials had to be left out, or when none
    is within the reference; whoever shows the table shows it too.

    Args:
        frame: As `trials_frame` returns it, or a selection of its rows.
        objectives: Column names of `METRICS`.
        prefer: What is of use.
    """
    complete = frame[(frame["state"] == TrialState.COMPLETE.value).to_numpy(dtype=bool)]
    is_final = (complete["inference_energy_stage"] == FINAL).to_numpy(dtype=bool, na_value=False)
    if is_final.any():  # readings taken otherwise do not decide beside those taken in turn
        complete = complete[is_final]
    complete, beyond = _of_use(complete, objectives, prefer)
    losses = objective_losses(complete, objectives)
    front = complete[front_mask(losses, column_with_ties(objectives), _ties(complete))]
    column, ascending = _order(objectives)
    front = front.sort_values([column, "trial"], ascending=[ascending, True])
    front = front.reset_index(drop=True)
    front.attrs = {}
    n_unknown = int(np.isnan(losses).any(axis=1).sum())
    warnings = [*_provenance_warnings(front, objectives), *_unknown_warnings(n_unknown, objectives)]
    warnings += beyond
    if warnings:
        front.attrs["warning"] = " ".join(warnings)
    return front


def _ties(frame: pd.DataFrame) -> dict[int, set[int]]:
    """Return each row's trial number with the trials it ties with, from the column's "3, 8"."""
    texts = frame["ties_with"].fillna("")
    return {
        int(trial): {int(other) for other in text.split(", ") if other}
        for trial, text in zip(frame["trial"], texts, strict=True)
    }


def front_order(
    frame: pd.DataFrame, objectives: Sequence[str], prefer: Prefer = NOTHING
) -> tuple[int, ...]:
    """Return the trial numbers of the front, cheapest first."""
    return tuple(int(trial) for trial in front_frame(frame, objectives, prefer)["trial"])


def objective_losses(
    frame: pd.DataFrame, objectives: Sequence[str], *, is_logged: bool = False
) -> NDArray[np.float64]:
    """Return the objectives of a table as losses, shape ``(n_rows, n_objectives)``.

    Args:
        frame: Holds the objectives' columns.
        objectives: Column names of `METRICS`.
        is_logged: Whether costs are taken on the log10 scale.
    """
    metrics = [METRICS[name] for name in objectives]
    values = frame[list(objectives)].to_numpy(dtype=float, na_value=math.nan)
    costs = [index for index, metric in enumerate(metrics) if not metric.is_score]
    return as_losses(values, [metric.direction for metric in metrics], costs if is_logged else ())


def first_score(objectives: Sequence[str]) -> str | None:
    """Return the first objective that is a score."""
    return next((name for name in objectives if METRICS[name].is_score), None)


def first_cost(objectives: Sequence[str]) -> str | None:
    """Return the first objective that is a cost."""
    return next((name for name in objectives if not METRICS[name].is_score), None)


# --- rows -----------------------------------------------------------------------------------


def _row(result: TrialResult, summary: RunSummary) -> dict[str, Any]:
    probe, metrics = result.probe, result.metrics
    interrupted = summary.interrupted.get(result.number)
    training = _named(result, "training")
    row: dict[str, Any] = {name: metrics.get(name) for name in METRICS}
    row[SYNFLOW] = metrics.get(SYNFLOW)
    row |= _batch_cells(result)
    row |= _inference_cells(result)
    if probe is not None:
        # Compression changes them: what the finished model has goes before the probe.
        for name in ("params", "macs", "size_bytes"):
            row[name] = metrics.get(name, getattr(probe, name))
    return row | {
        "trial": result.number,
        "ties_with": ", ".join(str(number) for number in result.ties_with) or None,
        "state": _state(result).value,
        "test_accuracy": summary.test_scores.get(result.number),
        "training_energy_j": training.energy_j,
        "training_energy_net_j": training.net_j,
        "training_energy_codecarbon_j": result.codecarbon_j,
        "training_energy_provenance": training.provenance,
        # Nothing is spent on a reused result, whatever bill it carries over.
        "trial_energy_j": 0.0 if result.state is TrialState.REUSED else result.energy_j,
        "probe_energy_j": _named(result, "probe").energy_j,
        "interrupted_energy_j": interrupted.energy_j if interrupted else None,
        "duration_s": result.duration_s,
        "epochs_trained": result.epochs,
        "reused_from": result.reused_from,
        "parent": result.parent,
        "has_no_training": all(line.line != "training" for line in result.energy),
        "would_have_stopped": result.would_have_stopped,
        "reason": result.reason,
    }


def _add_chains(rows: Sequence[dict[str, Any]]) -> None:
    """Add what a model's whole training took: its own steps, and its parent's.

    A network that its form left as it was trained has no steps of its own: 0 J, which is known.
    """
    by_trial = {row["trial"]: row for row in rows}
    for row in rows:
        parent = None if row["parent"] is None else by_trial.get(row["parent"])
        if row["parent"] is not None and row["has_no_training"]:
            row["training_energy_j"] = 0.0
        steps = [one for one in (parent, row) if one is not None]
        joules = [one["training_energy_j"] for one in steps]
        is_known = None not in joules and (parent is not None or row["parent"] is None)
        row["chain_training_energy_j"] = sum(joules) if is_known else None
        row["chain_training_energy_provenance"] = weakest(
            one["training_energy_provenance"] for one in steps
        )


def _inference_cells(result: TrialResult) -> dict[str, Any]:
    """Return the last measurement of the model, and at which stage of the search it was made."""
    stages: dict[str, InferenceMeasurement | None] = {
        FINAL: result.final,
        "screening": result.inference,
        "probe": result.probe.inference if result.probe else None,
    }
    stage = next((name for name, found in stages.items() if found is not None), None)
    inference = None if stage is None else stages[stage]
    if inference is None:
        return {}
    return {
        "inference_energy_stage": stage,
        INFERENCE_ENERGY: inference.energy_j,
        "inference_energy_provenance": inference.provenance,
        "inference_energy_note": inference.note,
        "inference_energy_j_low": inference.energy_low_j,
        "inference_energy_j_high": inference.energy_high_j,
        "latency_ms": inference.latency_ms,
        "latency_p95_ms": inference.latency_p95_ms,
    }


def _batch_cells(result: TrialResult) -> dict[str, Any]:
    """Return the measurements at other batch sizes."""
    return {
        column: getattr(measurement, attribute)
        for measurement in result.other_batches
        for attribute, column in batch_columns(measurement.batch_size).items()
    }


def _state(result: TrialResult) -> TrialState:
    """Return the state; a finished trial that violates a constraint counts as infeasible."""
    if result.state is TrialState.COMPLETE and not result.is_feasible:
        return TrialState.INFEASIBLE
    return result.state


def _named(result: TrialResult, name: str) -> EnergyLine:
    """Return a trial's lines called ``name`` as one."""
    return joined(name, [line for line in result.energy if line.line == name])


# --- columns --------------------------------------------------------------------------------


def _result_column(name: str, rows: Sequence[Mapping[str, Any]]) -> pd.Series[Any]:
    values = [_missing_as_none(row.get(name)) for row in rows]
    if name in _TEXTS or name.endswith("_provenance"):
        return _column([None if value is None else str(value) for value in values], "string")
    if name in _INTEGERS:
        return _column([None if value is None else round(value) for value in values], "Int64")
    return _column(values, "Float64")


def _column(values: Sequence[Any], dtype: str) -> pd.Series[Any]:
    return pd.Series(list(values), dtype=dtype)


def _missing_as_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _parameter_names(candidates: Iterable[Candidate]) -> list[str]:
    """Return all parameters: by section, within it in order of first appearance."""
    sections: tuple[dict[str, None], ...] = ({}, {}, {}, {})
    for candidate in candidates:
        parts = (
            candidate.architecture,
            candidate.hyperparameters,
            candidate.compression,
            candidate.runtime,
        )
        for section, part in zip(sections, parts, strict=True):
            section.update(dict.fromkeys(part))
    return list(dict.fromkeys(name for section in sections for name in section))


def _parameter_column(values: Sequence[Value]) -> pd.Series[Any]:
    """Return a column of one type: boolean, Int64, Float64, or text for anything mixed."""
    types = {type(value) for value in values if value is not None}
    if types == {bool}:
        return _column(values, "boolean")
    if types == {int}:
        return _column(values, "Int64")
    if types and types <= {int, float}:
        return _column(values, "Float64")
    return _column([None if value is None else _as_text(value) for value in values], "string")


def _as_text(value: Value) -> str:
    # As in YAML, where the value came from.
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- front ----------------------------------------------------------------------------------


def _order(objectives: Sequence[str]) -> tuple[str, bool]:
    """Return the column the front is sorted by, and whether upwards."""
    column = first_cost(objectives) or objectives[0]
    return column, METRICS[column].direction == "minimize"


def _provenance_warnings(front: pd.DataFrame, objectives: Sequence[str]) -> list[str]:
    warnings = []
    for energy, provenance in ENERGY_PROVENANCE.items():
        kinds = sorted(str(kind) for kind in front[provenance].dropna().unique())
        if len(kinds) > 1 and (energy in objectives or energy == INFERENCE_ENERGY):
            warnings.append(
                f"The {NOUNS[energy]} of the models below is partly {listed(kinds)}: such numbers "
                "do not compare; rank only models of the same kind."
            )
    return warnings


def _of_use(
    complete: pd.DataFrame, objectives: Sequence[str], prefer: Prefer
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows within the reference; all, and a sentence about it, where none is."""
    names = list(prefer.reference)
    values = complete[names].to_numpy(dtype=float, na_value=math.nan)
    is_known = ~complete[list(objectives)].isna().to_numpy(dtype=bool).any(axis=1)
    is_within = np.array(
        [prefer.is_within(dict(zip(names, row, strict=True))) for row in values], dtype=bool
    )
    if not names or not is_known.any():
        return complete, []
    if (is_within & is_known).any():
        return complete[is_within | ~is_known], []
    limits = [
        f"{NOUNS[name]} {'at least' if METRICS[name].is_score else 'at most'} "
        f"{format_metric(name, prefer.reference[name])}"
        for name in names
    ]
    return complete, [
        f"No model is within what was asked for ({listed(limits)}), so the front is shown as if "
        "that had not been asked."
    ]


def _unknown_warnings(n_unknown: int, objectives: Sequence[str]) -> list[str]:
    if not n_unknown:
        return []
    nouns = listed([NOUNS[name] for name in objectives])
    verb = "is" if n_unknown == 1 else "are"
    return [
        f"{plural(n_unknown, 'complete trial')} {verb} left out, because not all of {nouns} "
        "could be determined."
    ]
