"""What the columns of a table are, where its description does not say: told by names and values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import replay_words as say
from replay_columns import TableError, how_to_split, is_numeric, numbers, texts

MOST_VALUES = 48
"""Different values of a column that are choices."""
MOST_RUNGS = 6
"""Fidelities that are kept as they are; of more, each next one is the nearest to a third."""
RUNG_RATIO = 3.0
MOST_CONTEXTS = 60
TOLD_APART = 0.9
"""Share of candidates that dimensions must tell apart to be all of them."""
GROWN = 1.05
UNKNOWN_SHARE = 0.1
CLASSES = {
    r"cifar[-_]?100": 100,
    r"cifar[-_]?10(?!0)": 10,
    r"tiny[-_]?imagenet": 200,
    r"imagenet[-_]?16[-_]?(120)?|in16": 120,
    r"imagenet": 1000,
    r"mnist|svhn": 10,
}
"""Data sets by name, and how many classes they have."""
About = dict[str, Any]


class _Columns:
    """Columns of a table, and which of them are spoken for."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.is_numeric = {name: is_numeric(frame[name]) for name in frame}
        self.taken: set[str] = set()
        self.notes: list[str] = []

    def take(self, *names: str | None) -> None:
        self.taken |= {name for name in names if name is not None}

    def numeric(self, test: Callable[[str], bool]) -> list[str]:
        """Return the columns of numbers that are still free and pass a test of their name."""
        return [
            name
            for name in self.frame
            if self.is_numeric[name] and name not in self.taken and test(name)
        ]


def complete(
    frame: pd.DataFrame, stated: Mapping[str, Any], stem: str
) -> tuple[pd.DataFrame, About, list[str]]:
    """Return a table's rows, its full description, and one line on each thing that was told.

    Args:
        frame: The columns.
        stated: What is known of them; it counts as it is.
        stem: Name of the file.

    Raises:
        TableError: A named column is missing, or something cannot be told.
    """
    about = dict(stated)
    frame, notes = _curves_as_rows(frame, about)
    _check(frame, about, stem)
    frame, more = _where(frame, about)
    columns = _Columns(frame)
    columns.notes += [*notes, *more]
    for name in _named(about):
        columns.take(name)
    _objective(columns, about, stem)
    _budget(columns, about)
    _rungs(columns, about, stem)
    _energy(columns, about, stem)
    _cost(columns, about)
    _known(columns, about)
    _candidate(columns, about)
    if "guess_error" not in about:
        about["guess_error"] = _guess_error(columns, about, stem)
    left = [name for name in frame if name not in columns.taken]
    if left:
        columns.notes.append(f"not used: {', '.join(left)}")
    return frame, about, columns.notes


def _named(about: Mapping[str, Any]) -> list[str]:
    """Return every column that a description names."""
    energy = about.get("energy", [])
    named = [*([energy] if isinstance(energy, str) else energy)]
    named += [about[key] for key in ("cost", "score", "error", "budget") if about.get(key)]
    named += [*about.get("where", {}), *about.get("candidate", ()), *about.get("repeats", ())]
    named += about.get("known_before_training", ())
    for one in about.get("fidelities", ()):
        if isinstance(one, Mapping):
            named += [one[key] for key in ("score", "error", "cost") if key in one]
            named += one.get("seeds", ())
    return named


def _check(frame: pd.DataFrame, about: Mapping[str, Any], stem: str) -> None:
    missing = sorted({name for name in _named(about) if name not in frame})
    if missing:
        raise TableError(f"{stem} has no column {', '.join(missing)}; it has {', '.join(frame)}")


# --- rows ----------------------------------------------------------------------------------------


