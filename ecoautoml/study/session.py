"""One sitting of a search: its joules beside the trials, and what an unclean end left open."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ecoautoml.config.models import MeterConfig
from ecoautoml.data.prepared import PreparedData
from ecoautoml.energy.target import open_driver_meter
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.errors import RunError
from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.study.ledger import Ledger

USUAL_GAP_S = 2.5
"""What a kill leaves unexplained at least: marks are written every 2 s, at the next tick."""


class Session:
    """Joules that belong to no trial: those of earlier sessions, and of this one so far.

    Args:
        ledger: Where they are kept.
        meter: Which meter the search uses.
        workers: Lines for starting workers so far.
    """

    def __init__(
        self, ledger: Ledger, meter: MeterConfig, workers: Callable[[], Sequence[EnergyLine]]
    ) -> None:
        self._ledger, self._workers = ledger, workers
        self._earlier = ledger.lines("overhead")
        self._lines: list[EnergyLine] = []
        self._written_s = time.monotonic()
        self._meters = open_driver_meter(meter)
        self._driver = EnergyWindow(self._meters.meters, self._meters.clock)
        self._driver.__enter__()  # stays open: it is read while the search runs

    def begin(self, prepared: PreparedData) -> None:
        """Note an unclean end of the session before, and what the images are.

        Raises:
            RunError: The images are not those the run was begun with.
        """
        self._check_images(prepared)
        if self._ledger.attribute("is_open"):
            gap_s = max(USUAL_GAP_S, float(self._ledger.attribute("longest_gap_s") or 0.0))
            before_s = float(self._ledger.attribute("unexplained_s") or 0.0)
            self._ledger.set_attribute("unexplained_s", before_s + gap_s)
        self._ledger.set_attribute("is_open", True)
        self._ledger.set_attribute("longest_gap_s", 0.0)
        self._ledger.set_attribute("notes", list(prepared.notes))
        self.write()

    def add(self, line: EnergyLine) -> None:
        """Add a line."""
        self._lines.append(line)
        self.write()

    def note(self, sentence: str) -> None:
        """Add a sentence to what the report tells."""
        self._ledger.set_attribute("notes", [*(self._ledger.attribute("notes") or ()), sentence])

    def write(self, elapsed_s: float | None = None) -> None:
        """Write down the lines so far; what a kill can leave unexplained is the time between."""
        now_s = time.monotonic()
        gap_s, self._written_s = now_s - self._written_s, now_s
        if gap_s > float(self._ledger.attribute("longest_gap_s") or 0.0):
            self._ledger.set_attribute("longest_gap_s", gap_s)
        self._ledger.set_lines("overhead", self.overhead())
        if elapsed_s is not None:
            self._ledger.set_attribute("elapsed_s", elapsed_s)

    def overhead(self) -> tuple[EnergyLine, ...]:
        """Return all lines, earlier sessions' first."""
        driver = self._driver.line("choosing and recording")
        return (*self._earlier, *self._lines, *self._workers(), driver)

    def end(self) -> None:
        """Write down the lines and a clean end."""
        self.write()
        self._ledger.set_attribute("is_open", False)
        self._meters.close()

    def _check_images(self, prepared: PreparedData) -> None:
        known = self._ledger.attribute("images")
        seen = {
            "counts": dict(prepared.counts),
            "class_names": list(prepared.class_names),
            "mean": [round(value, 6) for value in prepared.mean],
            "std": [round(value, 6) for value in prepared.std],
        }
        if known is not None and known != seen:
            raise RunError(
                "the images are not those this run was begun with; begin another with "
                "--set name=OTHER"
            )
        self._ledger.set_attribute("images", seen)
