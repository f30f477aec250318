"""Files as columns: reading them, tidying values, and taking lists and encodings apart."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecoautoml.records.candidate import Value

MISSING = {"", "na", "n/a", "nan", "null", "<na>", "#n/a"}
"""Texts that say that there is no value; "None" does not: it may be the name of an operation."""
SEPARATORS = (",", ";", "|", "/", ":", "-", "_", " ")
LONGEST = 256
"""Values that a list or an encoding may have to be taken apart."""
FEW = 64
"""Different values that one position of an encoding may have."""


class TableError(Exception):
    """What is wrong with a table, or with what is asked of it, in one sentence."""


def read_frame(path: Path) -> pd.DataFrame:
    """Return the columns of a Parquet or CSV file; nested ones are taken apart.

    Raises:
        TableError: There is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise TableError(f"there is no table {path}")
    try:
        frame = pd.read_parquet(path) if _is_parquet(path) else _read_text(path)
    except (ValueError, OSError, UnicodeDecodeError) as problem:
        reason = " ".join(str(problem).split())
        raise TableError(f"{path} cannot be read as a table: {reason}") from problem
    frame.columns = [str(name).strip() for name in frame.columns]
    frame = frame.loc[:, ~frame.columns.duplicated()]
    if frame.empty:
        raise TableError(f"{path} has no rows")
    return _flat(frame)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _read_text(path: Path) -> pd.DataFrame:
    """Return a text table; what separates its columns is what the first line has most of."""
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_values": []}
    head = pd.read_csv(path, sep="\x01", nrows=1, header=None, engine="python", **options)
    separator = max(",;\t", key=str(head.iloc[0, 0]).count)
    frame = pd.read_csv(path, sep=separator, index_col=False, **options)
    return pd.DataFrame({name: _as_numbers(frame[name]) for name in frame})


def _as_numbers(texts: pd.Series) -> pd.Series:
    """Return texts as numbers where all that are there are; else without the missing ones."""
    plain = texts.astype(object).map(_plain)
    known = plain.dropna()
    if known.empty or known.map(_is_padded).any():
        return plain
    as_numbers = pd.to_numeric(known, errors="coerce")
    return plain if as_numbers.isna().any() else pd.to_numeric(plain, errors="coerce")


def _is_padded(value: Any) -> bool:
    """Return whether a value is an encoding in digits, which is no number: its zeros count."""
    return isinstance(value, str) and re.match(r"0\d", value.strip()) is not None