def _curves_as_rows(frame: pd.DataFrame, about: About) -> tuple[pd.DataFrame, list[str]]:
    """Return a row for each epoch of a learning curve, where a column holds whole curves."""
    curves = [
        name
        for name in frame
        if frame[name].dtype == object and frame[name].map(lambda v: isinstance(v, list)).any()
    ]
    if not curves:
        return frame, []
    name = next((n for n in curves if n == about.get("objective")), curves[0])
    has_curve = frame[name].map(lambda v: isinstance(v, list) and len(v) > 0)
    plain = frame[has_curve].drop(columns=curves)
    curve = frame.loc[has_curve, name]
    length = curve.map(len)
    last = int(length.median())
    rungs = [int(rung) for rung in _thinned([float(n) for n in range(1, last + 1)])]
    parts = [
        plain[length >= rung].assign(
            **{name: curve[length >= rung].map(lambda v, r=rung: v[r - 1]), "curve_epoch": rung}
        )
        for rung in rungs
    ]
    about.setdefault("budget", "curve_epoch")
    about.setdefault("objective", name)
    note = f"learning curves: {name}, {last} epochs, of which {', '.join(map(str, rungs))} are used"
    return pd.concat(parts, ignore_index=True), [note]


def _where(frame: pd.DataFrame, about: About) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of one data set on one device, of finished trainings."""
    notes, stated = [], dict(about.get("where", {}))
    for name, allowed in stated.items():
        frame = frame[_is_one_of(frame[name], allowed)]
        if frame.empty:
            raise TableError(f"no row has {name} {allowed}")
    free = set(frame) - set(_named({key: each for key, each in about.items() if key != "where"}))
    for name in [each for each in frame if each in free - set(stated)]:
        found = frame[name].astype(object).dropna()
        if not 1 < found.nunique() <= MOST_CONTEXTS:
            continue
        if name.lower() in say.CONTEXTS:
            chosen = found.value_counts(sort=True).index[0]
            others = ", ".join(str(each) for each in found.unique() if each != chosen)
            notes.append(f"rows used: {name} {chosen} (not {others}; choose with --where {name}=…)")
            frame = frame[frame[name].astype(object) == chosen]
        elif name.lower() in say.STATES and found.map(_is_good).any():
            frame = frame[frame[name].astype(object).map(_is_good)]
            notes.append(f"rows used: {name}")
    return frame.reset_index(drop=True), notes


def _is_one_of(column: pd.Series, allowed: Any) -> pd.Series:
    texts = {str(each) for each in (allowed if isinstance(allowed, list) else [allowed])}
    amounts = {float(text) for text in texts if re.fullmatch(r"-?\d+(\.\d+)?", text)}
    return column.astype(object).map(
        lambda v: str(v) in texts or (isinstance(v, int | float) and float(v) in amounts)
    )


def _is_good(value: Any) -> bool:
    return str(value).strip().lower() in say.GOOD_STATES


# --- what is aimed at ----------------------------------------------------------------------------


def _objective(columns: _Columns, about: About, stem: str) -> None:
    """Tell which columns hold the score, or the error, after which training."""
    wish = about.pop("objective", None)
    direction = None
    if wish is not None and wish not in columns.frame and wish.endswith((":min", ":max")):
        wish, direction = wish[:-4], wish[-3:]
    fidelities = about.get("fidelities", ())
    if any(isinstance(one, Mapping) for one in fidelities):
        about["fidelities"] = [dict(one) for one in fidelities]
        return
    if "score" in about or "error" in about:
        return
    usable = [name for name in columns.frame if columns.is_numeric[name]]
    if wish is None and not about.get("budget"):
        wish = _last_named(fidelities, usable, stem)
    name = _matching(wish, usable, stem) if wish else _best_objective(columns, stem)
    is_less_better = direction == "min" if direction else say.is_error(name)
    about["error" if is_less_better else "score"] = name
    columns.take(name)


def _last_named(fidelities: Sequence[Any], names: Sequence[str], stem: str) -> str | None:
    """Return the column of the longest training that was asked for, if columns were."""
    if not fidelities or _is_number(fidelities[-1]):
        return None
    wish = str(fidelities[-1])
    last = wish if wish in names else wish.rpartition(":")[0]
    if last not in names:
        raise TableError(f"{stem} has no column of numbers {wish} (say COLUMN or COLUMN:SHARE)")
    is_budget = len(fidelities) == 1 and not _is_objective(last)
    return None if is_budget else last


def _matching(wish: str, names: Sequence[str], stem: str) -> str:
    """Return the column that is wished for, or the last of the family by that name."""
    if wish in names:
        return wish
    found = say.families(names).get(wish)
    if not found:
        raise TableError(f"{stem} has no column of numbers {wish}; it has {', '.join(names)}")
    told = [epochs for epochs in found if epochs is not None]
    unsaid = found.get(None)
    member = unsaid if unsaid is not None and (unsaid.mean or not told) else found[max(told)]
    return member.mean or member.seeds[0]


def _best_objective(columns: _Columns, stem: str) -> str:
    """Return the column that most likely is the score of a full training."""

    def rank(name: str) -> tuple[bool | int, ...]:
        said = say.words(name)
        return (
            bool(said & say.TRAIN),
            bool(said & say.TEST),
            not said & say.VALID,
            not said & say.ACCURACIES,
            bool(said & say.PARTIAL),
            not said & say.FULL,
            say.is_error(name),
            "top5" in said or "5" in said,
            -say.checkpoint(name),
        )

    found = columns.numeric(lambda name: say.is_score(name) or say.is_error(name))
    if not found:
        raise TableError(
            f"{stem}: no column looks like a score or an error; name one with --objective "
            f"(there are {', '.join(columns.frame)})"
        )
    best = min(found, key=rank)
    family = say.families(found)[say.stem_of(best, found)]
    told = [epochs for epochs in family if epochs is not None]
    member = family.get(None)
    if told and (member is None or member.mean is None):
        member = family[max(told)]
    assert member is not None
    return member.mean or member.seeds[0]


def _best(column: np.ndarray, is_accuracy: bool) -> float:
    """Return what a perfect score is: 1, or 100 where they are in per cent."""
    most = float(np.nanmax(column, initial=-math.inf))
    if not math.isfinite(most) or most <= 1.0 + 1e-6:
        return 1.0
    return 100.0 if most <= 100.0 + 1e-6 or is_accuracy else most


def _scale(columns: _Columns, name: str, is_less_better: bool) -> float:
    column = numbers(columns.frame[name])
    said = say.words(name)
    if not is_less_better:
        return _best(column, bool(said & say.ACCURACIES))
    is_rate = bool(said & say.ACCURACIES)
    return 100.0 if is_rate and 1.0 < np.nanmax(column, initial=0.0) <= 100.0 else 1.0


# --- how long trainings are ----------------------------------------------------------------------


def _budget(columns: _Columns, about: About) -> None:
    """Tell whether each row is a training to some epoch, and which column says to which."""
    wished = list(about.get("fidelities", ()))
    if any(isinstance(one, Mapping) for one in wished):
        return
    names = [one for one in wished if not _is_number(one)]
    amounts = [float(one) for one in wished if _is_number(one)]
    if len(names) == 1 and names[0] in columns.frame and not _is_objective(names[0]):
        about["budget"] = names[0]
    elif names:
        about.pop("budget", None)
    elif "budget" not in about:
        found = [n for n in columns.numeric(say.is_budget) if _repeats_over(columns, n, about)]
        about |= {"budget": found[0]} if found else {}
    if about.get("budget"):
        about["fidelities"] = amounts
        columns.take(about["budget"])


def _is_number(wish: Any) -> bool:
    return isinstance(wish, int | float) or bool(re.fullmatch(r"\d+(\.\d+)?", wish))


def _is_objective(name: str) -> bool:
    return say.is_score(name) or say.is_error(name)


def _repeats_over(columns: _Columns, name: str, about: Mapping[str, Any]) -> bool:
    """Return whether the same candidates are there with several values of a column."""
    if columns.frame[name].nunique() < 2:
        return False
    most_common = columns.frame[name].mode().iloc[0]
    one = _Columns(columns.frame[columns.frame[name] == most_common].reset_index(drop=True))
    one.taken = {*columns.taken, name}
    found = dict(about)
    _candidate(one, found)
    n = _n_keys(columns.frame, found)
    return n > 0 and len(columns.frame) >= 1.5 * n


def _rungs(columns: _Columns, about: About, stem: str) -> None:
    """Tell the fidelities, their shares of a full training, and whether they are resumed."""
    if about.get("budget"):
        _long(columns, about, stem)
    else:
        _wide(columns, about, stem)


def _long(columns: _Columns, about: About, stem: str) -> None:
    budget = numbers(columns.frame[about["budget"]])
    counts = pd.Series(budget).value_counts()
    there = sorted(float(each) for each in counts.index if counts[each] >= 0.5 * counts.max())
    wished = [float(each) for each in about.get("fidelities", ())]
    unknown = [each for each in wished if not np.isclose(budget, each).any()]
    if unknown:
        raise TableError(f"{stem}: {about['budget']} is never {unknown[0]:g}; it is {there}")
    rungs = sorted(wished) or _thinned(there)
    if not rungs or rungs[0] <= 0:
        raise TableError(f"{stem}: {about['budget']} must be positive numbers")
    name = about.get("score") or about["error"]
    about["fidelities"], about["shares"] = rungs, [each / rungs[-1] for each in rungs]
    about.setdefault("best", _scale(columns, name, "error" in about))
    about.setdefault("resumed", True)
    said = ", ".join(f"{each:g}" for each in rungs)
    columns.notes.append(
        f"fidelities: {about['budget']} {said}"
        + (f" (of {len(there)})" if len(there) > len(rungs) else "")
        + (", resumed" if about["resumed"] else ", separate runs")
    )
    columns.notes.append(f"objective: {name}, {_direction(about)}")


def _thinned(rungs: Sequence[float]) -> list[float]:
    """Return few of many rungs: the last, and down from it the nearest to a third of each."""
    if len(rungs) <= MOST_RUNGS:
        return list(rungs)
    kept = [rungs[-1]]
    while len(kept) < MOST_RUNGS - 1 and kept[-1] / RUNG_RATIO >= rungs[0]:
        aim = kept[-1] / RUNG_RATIO
        kept.append(min(rungs, key=lambda each: abs(math.log(each / aim))))
    return sorted(set(kept))


def _wide(columns: _Columns, about: About, stem: str) -> None:
    """Tell fidelities that are columns of their own."""
    fidelities = about.get("fidelities")
    if not fidelities:
        fidelities = _family(columns, about)
    elif all(
        _is_number(one) for one in fidelities if not isinstance(one, Mapping)
    ) and not isinstance(fidelities[0], Mapping):
        fidelities = _after(_family(columns, about), [float(one) for one in fidelities], stem)
    elif not isinstance(fidelities[0], Mapping):
        fidelities = _wished(columns, about, fidelities, stem)
    shares = _shares(fidelities, stem)
    order = np.argsort(shares, kind="stable")
    fidelities = [fidelities[place] for place in order]
    about["shares"] = [shares[place] for place in order]
    is_curve = len(fidelities) > MOST_RUNGS
    if is_curve:
        kept = _thinned(about["shares"])
        fidelities = [one for one, s in zip(fidelities, about["shares"], strict=True) if s in kept]
        about["shares"] = kept
    about.setdefault("resumed", is_curve)
    for one in fidelities:
        name = one.get("score") or one["error"]
        columns.take(name, one.get("cost"), *one.get("seeds", ()))
        if "best" not in one and "best" not in about:
            one["best"] = _scale(columns, name, "error" in one)
    about["fidelities"] = fidelities
    last = fidelities[-1]
    columns.notes.append(
        f"objective: {last.get('score') or last['error']}, {_direction(last)}"
        + (f"; single trainings: {', '.join(last['seeds'])}" if last.get("seeds") else "")
    )
    if len(fidelities) > 1:
        said = ", ".join(
            f"{one.get('score') or one['error']} ({share:.3g})"
            for one, share in zip(fidelities, about["shares"], strict=True)
        )
        kind = "resumed" if about["resumed"] else "separate runs"
        columns.notes.append(f"fidelities: {said}, {kind}")


def _direction(about: Mapping[str, Any]) -> str:
    best = about.get("best", 1.0)
    return "lower is better" if "error" in about else f"higher is better, {best:g} at best"


def _after(family: Sequence[About], epochs: Sequence[float], stem: str) -> list[About]:
    """Return the members of a family that were trained for some numbers of epochs."""
    found = [one for one in family if one["epochs"] in epochs]
    if len(found) < len(epochs):
        there = ", ".join(str(one["epochs"]) for one in family)
        raise TableError(
            f"{stem}: there are trainings of {there} epochs, not all that were asked for"
        )
    return found


def _family(columns: _Columns, about: About) -> list[About]:
    """Return the fidelities that the columns named like the objective are."""
    key = "error" if "error" in about else "score"
    name = about.pop(key)
    measures = [
        n for n in columns.frame if columns.is_numeric[n] and (say.is_score(n) or say.is_error(n))
    ]
    measures = measures if name in measures else [*measures, name]
    family = dict(say.families(measures)[say.stem_of(name, measures)])
    single = next(
        (m for m in family.values() if m.mean == name or name in m.seeds), say.Member(name)
    )
    told = [epochs for epochs in family if epochs is not None]
    unsaid = family.pop(None, None)
    if unsaid is not None and unsaid.mean is None and told:  # single trainings, of the full length
        family[max(told)].seeds += [seed for seed in unsaid.seeds if not family[max(told)].seeds]
        unsaid = None
    if unsaid is not None:
        told_elsewhere = _most_epochs(columns, above=max(told, default=0))
        if told and told_elsewhere is None:
            columns.notes.append(
                f"how long {name} was trained is not said: ten times {max(told)} epochs"
            )
        family[told_elsewhere or (10 * max(told) if told else 1)] = unsaid
    if single not in family.values():
        family = {1: single}
    last = next(epochs for epochs, member in family.items() if member is single)
    found = []
    for epochs in sorted(family):
        member = family[epochs]
        if epochs > last:
            continue
        one: About = {key: member.mean or member.seeds[0], "epochs": epochs}
        if len(member.seeds) > 1:
            one["seeds"] = member.seeds
            if member.mean is None:
                _add_mean(columns, one, key)
        found.append(one)
    return found


def _add_mean(columns: _Columns, one: About, key: str) -> None:
    """Give single trainings a column of their mean."""
    name = f"mean of {', '.join(one['seeds'])}"
    stacked = np.stack([numbers(columns.frame[seed]) for seed in one["seeds"]])
    is_known = ~np.isnan(stacked)
    total = np.nansum(stacked, axis=0) / np.maximum(is_known.sum(axis=0), 1)
    columns.frame[name] = np.where(is_known.any(axis=0), total, np.nan)
    columns.is_numeric[name] = True
    one[key] = name


def _most_epochs(columns: _Columns, above: int) -> int | None:
    """Return the most epochs that any column's name tells, where it is more than some."""
    names = [name for name in columns.frame if columns.is_numeric[name] and say.is_measured(name)]
    told = [e for members in say.families(names).values() for e in members if e is not None]
    return max((each for each in told if each > above), default=None)


