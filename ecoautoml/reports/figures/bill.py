"""Where the joules went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from ecoautoml.records.energy_reading import Provenance
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.reports.bill import KINDS, EnergyBill, energy_bill
from ecoautoml.reports.figures import style
from ecoautoml.reports.summary import RunSummary
from ecoautoml.reports.wording import format_metric, format_share
from ecoautoml.units import format_energy

_COLOURS = {
    "useful": style.GREEN,
    "paused": style.BROWN,
    "pruned": style.ORANGE,
    "stopped": style.GOLD,
    "infeasible": style.PURPLE,
    "failed": style.RED,
    "interrupted": style.BLUE,
    "overhead": style.GREY,
    "idle": style.SLATE,
}
_PATTERNS = {Provenance.MEASURED: "", Provenance.ATTRIBUTED: ".", Provenance.ESTIMATED: "/"}


class Bar(NamedTuple):
    """Joules of one kind and provenance, with the text at its end (the last of its kind only)."""

    kind: str
    provenance: Provenance
    energy_j: float
    label: str


class BillInfo(NamedTuple):
    """What the figure shows: the bars, and the bill behind them."""

    bars: tuple[Bar, ...]
    bill: EnergyBill


def _info(results: Sequence[TrialResult], summary: RunSummary) -> BillInfo:
    """Return what the figure shows."""
    bill = energy_bill(results, summary)
    bars = []
    for item in bill.items:
        last = len(item.by_provenance) - 1
        for index, (provenance, energy_j) in enumerate(item.by_provenance.items()):
            share = (item.energy_j or 0.0) / bill.total_energy_j if bill.total_energy_j else 0.0
            weakest = list(item.by_provenance)[-1]
            text = f"{format_metric('_j', item.energy_j, weakest)} · {format_share(share)}"
            bars.append(Bar(item.kind, provenance, energy_j, text if index == last else ""))
    return BillInfo(tuple(bars), bill)


def figure(results: Sequence[TrialResult], summary: RunSummary) -> go.Figure:
    """Return the figure of where the joules went."""
    info = _info(results, summary)
    drawing = go.Figure()
    for bar in info.bars:
        drawing.add_trace(_bar(bar))
    for provenance in info.bill.by_provenance:
        drawing.add_trace(_legend_entry(provenance, info.bars[0].kind))
    kinds = list(dict.fromkeys(bar.kind for bar in info.bars))
    style.layout(drawing, x_title="", y_title="", height=90 + 46 * max(len(kinds), 2))
    drawing.update_layout(barmode="stack", bargap=0.35, showlegend=len(info.bill.by_provenance) > 1)
    # Every bar carries its number, so the axis needs none.
    drawing.update_xaxes(
        **style.joule_axis("Energy", info.bill.by_provenance, info.bill.total_energy_j or 0.0),
        showgrid=False,
        showticklabels=False,
    )
    drawing.update_yaxes(
        showgrid=False,
        categoryorder="array",
        categoryarray=[KINDS[kind] for kind in reversed(kinds)],
    )
    _leave_room_for_labels(drawing, info)
    if not info.bars:
        style.empty_note(drawing, "No joules are known.")
    return drawing


def _bar(bar: Bar) -> go.Bar:
    return go.Bar(
        x=[bar.energy_j],
        y=[KINDS[bar.kind]],
        orientation="h",
        name=bar.provenance.value,
        showlegend=False,
        marker=_marker(_COLOURS[bar.kind], bar.provenance),
        text=[bar.label],
        textposition="outside",
        cliponaxis=False,
        hovertemplate=(
            f"%{{y}}: {format_energy(bar.energy_j)} ({bar.provenance.value})<extra></extra>"
        ),
    )


def _legend_entry(provenance: Provenance, kind: str) -> go.Bar:
    """Return a bar of no length that tells what a pattern means."""
    marker = _marker(style.GREY, provenance)
    return go.Bar(x=[0], y=[KINDS[kind]], orientation="h", name=provenance.value, marker=marker)


def _marker(colour: str, provenance: Provenance) -> dict[str, Any]:
    pattern = {
        "shape": _PATTERNS[provenance],
        "fgcolor": "rgba(255, 255, 255, 0.55)",
        "size": 6,
        "solidity": 0.2,
    }
    return {"color": colour, "pattern": pattern, "line": {"width": 0}}


def _leave_room_for_labels(drawing: go.Figure, info: BillInfo) -> None:
    widest = max((item.energy_j or 0.0 for item in info.bill.items), default=0.0)
    if widest > 0:
        drawing.update_xaxes(range=[0, 1.6 * widest])
