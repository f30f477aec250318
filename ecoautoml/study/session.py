"""One sitting of a search: its joules beside the trials, and what it has to say."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ecoautoml.data.prepared import PreparedData
from ecoautoml.errors import RunError
from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.records.progress import EnergyMark
from ecoautoml.records.session_record import SessionRecord
from ecoautoml.study.ledger import Ledger, MarkRound
from ecoautoml.study.metering import Metering


class Session:
    """Joules that belong to no trial: those of earlier sessions, and of this one so far.

    Everything it knows is written as one record at a time, so that a kill leaves nothing half
    said.

    Args:
        ledger: Where it is kept.
        metering: The joules of this process and of the device.
        workers: Lines for starting workers so far.
    """

    def __init__(
        self, ledger: Ledger, metering: Metering, workers: Callable[[], Sequence[EnergyLine]]
    ) -> None:
        self._ledger, self._metering, self._workers = ledger, metering, workers
        self._earlier = ledger.sessions()
        self._record = SessionRecord(idle_before=metering.idle_before)
        self._written_s = time.monotonic()

    @property
    def earlier_s(self) -> float:
        """Return the seconds for which earlier sessions ran trials."""
        return sum(one.elapsed_s for one in self._earlier)

    @property
    def idle_w(self) -> float:
        """Return the watts of the idle machine that are on the bill; 0 when they are unknown."""
        return sum(self._metering.idle_w.values())

    def begin(self, prepared: PreparedData) -> None:
        """Begin the record; one before it that has no end was killed.

        Raises:
            RunError: The images are not those the run was begun with.
        """
        self._check_images(prepared)
        self._record = replace(self._record, notes=prepared.notes)
        self.write()

    def note(self, sentence: str) -> None:
        """Add a sentence to what the report tells."""
        self._record = replace(self._record, notes=(*self._record.notes, sentence))
        self.write()

    def note_for_now(self, sentence: str) -> None:
        """Add a sentence that the report tells until the search is gone on with."""
        sentences = (*self._record.notes_for_now, sentence)
        self._record = replace(self._record, notes_for_now=sentences)
        self.write()

    def mark(self, marks: Sequence[EnergyMark], elapsed_s: float) -> None:
        """Write down the joules of running trials, then the record that goes with them.

        Args:
            marks: One for each running trial.
            elapsed_s: Seconds this session has run trials.
        """
        mark_round = MarkRound(len(self._earlier), self._record.mark_rounds + 1)
        if self._ledger.mark(marks, mark_round):
            self._record = replace(self._record, mark_rounds=mark_round.number)
            self.write(elapsed_s)

    def write(self, elapsed_s: float | None = None) -> None:
        """Write the record; what a kill can leave unexplained is the time between two writings.

        Args:
            elapsed_s: Seconds this session has run trials; None: as before.
        """
        now_s = time.monotonic()
        gap_s, self._written_s = now_s - self._written_s, now_s
        self._record = replace(
            self._record,
            lines=self._own_lines(),
            idle=self._metering.idle(),
            others=self._metering.others(),
            metered=self._metering.metered(),
            elapsed_s=self._record.elapsed_s if elapsed_s is None else elapsed_s,
            longest_gap_s=max(gap_s, self._record.longest_gap_s),
        )
        self._ledger.set_sessions((*self._earlier, self._record))

    def overhead(self) -> tuple[EnergyLine, ...]:
        """Return all lines, idle power included, earlier sessions' first."""
        earlier = [line for one in self._earlier for line in (*one.lines, one.idle)]
        lines = (*earlier, *self._own_lines(), self._metering.idle())
        return tuple(line for line in lines if line is not None)

    def end(self) -> None:
        """Write down a clean end; call it when the workers have ended."""
        self.write()
        self._record = replace(self._record, is_ended=True, idle_after=self._metering.end())
        self._ledger.set_sessions((*self._earlier, self._record))

    def _own_lines(self) -> tuple[EnergyLine, ...]:
        return (*self._metering.lines(), *self._workers())

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
