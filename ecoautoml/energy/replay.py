"""A recorded trace as a meter and as its clock: the same joules and seconds every time."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

from ecoautoml.energy.base import (
    Availability,
    CounterReading,
    EnergyMeter,
    difference,
    paired,
)
from ecoautoml.energy.clock import Clock
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import EnergyReading, Provenance

Row = tuple[float, float | None]
"""Seconds and cumulative joules; None where the recorded meter had lost its device."""


class ReplayMeter(EnergyMeter):
    """Plays back a cumulative counter, one row per look.

    Every ``read()`` and every ``clock.now()`` takes the next row, so results depend on how often
    was looked and on nothing else, neither real time nor load. After the last row the trace starts
    over with its sums continued.

    A file is a CSV with the columns ``time_s`` and ``energy_j``; an empty ``energy_j`` is a lost
    reading. Lines before the columns may say ``# provenance: measured`` (default estimated) and
    ``# component: gpu:0`` (default cpu).

    Args:
        path_or_rows: The file, or its rows.
        component: The component it stands for; None: what the file says.

    Raises:
        ConfigError: The file cannot be read or is no cumulative counter.
    """

    def __init__(self, path_or_rows: Path | str | Sequence[Row], component: str | None = None):
        if isinstance(path_or_rows, (str, Path)):
            path = Path(path_or_rows)
            headers, rows = _read_trace(path)
            self._source = f"replay:{path.name}"
        else:
            headers, rows = {}, list(path_or_rows)
            self._source = "replay:rows"
        self._tape = _Tape(rows, self._source)
        self._component = component or headers.get("component", "cpu")
        self._provenance = _provenance(headers, self._source)
        self._clock = ReplayClock(self._tape)

    @property
    def name(self) -> str:
        """Return "replay"."""
        return "replay"

    @property
    def clock(self) -> Clock:
        """Return the clock that belongs to this trace; use no other beside it."""
        return self._clock

    def is_available(self) -> Availability:
        """Return yes: a trace that could be read can be played."""
        return Availability(ok=True, detail=self._source)

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return the next row; the same trace whichever process is asked about."""
        time_s, energy_j = self._tape.advance()
        return [
            CounterReading(
                component=self._component,
                energy_j=energy_j,
                time_s=time_s,
                reason="the trace has no value here" if energy_j is None else None,
            )
        ]

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the recorded joules between two reads."""
        return [
            difference(start, end, provenance=self._provenance, source=self._source)
            for start, end in paired(before, after)
        ]

    def close(self) -> None:
        """Do nothing: the trace is in memory."""


class ReplayClock(Clock):
    """The clock of a trace: every look takes its next row."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape

    def now(self) -> float:
        """Return the seconds of the next row."""
        return self._tape.advance()[0]


class _Tape:
    """Rows, played in an endless loop with continued sums."""

    def __init__(self, rows: Sequence[Row], source: str) -> None:
        joules = [energy_j for _, energy_j in rows if energy_j is not None]
        times = [time_s for time_s, _ in rows]
        _check(times, joules, source)
        # One mean step lies between the last row and the first of the next lap.
        self._lap_s = (times[-1] - times[0]) * len(rows) / (len(rows) - 1)
        self._lap_j = (joules[-1] - joules[0]) * len(rows) / (len(rows) - 1)
        self._rows = tuple(rows)
        self._played = 0

    def advance(self) -> Row:
        lap, row = divmod(self._played, len(self._rows))
        self._played += 1
        time_s, energy_j = self._rows[row]
        if energy_j is not None:
            energy_j += lap * self._lap_j
        return time_s + lap * self._lap_s, energy_j


def _check(times: list[float], joules: list[float], source: str) -> None:
    if len(times) < 2 or len(joules) < 2:
        raise ConfigError(f"{source} is no trace: it needs at least two rows with energy_j")
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise ConfigError(f"{source} is no trace: time_s must grow from row to row")
    if any(later < earlier for earlier, later in itertools.pairwise(joules)):
        raise ConfigError(
            f"{source} is no trace: energy_j is a cumulative counter and must not fall"
        )


def _read_trace(path: Path) -> tuple[dict[str, str], list[Row]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the trace {path} cannot be read: {error}") from error
    headers = {}
    for line in lines:
        if line.startswith("#") and ":" in line:
            key, _, value = line[1:].partition(":")
            headers[key.strip().lower()] = value.strip()
    table = csv.DictReader(line for line in lines if line.strip() and not line.startswith("#"))
    try:
        return headers, [_row(cells) for cells in table]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"the trace {path} is not a CSV with the columns time_s and energy_j in numbers, "
            f"at or before line {table.line_num}: {error}"
        ) from error


def _row(cells: dict[str, str | None]) -> Row:
    time_s, energy_j = cells["time_s"], cells["energy_j"]
    if time_s is None or energy_j is None:
        raise ValueError("a value is missing")
    return float(time_s), float(energy_j) if energy_j.strip() else None


def _provenance(headers: dict[str, str], source: str) -> Provenance:
    text = headers.get("provenance", Provenance.ESTIMATED.value)
    try:
        return Provenance(text.lower())
    except ValueError:
        allowed = ", ".join(Provenance)
        raise ConfigError(
            f"{source} says provenance {text!r}; it can be one of {allowed}"
        ) from None