def _wished(columns: _Columns, about: About, wishes: Sequence[str], stem: str) -> list[About]:
    """Return the fidelities "COLUMN" or "COLUMN:SHARE" that were asked for, the full one last."""
    key = "error" if "error" in about else "score"
    objective = about.pop(key)
    found: list[About] = []
    for wish in wishes:
        name, _, share = (wish, "", "") if wish in columns.frame else wish.rpartition(":")
        if name not in columns.frame or not columns.is_numeric[name]:
            raise TableError(f"{stem} has no column of numbers {wish} (say COLUMN or COLUMN:SHARE)")
        one: About = {key: name}
        if share:
            try:
                one["share"] = float(share)
            except ValueError:
                raise TableError(f"{wish}: a share is a number, as in {name}:0.1") from None
        found.append(one)
    if all(one[key] != objective for one in found):
        found.append({key: objective, "share": 1.0})
    full = _family(columns, {**about, key: objective})[-1]
    for one in found:
        if one[key] in {objective, full[key]}:
            one |= {name: full[name] for name in ("seeds",) if name in full}
        names = list(columns.frame)
        epochs = next(
            (
                e
                for e, m in say.families(names)[say.stem_of(one[key], names)].items()
                if m.mean == one[key]
            ),
            None,
        )
        if "share" not in one and epochs is not None:
            one["epochs"] = epochs
    if "share" not in found[-1] and "epochs" not in found[-1]:
        found[-1]["share"] = 1.0
    return found


