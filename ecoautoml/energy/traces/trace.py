"""A recorded counter: its rows, what it says of itself, and its reader."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ecoautoml.energy.counters.unwrap import Unwrapper
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import Provenance

Row = tuple[float, float | None]
"""Seconds and cumulative joules; None where the recorded meter had lost its device."""
LARGEST_W = 2000.0
"""Watts no board or processor exceeds, where a trace of a raw counter does not say."""
STILL_TICKS = 20
"""Ticks without a move after which a raw counter stands still."""
STILL_S = 1.0
"""The same in seconds, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A recorded cumulative counter.

    Attributes:
        rows: Seconds and joules. Of a counter that is not raw both grow from row to row.
        source: Where it comes from, for people.
        component: "cpu", "dram" or "gpu:UUID".
        provenance: How the recorded joules came about.
        is_raw: Whether the joules are a counter as a device shows it, faults included: it may
            wrap, stand still, be set back, and its clock may go back.
        wrap_j: Joules at which a raw counter starts again at 0; None: it does not.
        max_w: Watts the device cannot exceed for long.
        tick_s: Seconds between two moves of the counter; None: not stated. A raw counter that
            states it and does not move for 20 ticks, and a second, stands still.
        idle_w: Watts of the idle device; None: not stated.
        lost: Why a row has no joules.
    """

    rows: tuple[Row, ...]
    source: str = "replay:rows"
    component: str = "cpu"
    provenance: Provenance = Provenance.ESTIMATED
    is_raw: bool = False
    wrap_j: float | None = None
    max_w: float = LARGEST_W
    tick_s: float | None = None
    idle_w: float | None = None
    lost: str = "the trace has no value here"

    def __post_init__(self) -> None:
        times = [time_s for time_s, _ in self.rows]
        joules = [energy_j for _, energy_j in self.rows if energy_j is not None]
        if len(times) < 2 or len(joules) < 2:
            raise ConfigError(
                f"{self.source} is no trace: it needs at least two rows with energy_j"
            )
        if self.is_raw:
            return
        if any(later <= earlier for earlier, later in itertools.pairwise(times)):
            raise ConfigError(f"{self.source} is no trace: time_s must grow from row to row")
        if any(later < earlier for earlier, later in itertools.pairwise(joules)):
            raise ConfigError(
                f"{self.source} is no trace: energy_j is a cumulative counter and must not fall; "
                'a raw counter says "# wrap_j: N" (or none) above its columns'
            )


class Look(NamedTuple):
    """One row of a trace, made sense of: unwrapped joules, or why there are none."""

    time_s: float
    energy_j: float | None
    reason: str | None
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A whole trace, made sense of.

    Attributes:
        looks: One per row.
        losses: Why count was lost, once for each time.
    """

    looks: tuple[Look, ...]
    losses: tuple[str, ...] = field(default=())


def played(trace: Trace) -> Played:
    """Return the rows as a meter that had looked at each of them would have read them."""
    if not trace.is_raw:
        return Played(looks=tuple(_look(row, trace, 0) for row in trace.rows))
    tick_s = trace.tick_s
    counter = Unwrapper(
        wrap_j=trace.wrap_j,
        max_w=trace.max_w,
        still_s=None if tick_s is None else max(STILL_TICKS * tick_s, STILL_S),
    )
    looks = []
    for time_s, value_j in trace.rows:
        if value_j is not None:
            # how busy the device was is not recorded: it is taken to have worked all the time
            counter.advance(value_j, time_s, time_s)
        row = (time_s, None if value_j is None else counter.total_j)
        look = _look(row, trace, len(counter.losses))
        if counter.is_still and value_j is not None:
            look = look._replace(energy_j=None, reason="the counter stands still")
        looks.append(look)
    return Played(looks=tuple(looks), losses=tuple(counter.losses))


def _look(row: Row, trace: Trace, generation: int) -> Look:
    time_s, energy_j = row
    return Look(time_s, energy_j, trace.lost if energy_j is None else None, generation)


# --- reading ------------------------------------------------------------------------------------


def read_trace(path: Path) -> Trace:
    """Return the trace a CSV file holds.

    Its columns are ``time_s`` and ``energy_j``; an empty ``energy_j`` is a lost reading. Lines
    before them may say ``# provenance: measured`` (default estimated), ``# component: gpu:0``
    (default cpu), ``# idle_w: 12.5``, ``# tick_s: 0.1``, ``# lost: why rows are empty``, and, of a
    raw counter, ``# wrap_j: 65532.610987`` (or ``none``) and ``# max_w: 300``.

    Raises:
        ConfigError: The file cannot be read or is no cumulative counter.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the trace {path} cannot be read: {error}") from error
    source = f"replay:{path.name}"
    words = _words(lines)
    max_w = _number(words, "max_w", source)
    return Trace(
        rows=_rows(lines, path),
        source=source,
        component=words.get("component", "cpu"),
        provenance=_provenance(words, source),
        is_raw="wrap_j" in words,
        wrap_j=_number(words, "wrap_j", source),
        max_w=LARGEST_W if max_w is None else max_w,
        tick_s=_number(words, "tick_s", source),
        idle_w=_number(words, "idle_w", source),
        lost=words.get("lost", "the trace has no value here"),
    )


def _words(lines: Sequence[str]) -> dict[str, str]:
    """Return what the lines before the columns say, by name."""
    words = {}
    for line in lines:
        if line.startswith("#") and ":" in line:
            key, _, value = line[1:].partition(":")
            words[key.strip().lower()] = value.strip()
    return words


def _rows(lines: Sequence[str], path: Path) -> tuple[Row, ...]:
    table = csv.DictReader(line for line in lines if line.strip() and not line.startswith("#"))
    try:
        return tuple(_row(cells) for cells in table)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"the trace {path} is not a CSV with the columns time_s and energy_j in numbers, "
            f"at or before line {table.line_num}: {error}"
        ) from error


def _row(cells: Mapping[str, str | None]) -> Row:
    time_s, energy_j = cells["time_s"], cells["energy_j"]
    if time_s is None or energy_j is None:
        raise ValueError("a value is missing")
    return float(time_s), float(energy_j) if energy_j.strip() else None


def _number(words: Mapping[str, str], name: str, source: str) -> float | None:
    """Return a number of the lines before the columns, None where there is none."""
    text = words.get(name, "none")
    if text.lower() == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number < 0 or (number == 0 and name != "idle_w"):
        raise ConfigError(f"{source} says {name} {text!r}; it must be a number above 0, or none")
    return number


def _provenance(words: Mapping[str, str], source: str) -> Provenance:
    text = words.get("provenance", Provenance.ESTIMATED.value)
    try:
        return Provenance(text.lower())
    except ValueError:
        allowed = ", ".join(Provenance)
        raise ConfigError(
            f"{source} says provenance {text!r}; it can be one of {allowed}"
        ) from None
