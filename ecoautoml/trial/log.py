"""What a running trial writes down: its bill, its curve, and from them its result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ecoautoml.energy.select import MeterSet
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.records.energy_reading import EnergyLine, total_energy_j
from ecoautoml.records.progress import Progress
from ecoautoml.records.trial_result import TrialJob, TrialResult, TrialState


class TrialLog:
    """Collects one trial's joules by line, and its reports."""

    def __init__(self, job: TrialJob, meters: MeterSet) -> None:
        self._job, self._meters = job, meters
        self._lines: dict[str, EnergyLine] = {}
        self._curve: list[Progress] = []
        self._started_s = time.perf_counter()
        self.known: dict[str, Any] = {}
        """Fields of the result known so far; what a failed trial already had is kept."""

    @contextmanager
    def line(self, name: str) -> Iterator[None]:
        """Bill everything inside to one line; the same name again adds to it, also on errors."""
        meters = self._meters
        window = EnergyWindow(meters.meters, meters.clock, idle_w=meters.idle_w)
        try:
            with window:
                yield
        finally:
            self._add(window.line(name))

    def progress(self, epoch: int, metrics: Mapping[str, float]) -> Progress:
        """Write down and return a report."""
        progress = Progress(
            trial=self._job.number,
            epoch=epoch,
            epochs=self._job.epochs,
            metrics=dict(metrics),
            energy_j=total_energy_j(self._lines.values()),
            duration_s=time.perf_counter() - self._started_s,
        )
        self._curve.append(progress)
        return progress

    def line_energy_j(self, name: str) -> float | None:
        """Return the joules of one line so far."""
        line = self._lines.get(name)
        return None if line is None else line.energy_j

    def result(self, state: TrialState, **fields: Any) -> TrialResult:
        """Return the result with everything written down so far."""
        return TrialResult(
            number=self._job.number,
            state=state,
            candidate=self._job.candidate,
            energy=tuple(self._lines.values()),
            curve=tuple(self._curve),
            duration_s=time.perf_counter() - self._started_s,
            epochs=max((progress.epoch for progress in self._curve), default=0),
            **{**self.known, **fields},
        )

    def _add(self, line: EnergyLine) -> None:
        before = self._lines.get(line.line)
        self._lines[line.line] = line if before is None else before.followed_by(line)