def _shares(fidelities: Sequence[About], stem: str) -> list[float]:
    """Return the share of a full training that each is; of the last it is 1."""
    if len(fidelities) == 1:
        return [1.0]
    found: list[float] = []
    longest = max((one["epochs"] for one in fidelities if "epochs" in one), default=None)
    most = max((float(one["share"]) for one in fidelities if "share" in one), default=1.0)
    for one in fidelities:
        if "share" in one:
            found.append(float(one["share"]) / max(most, 1.0))
        elif "epochs" in one and longest:
            found.append(one["epochs"] / longest)
        else:
            name = one.get("score") or one["error"]
            raise TableError(
                f"{stem}: what share of a full training {name} is, is not said; add :SHARE"
            )
    if any(not 0 < share <= 1 for share in found) or len(set(found)) < len(found):
        raise TableError(
            f"{stem}: fidelities need shares between 0 and 1, each its own, not {found}"
        )
    if max(found) != 1.0:
        raise TableError(f"{stem}: the longest training must have share 1")
    return found


# --- what it costs -------------------------------------------------------------------------------


def _energy(columns: _Columns, about: About, stem: str) -> None:
    """Tell which column is the energy, and whether it is known before training."""
    name = about.get("energy")
    how = ""
    if name is None:
        name, how = _find_energy(columns, stem)
        about["energy"] = name
    names = [name] if isinstance(name, str) else list(name)
    text_only = [each for each in names if not columns.is_numeric[each]]
    if text_only:
        raise TableError(f"{stem}: {text_only[0]} holds no numbers, so it is no energy")
    columns.take(*names)
    if "known_after_first" not in about:
        is_trained = any(say.is_training_energy(n) or say.is_training_time(n) for n in names)
        about["known_after_first"] = is_trained or _grows(columns, about, names)
    when = (
        "known after the first training" if about["known_after_first"] else "known before training"
    )
    columns.notes.append(f"energy: {' x '.join(names)}{how}, {when}")


