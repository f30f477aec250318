"""Tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ecoautoml.result import SearchResult


def print_front(result: SearchResult) -> None:
    """Print the front, the knee and the bill of a run."""
    from ecoautoml.reports.text import front_table_text

    front = result.front
    if front.empty:
        typer.echo(_why_empty(result))
    else:
        text = front_table_text(front)
        table = Table(title="Pareto front", title_justify="left")
        for column in text.columns:
            table.add_column(column, justify="right", no_wrap=True)
        for row in text.rows:
            table.add_row(*row)
        _console().print(table)
        for sentence in result.ranking_words:
            typer.echo(sentence)
    if "warning" in front.attrs:
        typer.echo(f"Note: {front.attrs['warning']}")
    knee = result.knee
    if knee is not None:
        typer.echo(f"Suggested: trial {knee.trial}, which {knee.reason}.")
    typer.echo(_bill(result))


def _bill(result: SearchResult) -> str:
    from ecoautoml.reports.closing import closing_words
    from ecoautoml.reports.wording import format_metric

    bill = result.bill
    parts = [
        f"{item.kind} {format_metric('energy_j', item.energy_j)}"
        for item in bill.items
        if item.energy_j
    ]
    total = format_metric("energy_j", bill.total_energy_j, bill.provenance)
    text = f"Energy of the search: {total} ({', '.join(parts)})"
    if bill.n_unknown_lines:
        text += f"; {bill.n_unknown_lines} parts of it are unknown and not in the sum"
    if result.summary.unexplained_s:
        text += f"; up to {result.summary.unexplained_s:.1f} s before a kill are unexplained"
    return "\n".join(filter(None, [text, closing_words(bill)]))


def _why_empty(result: SearchResult) -> str:
    trials = result.trials
    if trials.empty:
        return "No trial has finished."
    counts = ", ".join(f"{n} {state}" for state, n in trials["state"].value_counts().items())
    reasons = trials["reason"].dropna()
    first = f" First reason: {reasons.iloc[0]}" if len(reasons) else ""
    return f"The front is empty ({counts}).{first}"


def _console() -> Console:
    # a fixed width when the output is a file or a pipe, so that no column is cut
    console = Console()
    return console if console.is_terminal else Console(width=160)
