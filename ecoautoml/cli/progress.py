"""What a person sees while a search runs: a live table, or plain lines when piped."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ecoautoml.units import format_duration, format_energy

if TYPE_CHECKING:
    from ecoautoml.api import Listeners
    from ecoautoml.data.prepared import PreparedData
    from ecoautoml.study.forecast import Forecast
    from ecoautoml.study.loop import Snapshot

REFRESH_S = 0.5


class Progress(AbstractContextManager["Progress"]):
    """Listens to a search; shows nothing by itself."""

    def listeners(self) -> Listeners:
        """Return who is to be told what."""
        from ecoautoml.api import Listeners

        return Listeners()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display."""


def _say_stopping() -> None:
    typer.echo("Stopping: storing what is finished. Press Ctrl-C again to stop at once.", err=True)


class PlainProgress(Progress):
    """One line per event."""

    def listeners(self) -> Listeners:
        """Return who is to be told what."""
        from ecoautoml.api import Listeners

        return Listeners(
            on_data=lambda prepared: _print_data(prepared),
            on_forecast=lambda forecast: typer.echo(forecast_text(forecast)),
            on_snapshot=self._on_snapshot,
            on_interrupt=_say_stopping,
        )

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.event is not None:
            typer.echo(f"[{totals_text(snapshot)}] {snapshot.event}")


class LiveProgress(Progress):
    """A table that is redrawn in place, with events above it."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._drawn_s = 0.0

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the table."""
        self._live.__exit__(kind, error, trace)

    def listeners(self) -> Listeners:
        """Return who is to be told what."""
        from ecoautoml.api import Listeners

        return Listeners(
            on_data=lambda prepared: _print_data(prepared),
            on_forecast=lambda forecast: self._console.print(forecast_text(forecast)),
            on_snapshot=self._on_snapshot,
            on_interrupt=_say_stopping,
        )

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.event is not None:
            self._console.print(snapshot.event, markup=False, highlight=False)
        if snapshot.event is not None or time.monotonic() - self._drawn_s >= REFRESH_S:
            self._drawn_s = time.monotonic()
            self._live.update(_table(snapshot), refresh=True)


def make_progress(*, is_quiet: bool, is_terminal: bool) -> Progress:
    """Return the display for this output."""
    if is_quiet:
        return Progress()
    return LiveProgress() if is_terminal else PlainProgress()


def forecast_text(forecast: Forecast) -> str:
    """Return the line that is printed before the first trial."""
    if forecast.elapsed_s is None:
        return (
            "No forecast: the probed candidates could not be run, or the budget is in grams. "
            f"Budget: {forecast.budget}."
        )
    parts = [
        f"about {forecast.trials} trials",
        _range([format_duration(value) for value in forecast.elapsed_s]),
    ]
    if forecast.energy_j is not None:
        parts.append(_range([f"~{format_energy(value)}" for value in forecast.energy_j]))
    return (
        f"Expected: {', '.join(parts)} (from {forecast.probed} probed candidates). "
        f"Budget: {forecast.budget}."
    )


def _range(ends: list[str]) -> str:
    return " to ".join(dict.fromkeys(ends))


def totals_text(snapshot: Snapshot) -> str:
    """Return trials by state, joules and time left on one line."""
    from ecoautoml.records.trial_result import TrialState

    count = dict.fromkeys(TrialState, 0)
    for result in snapshot.results:
        count[result.state] += 1
    others = ", ".join(
        f"{count[state]} {state.value}"
        for state in (
            TrialState.PRUNED,
            TrialState.STOPPED,
            TrialState.INFEASIBLE,
            TrialState.FAILED,
            TrialState.REUSED,
        )
        if count[state]
    )
    text = f"{count[TrialState.COMPLETE]} complete"
    text += f", {others}" if others else ""
    text += f", {len(snapshot.paused)} set aside" if snapshot.paused else ""
    mark = "" if snapshot.provenance is None else snapshot.provenance.mark
    text += f" | {mark}{format_energy(snapshot.spent.energy_j)}"
    text += f" | front {snapshot.front_size}"
    if snapshot.hypervolume is not None:
        text += f" | hypervolume {snapshot.hypervolume:.3f}"
    text += f" | {format_duration(snapshot.spent.elapsed_s)}"
    if snapshot.left_s is not None:
        text += f", about {format_duration(snapshot.left_s)} left"
    return text


def _table(snapshot: Snapshot) -> Table:
    table = Table(title=totals_text(snapshot), title_justify="left", expand=False)
    for column in ("trial", "epoch", "validation accuracy", "energy per image", "spent"):
        table.add_column(column, justify="right")
    mark = "" if snapshot.provenance is None else snapshot.provenance.mark
    for number, progress in sorted(snapshot.running.items()):
        if progress is None:
            table.add_row(str(number), "probing", "", "", "")
            continue
        accuracy = progress.metrics.get("validation_accuracy")
        table.add_row(
            str(number),
            f"{progress.epoch}/{progress.epochs}",
            "" if accuracy is None else f"{accuracy:.4f}",
            mark + format_energy(progress.metrics.get("inference_energy_j")),
            mark + format_energy(progress.energy_j),
        )
    return table


def _print_data(prepared: PreparedData) -> None:
    counts = prepared.counts
    colour = "grey" if prepared.channels == 1 else "RGB"
    typer.echo(
        f"Data: {counts['train']} training, {counts['validation']} validation, {counts['test']} "
        f"test images, {len(prepared.class_names)} classes, {colour}, "
        f"{prepared.image_size} px"
    )
    for note in prepared.notes:
        typer.echo(f"Note: {note}")
