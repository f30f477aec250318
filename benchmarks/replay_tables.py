"""Tables of finished trainings, read so that a search can be replayed on them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from replay_columns import TableError, numbers, pieces, read_frame, texts, values, without_ends
from replay_guess import complete
from replay_spaces import Places, as_names, space_of

from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import SearchSpace

FOLDER = Path(__file__).parent / "tables"
WORST_QUANTILE = 0.9
"""Of the errors: beyond it nothing counts for the hypervolume."""
MOST_REPEATS = 32
"""Trainings of one candidate that are kept."""
KEYS = (
    *("candidate", "split", "where", "energy", "known_after_first", "known_before_training"),
    *("cost", "cost_per_epoch", "objective", "score", "error", "best", "budget", "fidelities"),
    *("resumed", "repeats", "guess_error"),
)
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Every candidate of a space with what came out of training it.

    Attributes:
        name: Of its file.
        space: What the candidates span.
        candidates: Values by dimension, one mapping per row.
        energy: Energy of each candidate, ``(n,)``.
        is_energy_known: Whether it is known before training; else from the first training on.
        known: Everything known before training, ``(n, n_known)``; the energy first, if it is.
        errors: Mean error at each fidelity, ``(n_fidelities, n)``; the last is of full trainings.
        seeds: Error of single trainings, one of which a search sees: ``(n_seeds, n)`` for each
            fidelity.
        costs: Cost from the start to each fidelity in mean full trainings, ``(n_fidelities, n)``.
        is_resumed: Whether a longer training goes on where a shorter one of it ended, and pays the
            rest; else each is a run of its own.
        shares: Share of a full training at each fidelity.
        guess_error: Error of guessing; None: unknown.
        unit: Of what one unit of cost is the mean.
        notes: What was taken for what, and what was left out.
    """

    name: str
    space: SearchSpace
    candidates: tuple[dict[str, Value], ...]
    energy: Array
    is_energy_known: bool
    known: Array
    errors: Array
    seeds: tuple[Array, ...]
    costs: Array
    is_resumed: bool
    shares: tuple[float, ...]
    guess_error: float | None
    unit: str
    notes: tuple[str, ...]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.space.parameters)

    @cached_property
    def _rows(self) -> dict[tuple[Value, ...], int]:
        return {self._key(one): row for row, one in enumerate(self.candidates)}

    @cached_property
    def _places(self) -> Places:
        return Places(self.space, self.candidates)

    def _key(self, values: Mapping[str, Value]) -> tuple[Value, ...]:
        return tuple(values.get(name) for name in self._names)

    def row_of(self, values: Mapping[str, Value]) -> int:
        """Return the row of a candidate; of the nearest one, if it is not in the table."""
        key = self._key(values)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._places.nearest(values)
        return row

    @cached_property
    def reference(self) -> Array:
        """Return the reference point: error, log energy.

        Where no candidate is better than it in both, it lies a tenth of their range beyond all.
        """
        rows = self.front(np.arange(len(self.candidates)))
        losses = np.stack([self.errors[-1], np.log(self.energy)], axis=1)
        worst = np.quantile(losses[:, 0], WORST_QUANTILE)
        usual = np.array([worst, losses[:, 1].max()])
        if hypervolume(losses[rows], usual) > 0:
            return usual
        span = np.ptp(losses, axis=0)
        return np.asarray(losses.max(axis=0) + 0.1 * np.where(span > 0, span, 1.0))

    def front(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which of some rows no other beats, by their mean errors at full training."""
        index = np.asarray(rows, dtype=np.int64)
        index = index[np.lexsort((self.energy[index], self.errors[-1][index]))]
        energy = self.energy[index]
        least = np.minimum.accumulate(energy)
        return index[energy < np.concatenate([[np.inf], least[:-1]])]

    def volume(self, rows: Sequence[int] | NDArray[np.int64]) -> float:
        """Return the hypervolume of some rows, by their mean errors at full training."""
        index = self.front(rows)
        losses = np.stack([self.errors[-1][index], np.log(self.energy[index])], axis=1)
        return hypervolume(losses, self.reference)

    @cached_property
    def best(self) -> float:
        """Return the hypervolume of the true front."""
        return self.volume(np.arange(len(self.candidates)))


def misled(table: Table) -> Table:
    """Return a table in which shorter trainings show those of other candidates: they tell nothing.

    How good they are on the whole, and what they cost, stays as it is.
    """
    order = np.random.default_rng(0).permutation(len(table.candidates))
    last = len(table.errors) - 1
    errors = np.array([*(one[order] for one in table.errors[:last]), table.errors[last]])
    seeds = (*(each[:, order] for each in table.seeds[:last]), table.seeds[last])
    return replace(table, errors=errors, seeds=seeds)


def read_table(path: Path, **stated: Any) -> Table:
    """Read a Parquet or CSV file as its description says; what that leaves open is guessed.

    The description is a YAML file of the same stem beside the table or in `benchmarks/tables`; the
    longest stem there that the file's begins with is taken. A process reads a table once.

    Args:
        path: The table.
        stated: Parts of the description that count more than the file's.

    Raises:
        TableError: There is no such file, or what it is cannot be told.
    """
    written = path.stat().st_mtime_ns if path.exists() else 0
    return _read(path, written, json.dumps(stated, sort_keys=True))


@cache
def _read(path: Path, written: int, stated: str) -> Table:
    wishes: dict[str, Any] = json.loads(stated)
    frame = read_frame(path)
    described, source = description(path)
    if "fidelities" not in wishes and _aims_at(described, wishes.get("objective")):
        del wishes["objective"]
    if "objective" in wishes or "fidelities" in wishes:  # these belong together
        dropped = {"fidelities", "score", "error", "best", "objective"}
        described = {key: each for key, each in described.items() if key not in dropped}
    frame, about, notes = complete(frame, {**described, **wishes}, path.stem)
    return _table(path.stem, frame, about, [*source, *notes])


def _aims_at(described: Mapping[str, Any], objective: str | None) -> bool:
    """Return whether a description has this objective already."""
    last = described.get("fidelities", [None])[-1]
    about = last if isinstance(last, dict) else described
    return objective is not None and objective in {about.get("score"), about.get("error")}


def description(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what a YAML file says of a table, and which one it is.

    Raises:
        TableError: It is no mapping, or has a key that means nothing.
    """
    beside = path.with_suffix(".yaml")
    known = sorted(FOLDER.glob("*.yaml"), key=lambda one: -len(one.stem))
    found = (
        beside
        if beside.exists()
        else next((p for p in known if path.stem.startswith(p.stem)), None)
    )
    if found is None:
        return {}, [f"not described by {beside.name}: its columns are told by their names"]
    try:
        about = yaml.safe_load(found.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        raise TableError(f"{found} is no YAML: {' '.join(str(problem).split())}") from problem
    if not isinstance(about, dict):
        raise TableError(f"{found} must map names to what they are")
    unknown = sorted(set(about) - set(KEYS))
    if unknown:
        raise TableError(f"{found}: unknown {', '.join(unknown)}; allowed: {', '.join(KEYS)}")
    return about, [f"described by {found.name}"]


# --- from columns to candidates ------------------------------------------------------------------


class Readings(NamedTuple):
    """Of each candidate at each fidelity: mean error, errors of single trainings, cost."""

    errors: Array
    seeds: tuple[Array, ...]
    costs: Array


def _table(name: str, frame: pd.DataFrame, about: Mapping[str, Any], notes: list[str]) -> Table:
    if not about["candidate"]:
        raise TableError(
            f"{name}: no column says how candidates differ; describe it in a YAML file"
        )
    frame, n_before = frame.reset_index(drop=True), len(frame)
    dimensions = dimensions_of(frame, about)
    spanned = space_of(name, dimensions, pieces=set(dimensions) - set(frame))
    frame = frame[spanned.is_kept].reset_index(drop=True)
    if not spanned.space.parameters:
        raise TableError(f"{name}: all candidates are alike in {', '.join(about['candidate'])}")
    rows, first = _numbered(spanned.candidates)
    readings = _readings(frame, about, rows, len(first))
    last = frame
    if about.get("budget"):
        is_last = np.isclose(numbers(frame[about["budget"]]), about["fidelities"][-1])
        last = frame[is_last]
    last_rows = rows[last.index]
    energy = _mean_by(energy_of(last, about), last_rows, len(first))
    known = np.stack(
        [_mean_by(numbers(last[k]), last_rows, len(first)) for k in about["known_before_training"]]
        or [np.zeros(len(first))],
        axis=1,
    )[:, : len(about["known_before_training"])]
    is_usable, reasons = _usable(readings, energy)
    notes += spanned.notes
    n_left_out = int((~is_usable).sum())
    if n_left_out:
        notes.append(f"left out {n_left_out} of {len(first)} candidates: {', '.join(reasons)}")
    if is_usable.sum() < 2:
        raise TableError(f"{name} has no two candidates with score, energy and cost")
    keep = np.flatnonzero(is_usable)
    known = _filled(known[keep])
    is_known = not about.get("known_after_first", False)
    costs = readings.costs[:, keep]
    notes.append(_counted(n_before, keep, spanned.space, about))
    return Table(
        name=name,
        space=spanned.space,
        candidates=tuple(spanned.candidates[first[row]] for row in keep),
        energy=energy[keep],
        is_energy_known=is_known,
        known=np.column_stack([energy[keep], known]) if is_known else known,
        errors=readings.errors[:, keep],
        seeds=tuple(each[:, keep] for each in readings.seeds),
        costs=costs / costs[-1].mean(),
        is_resumed=bool(about["resumed"]),
        shares=tuple(about["shares"]),
        guess_error=about.get("guess_error"),
        unit=str(about.get("cost") or "a full training"),
        notes=tuple(notes),
    )


def _counted(
    n_rows: int, keep: NDArray[np.int64], space: SearchSpace, about: Mapping[str, Any]
) -> str:
    choices = [len(one.choices) for one in space.parameters if one.choices and not one.conditions]
    is_counted = len(choices) == len(space.parameters)
    points = f" of {math.prod(choices):,} possible ones" if is_counted else ""
    kind = "resumed" if about["resumed"] else "separate runs"
    shares = ", ".join(f"{share:.3g}" for share in about["shares"])
    return (
        f"{n_rows} rows: {len(keep)} candidates{points} in {len(space.parameters)} dimensions, "
        f"trained to {shares} of a full training ({kind})"
    )


def dimensions_of(frame: pd.DataFrame, about: Mapping[str, Any]) -> dict[str, list[Value]]:
    """Return the values of all candidates by dimension."""
    found: dict[str, list[Value]] = {}
    for name in about["candidate"]:
        how = about.get("split", {}).get(name)
        if how is None:
            found[name] = as_names(name, values(frame[name]), is_piece=False)
            continue
        for place, piece in pieces(without_ends(texts(frame[name]), how), how).items():
            key = f"{name}.{place}"
            found[key] = as_names(key, values(pd.Series(piece, dtype=object)), is_piece=True)
    return found


def energy_of(frame: pd.DataFrame, about: Mapping[str, Any]) -> Array:
    """Return the energy of each row; several columns are multiplied: power and time."""
    names = about["energy"]
    names = [names] if isinstance(names, str) else names
    return np.prod([numbers(frame[name]) for name in names], axis=0)


def _numbered(candidates: Sequence[Mapping[str, Value]]) -> tuple[NDArray[np.int64], list[int]]:
    """Return which candidate each row is, by number, and the first row of each."""
    number: dict[tuple[tuple[str, Value], ...], int] = {}
    first: list[int] = []
    rows = np.zeros(len(candidates), dtype=np.int64)
    for row, one in enumerate(candidates):
        key = tuple(one.items())
        if key not in number:
            number[key] = len(first)
            first.append(row)
        rows[row] = number[key]
    return rows, first


def _mean_by(column: Array, rows: NDArray[np.int64], n: int) -> Array:
    """Return the mean of a column for each candidate; NaN where it has none."""
    is_known = np.isfinite(column)
    total = np.bincount(rows[is_known], weights=column[is_known], minlength=n)
    count = np.bincount(rows[is_known], minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _readings(
    frame: pd.DataFrame, about: Mapping[str, Any], rows: NDArray[np.int64], n: int
) -> Readings:
    errors, seeds, costs = [], [], []
    budget = numbers(frame[about["budget"]]) if about.get("budget") else None
    repeats = [name for name in about.get("repeats", ()) if name in frame]
    order = frame.sort_values(repeats, kind="stable").index if repeats else frame.index
    for fidelity, share in zip(about["fidelities"], about["shares"], strict=True):
        index = np.asarray(order)
        one = about
        if budget is None:
            one = {**{key: about[key] for key in ("best",) if key in about}, **fidelity}
        else:
            index = index[np.isclose(budget[index], float(fidelity))]
        part, at = frame.iloc[index], rows[index]
        mean_of = one.get("score") or one["error"]
        singles = _by_repeat(_errors(part, one.get("seeds") or [mean_of], one), at, n)
        mean = _by_repeat(_errors(part, [mean_of], one), at, n)
        with np.errstate(invalid="ignore"):
            means = _mean_of(mean)
        errors.append(means)
        seeds.append(np.where(np.isnan(singles), _mean_of(singles), singles))
        costs.append(_cost(part, about, one, at, n, share))
    return Readings(np.stack(errors), tuple(seeds), np.stack(costs))


def _cost(
    part: pd.DataFrame,
    about: Mapping[str, Any],
    fidelity: Mapping[str, Any],
    at: NDArray[np.int64],
    n: int,
    share: float,
) -> Array:
    """Return what training to a fidelity costs: its own column's, or its share of a full one's."""
    is_long = bool(about.get("budget"))
    name = about.get("cost") if is_long else fidelity.get("cost") or about.get("cost")
    if name is None:
        return np.full(n, share)
    cost = _mean_by(numbers(part[name]), at, n)
    has_own = is_long and not about.get("cost_per_epoch")
    return cost if has_own or (not is_long and fidelity.get("cost")) else share * cost


def _errors(frame: pd.DataFrame, names: Sequence[str], about: Mapping[str, Any]) -> Array:
    """Return the errors in some columns, ``(n_columns, n_rows)``."""
    found = np.stack([numbers(frame[name]) for name in names])
    best = float(about.get("best", 1.0))
    return found / best if "error" in about else 1.0 - found / best


def _by_repeat(errors: Array, rows: NDArray[np.int64], n: int) -> Array:
    """Return ``(n_columns, n_rows)`` as single trainings of each candidate, ``(n_seeds, n)``."""
    repeat = pd.Series(rows).groupby(rows).cumcount().to_numpy()
    n_repeats = min(int(repeat.max(initial=0)) + 1, MOST_REPEATS)
    found = np.full((n_repeats, len(errors), n), np.nan)
    is_kept = repeat < n_repeats
    found[repeat[is_kept], :, rows[is_kept]] = errors[:, is_kept].T
    return found.reshape(-1, n)


def _mean_of(errors: Array) -> Array:
    count = (~np.isnan(errors)).sum(axis=0)
    return np.where(count > 0, np.nansum(errors, axis=0) / np.maximum(count, 1), np.nan)


def _usable(readings: Readings, energy: Array) -> tuple[NDArray[np.bool_], list[str]]:
    """Return which candidates can be replayed, and how many cannot for which reason."""
    checks = {
        "score": np.isfinite(readings.errors).all(axis=0),
        "energy": np.isfinite(energy) & (np.nan_to_num(energy) > 0),
        "cost": np.isfinite(readings.costs).all(axis=0) & (readings.costs[-1] > 0),
    }
    is_usable = np.all(list(checks.values()), axis=0)
    return is_usable, [
        f"{int((~check).sum())} without {name}" for name, check in checks.items() if not check.all()
    ]


def _filled(known: Array) -> Array:
    """Return what is known before training; a missing number is the column's median."""
    if not known.size or not np.isnan(known).any():
        return known
    is_any = ~np.isnan(known).all(axis=0)
    known = known[:, is_any]
    return np.where(np.isnan(known), np.nanmedian(known, axis=0), known)
