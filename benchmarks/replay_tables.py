"""Tables of finished trainings, read so that a search can be replayed on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.records.candidate import Value

FOLDER = Path(__file__).parent / "tables"
WORST_QUANTILE = 0.9
"""Of the errors: beyond it nothing counts for the hypervolume."""
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Every candidate of a space with what came out of training it.

    Attributes:
        name: Of its file.
        candidates: Values by dimension, one mapping per row.
        choices: Values of each dimension, in order.
        energy: Known before training, ``(n,)``.
        known: Everything known before training, ``(n, n_known)``; the energy comes first.
        errors: Mean error at each fidelity, ``(n_fidelities, n)``; the last is of full trainings.
        seeds: Error of single trainings, one of which a search sees: ``(n_seeds, n)`` for each
            fidelity.
        costs: Cost of each fidelity in mean full trainings, ``(n_fidelities, n)``; a fidelity pays
            for itself alone: trainings are separate runs.
        shares: Share of a full training at each fidelity.
        guess_error: Error of guessing; None: unknown.
    """

    name: str
    candidates: tuple[dict[str, Value], ...]
    choices: dict[str, tuple[Value, ...]]
    energy: Array
    known: Array
    errors: Array
    seeds: tuple[Array, ...]
    costs: Array
    shares: tuple[float, ...]
    guess_error: float | None

    @cached_property
    def _rows(self) -> dict[tuple[Value, ...], int]:
        return {tuple(one.values()): row for row, one in enumerate(self.candidates)}

    def row_of(self, values: Mapping[str, Value]) -> int:
        """Return the row of a candidate."""
        return self._rows[tuple(values[name] for name in self.choices)]

    @cached_property
    def reference(self) -> Array:
        """Return the reference point: error, log energy."""
        worst = np.quantile(self.errors[-1], WORST_QUANTILE)
        return np.array([worst, np.log(self.energy).max()])

    def volume(self, rows: Sequence[int] | NDArray[np.int64]) -> float:
        """Return the hypervolume of some rows, by their mean errors at full training."""
        index = np.asarray(rows, dtype=np.int64)
        losses = np.stack([self.errors[-1][index], np.log(self.energy[index])], axis=1)
        return hypervolume(losses, self.reference)


def read_table(path: Path, *, energy: str | None = None) -> Table:
    """Read a Parquet or CSV file as its description says.

    The description is a YAML file of the same stem beside the table or in `benchmarks/tables`; the
    longest stem there that the file's begins with is taken.

    Args:
        path: The table.
        energy: Column of the energy, instead of the description's.

    Raises:
        SystemExit: There is no such file or no description, or a column is missing.
    """
    if not path.exists():
        raise SystemExit(f"there is no table {path}")
    about = _description(path)
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    energy = energy or about["energy"]
    known = list(dict.fromkeys([energy, *about["known_before_training"]]))
    fidelities = about["fidelities"]
    names = list(about["candidate"])
    wanted = [*names, *known, about["cost"]]
    wanted += [name for one in fidelities for name in (one["score"], *one.get("seeds", ()))]
    missing = sorted({name for name in wanted if name not in frame})
    if missing:
        raise SystemExit(f"{path} has no column {', '.join(missing)}; it has {', '.join(frame)}")
    cost = frame[about["cost"]].to_numpy(dtype=float)
    rows = frame[names].astype(object).to_dict("records")
    return Table(
        name=path.stem,
        candidates=tuple(rows),
        choices={name: tuple(sorted(set(frame[name]))) for name in names},
        energy=frame[energy].to_numpy(dtype=float),
        known=frame[known].to_numpy(dtype=float),
        errors=np.stack([_error(frame, [one["score"]], one)[0] for one in fidelities]),
        seeds=tuple(_error(frame, one.get("seeds") or [one["score"]], one) for one in fidelities),
        costs=np.stack([one["share"] * cost / cost.mean() for one in fidelities]),
        shares=tuple(float(one["share"]) for one in fidelities),
        guess_error=about.get("guess_error"),
    )


def _error(frame: pd.DataFrame, names: Sequence[str], about: dict[str, Any]) -> Array:
    """Return the errors of some columns, ``(n_columns, n)``; an unknown one is the others' mean."""
    errors = 1.0 - frame[list(names)].to_numpy(dtype=float).T / float(about.get("best", 1.0))
    mean = np.nanmean(errors, axis=0)
    return np.where(np.isnan(errors), mean, errors)


def _description(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".yaml")
    known = sorted(FOLDER.glob("*.yaml"), key=lambda one: -len(one.stem))
    found = (
        [beside] if beside.exists() else [one for one in known if path.stem.startswith(one.stem)]
    )
    if not found:
        raise SystemExit(f"{path} is not described: write {beside.name} beside it, as in {FOLDER}")
    about: dict[str, Any] = yaml.safe_load(found[0].read_text(encoding="utf-8"))
    return about
