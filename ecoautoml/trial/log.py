"""What a running trial writes down: its bill, its curve, and from them its result."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ecoautoml.energy.select import MeterSet
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.records.energy_reading import EnergyLine, total_energy_j
from ecoautoml.records.progress import Progress
from ecoautoml.records.trial_result import TrialJob, TrialResult, TrialState


class TrialLog:
    """Collects one trial's joules by line, and its reports, on top of what stands there before."""

    def __init__(self, job: TrialJob, meters: MeterSet) -> None:
        self._job, self._meters, before = job, meters, job.before
        self._lines: dict[str, EnergyLine] = {}
        self._lines_before = {} if before is None else {line.line: line for line in before.energy}
        self._curve: list[Progress] = [] if before is None else list(before.curve)
        self._started_s = time.perf_counter() - (0.0 if before is None else before.duration_s)
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

    def begin_again(self) -> None:
        """Forget the reports before: the training they tell of is lost, its joules are not."""
        self._curve = self._curve[:1]

    @property
    def curve(self) -> tuple[Progress, ...]:
        """Return the reports so far, the first of them the probe's."""
        return tuple(self._curve)

    def progress(self, epoch: int, metrics: Mapping[str, float]) -> Progress:
        """Write down and return a report."""
        progress = Progress(
            trial=self._job.number,
            epoch=epoch,
            epochs=self._job.epochs,
            metrics=dict(metrics),
            energy_j=total_energy_j(self._all_lines().values()),
            duration_s=time.perf_counter() - self._started_s,
        )
        self._curve.append(progress)
        return progress

    def line_energy_j(self, name: str) -> float | None:
        """Return the joules of one line so far."""
        line = self._all_lines().get(name)
        return None if line is None else line.energy_j

    def result(self, state: TrialState, **fields: Any) -> TrialResult:
        """Return the result with everything written down so far.

        An interrupted one bills this attempt alone: what it had done before stays on the ledger.
        """
        is_attempt = state is TrialState.INTERRUPTED
        lines = self._lines if is_attempt else self._all_lines()
        return TrialResult(
            number=self._job.number,
            state=state,
            candidate=self._job.candidate,
            parent=self._job.parent,
            energy=tuple(lines.values()),
            curve=tuple(self._curve),
            duration_s=time.perf_counter() - self._started_s,
            epochs=max((progress.epoch for progress in self._curve), default=0),
            **{**self.known, **fields},
        )

    def _all_lines(self) -> dict[str, EnergyLine]:
        """Return the lines with those before the trial was paused."""
        return _followed(self._lines_before, self._lines.values())

    def _add(self, line: EnergyLine) -> None:
        self._lines = _followed(self._lines, [line])


def _followed(lines: Mapping[str, EnergyLine], more: Iterable[EnergyLine]) -> dict[str, EnergyLine]:
    """Return lines by name, each with what was added to it."""
    found = dict(lines)
    for line in more:
        before = found.get(line.line)
        found[line.line] = line if before is None else before.followed_by(line)
    return found