def _find_energy(columns: _Columns, stem: str) -> tuple[str | list[str], str]:
    energies = columns.numeric(say.is_energy)
    for is_training in (False, True):
        found = [name for name in energies if say.is_training_energy(name) == is_training]
        if found:
            full = _last_of_family(found)
            others = [name for name in found if name != full]
            return full, f" (not {', '.join(others)}; choose with --energy)" if others else ""
    powers, latencies = columns.numeric(say.is_power), columns.numeric(say.is_latency)
    times = columns.numeric(say.is_training_time)
    if powers and (latencies or times):
        return [powers[0], (latencies or times)[0]], ""
    for test, kind in ((say.is_latency, "latency"), (say.is_size, "size")):
        found = columns.numeric(test)
        if found:
            return found[0], f" (there is no energy: {kind} stands for it)"
    if times:
        return times[0], " (there is no energy: training time stands for it)"
    raise TableError(
        f"{stem}: no column looks like an energy, a latency or a size; name one with --energy "
        f"(there are {', '.join(columns.frame)})"
    )


def _last_of_family(names: Sequence[str]) -> str:
    """Return the first measure; of one that is there after several trainings, the longest's."""
    family = say.families(names)[say.stem_of(names[0], names)]
    told = [epochs for epochs in family if epochs is not None]
    member = family.get(None) or family[max(told)]
    return member.mean or member.seeds[0]


