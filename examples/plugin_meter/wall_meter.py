"""A meter between the wall and the machine, asked over HTTP for its total."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from typing import Any

from ecoautoml.energy import Availability, CounterReading, EnergyMeter, MonotonicClock
from ecoautoml.energy.base import difference, paired
from ecoautoml.records.energy_reading import EnergyReading, Provenance

JOULES_PER = {"j": 1.0, "wh": 3600.0, "kwh": 3.6e6}


class WallMeter(EnergyMeter):
    """Reads the cumulative energy of a smart plug or power strip.

    It sees the whole machine with power supply, fans and disks, and whatever else runs: alone on
    the machine, a search gets measured joules, else a share of them by CPU time.

    Args:
        url: Answers with JSON that holds the total.
        path: Keys that lead to it, joined by dots ("aenergy.total").
        unit: Unit of it: "j", "wh" or "kwh".
        min_window_s: Shortest window that means something: 50 steps of the counter are good.
        timeout_s: Seconds to wait for an answer.
    """

    is_machine_wide = True  # shared out by CPU time when several trials run, or anything else

    def __init__(
        self,
        url: str,
        path: str = "aenergy.total",
        unit: str = "wh",
        min_window_s: float = 60.0,
        timeout_s: float = 2.0,
    ) -> None:
        self.min_window_s = min_window_s
        self._url, self._keys, self._timeout_s = url, path.split("."), timeout_s
        self._joules_per = JOULES_PER[unit]
        self._clock = MonotonicClock()
        self._last_j, self._generation = 0.0, 0

    @property
    def name(self) -> str:
        """Return "wall"."""
        return "wall"

    def is_available(self) -> Availability:
        """Return whether the meter answers."""
        (reading,) = self.read()
        if reading.energy_j is None:
            return Availability(ok=False, reason=str(reading.reason))
        return Availability(ok=True, detail=f"the wall meter at {self._url}")

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return the total; the whole machine's, whichever process is asked about."""
        energy_j, reason = None, None
        try:
            energy_j = self._total_j()
        except (OSError, ValueError, KeyError, TypeError) as error:  # a meter never raises
            reason = f"{self._url} gave no total: {error!r}"
        if energy_j is not None and energy_j < self._last_j:
            self._generation += 1  # its total was reset
        self._last_j = self._last_j if energy_j is None else energy_j
        return [
            CounterReading(
                component="wall",
                energy_j=energy_j,
                time_s=self._clock.now(),
                reason=reason,
                generation=self._generation,
            )
        ]

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the joules between two reads."""
        return [
            difference(start, end, provenance=Provenance.MEASURED, source=f"wall:{self._url}")
            for start, end in paired(before, after)
        ]

    def close(self) -> None:
        """Do nothing: every read is a request of its own."""

    def _total_j(self) -> float:
        with urllib.request.urlopen(self._url, timeout=self._timeout_s) as answer:
            value: Any = json.load(answer)
        for key in self._keys:
            value = value[key]
        return float(value) * self._joules_per