# --- nested columns ------------------------------------------------------------------------------


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with mappings and lists in columns of their own ("NAME.KEY")."""
    parts: dict[str, Any] = {}
    for name in frame:
        column = frame[name]
        nested = _nested(column)
        if nested is None:
            parts[name] = column
        elif _is_curve(name, nested):
            parts[name] = pd.Series(nested, index=frame.index, dtype=object)
        else:
            parts |= _members(name, nested)
    return pd.DataFrame(parts, index=frame.index)


def _nested(column: pd.Series) -> list[Any] | None:
    """Return the mappings or lists that a column holds, also as text; None: it holds neither."""
    if not (column.dtype == object or pd.api.types.is_string_dtype(column.dtype)):
        return None
    some = column.dropna()
    if some.empty or not _is_nested(_parsed(some.iloc[0])):
        return None
    parsed = [_parsed(value) for value in column]
    return parsed if all(one is None or _is_nested(one) for one in parsed) else None


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _parsed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, str):
        return value if _is_nested(value) else None
    text = value.strip()
    if not text.startswith(("{", "[", "(")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return list(found) if isinstance(found, tuple) else found
    return None


def _is_curve(name: str, nested: Sequence[Any]) -> bool:
    """Return whether a column holds learning curves: long lists of numbers by that name."""
    first = next(one for one in nested if one is not None)
    return (
        isinstance(first, list)
        and len(first) > 1
        and bool(re.search(r"curve|history|_per_epoch|trajectory", name.lower()))
        and all(isinstance(value, int | float) for value in first)
    )


def _members(name: str, nested: Sequence[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row, one in enumerate(nested):
        pairs: Iterable[tuple[Any, Any]] = (
            one.items() if isinstance(one, dict) else enumerate(one or [])
        )
        for key, value in list(pairs)[:LONGEST]:
            plain = str(value) if _is_nested(value) else value
            found.setdefault(f"{name}.{key}", [None] * len(nested))[row] = plain
    return found


# --- values --------------------------------------------------------------------------------------


def numbers(column: pd.Series) -> np.ndarray:
    """Return a column as floats; what is no number is NaN."""
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def is_numeric(column: pd.Series) -> bool:
    """Return whether there are numbers in it, and nothing else."""
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object:
        known = column.dropna().astype(object)
        if known.empty or known.map(_is_padded).any():
            return False
        return not np.isnan(numbers(known)).any()
    return bool(pd.api.types.is_numeric_dtype(column.dtype)) and column.notna().any()


def values(column: pd.Series) -> list[Value]:
    """Return what a column holds as plain values, missing ones as None.

    Numbers that are all whole are integers, texts that are all numbers are numbers.
    """
    plain = [_plain(value) for value in column.astype(object)]
    known = [value for value in plain if value is not None]
    if known and all(isinstance(value, str) for value in known):
        plain = _numbers_of(plain)
        known = [value for value in plain if value is not None]
    if any(isinstance(value, float) for value in known) and not _has_text(known):
        if all(float(value).is_integer() for value in known):
            return [None if value is None else int(value) for value in plain]
        return [None if value is None else float(value) for value in plain]
    if _has_text(known) and not all(isinstance(value, str) for value in known):
        return [None if value is None else str(value) for value in plain]
    return plain


def _has_text(known: Iterable[Any]) -> bool:
    return any(isinstance(value, str) for value in known)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        return None if text.lower() in MISSING else text
    return value if isinstance(value, bool | int | float) else str(value)


def _numbers_of(texts: list[Any]) -> list[Any]:
    """Return texts as the numbers or truths that all of them are; else as they are."""
    if any(_is_padded(text) for text in texts):
        return texts
    kinds: tuple[Callable[[str], Any], ...] = (_truth, int, float)
    for kind in kinds:
        try:
            return [None if text is None else kind(text) for text in texts]
        except ValueError:
            continue
    return texts


def _truth(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def texts(column: pd.Series) -> list[Value]:
    """Return a column of encodings as texts; whole numbers get the zeros back that they lost."""
    plain = [_plain(value) for value in column.astype(object)]
    if not is_numeric(column):
        return [None if value is None else str(value) for value in plain]
    digits = [None if value is None else f"{value:.0f}" for value in plain]
    longest = max((len(each) for each in digits if each is not None), default=0)
    return [None if each is None else each.zfill(longest) for each in digits]


# --- encodings -----------------------------------------------------------------------------------


def pieces(texts: Sequence[Value], how: str) -> dict[str, list[Value]]:
    """Return what encodings say at each place where they differ; None where one has no such place.

    Args:
        texts: The encodings.
        how: What separates the pieces of one; or "characters"; or "matrix": the characters of a
            square adjacency matrix, whose upper triangle counts.

    Raises:
        TableError: They are no square matrices.
    """
    rows = [{} if text is None else _pieces_of(str(text), how) for text in texts]
    names = sorted({name for row in rows for name in row}, key=_natural)
    table = {name: [row.get(name) for row in rows] for name in names}
    return {name: each for name, each in table.items() if len(set(each)) > 1}


def _natural(name: str) -> list[int]:
    return [int(part) for part in name.split(".")]


def _pieces_of(text: str, how: str) -> dict[str, Value]:
    if how == "matrix":
        n = math.isqrt(len(text))
        if n * n != len(text):
            raise TableError(f"{text!r} is no square matrix")
        return {f"{i}.{j}": text[i * n + j] for i in range(n) for j in range(i + 1, n)}
    parts = list(text) if how == "characters" else text.strip("[](){}| ").split(how)
    return {str(place): part.strip() for place, part in enumerate(parts)}


def without_ends(texts: Sequence[Value], how: str) -> list[Value]:
    """Return separated encodings less what all of them begin and end with ("input,…,output")."""
    if how in {"matrix", "characters"}:
        return list(texts)
    split = [None if text is None else str(text).strip("[](){}| ").split(how) for text in texts]
    known = [parts for parts in split if parts]
    while known and all(len(parts) > 1 for parts in known) and len({p[-1] for p in known}) == 1:
        for parts in known:
            parts.pop()
    return [None if parts is None else how.join(parts) for parts in split]


def how_to_split(texts: Sequence[Value]) -> str | None:
    """Return how encodings can be taken apart so that each place has few values; None: not."""
    known = list({str(text) for text in texts if text is not None})
    if len(known) < 3:
        return None
    best: tuple[int, str] | None = None
    for separator in SEPARATORS:
        split = [text.strip("[](){}| ").split(separator) for text in known]
        n_pieces = {len(parts) for parts in split}
        if min(n_pieces) < 2 or max(n_pieces) > LONGEST or not _is_simple(split, len(known)):
            continue
        if best is None or max(n_pieces) > best[0]:
            best = max(n_pieces), separator
    if best is not None:
        return best[1]
    sizes = {len(text) for text in known}
    if max(sizes) > LONGEST or min(sizes) < 2 or not _is_simple(known, len(known)):
        return None
    if all(math.isqrt(size) ** 2 == size for size in sizes) and set("".join(known)) <= {"0", "1"}:
        return "matrix"
    return "characters" if len(sizes) == 1 else None


def _is_simple(split: Sequence[Sequence[str]], n: int) -> bool:
    """Return whether each place has few values, and fewer than there are encodings."""
    most = min(FEW, max(2, n // 2))
    by_place: dict[int, set[str]] = {}
    for parts in split:
        for place, part in enumerate(parts):
            by_place.setdefault(place, set()).add(part)
            if len(by_place[place]) > most:
                return False
    return True