def _grows(columns: _Columns, about: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Return whether a product of columns is more in longer trainings."""
    if not about.get("budget") or len(about["fidelities"]) < 2:
        return False
    budget = numbers(columns.frame[about["budget"]])
    amounts = np.prod([numbers(columns.frame[name]) for name in names], axis=0)
    first, last = (
        pd.Series(amounts[np.isclose(budget, about["fidelities"][place])]).median()
        for place in (0, -1)
    )
    return bool(last > GROWN * first)


def _cost(columns: _Columns, about: About) -> None:
    """Tell what training costs: its energy where there is one, else its time."""
    if "cost" not in about:
        energy = about["energy"]
        spent = [energy] if isinstance(energy, str) and about["known_after_first"] else []
        found = [n for n in spent if say.is_energy(n)]
        found += [n for n in columns.numeric(say.is_energy) if say.is_training_energy(n)]
        times = columns.numeric(say.is_training_time) + [
            n for n in spent if say.is_training_time(n)
        ]
        found += sorted(times, key=_time_rank)
        about["cost"] = _last_of_family(found) if found else None
    name = about["cost"]
    columns.take(name)
    if name is None:
        columns.notes.append("cost: no column; each full training costs 1")
        return
    _own_costs(columns, about)
    if about.get("budget") and "cost_per_epoch" not in about:
        about["cost_per_epoch"] = say.is_per_epoch(name) or not _grows(columns, about, [name])
    columns.notes.append(f"cost: {name}{', times epochs' if about.get('cost_per_epoch') else ''}")


def _time_rank(name: str) -> tuple[bool, bool, bool, bool]:
    said = say.words(name)
    return (say.is_per_epoch(name), not said & say.TRAIN, "total" not in said, said <= {"cost"})


def _own_costs(columns: _Columns, about: About) -> None:
    """Give each fidelity the cost that has its number of epochs in its name, where all have one."""
    if about.get("budget") or any("cost" in one for one in about["fidelities"]):
        return
    names = [n for n in columns.frame if columns.is_numeric[n] and say.is_measured(n)]
    family = say.families(names).get(say.stem_of(about["cost"], names), {})
    own = [family.get(one["epochs"]) if "epochs" in one else None for one in about["fidelities"]]
    if len(own) > 1 and all(member is not None and member.mean for member in own):
        for one, member in zip(about["fidelities"], own, strict=True):
            one["cost"] = member.mean  # type: ignore[union-attr]
            columns.take(member.mean)  # type: ignore[union-attr]


def _known(columns: _Columns, about: About) -> None:
    """Tell what else is known before training: sizes, and what else the same device measured."""
    energy = about["energy"]
    names = [energy] if isinstance(energy, str) else list(energy)
    if "known_before_training" not in about:
        found = columns.numeric(say.is_size)
        device = _device(names[0])
        measured = columns.numeric(
            lambda n: say.is_latency(n) or say.is_energy(n) or say.is_power(n)
        )
        found += [
            n
            for n in measured
            if not say.is_training_energy(n) and _device(n) in {device, frozenset()}
        ]
        about["known_before_training"] = found
    about["known_before_training"] = [n for n in about["known_before_training"] if n not in names]
    columns.take(*about["known_before_training"])
    if about["known_before_training"]:
        columns.notes.append(
            f"also known before training: {', '.join(about['known_before_training'])}"
        )


def _device(name: str) -> frozenset[str]:
    """Return the words of a measure's name that say where it was measured."""
    kinds = (
        say.JOULES | say.WATTS | say.INFERENCE | say.TIME | say.BYTES | {"energy", "mean", "avg"}
    )
    kinds |= {"ms", "s", "us", "w", "mw", "per", "sample", "image", "batch", "average"}
    return frozenset(say.words(name) - kinds)


# --- candidates ----------------------------------------------------------------------------------


def _candidate(columns: _Columns, about: About) -> None:
    """Tell which columns say how candidates differ, and which of them are to be taken apart."""
    frame = columns.frame
    repeats = [n for n in frame if n not in columns.taken and say.is_repeat(n)]
    if "repeats" not in about and "candidate" not in about:
        about["repeats"] = repeats
        columns.take(*repeats)
    if "candidate" in about:
        about.setdefault("split", {})
        columns.notes.append(f"candidate: {', '.join(about['candidate'])}")
        return
    if about.get("budget"):
        budget = numbers(frame[about["budget"]])
        rungs = about.get("fidelities") or [pd.Series(budget).mode().iloc[0]]
        frame = frame[np.isclose(budget, float(rungs[-1]))]
    free = [n for n in frame if n not in columns.taken and not _is_outcome(columns, n)]
    plain, encoded, other = _sorted_out(frame, free, columns.is_numeric)
    about["candidate"], about["split"] = plain, {}
    _add_encodings(frame, about, encoded)
    is_short = _n_keys(frame, about) < TOLD_APART * _n_expected(frame, about)
    if is_short and other and not _is_even(frame, about):
        about["candidate"] = [*about["candidate"], *other]
    columns.take(*about["candidate"])
    apart = [f"{name} (taken apart by {how!r})" for name, how in about["split"].items()]
    whole = [name for name in about["candidate"] if name not in about["split"]]
    columns.notes.append(f"candidate: {', '.join([*whole, *apart]) or 'nothing'}")
    if about["repeats"]:
        columns.notes.append(f"repeats: {', '.join(about['repeats'])}")


def _is_outcome(columns: _Columns, name: str) -> bool:
    if name.lower() in say.CONTEXTS | say.STATES or say.is_id(name):
        return True
    if name.startswith("mean of "):
        return True
    return columns.is_numeric[name] and say.is_measured(name)


def _sorted_out(
    frame: pd.DataFrame, names: Sequence[str], numeric: Mapping[str, bool]
) -> tuple[list[str], dict[str, str], list[str]]:
    """Return columns that are dimensions, encodings with how to split them, and other numbers."""
    plain, encoded, other = [], {}, []
    for name in names:
        column = frame[name].astype(object)
        n_values = column.nunique()
        if column.nunique(dropna=False) < 2:
            continue
        if not numeric[name]:
            how = how_to_split(texts(column)) if n_values > 12 else None
            if how is not None:
                encoded[name] = how
            elif n_values <= MOST_VALUES and n_values <= max(2, 0.6 * len(column)):
                plain.append(name)
            continue
        is_whole = bool(np.all(np.mod(numbers(column.dropna()), 1) == 0))
        if is_whole and n_values > MOST_VALUES and say.is_encoding(name):
            how = how_to_split(texts(column))
            if how == "characters":
                encoded[name] = how
                continue
        is_few = n_values <= MOST_VALUES and (is_whole or n_values <= 0.4 * len(column))
        (plain if is_few or say.is_hyperparameter(name) else other).append(name)
    return plain, encoded, other


def _add_encodings(frame: pd.DataFrame, about: About, encoded: Mapping[str, str]) -> None:
    """Take encodings apart, one after the other, while they tell more candidates apart."""
    left = dict(encoded)
    expected = _n_expected(frame, about)
    n_keys = _n_keys(frame, about)
    while left and n_keys < TOLD_APART * expected:
        trials = {
            name: _n_keys(frame, {**about, "candidate": [*about["candidate"], name]})
            for name in left
        }
        name = max(trials, key=lambda each: trials[each])
        if trials[name] <= n_keys:
            return
        about["candidate"] = [*about["candidate"], name]
        about["split"] = {**about["split"], name: left.pop(name)}
        n_keys = trials[name]


def _n_keys(frame: pd.DataFrame, about: Mapping[str, Any]) -> int:
    """Return how many candidates the columns tell apart."""
    names = list(about["candidate"])
    return len(frame[names].astype(str).drop_duplicates()) if names else 0


def _n_expected(frame: pd.DataFrame, about: Mapping[str, Any]) -> float:
    """Return how many candidates there should be: rows, by how often each is repeated."""
    repeats = [name for name in about.get("repeats", ()) if frame[name].nunique() > 1]
    if not repeats:
        return float(len(frame))
    n = len(frame[repeats].drop_duplicates())
    return len(frame) / n if n <= 0.5 * len(frame) else float(len(frame))


def _is_even(frame: pd.DataFrame, about: Mapping[str, Any]) -> bool:
    """Return whether every candidate is there equally often, as repeats would be."""
    names = list(about["candidate"])
    if not names:
        return False
    counts = frame[names].astype(str).value_counts()
    return len(counts) > 1 and counts.nunique() == 1


def _guess_error(columns: _Columns, about: Mapping[str, Any], stem: str) -> float | None:
    """Return the error of guessing among the classes of a data set that is named somewhere."""
    last = about["fidelities"][-1] if isinstance(about["fidelities"][-1], Mapping) else about
    name = last.get("score") or last["error"]
    if not say.words(name) & say.ACCURACIES:
        return None
    named = [stem, *(str(each) for each in _contexts(columns.frame)), *columns.frame]
    for text in named:
        for pattern, n_classes in CLASSES.items():
            if re.search(pattern, text.lower()):
                columns.notes.append(
                    f"error of guessing: {1 - 1 / n_classes:.4g}, {n_classes} classes"
                )
                return 1.0 - 1.0 / n_classes
    return None


def _contexts(frame: pd.DataFrame) -> list[Any]:
    return [frame[name].iloc[0] for name in frame if name.lower() in say.CONTEXTS]
